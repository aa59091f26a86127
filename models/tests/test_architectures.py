"""Networks through both exporters of PyTorch: compiled, run, and compared with onnxruntime."""

import re
import subprocess
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from sonotrace_models.architectures.catalogue import ARCHITECTURES, PAPER, published
from sonotrace_models.architectures.compare import BINARY, ERROR_MAX, EXPORTERS, Exporter, Outcome, binary, compare
from sonotrace_models.architectures.networks import random_inputs, randomise
from sonotrace_models.architectures.table import END, START, Row, key, write

# The page with the table.
PAGE = Path(__file__).parents[2] / "docs" / "networks.md"


class Pyramid(nn.Module):
    """Convolutions with batch normalisation, down and up again, and two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.narrow = nn.Conv2d(8, 8, 3, 2, 1, groups=8)
        self.up = nn.ConvTranspose2d(8, 4, 2, 2)

    def forward(self, image: Tensor) -> dict[str, Tensor]:
        fine = self.down(image)
        coarse = self.up(torch.sigmoid(self.narrow(fine)))
        large = nn.functional.interpolate(coarse, size=image.shape[2:], mode="bilinear")
        return {"masks": large, "features": fine}


class Windows(nn.Module):
    """Attention in shifted windows, with a mask that is drawn in the graph, as in Swin."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(8)
        self.qkv = nn.Linear(8, 24)

    def forward(self, tokens: Tensor) -> Tensor:
        batch, rows, columns, width = tokens.shape
        x = torch.roll(self.norm(tokens), (-2, -2), (1, 2))
        x = x.view(batch, rows // 4, 4, columns // 4, 4, width).transpose(2, 3).reshape(-1, 16, width)
        query, key, value = self.qkv(x).chunk(3, dim=-1)
        regions = x.new_zeros((rows, columns))
        regions[:-2, -2:] = 1
        regions[-2:, :-2] = 2
        regions[-2:, -2:] = 3
        regions = regions.view(rows // 4, 4, columns // 4, 4).transpose(1, 2).reshape(-1, 16)
        apart = regions[:, None, :] != regions[:, :, None]
        scores = (query @ key.transpose(1, 2)).masked_fill(apart, -100.0)
        return tokens.view(-1, 16, width) + torch.softmax(scores, -1) @ value


class Clicks(nn.Module):
    """Clicks drawn as discs in the graph, with those left out that are negative."""

    def forward(self, image: Tensor, clicks: Tensor) -> Tensor:
        rows, columns = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
        apart = torch.stack((rows, columns))[None] - clicks[:, :, None, None]
        apart = apart * apart
        apart[:, 0] += apart[:, 1]
        squares = apart[:, :1]
        squares[clicks.amax(dim=1) < 0, :, :, :] = 1e6
        return image + torch.tanh(squares.amin(dim=0))


class Selection(nn.Module):
    """A number of values that depends on the values: refused."""

    def forward(self, values: Tensor) -> Tensor:
        return values[values > 0].sum()[None]


TINY: dict[str, tuple[nn.Module, dict[str, tuple[int, ...]]]] = {
    "pyramid": (Pyramid(), {"image": (1, 3, 16, 24)}),
    "windows": (Windows(), {"tokens": (1, 8, 8, 8)}),
    "clicks": (Clicks(), {"image": (1, 1, 8, 8), "clicks": (5, 2)}),
}


def tried(net: nn.Module, shapes: dict[str, tuple[int, ...]], exporter: Exporter, folder: Path) -> Outcome:
    if not binary().exists():
        pytest.skip(f"no sonotrace command at {binary()}: build it, or name it with {BINARY}")
    randomise(net)
    return compare(net.eval(), random_inputs(shapes), exporter, folder)


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", TINY)
def test_networks_are_right_by_both_exporters(name: str, exporter: Exporter, tmp_path: Path) -> None:
    outcome = tried(*TINY[name], exporter, tmp_path)
    assert outcome.is_right, outcome
    assert min(outcome.operations, outcome.memory_bytes, outcome.file_bytes) > 0, outcome


def test_a_refusal_names_node_and_rewrite(tmp_path: Path) -> None:
    outcome = tried(Selection(), {"values": (6,)}, "torchscript", tmp_path)
    assert "program main: node " in outcome.refusal
    assert "torch.where" in outcome.refusal


def test_the_table_replaces_the_one_between_the_markers(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{START}\nold\n{END}\nafter\n")
    order = ["other", "net"]
    row = Row("net", "package 1", "1x3x8x8", "dynamo", Outcome(operations=3, memory_bytes=2_000_000, file_bytes=10**6))
    write(page, [row], order)
    write(page, [Row("other", "package 1", "1", "torchscript", Outcome(refusal="node a|b: no"))], order)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| net | package 1 | 1x3x8x8 | dynamo | 3 | 0.00 | 2.0 | 1.0 | 0.0e+00 |" in text
    assert "refused: node a\\|b: no" in text
    assert text.index("| other ") < text.index("| net ")
    page.write_text("no markers")
    with pytest.raises(ValueError, match="no place for the table"):
        write(page, [row], order)


def test_names_of_networks_are_distinct() -> None:
    names = [architecture.name for architecture in ARCHITECTURES]
    assert len(set(names)) == len(names)


def test_the_page_lists_every_network() -> None:
    rows = {key(row): row.strip("| ").split(" | ") for row in PAGE.read_text().splitlines() if key(row)[1] in EXPORTERS}
    listed = {name for name, _ in rows}
    assert listed == {architecture.name for architecture in ARCHITECTURES}
    # Those of the paper compile by both exporters, and none is further off than the bound.
    for name, exporter in [(architecture.name, exporter) for architecture in PAPER for exporter in EXPORTERS]:
        *_, operations, _, memory, file, error = rows[name, exporter]
        assert min(float(operations), float(memory), float(file)) > 0, name
        assert float(error) <= ERROR_MAX, name
    for architecture in ARCHITECTURES:
        source = next(cells[1] for (name, _), cells in rows.items() if name == architecture.name)
        assert architecture.package in source, architecture.name
        assert not architecture.repository or re.search(r" at [0-9a-f]{10}$", source), architecture.name


def test_a_network_of_a_repository_is_listed_with_its_commit(tmp_path: Path) -> None:
    clone = tmp_path / "net"
    subprocess.run(["git", "init", "-q", clone], check=True)
    author = ["-c", "user.name=a", "-c", "user.email=a@example.invalid"]
    subprocess.run(["git", "-C", clone, *author, "commit", "-q", "--allow-empty", "-m", "first"], check=True)
    head = subprocess.run(["git", "-C", clone, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout
    found = published("net", "example.invalid/owner/net", lambda _: nn.Identity(), {}).version(tmp_path)
    assert found == f"[net](https://example.invalid/owner/net) at {head[:10]}"

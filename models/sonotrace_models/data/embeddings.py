"""The teacher's image embeddings, computed once: its encoder costs as much as sixteen students.

A folder holds `embeddings.f16` ([entry, 256, 64, 64]) and `entries.jsonl`, one line per entry: the digest of the packed image,
and whether it was mirrored. So an image that was changed gets a new embedding, and one that was renamed keeps its own. Both
files are append-only, so the work can be interrupted, resumed, and extended by new images.
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from tqdm import tqdm

from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack
from sonotrace_models.nets.sonosam import TEACHER_GRID, SonoSam, litemedsam_input

SHAPE = (256, TEACHER_GRID, TEACHER_GRID)
BYTES = 2 * SHAPE[0] * SHAPE[1] * SHAPE[2]
Key = tuple[int, bool]
"""An image's index in the pack, and whether it is mirrored."""


class Embeddings:
    """A memory-mapped folder of embeddings."""

    def __init__(self, folder: Path, pack: Pack) -> None:
        """Maps the embeddings that exist for the pack's images.

        Raises:
            DataError: the folder holds none.
        """
        if not (folder / "entries.jsonl").is_file():
            raise DataError(f"{folder} holds no embeddings: run `python -m sonotrace_models embed` first")
        entries = _entries(folder)
        path = folder / "embeddings.f16"
        self.values: npt.NDArray[np.float16] = np.memmap(path, np.float16, "r", shape=(len(entries), *SHAPE))
        self.pack = pack
        places = {entry: at for at, entry in enumerate(entries)}
        self.at: dict[Key, int] = {}
        for index, item in enumerate(pack.items):
            for is_mirrored in (False, True):
                place = places.get((item.digest, is_mirrored))
                if place is not None:
                    self.at[index, is_mirrored] = place

    def get(self, keys: list[Key]) -> Tensor:
        """Embeddings of images, mirrored or not: [len(keys), 256, 64, 64] in f16.

        Raises:
            DataError: one is missing.
        """
        for index, is_mirrored in keys:
            if (index, is_mirrored) not in self.at:
                item = self.pack.items[index]
                raise DataError(
                    f"no embedding of {item.set_name}/{item.name}{' mirrored' * is_mirrored} ({item.split}): "
                    "run `python -m sonotrace_models embed` to completion"
                )
        return torch.from_numpy(np.stack([self.values[self.at[key]] for key in keys]))

    @property
    def images(self) -> set[int]:
        """Indices of the pack's images that have an unmirrored embedding."""
        return {index for index, is_mirrored in self.at if not is_mirrored}


def _entries(folder: Path) -> list[tuple[str, bool]]:
    """The folder's entries, in file order.

    Raises:
        DataError: they are not by content.
    """
    path = folder / "entries.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    entries = [tuple(json.loads(line)) for line in lines]
    if any(len(entry) != 2 for entry in entries):
        raise DataError(f"{path} was written by an earlier version, by names: give another folder, or delete it")
    return [(digest, is_mirrored) for digest, is_mirrored in entries]


def embed(
    pack: Pack,
    folder: Path,
    sets: list[str] | None = None,
    train_most: int | None = None,
    is_mirroring: bool = True,
    batch: int = 1,
) -> None:
    """Computes the missing embeddings: of the images of all splits, then of the train images mirrored.

    The val split comes first, and the train split in random order, so an interrupted run leaves a random sample.

    Args:
        sets: sets whose train split is embedded; all by default. The other splits are embedded for all sets.
        train_most: number of train images, a random sample; all by default.
        is_mirroring: whether to embed the train images mirrored too.
        batch: images per batch; 32 is fast on a GPU.
    """
    pack.require(sets)
    folder.mkdir(parents=True, exist_ok=True)
    entries = _entries(folder)
    known = set(entries)
    train = [int(index) for index in np.random.default_rng(0).permutation(pack.select("train", sets))][:train_most]
    wanted: list[Key] = [(index, False) for index in (*pack.select("val"), *train, *pack.select("test"))]
    wanted += [(index, True) for index in train if is_mirroring]
    # Copies of an image share their embedding.
    by_content = {
        (pack.items[index].digest, is_mirrored): (index, is_mirrored) for index, is_mirrored in reversed(wanted)
    }
    missing = [key for key in wanted if by_content[pack.items[key[0]].digest, key[1]] == key]
    missing = [key for key in missing if (pack.items[key[0]].digest, key[1]) not in known]
    encode = encoder()
    with (folder / "embeddings.f16").open("ab") as values, (folder / "entries.jsonl").open("a") as lines:
        # Removes an embedding that was written only in part.
        values.truncate(len(entries) * BYTES)
        for start in tqdm(range(0, len(missing), batch), desc="embed", mininterval=5):
            keys = missing[start : start + batch]
            inputs = torch.cat([_input(pack, *key) for key in keys])
            values.write(encode(inputs).numpy().astype(np.float16).tobytes())
            values.flush()
            for index, is_mirrored in keys:
                lines.write(json.dumps([pack.items[index].digest, is_mirrored]) + "\n")
            lines.flush()


def _input(pack: Pack, index: int, is_mirrored: bool) -> Tensor:
    item = pack.items[index]
    grey = torch.from_numpy(pack.images[index].astype(np.float32) / 255)[None, None]
    stretched = litemedsam_input(grey, torch.tensor([[item.columns, item.rows]]))
    return mirrored(stretched, item.columns) if is_mirrored else stretched


def mirrored(image: Tensor, columns: int) -> Tensor:
    """Mirrors the valid columns left to right, so that the padding stays on the right."""
    return torch.cat([image[..., :columns].flip(-1), image[..., columns:]], -1)


def encoder() -> Callable[[Tensor], Tensor]:
    """LiteMedSAM's image encoder on the fastest backend: a GPU, or OpenVINO in bf16 (a third of torch's time)."""
    net = SonoSam().encoder.eval()
    if torch.cuda.is_available():
        net = net.cuda()

        @torch.no_grad()
        def on_gpu(image: Tensor) -> Tensor:
            with torch.autocast("cuda", torch.bfloat16):
                return net(image.cuda()).float().cpu()

        return on_gpu

    import openvino

    example = torch.zeros(1, 3, 256, 256)
    model = openvino.convert_model(net, example_input=example, input=[1, 3, 256, 256])
    compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "bf16"})
    # The network was traced with a batch of one image and takes no other batch size.
    return lambda images: torch.cat([torch.from_numpy(compiled(image[None].numpy())[0]) for image in images])

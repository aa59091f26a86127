"""The cache of embeddings: it resumes after an interruption, and finds images by their content."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from sonotrace_models.data import embeddings
from sonotrace_models.data.embeddings import BYTES, Embeddings, embed, encoder
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack, pack


def test_it_resumes_after_an_interruption_and_keeps_complete_entries(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[float] = []

    def encode(image: Tensor) -> Tensor:
        if len(made) == 5:
            raise KeyboardInterrupt
        made.append(float(image.mean()))
        return torch.full((1, 256, 64, 64), made[-1])

    monkeypatch.setattr(embeddings, "encoder", lambda: encode)
    images = Pack(packed)
    with pytest.raises(KeyboardInterrupt):
        embed(images, tmp_path)
    # As if interrupted during a write.
    with (tmp_path / "embeddings.f16").open("ab") as file:
        file.write(b"\0" * 1000)
    kept, made = made, []
    monkeypatch.setattr(embeddings, "encoder", lambda: lambda image: torch.full((1, 256, 64, 64), float(image.mean())))
    embed(images, tmp_path)
    found = Embeddings(tmp_path, images)
    assert len(found.at) == 12 + 6
    assert (tmp_path / "embeddings.f16").stat().st_size == 18 * BYTES
    first = found.get([(index, False) for index in images.select("val")])[:, 0, 0, 0].float()
    torch.testing.assert_close(first, torch.tensor(kept[:3]), rtol=1e-3, atol=1e-4)
    last = images.select("train")[5]
    both = found.get([(last, False), (last, True)])[:, 0, 0, 0]
    torch.testing.assert_close(both[0], both[1], rtol=1e-3, atol=1e-4)


def test_a_sample_of_the_train_split_leaves_the_other_splits_whole(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "encoder", lambda: lambda _: torch.zeros(1, 256, 64, 64))
    images = Pack(packed)
    embed(images, tmp_path, train_most=2, is_mirroring=False)
    found = Embeddings(tmp_path, images)
    assert {*images.select("val"), *images.select("test")} <= found.images
    assert len(found.images & {*images.select("train")}) == 2
    assert not any(is_mirrored for _, is_mirrored in found.at)


def test_sets_narrow_the_train_split_and_leave_the_other_splits_whole(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "encoder", lambda: lambda _: torch.zeros(1, 256, 64, 64))
    images = Pack(packed)
    embed(images, tmp_path / "none", sets=[])
    assert Embeddings(tmp_path / "none", images).images == {*images.select("val"), *images.select("test")}
    embed(images, tmp_path / "discs", sets=["DISCS"])
    assert {*images.select("train")} <= Embeddings(tmp_path / "discs", images).images
    with pytest.raises(DataError, match="no set in the pack named DISKS: there are DISCS"):
        embed(images, tmp_path / "unknown", sets=["DISKS"])


def test_images_are_found_by_content(data: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "encoder", lambda: lambda image: torch.full((1, 256, 64, 64), float(image.mean())))
    before = Pack(packed)
    embed(before, tmp_path / "embeddings", is_mirroring=False)
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    (folder / "DISCS").rename(folder / "PLATES")
    manifest = (folder / "MANIFEST.csv").read_text().replace("DISCS", "PLATES")
    (folder / "MANIFEST.csv").write_text(manifest)
    changed = folder / "PLATES" / "images" / "val_0.png"
    Image.fromarray(255 - np.array(Image.open(changed))).save(changed)
    pack([folder], tmp_path / "pack")
    after = Pack(tmp_path / "pack")
    found = Embeddings(tmp_path / "embeddings", after)
    assert len(found.images) == 11
    (val,) = [index for index, item in enumerate(after.items) if item.name == "val_0"]
    with pytest.raises(DataError, match="no embedding of PLATES/val_0"):
        found.get([(val, False)])
    embed(after, tmp_path / "embeddings", is_mirroring=False)
    assert len(Embeddings(tmp_path / "embeddings", after).images) == 12
    # The old image keeps its own.
    assert len(Embeddings(tmp_path / "embeddings", before).images) == 12
    (tmp_path / "embeddings" / "entries.jsonl").write_text('["DISCS", "val_0", false]\n')
    with pytest.raises(DataError, match="by an earlier version, by names"):
        Embeddings(tmp_path / "embeddings", after)


def test_a_batch_is_encoded_like_single_images() -> None:
    images = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    encode = encoder()
    torch.testing.assert_close(encode(images)[1:], encode(images[1:]))

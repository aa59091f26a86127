"""The cache of embeddings: it resumes after an interruption, and finds images by name."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sonotrace_models.data import embeddings
from sonotrace_models.data.embeddings import BYTES, Embeddings, embed, encoder
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack


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
    pack = Pack(packed)
    with pytest.raises(KeyboardInterrupt):
        embed(pack, tmp_path)
    # As if interrupted during a write.
    with (tmp_path / "embeddings.f16").open("ab") as file:
        file.write(b"\0" * 1000)
    kept, made = made, []
    monkeypatch.setattr(embeddings, "encoder", lambda: lambda image: torch.full((1, 256, 64, 64), float(image.mean())))
    embed(pack, tmp_path)
    found = Embeddings(tmp_path, pack)
    assert len(found.at) == 12 + 6
    assert (tmp_path / "embeddings.f16").stat().st_size == 18 * BYTES
    first = found.get([(index, False) for index in pack.select("val")])[:, 0, 0, 0].float()
    torch.testing.assert_close(first, torch.tensor(kept[:3]), rtol=1e-3, atol=1e-4)
    last = pack.select("train")[5]
    both = found.get([(last, False), (last, True)])[:, 0, 0, 0]
    torch.testing.assert_close(both[0], both[1], rtol=1e-3, atol=1e-4)


def test_a_sample_of_the_train_split_leaves_the_other_splits_whole(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "encoder", lambda: lambda _: torch.zeros(1, 256, 64, 64))
    pack = Pack(packed)
    embed(pack, tmp_path, train_most=2, is_mirroring=False)
    found = Embeddings(tmp_path, pack)
    assert {*pack.select("val"), *pack.select("test")} <= found.images
    assert len(found.images & {*pack.select("train")}) == 2
    assert not any(is_mirrored for _, is_mirrored in found.at)


def test_sets_narrow_the_train_split_and_leave_the_other_splits_whole(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(embeddings, "encoder", lambda: lambda _: torch.zeros(1, 256, 64, 64))
    pack = Pack(packed)
    embed(pack, tmp_path / "none", sets=[])
    assert Embeddings(tmp_path / "none", pack).images == {*pack.select("val"), *pack.select("test")}
    embed(pack, tmp_path / "discs", sets=["DISCS"])
    assert {*pack.select("train")} <= Embeddings(tmp_path / "discs", pack).images
    with pytest.raises(DataError, match="the pack holds no set DISKS: it holds DISCS"):
        embed(pack, tmp_path / "unknown", sets=["DISKS"])


def test_a_batch_is_encoded_like_single_images() -> None:
    images = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    encode = encoder()
    torch.testing.assert_close(encode(images)[1:], encode(images[1:]))

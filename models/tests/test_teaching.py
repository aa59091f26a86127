"""From the teacher's embeddings to the student's distillation, with embeddings of some images only."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from sonotrace_models.data import embeddings
from sonotrace_models.data.embeddings import Embeddings, embed
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack
from sonotrace_models.train.best_masks import BestMasks, BestMasksConfig, make_best_masks
from sonotrace_models.train.run import Schedule
from sonotrace_models.train.sonosam import SonoSamConfig, train_sonosam
from sonotrace_models.train.student import StudentConfig, train_student
from sonotrace_models.weights import read_weights

SCHEDULE = Schedule(steps=1, batch=2, compiled=False)


def test_a_teacher_with_some_embeddings_makes_masks_of_those_images(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = Pack(packed)
    room = len(pack.select("val")) + 4

    def encode(image: Tensor) -> Tensor:
        nonlocal room
        if room == 0:
            raise KeyboardInterrupt
        room -= 1
        return image.mean(1, keepdim=True)[..., ::4, ::4].expand(-1, 256, -1, -1)

    monkeypatch.setattr(embeddings, "encoder", lambda: encode)
    with pytest.raises(KeyboardInterrupt):
        embed(pack, tmp_path / "embeddings")
    seen = Embeddings(tmp_path / "embeddings", pack)
    with pytest.raises(DataError, match=r"no embedding of DISCS/test_0 \(test\): run .* embed"):
        seen.get([(pack.select("test")[0], False)])

    train_sonosam(SonoSamConfig(packed, tmp_path / "embeddings", tmp_path / "sonosam", schedule=SCHEDULE))
    out = tmp_path / "best_masks"
    teacher = tmp_path / "sonosam" / "best.pt"
    make_best_masks(BestMasksConfig(packed, tmp_path / "embeddings", teacher, out, compiled=False))
    masks = BestMasks(out, pack)
    train = pack.select("train")
    assert {image for image, _ in masks.at} == seen.images & set(train)
    maps, is_there = masks.get(train, [[1, 2]] * len(train), torch.device("cpu"))
    assert maps.shape == (6, 2, 256, 256)
    assert is_there.sum() == 4 * 2
    assert maps[is_there == 0].max() == 0
    assert maps[is_there == 1].max() > 0

    keys = (out / "objects.json").read_text()
    (out / "objects.json").write_text(keys.replace(' "', ' "0').replace('["', '["0'))
    with pytest.raises(DataError, match="none of the pack's train objects"):
        BestMasks(out, pack)
    (out / "objects.json").write_text('[["DISCS", "train_0", 1]]')
    with pytest.raises(DataError, match="by an earlier version, by names"):
        BestMasks(out, pack)
    (out / "objects.json").write_text(keys)

    train_student(StudentConfig(packed, encoder=None, best_masks=out, folder=tmp_path / "student", schedule=SCHEDULE))
    assert torch.load(tmp_path / "student" / "last.pt", weights_only=True)["step"] == 1

    # The teacher can be trained further from its own weights or from the student's.
    for stage, name in (("sonosam", "iou_token"), ("student", "decoder.iou_token")):
        start = tmp_path / f"{stage}.pt"
        state = read_weights(tmp_path / stage / "best.pt")
        state[name].fill_(7)
        torch.save(state, start)
        folder = tmp_path / f"from_{stage}"
        train_sonosam(SonoSamConfig(packed, tmp_path / "embeddings", folder, start, schedule=SCHEDULE))
        started = read_weights(folder / "best.pt")["iou_token"]
        torch.testing.assert_close(started, torch.full_like(started, 7), rtol=0, atol=1e-3)

"""Loops, tracker, confidence and their evaluation end to end on synthetic hearts."""

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hearts import heart
from torch import Tensor

from sonotrace_models.data.hard_sheets import make_hard_loops
from sonotrace_models.data.loops import make_loops
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack, pack
from sonotrace_models.data.sequences import Shares
from sonotrace_models.evaluate.protocol import Mask
from sonotrace_models.evaluate.report import CineConfig, evaluate_cine
from sonotrace_models.nets.encoder import Features
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.train.confidence import ConfidenceConfig, train_confidence
from sonotrace_models.train.motion import MotionConfig, train_motion
from sonotrace_models.train.run import Schedule
from sonotrace_models.train.tracker import TrackerConfig, train_tracker


def draw(folder: Path) -> None:
    """Two patients per split, with two frames each."""
    numbers = np.random.default_rng(0)
    for kind in ("images", "masks"):
        (folder / "CAMUS" / kind).mkdir(parents=True)
    with (folder / "MANIFEST.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["set", "name", "split", "group", "sequence", "frame"])
        writer.writeheader()
        for split, patient in ((split, patient) for split in ("train", "val", "test") for patient in (0, 1)):
            for frame, mask in enumerate((heart(44, 100), heart(36, 86))):
                name, group = f"{split}_{patient}_{frame}", f"{split}_{patient}"
                grey = np.choose(mask, [90, 20, 160, 30]) * numbers.uniform(0.7, 1.3, mask.shape)
                cv2.imwrite(str(folder / "CAMUS" / "images" / f"{name}.png"), grey.clip(0, 255).astype(np.uint8))
                cv2.imwrite(str(folder / "CAMUS" / "masks" / f"{name}.png"), mask)
                writer.writerow(
                    {"set": "CAMUS", "name": name, "split": split, "group": group, "sequence": "", "frame": frame}
                )


def drawn_truth(
    _net: SonoSamLite, _features: Features, truth: Mask, _before: Tensor | None, most: int
) -> tuple[Tensor, int]:
    """Replaces `click_until_good`: the masks that a user reaches with a trained network."""
    return torch.from_numpy(np.where(truth[::2, ::2], 10.0, -10.0)).float(), most


def test_a_tracker_is_trained_trained_further_and_evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    draw(tmp_path / "data")
    packed, loops, student = tmp_path / "pack", tmp_path / "loops", tmp_path / "student.pt"
    pack([tmp_path / "data"], packed)
    make_loops(Pack(packed), loops)
    assert "train: 2 loops, 0 patients left out" in capsys.readouterr().out
    torch.manual_seed(0)
    torch.save(SonoSamLite().state_dict(), student)

    schedule = Schedule(steps=1, batch=1, compiled=False, learning_rate=1e-6)
    train_motion(MotionConfig(packed, loops, student, folder=tmp_path / "motion", frames=4, schedule=schedule))
    motion = tmp_path / "motion" / "best.pt"

    def train(name: str, start: Path | None) -> Path:
        train_tracker(
            TrackerConfig(
                packed, loops, student, start, motion, tmp_path / name, 4, 4, frames_a_step=4, schedule=schedule
            )
        )
        return tmp_path / name / "best.pt"

    first = train("first", None)
    lines = [json.loads(line) for line in (tmp_path / "first" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1]
    assert {"LV_dice", "LA_dice", "LV_dice_systole", "LA_interventions"} <= lines[0].keys() & lines[1].keys()
    second = train("second", first)
    alone, before, after = (torch.load(path, weights_only=True) for path in (motion, first, second))
    torch.testing.assert_close(before["to_key.weight"], after["to_key.weight"], atol=1e-4, rtol=0)
    torch.testing.assert_close(alone["key8.0.weight"], before["motion.key8.0.weight"], atol=1e-4, rtol=0)

    # An untrained tracker propagates its first masks, and loses them gradually.
    monkeypatch.setattr("sonotrace_models.train.confidence.click_until_good", drawn_truth)
    confidence = tmp_path / "confidence.json"
    make_hard_loops(Pack(packed), loops)
    train_confidence(ConfidenceConfig(packed, loops, student, second, confidence, 1, 1, 1, 1))
    assert 0 < json.loads(confidence.read_text())["figures"]["auroc_0.9"] <= 1

    evaluate_cine(CineConfig(packed, loops, student, second, confidence, most=1, out=tmp_path / "cine"))
    report = json.loads((tmp_path / "cine" / "cine.json").read_text())
    assert report["tracker"]["LV"]["loops"] == 1
    assert 0 <= report["auroc"] <= 1
    # An untrained network needs an intervention on every frame.
    assert report["re-prompting"]["LA"]["interventions"] == 19
    for picture in ("cine.png", "frames.png"):
        assert (tmp_path / "cine" / picture).stat().st_size > 1000


def test_sequences_that_are_too_short_for_hard_loops_are_refused(tmp_path: Path) -> None:
    config = TrackerConfig(tmp_path, tmp_path, frames_min=4, shares=Shares(hard=0.5))
    with pytest.raises(DataError, match="hard loops need sequences of 8 frames or more, --frames-min is 4"):
        train_tracker(config)

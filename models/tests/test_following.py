"""Loops, tracker, confidence and their evaluation end to end, on sets with names, ids and lengths of their own."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hearts import heart, tube, write
from torch import Tensor

from sonotrace_models.data.hard import read_recipes
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
from sonotrace_models.train.motion import MotionConfig, score_of, train_motion
from sonotrace_models.train.run import Schedule
from sonotrace_models.train.tracker import TrackerConfig, train_tracker


def draw(folder: Path) -> Path:
    """Pairs of hearts with ids 20, 40 and 60, and cines of tubes, four frames each; the test split has cines alone."""
    beat = [20 * heart(44, 100), 20 * heart(36, 86)]
    cine = [tube(110 + 4 * at, 60, 30, 3 * at) for at in range(4)]
    return write(
        folder,
        {
            ("ECHO", "train", "p1", "4CH"): beat,
            ("ECHO", "val", "p2", "4CH"): beat,
            **{("TUBES", split, f"{split}{at}", ""): cine for split in ("train", "val", "test") for at in (0, 1)},
        },
        {
            "ECHO": {"follow": {"LV": 20, "LA": 60}, "heart": {"ventricle": 20, "muscle": 40, "atrium": 60}},
            "TUBES": {"follow": {"lumen": 7}},
        },
    )


def drawn_truth(
    _net: SonoSamLite, _features: Features, truth: Mask, _before: Tensor | None, most: int
) -> tuple[Tensor, int]:
    """Replaces `click_until_good`: the masks that a user reaches with a trained network."""
    return torch.from_numpy(np.where(truth[::2, ::2], 10.0, -10.0)).float(), most


def test_a_tracker_is_trained_trained_further_and_evaluated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Untrained networks need all clicks of each intervention.
    monkeypatch.setattr("sonotrace_models.evaluate.loops.CORRECTIONS_MAX", 1)
    packed, loops, student = tmp_path / "pack", tmp_path / "loops", tmp_path / "student.pt"
    pack([draw(tmp_path / "data")], packed)
    make_loops(Pack(packed), loops)
    assert "train: 3 loops, 0 recordings left out" in capsys.readouterr().out
    torch.manual_seed(0)
    torch.save(SonoSamLite().state_dict(), student)

    schedule = Schedule(steps=1, batch=1, compiled=False, learning_rate=1e-6)
    train_motion(MotionConfig(packed, loops, student, folder=tmp_path / "motion", frames=4, schedule=schedule))
    motion = tmp_path / "motion" / "best.pt"
    line = json.loads((tmp_path / "motion" / "log.jsonl").read_text().splitlines()[0])
    assert {"off_px", "ECHO LV_systole", "ECHO LA_end", "TUBES lumen_end"} <= line.keys()
    assert "TUBES lumen_systole" not in line

    def train(name: str, start: Path | None) -> Path:
        train_tracker(
            TrackerConfig(
                packed,
                loops,
                student,
                start,
                motion,
                tmp_path / name,
                4,
                4,
                frames_a_step=4,
                validated_loops=2,
                schedule=schedule,
            )
        )
        return tmp_path / name / "best.pt"

    first = train("first", None)
    lines = [json.loads(line) for line in (tmp_path / "first" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [0, 1]
    expected = {"ECHO LV_dice", "ECHO LV_dice_systole", "ECHO LA_interventions", "TUBES lumen_dice"}
    assert expected <= lines[0].keys() & lines[1].keys()
    second = train("second", first)
    alone, before, after = (torch.load(path, weights_only=True) for path in (motion, first, second))
    torch.testing.assert_close(before["to_key.weight"], after["to_key.weight"], atol=1e-4, rtol=0)
    torch.testing.assert_close(alone["key8.0.weight"], before["motion.key8.0.weight"], atol=1e-4, rtol=0)

    # An untrained tracker propagates its first masks, and loses them gradually.
    monkeypatch.setattr("sonotrace_models.train.confidence.click_until_good", drawn_truth)
    confidence = tmp_path / "confidence.json"
    make_hard_loops(Pack(packed), loops)
    assert {recipe.set_name for recipe in read_recipes(loops / "hard_test.json")} == {"TUBES"}
    train_confidence(ConfidenceConfig(packed, loops, student, second, confidence, 2, 1, 2, 1))
    fitted = json.loads(confidence.read_text())
    assert 0 < fitted["figures"]["auroc_0.9"] <= 1
    assert [part["role"] for part in fitted["provenance"]["made_from"]] == ["student", "tracker"]
    train_confidence(ConfidenceConfig(packed, loops, student, second, confidence, 2, 1, 2, 1, workers=2))
    assert json.loads(confidence.read_text())["right"] == fitted["right"]

    def evaluate(name: str, **options: object) -> dict[str, dict[str, dict[str, float]]]:
        evaluate_cine(CineConfig(packed, loops, student, second, confidence, out=tmp_path / name, **options))  # type: ignore[arg-type]
        folder = tmp_path / name / str(options.get("split", "val"))
        for picture in ("cine.png", "frames.png"):
            assert (folder / picture).stat().st_size > 1000
        report: dict[str, dict[str, dict[str, float]]] = json.loads((folder / "cine.json").read_text())
        return report

    report = evaluate("cine", most=2)
    assert list(report["tracker"]) == ["ECHO LV", "ECHO LA", "TUBES lumen"]
    assert report["tracker"]["ECHO LV"]["loops"] == 1
    assert "dice_systole" in report["tracker"]["ECHO LV"]
    assert not {"dice_systole", "alone_area"} & report["tracker"]["TUBES lumen"].keys()
    # An untrained network needs an intervention on every frame.
    assert report["re-prompting"]["ECHO LA"]["interventions"] == 19
    assert report["re-prompting"]["TUBES lumen"]["interventions"] == 3

    # The fixed lists of the public sets do not bind the test split of others.
    report = evaluate("test", split="test")
    row = report["gated"]["lumen"]
    assert row["loops"] == 2
    assert row["dice_low"] <= row["dice"] <= row["dice_high"]
    assert 0 <= float(str(report["auroc"])) <= 1
    assert "paper" not in report

    monkeypatch.setattr("sonotrace_models.evaluate.hard.click_until_good", drawn_truth)
    evaluate_cine(
        CineConfig(packed, loops, student, second, confidence, split="test", most=2, hard=True, out=tmp_path / "hard")
    )
    hard = json.loads((tmp_path / "hard" / "test" / "hard.json").read_text())
    assert {result["set_name"] for result in hard["objects"]} == {"TUBES"}


def test_of_cines_alone_motion_is_chosen_by_dice() -> None:
    assert score_of({"off_px": 2.0, "LV_end": 0.9}) == -2
    assert score_of({"lumen_end": 0.9, "wall_end": 0.7}) == pytest.approx(0.8)


def test_sequences_that_are_too_short_for_hard_loops_are_refused(tmp_path: Path) -> None:
    config = TrackerConfig(tmp_path, tmp_path, frames_min=4, shares=Shares(hard=0.5))
    with pytest.raises(DataError, match="hard loops need sequences of 8 frames or more, --frames-min is 4"):
        train_tracker(config)

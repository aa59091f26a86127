"""The evaluation of hard loops."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from sonotrace_models.data.hard import HardLoops, Recipe, read_recipes, write_recipes
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack
from sonotrace_models.evaluate.hard import FIGURES, HardResult, hard_table
from sonotrace_models.evaluate.hard_report import TEST_LOOPS, confidence_table, evaluate_hard, flag_table, hard_recipes
from sonotrace_models.evaluate.intervals import interval
from sonotrace_models.evaluate.loops import GatedFollower
from sonotrace_models.nets.confidence import Confidence, Regression
from sonotrace_models.nets.evidence import EVIDENCE
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.nets.tracker import Tracker

NAN = float("nan")


def followed(patient: str, dice: list[float], confidence: list[float] | None = None) -> HardResult:
    """An object of a slide that was visible in all frames in which it has a Dice."""
    seen = [0.0 if np.isnan(value) else 1.0 for value in dice]
    sure = confidence or [0.5] * len(dice)
    return HardResult("slide", "DISCS", patient, 1, dice, seen, sure, [0.0] * len(dice))


def test_the_table_counts_frames_with_the_object_only() -> None:
    results = [followed("a", [0.9, NAN, 0.3, 0.8]), followed("b", [1.0, NAN, NAN, 0.9])]
    row = hard_table(results)["slide"]
    assert row["objects"] == 2
    assert row["mean"] == pytest.approx((0.9 + 0.3 + 0.8 + 1.0 + 0.9) / 5)
    assert row["below_half"] == pytest.approx(1 / 5)
    assert row["last"] == pytest.approx(0.85)
    assert row["recovered"] == pytest.approx(0.5)


def test_intervals_are_over_patients() -> None:
    one = [followed("a", [value]) for value in (0.1, 0.9)]
    two = [followed("a", [0.1]), followed("b", [0.9])]
    assert interval(FIGURES["mean"], one) == pytest.approx((0.5, 0.5))
    assert interval(FIGURES["mean"], two) == pytest.approx((0.1, 0.9))


def test_confidence_is_judged_where_the_object_shows() -> None:
    bad, good = [0.5] * 30, [0.95] * 30
    right = followed("a", bad + good, [0.1] * 30 + [0.9] * 30)
    hidden = HardResult("slide", "DISCS", "a", 1, [0.0] * 40, [0.2] * 40, [1.0] * 40, [0.0] * 40)
    table = confidence_table([right, hidden])
    assert table["slide"]["0.9"] == 1
    assert table["all"]["0.7"] == 1
    few = followed("a", bad[:29] + good, [0.1] * 29 + [0.9] * 30)
    assert np.isnan(confidence_table([few])["slide"]["0.9"])


def test_flags_are_counted_for_wrong_right_and_absent_masks() -> None:
    dice = [0.95, 0.95, 0.80, 0.60, NAN, NAN, NAN, NAN, 0.60]
    confidence = [0.90, 0.20, 0.20, 0.20, 0.90, 0.90, 0.20, 0.90, 0.90]
    result = followed("a", dice, confidence)
    result.absent = [0.0] * 6 + [0.8, 0.4, 0.9]
    assert flag_table([result], 0.5) == {
        # Two absent frames are not counted, and one between 0.70 and 0.90 is neither right nor wrong.
        "absent": 1 / 2,
        "absent_told": 1 / 2,
        "absent_mistaken": 1 / 5,
        "right": 1 / 2,
        "right_DISCS": 1 / 2,
        "wrong": 1 / 2,
    }


def test_the_report_has_table_plots_and_the_worst_loops(packed: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    hard = HardLoops(Pack(packed), None)
    made = [Recipe("air", "DISCS", "val_0", "val_1", 3)]
    never = Regression((0.0,) * len(EVIDENCE), -1.0)
    net, confidence = SonoSamLite().eval(), Confidence(tuple(EVIDENCE), never, never, never, 0.5)
    results = evaluate_hard(net, GatedFollower(net, Tracker().eval(), confidence), hard, made, tmp_path)
    assert len(results) == 2
    assert {len(result.dice) for result in results} == {19}
    # In five frames of air there is no object.
    assert sum(np.isnan(results[0].dice)) == 5

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    report = json.loads((tmp_path / "hard.json").read_text(), parse_constant=refuse)
    assert set(report["table"]) == {"air"}
    assert len(report["objects"]) == 2
    for name in ("hard.png", "hard_confidence.png", "hard_worst_air.png"):
        assert cv2.imread(str(tmp_path / name)) is not None


def test_another_list_of_test_loops_of_a_public_set_is_refused(tmp_path: Path) -> None:
    own, fixed = Recipe("air", "DISCS", "test_0", "test_1", 1), read_recipes(TEST_LOOPS)
    for taken in ([own], [own, *fixed]):
        write_recipes(taken, tmp_path / "hard_test.json")
        assert hard_recipes(tmp_path, "test") == taken
    write_recipes([own, *fixed[1:]], tmp_path / "hard_test.json")
    with pytest.raises(DataError, match=f"loops of {fixed[0].set_name} in .* fixed beforehand"):
        hard_recipes(tmp_path, "test")


def test_patients_of_two_sets_with_the_same_name_are_two() -> None:
    results = [followed(f"{set_name} patient1", [value]) for set_name, value in (("A", 0.1), ("B", 0.9))]
    assert interval(FIGURES["mean"], results) == pytest.approx((0.1, 0.9))

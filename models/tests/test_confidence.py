"""Confidence: the regressions detect bad masks and absent objects, and evidence is finite for any mask."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sonotrace_models.data.manifest import DataError
from sonotrace_models.nets.confidence import Confidence, Regression, read_confidence, write_confidence
from sonotrace_models.nets.encoder import Features
from sonotrace_models.nets.evidence import EVIDENCE, Looks, evidence_of, looks_of
from sonotrace_models.nets.tracker import IDS
from sonotrace_models.train.confidence import FLAGGED_RIGHT_SHARE, Seen, figures_of, fit, with_threshold


def seen(count: int, seed: int) -> Seen:
    """Evidence of which only the first value follows the Dice, with noise, and the second one tells absent objects."""
    numbers = np.random.default_rng(seed)
    dice = numbers.uniform(0.4, 1.0, count)
    evidence = numbers.uniform(0, 1, (count, len(EVIDENCE)))
    evidence[:, 0] = dice + numbers.normal(0, 0.02, count)
    is_absent = numbers.random(count) < 0.2
    evidence[is_absent, 0] = 0.3
    evidence[:, 1] = is_absent + numbers.normal(0, 0.1, count)
    dice[is_absent] = np.nan
    return Seen(evidence, dice, np.where(is_absent, 0.0, 1.0), np.where(is_absent, 3.0, 0.0))


def test_the_regressions_detect_bad_masks_and_absent_objects_in_held_out_data() -> None:
    confidence = with_threshold(fit(seen(3000, 0)), seen(3000, 2))
    held_out = seen(8000, 1)
    figures = figures_of(confidence, held_out)
    assert figures["auroc_0.9"] > 0.97
    assert figures["auroc_0.7"] > 0.99
    assert figures["auroc_absent"] > 0.99
    assert figures["auroc_trusted"] > 0.97
    assert figures["flagged_right"] == pytest.approx(FLAGGED_RIGHT_SHARE, abs=0.01)
    assert figures["flagged_wrong"] > 0.95
    assert figures["flagged_absent"] == 1
    weights = np.abs(confidence.right.weights)
    assert weights[0] > 5 * weights[2:].max()


def test_masks_from_a_lower_dice_on_are_trusted_than_are_right() -> None:
    fair = Seen(np.zeros((4, 1)), np.array([0.95, 0.85, 0.75, np.nan]), np.ones(4), np.zeros(4))
    assert fair.is_right.tolist() == [True, False, False, False]
    assert fair.is_trusted.tolist() == [True, True, False, False]
    assert not fair._replace(visibility=np.full(4, 0.4)).is_trusted.any()


def test_masks_that_hardly_show_are_not_judged() -> None:
    confidence = fit(seen(2000, 0))
    all_ = seen(100, 1)
    hidden = all_._replace(visibility=np.full(100, 0.2))
    assert figures_of(confidence, hidden)["masks"] == 0
    assert figures_of(confidence, all_)["masks"] == (~np.isnan(all_.dice)).sum()


def test_fitting_fails_if_all_masks_are_bad() -> None:
    bad = Seen(np.zeros((20, len(EVIDENCE))), np.full(20, 0.5), np.ones(20), np.zeros(20))
    with pytest.raises(DataError, match=r"0 of 20 tracked masks have a Dice of 0.9 or more: the regression needs both"):
        fit(bad)


def test_a_file_gives_the_same_confidence(tmp_path: Path) -> None:
    right, trusted, absent = Regression((1.0, -2.0), 0.5), Regression((0.0, 1.0), 0.5), Regression((0.25, 0.0), -3.0)
    confidence = Confidence(("iou", "gap"), right, trusted, absent, 0.3)
    write_confidence(confidence, {"auroc": 0.9}, {}, tmp_path / "confidence.json")
    assert read_confidence(tmp_path / "confidence.json") == confidence
    judged = confidence.of({"gap": torch.tensor([1.0]), "iou": torch.tensor([2.0]), "other": torch.tensor([9.0])})
    for found, logit in zip(judged, (0.5, 1.5, -2.5), strict=True):
        torch.testing.assert_close(found, torch.tensor([logit]).sigmoid())
    fitted = json.loads((tmp_path / "confidence.json").read_text())
    for missing in ("right", "trusted", "absent"):
        old = {name: value for name, value in fitted.items() if name != missing}
        (tmp_path / "old.json").write_text(json.dumps(old))
        with pytest.raises(DataError, match="is of an older kind: run"):
            read_confidence(tmp_path / "old.json")


def odds_of(mask: np.ndarray) -> Tensor:
    odds = torch.full((1, IDS, 128, 128), -9.0)
    odds[0, 1] = torch.from_numpy(np.where(mask, 5.0, -5.0)).float()
    return odds


def looks(odds: Tensor, seed: int = 0, grey: float = 0.5, iou: float = 0.8) -> Looks:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((1, 256, 16, 16), (1, 32, 64, 64), (1, 64, 32, 32))
    features = Features(*(torch.randn(shape, generator=generator) for shape in shapes))
    key = torch.randn(1, 256, 128, generator=generator)
    return looks_of(features, key, torch.full((1, 1, 256, 256), grey), odds, torch.full((1, IDS), iou))


def disc(x: int = 40) -> np.ndarray:
    mask = np.zeros((128, 128), bool)
    mask[50:75, x : x + 25] = True
    return mask


def test_evidence_is_finite_for_any_mask() -> None:
    empty = np.zeros_like(disc())
    for mask, before, reference in ((disc(), disc(), disc()), (disc(), empty, empty), (empty, disc(), disc())):
        odds = odds_of(mask)
        now, earlier, first = looks(odds), looks(odds_of(before), 1, 0.0), looks(odds_of(reference), 2)
        evidence = evidence_of(now, earlier, first, odds, odds, odds)
        assert {*evidence, "age"} == {*EVIDENCE}
        for name, values in evidence.items():
            assert values.shape == (1, IDS), name
            assert torch.isfinite(values).all(), name


def test_evidence_tells_what_its_names_say() -> None:
    odds = odds_of(disc())
    same = looks(odds)
    still = {name: float(of[0, 1]) for name, of in evidence_of(same, same, same, odds, odds, odds).items()}
    for name in ("iou_lost", "gap", "step", "move", "away", "drift", "contrast", "grey", "spread", "dark", "level"):
        assert still[name] == pytest.approx(0, abs=1e-5), name
    for name in ("agreement", "step_overlap", "alike", "ring_alike", "frame_alike", "known"):
        assert still[name] == pytest.approx(1, abs=1e-4), name
    assert still["size"] == pytest.approx(np.log(disc().mean()))
    # The tracked mask has only part of the object that the segmenter draws.
    part = odds_of(disc() & (np.arange(128) < 52)[None])
    cut = evidence_of(same, same, same, odds, part, odds)
    assert float(cut["gap"][0, 1]) == pytest.approx(25 * 13 / 25 * 0.987, rel=0.02)
    assert float(cut["agreement"][0, 1]) == pytest.approx(2 * 12 / (12 + 25), rel=0.02)
    # The object moved by its own width, in a frame that is darker and unknown.
    moved = odds_of(disc(65))
    other = looks(moved, seed=5, grey=0.25, iou=0.3)
    new = {name: float(of[0, 1]) for name, of in evidence_of(other, same, same, moved, moved, moved).items()}
    assert new["move"] == pytest.approx(1, rel=0.01)
    assert new["step_overlap"] == 0
    assert new["iou_lost"] == pytest.approx(-0.5)
    assert new["grey"] == pytest.approx(np.log(0.5), abs=1e-3)
    assert max(new["alike"], new["frame_alike"], new["known"]) < 0.5

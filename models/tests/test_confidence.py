"""Confidence: the regression detects bad masks, and evidence is finite for any mask."""

import numpy as np
import pytest
import torch

from sonotrace_models.data.manifest import DataError
from sonotrace_models.nets.tracker import IDS
from sonotrace_models.nets.tracking import Redrawn, Refined
from sonotrace_models.train.confidence import EVIDENCE, Seen, auroc, evidence_of, fit


def seen(count: int, seed: int) -> Seen:
    """Evidence of which only the first value follows the Dice, with noise."""
    numbers = np.random.default_rng(seed)
    dice = numbers.uniform(0.7, 1.0, count)
    evidence = numbers.uniform(0, 1, (count, len(EVIDENCE)))
    evidence[:, 0] = dice + numbers.normal(0, 0.02, count)
    return Seen(evidence.tolist(), dice.tolist())


def test_the_regression_detects_bad_masks_in_held_out_data() -> None:
    confidence = fit(seen(2000, 0))
    held_out = seen(1000, 1)
    assert auroc(confidence, held_out) > 0.97
    found = confidence.of(np.array(held_out.evidence))
    assert found[held_out.is_good].mean() > 0.8
    assert found[~held_out.is_good].mean() < 0.2
    assert confidence.weights[0] > 10 * max(abs(weight) for weight in confidence.weights[1:])


def refined(mask: np.ndarray) -> Refined:
    """A refinement in which the segmenter agrees with the tracker."""
    logits = torch.from_numpy(np.where(mask[::2, ::2], 5.0, -5.0)).float()
    odds = torch.full((1, IDS, 128, 128), -9.0)
    odds[0, 1] = logits
    return Refined(odds, logits[None].clone(), Redrawn(logits[None], torch.tensor([0.8])))


def test_evidence_is_finite_for_any_mask() -> None:
    disc = np.zeros((256, 256), bool)
    disc[100:150, 90:140] = True
    empty = np.zeros_like(disc)
    for mask, before, reference in ((disc, disc, disc), (disc, empty, empty), (empty, disc, disc)):
        evidence = evidence_of(refined(mask), 0, mask, before, reference)
        assert len(evidence) == len(EVIDENCE)
        assert np.isfinite(evidence).all()
    still = evidence_of(refined(disc), 0, disc, disc, disc)
    assert still[2:6] == [0.0, 0.0, 0.0, 0.0]
    assert still[6] == pytest.approx(np.log(disc.mean()))
    # The tracked mask has only half of the object that the segmenter draws.
    halved = refined(disc)
    halved.tracked[0, :, 58:] = -5.0
    assert evidence_of(halved, 0, disc, disc, disc)[2] == pytest.approx(25 * 12 / (25 * 25) ** 0.5, rel=0.02)


def test_fitting_fails_if_all_masks_are_bad() -> None:
    with pytest.raises(DataError, match=r"0 of 20 tracked masks have a Dice of 0.9 or more: the regression needs both"):
        fit(Seen([[0.0] * len(EVIDENCE)] * 20, [0.5] * 20))

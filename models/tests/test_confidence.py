"""Confidence: the regression finds what tells bad masks, and evidence is finite whatever the mask."""

import numpy as np
import pytest
import torch

from sonotrace_models.data.manifest import DataError
from sonotrace_models.nets.tracker import IDS
from sonotrace_models.nets.tracking import Redrawn, Refined
from sonotrace_models.train.confidence import EVIDENCE, Seen, auroc, evidence_of, fit


def seen(count: int, seed: int) -> Seen:
    """Dice that the first evidence follows, with noise, and that nothing else does."""
    numbers = np.random.default_rng(seed)
    dice = numbers.uniform(0.7, 1.0, count)
    evidence = numbers.uniform(0, 1, (count, len(EVIDENCE)))
    evidence[:, 0] = dice + numbers.normal(0, 0.02, count)
    return Seen(evidence.tolist(), dice.tolist())


def test_the_regression_tells_bad_masks_on_data_that_it_has_not_seen() -> None:
    confidence = fit(seen(2000, 0))
    held_out = seen(1000, 1)
    assert auroc(confidence, held_out) > 0.97
    told = confidence.of(np.array(held_out.evidence))
    assert told[held_out.is_good].mean() > 0.8
    assert told[~held_out.is_good].mean() < 0.2
    assert confidence.weights[0] > 10 * max(abs(weight) for weight in confidence.weights[1:])


def refined(mask: np.ndarray) -> Refined:
    """The segmenter agrees with the tracker."""
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
    # Half the object is not what the segmenter draws.
    halved = refined(disc)
    halved.tracked[0, :, 58:] = -5.0
    assert evidence_of(halved, 0, disc, disc, disc)[2] == pytest.approx(25 * 12 / (25 * 25) ** 0.5, rel=0.02)


def test_a_tracker_whose_masks_are_all_alike_teaches_nothing_and_is_told() -> None:
    with pytest.raises(DataError, match=r"0 of 20 tracked masks have a Dice of 0.9 or more: nothing to tell apart"):
        fit(Seen([[0.0] * len(EVIDENCE)] * 20, [0.5] * 20))

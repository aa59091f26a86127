"""Tracking in fixed memory, and the evaluation of loops."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from sonotrace_models.data.loops import FRAMES, LA, LV, Loop
from sonotrace_models.evaluate.loops import ACCEPTED_DICE, CORRECTIONS_MAX, Follower, play, shares_from
from sonotrace_models.nets.encoder import Features
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.nets.tracker import IDS, MASK_SIDE, SLOTS, TOKENS, Tracker
from sonotrace_models.nets.tracking import Tracking, shares_of


def features(seed: int) -> Features:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((1, 256, 16, 16), (1, 32, 64, 64), (1, 64, 32, 32))
    return Features(*(torch.randn(shape, generator=generator) for shape in shapes))


def shares() -> Tensor:
    ids = torch.zeros(1, 256, 256)
    ids[:, 40:90, 60:120], ids[:, 120:180, 60:120] = 1, 2
    return shares_of(ids)


@torch.no_grad()
def test_the_reference_stays_and_the_ring_keeps_the_newest() -> None:
    torch.manual_seed(0)
    tracker = Tracker().eval()
    tracking = Tracking(tracker, 1, torch.device("cpu"), kept_every=2)
    tracking.refer(features(0), shares())
    reference = tracking._slots[0]
    kept = []
    for frame in range(1, 12):
        logits = tracking.advance(features(frame))
        assert logits.shape == (1, IDS, MASK_SIDE, MASK_SIDE)
        if frame % 2 == 0:
            kept.append(tracker.look(features(frame)).key)
    assert tracking._slots[0] is reference
    assert tracking._is_valid.tolist() == [[1.0] * SLOTS]
    in_ring = [slot.key for slot in tracking._slots[1:]]
    assert len(in_ring) == 3
    for key in kept[-3:]:
        assert any(torch.allclose(key, other, atol=1e-5) for other in in_ring)
    assert all(slot.key.shape == (1, TOKENS, 128) for slot in tracking._slots)


@torch.no_grad()
def test_only_what_was_shown_is_tracked() -> None:
    torch.manual_seed(0)
    tracking = Tracking(Tracker().eval(), 1, torch.device("cpu"))
    tracking.refer(features(0), shares())
    found = tracking.advance(features(1)).softmax(1)
    assert found[:, 3:].max() < 1e-6
    assert tracking.present.tolist() == [[1.0, 1.0, 1.0] + [0.0] * 8]


def test_shares_add_up() -> None:
    made = shares()
    torch.testing.assert_close(made.sum(1), torch.ones(1, MASK_SIDE, MASK_SIDE))
    assert made[0, 1].sum() == 25 * 30
    torch.testing.assert_close(shares_from([torch.randn(128, 128)] * 3).sum(1), torch.ones(1, 128, 128))


class Scripted(Follower):
    """Gives the truth, but for some frames on which the first object is lost."""

    def __init__(self, ids: Tensor, lost: Sequence[int]) -> None:
        self.ids, self.lost, self.corrected = ids, lost, list[int]()

    def start(self, features: Features, logits: Sequence[Tensor]) -> None:
        self.at = 0

    def advance(self, features: Features) -> list[Tensor]:
        self.at += 1
        masks = [(self.ids[self.at] == id_).float() for id_ in (LV, LA)]
        logits = [20 * (torch.nn.functional.avg_pool2d(mask[None], 2)[0] - 0.5) for mask in masks]
        return [torch.full_like(logits[0], -9.0), logits[1]] if self.at in self.lost else logits

    def correct(self, features: Features, logits: Sequence[Tensor]) -> None:
        self.corrected.append(self.at)


def test_the_user_steps_in_where_the_mask_is_bad_and_nowhere_else() -> None:
    ids = torch.zeros(FRAMES, 256, 256)
    ids[:, 40:140, 60:160], ids[:, 150:220, 60:160] = LV, LA
    loop = Loop(torch.rand(FRAMES, 1, 256, 256, generator=torch.Generator().manual_seed(0)), ids)
    torch.manual_seed(0)
    net = SonoSamLite().eval()
    follower = Scripted(ids, lost=(4, 9))
    results = play(net, follower, loop)
    assert follower.corrected == [4, 9]
    assert (results["LV"].interventions, results["LA"].interventions) == (2, 0)
    assert 2 <= results["LV"].clicks <= 2 * CORRECTIONS_MAX
    assert len(results["LA"].dice) == FRAMES - 1
    assert np.mean(results["LA"].dice) > 0.99
    assert sum(overlap < ACCEPTED_DICE for overlap in results["LV"].dice) == 2

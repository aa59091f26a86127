"""Tracking in fixed memory, and the evaluation of loops."""

import math
from collections.abc import Sequence

import numpy as np
import torch
from hearts import FOLLOW, LA, LV
from torch import Tensor

from sonotrace_models.data.loops import FRAMES, Loop
from sonotrace_models.evaluate.loops import (
    ACCEPTED_DICE,
    CORRECTIONS_MAX,
    Follower,
    Frame,
    ObjectResult,
    RefinedFollower,
    TrackerFollower,
    encoded,
    means,
    play,
    play_alone,
)
from sonotrace_models.nets.encoder import Features
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.nets.tracker import IDS, LABELS, MASK_SIDE, SLOTS, TOKENS, Tracker
from sonotrace_models.nets.tracking import ANCHOR, Tracking, odds_of, shares_from, shares_of


def features(seed: int) -> Features:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((1, 256, 16, 16), (1, 32, 64, 64), (1, 64, 32, 32))
    return Features(*(torch.randn(shape, generator=generator) for shape in shapes))


def frame(seed: int) -> Frame:
    return Frame(features(seed), torch.zeros(1, 1, 256, 256))


def shares() -> Tensor:
    ids = torch.zeros(1, 256, 256)
    ids[:, 40:90, 60:120], ids[:, 120:180, 60:120] = 1, 2
    return shares_of(ids)


def in_use(tracking: Tracking) -> list[float]:
    slots: list[float] = tracking._known[0, :SLOTS, 0].tolist()
    return slots


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
    assert in_use(tracking) == [1.0] * SLOTS
    in_ring = [slot.key for slot in tracking._slots[1:]]
    assert len(in_ring) == 3
    for key in kept[-3:]:
        assert any(torch.allclose(key, other, atol=1e-5) for other in in_ring)
    assert all(slot.key.shape == (1, TOKENS, 128) for slot in tracking._slots)


@torch.no_grad()
def test_frames_that_are_not_trusted_leave_no_trace() -> None:
    torch.manual_seed(0)
    tracker = Tracker().eval()
    trusted = torch.ones(1, IDS, dtype=torch.bool)

    def tracked(frames: Sequence[tuple[int, bool]]) -> Tensor:
        tracking = Tracking(tracker, 1, torch.device("cpu"), kept_every=2, anchored_every=3, anchor_dice=math.inf)
        tracking.refer(features(0), shares())
        for seed, is_trusted in frames:
            logits = tracking.find(features(seed))
            tracking.remember(logits.softmax(1), trusted if is_trusted else ~trusted)
        return logits

    plain = [(1, True), (2, True), (3, True), (4, True), (5, True), (6, True)]
    # Not just before the anchor is replaced, because its age counts all frames.
    for at in (3, 4):
        torch.testing.assert_close(tracked(plain[:at]), tracked([*plain[: at - 1], (90, False), plain[at - 1]]))
    assert not torch.allclose(tracked(plain[:4]), tracked([*plain[:3], (90, True), plain[3]]))


@torch.no_grad()
def test_a_frame_does_not_know_the_objects_whose_masks_are_not_trusted() -> None:
    torch.manual_seed(0)
    tracking = Tracking(Tracker().eval(), 1, torch.device("cpu"), kept_every=2, anchored_every=2, anchor_dice=math.inf)
    tracking.refer(features(0), shares())
    everything = torch.ones(1, IDS, dtype=torch.bool)
    only_second = everything.clone()
    only_second[0, 1] = False
    for frame, trusted in enumerate((everything, only_second), start=1):
        tracking.remember(tracking.find(features(frame)).softmax(1), trusted)
    knows_first = tracking._known[0, :, 1].tolist()
    # Slots, the previous frame, the anchor: the second frame is in a slot, and the anchor.
    assert knows_first == [1, 0, 0, 0, 0, 0]
    assert tracking._known[0, :, 2].tolist() == [1, 1, 0, 0, 1, 1]
    tracking.correct(features(2), shares())
    assert tracking._known[0, :, 1].tolist() == [1, 1, 0, 0, 1, 1]


@torch.no_grad()
def test_sequences_of_a_batch_are_trusted_one_by_one() -> None:
    torch.manual_seed(0)
    tracker = Tracker().eval()
    trust = [[True, True], [False, True], [True, False], [True, True], [False, True], [True, True], [True, True]]

    def tracked(which: slice) -> Tensor:
        count = len(range(2)[which])
        tracking = Tracking(tracker, count, torch.device("cpu"), kept_every=2, anchored_every=3, anchor_dice=math.inf)
        both = [
            Features(*(torch.cat(parts) for parts in zip(features(at), features(at + 50), strict=True)))
            for at in range(8)
        ]
        tracking.refer(Features(*(part[which] for part in both[0])), shares().expand(count, -1, -1, -1))
        for frame, of_frame in zip(both[1:], trust, strict=True):
            logits = tracking.find(Features(*(part[which] for part in frame)))
            tracking.remember(logits.softmax(1), torch.tensor(of_frame[which])[:, None].expand(-1, IDS))
        return logits

    together = tracked(slice(0, 2))
    for at in range(2):
        torch.testing.assert_close(together[at], tracked(slice(at, at + 1))[0], rtol=1e-4, atol=1e-4)


@torch.no_grad()
def test_remembered_masks_may_differ_from_the_tracked_ones() -> None:
    torch.manual_seed(0)
    tracker = Tracker().eval()

    def third(second: Tensor | None) -> Tensor:
        tracking = Tracking(tracker, 1, torch.device("cpu"))
        tracking.refer(features(0), shares())
        found = tracking.find(features(1)).softmax(1)
        tracking.remember(found if second is None else second)
        return tracking.advance(features(2))

    torch.testing.assert_close(third(None), advanced(tracker, 2))
    assert (third(shares_of(torch.zeros(1, 256, 256)))[:, 1] < third(None)[:, 1]).float().mean() > 0.5


def advanced(tracker: Tracker, frames: int) -> Tensor:
    tracking = Tracking(tracker, 1, torch.device("cpu"))
    tracking.refer(features(0), shares())
    return [tracking.advance(features(frame)) for frame in range(1, frames + 1)][-1]


@torch.no_grad()
def test_a_refined_mask_is_the_weighted_mean_of_tracked_and_redrawn() -> None:
    torch.manual_seed(0)
    tracker, net = Tracker().eval(), SonoSamLite().eval()
    start = [torch.where(shares()[0, id_] > 0.5, 8.0, -8.0) for id_ in (1, 2)]

    def second(follower: Follower) -> Tensor:
        follower.start(frame(0), start)
        return follower.advance(frame(1))[0].sigmoid()

    tracked = second(TrackerFollower(tracker))
    drawn = second(RefinedFollower(tracker, net, trust=1.0))
    assert not torch.allclose(tracked, drawn, atol=0.1)
    torch.testing.assert_close(second(RefinedFollower(tracker, net, trust=0.0)), tracked, atol=1e-5, rtol=0)
    between = second(RefinedFollower(tracker, net, trust=0.25))
    torch.testing.assert_close(between, 0.25 * drawn + 0.75 * tracked, atol=1e-5, rtol=0)


@torch.no_grad()
def test_a_correction_is_stored_beside_the_reference() -> None:
    torch.manual_seed(0)
    tracking = Tracking(Tracker().eval(), 1, torch.device("cpu"))
    tracking.refer(features(0), shares())
    reference = tracking._slots[0]
    tracking.advance(features(1))
    tracking.correct(features(1), shares().flip(3))
    assert tracking._slots[0] is reference
    assert tracking._slots[1] is tracking._short
    assert in_use(tracking) == [1.0, 1.0, 0.0, 0.0]
    labels = tracking._short.identity[..., -LABELS:]
    torch.testing.assert_close(labels, tracking.tracker.identify(shares().flip(3))[..., -LABELS:])


@torch.no_grad()
def test_a_correction_overwrites_the_frames_wrong_masks() -> None:
    torch.manual_seed(0)
    tracking = Tracking(Tracker().eval(), 1, torch.device("cpu"), kept_every=1)
    tracking.refer(features(0), shares())
    for frame in (1, 2):
        tracking.advance(features(frame))
    first, wrong = tracking._slots[1:3]
    for given in (shares(), shares().flip(3)):
        tracking.correct(features(2), given)
    assert tracking._slots[1] is first
    assert tracking._slots[2] is tracking._short is not wrong
    assert in_use(tracking) == [1.0, 1.0, 1.0, 0.0]
    tracking.advance(features(3))
    assert tracking._slots[3] is tracking._short


@torch.no_grad()
def test_only_ids_of_the_reference_are_tracked() -> None:
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
    torch.testing.assert_close(shares_from(torch.randn(2, IDS, 128, 128)).sum(1), torch.ones(2, 128, 128))
    # With one object and the background, its odds determine all shares.
    logits = torch.full((1, IDS, 128, 128), -1e4)
    logits[:, :2] = torch.randn(1, 2, 128, 128)
    torch.testing.assert_close(shares_from(odds_of(logits)), logits.softmax(1), atol=1e-4, rtol=0)


class Scripted(Follower):
    """Returns the truth, except on some frames where the first object is lost."""

    def __init__(self, ids: Tensor, lost: Sequence[int]) -> None:
        self.ids, self.lost, self.corrected = ids, lost, list[int]()

    def start(self, frame: Frame, logits: Sequence[Tensor]) -> None:
        self.at = 0

    def advance(self, frame: Frame) -> list[Tensor]:
        self.at += 1
        masks = [(self.ids[self.at] == id_).float() for id_ in (LV, LA)]
        logits = [20 * (torch.nn.functional.avg_pool2d(mask[None], 2)[0] - 0.5) for mask in masks]
        return [torch.full_like(logits[0], -9.0), logits[1]] if self.at in self.lost else logits

    def correct(self, frame: Frame, logits: Sequence[Tensor], is_corrected: Sequence[bool]) -> None:
        self.corrected.append(self.at)
        assert is_corrected == [True, False]


def test_the_user_intervenes_only_on_bad_masks() -> None:
    ids = torch.zeros(FRAMES, 256, 256)
    ids[:, 40:140, 60:160], ids[:, 150:220, 60:160] = LV, LA
    loop = Loop(torch.rand(FRAMES, 1, 256, 256, generator=torch.Generator().manual_seed(0)), ids, FOLLOW.objects)
    torch.manual_seed(0)
    net = SonoSamLite().eval()
    follower = Scripted(ids, lost=(4, 9))
    results = play(net, follower, loop, encoded(net, loop.grey))
    assert follower.corrected == [4, 9]
    assert (results["LV"].interventions, results["LA"].interventions) == (2, 0)
    assert 2 <= results["LV"].clicks <= 2 * CORRECTIONS_MAX
    assert len(results["LA"].dice) == FRAMES - 1
    assert np.mean(results["LA"].dice) > 0.99
    assert sum(overlap < ACCEPTED_DICE for overlap in results["LV"].dice) == 2


class Unmoved(Follower):
    """Returns the first masks on every frame."""

    def start(self, frame: Frame, logits: Sequence[Tensor]) -> None:
        self.logits = list(logits)

    def advance(self, frame: Frame) -> list[Tensor]:
        return self.logits

    def correct(self, frame: Frame, logits: Sequence[Tensor], is_corrected: Sequence[bool]) -> None:
        raise AssertionError("no intervention is expected")


def test_masks_without_interventions_are_compared_with_the_truth() -> None:
    ids = torch.zeros(FRAMES, 256, 256)
    ids[:, 40:140, 60:160], ids[:, 150:220, 60:160] = LV, LA
    ids[5, 100:140, 60:160] = 0
    results = {name: ObjectResult() for name in ("LV", "LA")}
    frames = [frame(0)] * FRAMES
    play_alone(Unmoved(), Loop(torch.zeros(FRAMES, 1, 256, 256), ids, FOLLOW.objects), frames, results)
    assert len(results["LV"].alone_dice) == FRAMES - 1
    assert min(results["LA"].alone_dice) > 0.99
    # The mask covers ten parts, the truth six of them: the Dice is 2 * 6 / (10 + 6).
    np.testing.assert_allclose(results["LV"].alone_area[4], 10 / 6, rtol=0.02)
    np.testing.assert_allclose(results["LV"].alone_dice[4], 12 / 16, rtol=0.02)
    np.testing.assert_allclose(results["LV"].alone_area[5], 1, rtol=0.02)


def test_frames_that_an_object_has_left_are_not_counted() -> None:
    ids = torch.zeros(6, 256, 256)
    ids[:, 40:140, 60:160], ids[:, 150:220, 60:160] = LV, LA
    ids[2:4][ids[2:4] == LA] = 0
    loop = Loop(torch.zeros(6, 1, 256, 256), ids, FOLLOW.objects)
    results = {name: ObjectResult() for name in FOLLOW.objects}
    play_alone(Unmoved(), loop, [frame(0)] * 6, results)
    assert np.isnan(results["LA"].alone_dice).tolist() == [False, True, True, False, False]
    results["LA"].dice = list(results["LA"].alone_dice)
    row = means([results["LA"]])
    assert row["dice"] > 0.99
    # A cine has no middle frame with a truth of its own.
    assert not {"dice_systole", "alone_area"} & row.keys()


@torch.no_grad()
def test_motion_accumulates_until_there_is_a_new_anchor() -> None:
    torch.manual_seed(0)
    tracker = Tracker().eval()
    torch.nn.init.constant_(tracker.motion.coarse_flow.get_parameter("bias"), 0.75)
    tracking = Tracking(tracker, 1, torch.device("cpu"), anchored_every=3, anchor_dice=math.inf)
    tracking.refer(features(0), shares())
    reference = tracking._anchor
    assert (reference.so_far.flow == 0).all()
    for frame in (1, 2):
        tracking.advance(features(frame))
        assert tracking._anchor.shares is reference.shares
        # 1.5 cells per frame, except near the border.
        flow, step = (part[..., 8:-8, 8:-8] for part in tracking._anchor.so_far)
        torch.testing.assert_close(flow, torch.full_like(flow, 1.5 * frame))
        torch.testing.assert_close(step, torch.full_like(step, 1.5))
        assert tracking.since_anchor == frame
    found = tracking.advance(features(3)).softmax(1)
    assert tracking.since_anchor == 0
    torch.testing.assert_close(tracking._anchor.shares, found)
    torch.testing.assert_close(tracking._anchor.textures.f4, features(3).f4)
    assert (tracking._anchor.so_far.flow == 0).all()
    assert tracking._anchor.so_far.step[..., 8:-8, 8:-8].min() > 1.4
    tracking.advance(features(4))
    tracking.correct(features(4), shares())
    assert tracking.since_anchor == 0
    torch.testing.assert_close(tracking._anchor.shares, shares())


@torch.no_grad()
def test_masks_follow_the_motion() -> None:
    """In an untrained tracker, the mask follows the flow by fractions of a token."""
    torch.manual_seed(0)
    tracker = Tracker().eval()

    def centre(cells: float) -> float:
        torch.nn.init.constant_(tracker.motion.coarse_flow.get_parameter("bias"), -cells / 2)
        tracking = Tracking(tracker, 1, torch.device("cpu"))
        tracking.refer(features(0), shares())
        found = tracking.advance(features(0)).argmax(1)[0]
        return float((found == 1).nonzero().float().mean())

    # A cell is two mask pixels wide.
    assert abs(centre(1.0) - centre(0.0) - 2) < 0.4


@torch.no_grad()
def test_the_anchor_is_kept_while_it_fits_what_is_trusted() -> None:
    torch.manual_seed(0)
    tracking = Tracking(Tracker().eval(), 1, torch.device("cpu"), anchored_every=2)
    tracking.refer(features(0), shares())
    everything = torch.ones(1, IDS, dtype=torch.bool)
    reference = tracking._anchor
    moved = shares().roll(40, 3)

    def remember(frame: int, masks: Tensor, trusted: Tensor) -> None:
        tracking.find(features(frame))
        # Nothing has moved.
        still_there = tracking._found.moved._replace(flow=torch.zeros_like(tracking._found.moved.flow))
        tracking._found = tracking._found._replace(moved=still_there)
        tracking.remember(masks, trusted)

    for frame in range(1, 5):
        remember(frame, shares(), everything)
    assert tracking._anchor.shares is reference.shares
    # A mask elsewhere that is not trusted says nothing.
    remember(5, moved, ~everything)
    assert tracking._anchor.shares is reference.shares
    remember(6, moved, everything)
    torch.testing.assert_close(tracking._anchor.shares, moved)
    # An object that a frame with an anchor did not know gets one as soon as it is found again.
    only_second = everything.clone()
    only_second[0, 1] = False
    remember(7, shares(), everything)
    remember(8, shares(), only_second)
    assert tracking._known[0, ANCHOR, :3].tolist() == [1, 0, 1]
    remember(9, shares(), everything)
    assert tracking.since_anchor == 1
    remember(10, shares(), everything)
    assert tracking.since_anchor == 0
    assert tracking._known[0, ANCHOR, :3].tolist() == [1, 1, 1]

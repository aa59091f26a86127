"""The tracker's step: empty slots have no effect, ids are independent, tracker and student fit the budget."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from sonotrace_models.nets.decoder import POINT_SLOTS, Prompt
from sonotrace_models.nets.encoder import Features, Textures
from sonotrace_models.nets.layers import interleave, separate
from sonotrace_models.nets.motion import Moved
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.nets.tracker import IDS, MASK_SIDE, MEMORIES, SLOTS, TOKENS, Anchor, Memory, Tracker
from sonotrace_models.nets.tracking import ANCHOR, Tracking, shares_of

MACS_MAX = 3.5e9
"""At 256 x 256: encoder, tracking step, memory step and one decode."""


def features(seed: int) -> Features:
    generator = torch.Generator().manual_seed(seed)
    return Features(
        *(torch.randn(shape, generator=generator) for shape in ((1, 256, 16, 16), (1, 32, 64, 64), (1, 64, 32, 32)))
    )


def anchor(seed: int) -> Anchor:
    generator = torch.Generator().manual_seed(seed)
    flow, step = torch.randn(2, 1, 2, 64, 64, generator=generator)
    shares = torch.rand(1, IDS, MASK_SIDE, MASK_SIDE, generator=generator)
    return Anchor(Textures(*(features(seed)[1:])), shares, Moved(flow, step))


def memories(slots: int, seed: int) -> list[Memory]:
    generator = torch.Generator().manual_seed(seed)
    whole = [torch.randn(1, slots * TOKENS, width, generator=generator).split(TOKENS, 1) for width in (128, 256, 256)]
    return [Memory(*parts) for parts in zip(*whole, strict=True)]


def memory(seed: int) -> Memory:
    return memories(1, seed)[0]


def known() -> torch.Tensor:
    """Every memory knows every id."""
    return torch.ones(1, MEMORIES, IDS)


@torch.no_grad()
def test_empty_slots_have_no_effect() -> None:
    tracker = Tracker().eval()
    long, last = memories(SLOTS, 1), (memory(2), anchor(3))
    some, all_ = known(), known()
    some[:, [1, 3]] = 0
    all_[:, 3] = 0
    other = [long[0], Memory(*(torch.full_like(part, 9) for part in long[1])), *long[2:]]
    first, second = (tracker(features(0), slots, some, *last).logits for slots in (long, other))
    torch.testing.assert_close(first, second)
    changed = tracker(features(0), other, all_, *last).logits
    assert (changed - first).abs().max() > 1e-3


@torch.no_grad()
def test_shapes() -> None:
    tracker = Tracker().eval()
    step = tracker(features(0), memories(SLOTS, 1), known(), memory(2), anchor(3))
    assert step.logits.shape == (1, IDS, MASK_SIDE, MASK_SIDE)
    identity = tracker.identify(torch.rand(1, IDS, MASK_SIDE, MASK_SIDE))
    assert Memory(step.key, step.value, identity)._fields == memory(0)._fields
    for own, kept in zip((step.key, step.value, identity), memory(0), strict=True):
        assert own.shape == kept.shape


@torch.no_grad()
def test_an_untrained_tracker_propagates_labels_in_the_same_way_for_all_ids() -> None:
    torch.manual_seed(0)
    tracker, frame = Tracker().eval(), features(0)
    ids = torch.zeros(1, 256, 256)
    ids[:, 40:120, 60:140], ids[:, 150:230, 100:200] = 3, 8

    def propagated(shown: torch.Tensor) -> torch.Tensor:
        tracking = Tracking(tracker, 1, torch.device("cpu"))
        tracking.refer(frame, shares_of(shown))
        return tracking.advance(frame).argmax(1)

    found, truth = propagated(ids), shares_of(ids).argmax(1)
    for id_ in (3, 8):
        assert 2 * ((found == id_) & (truth == id_)).sum() > 0.85 * ((found == id_).sum() + (truth == id_).sum())
    table = torch.arange(IDS)
    table[3], table[8] = 10, 1
    torch.testing.assert_close(propagated(table[ids.long()].float()), table[found])


@torch.no_grad()
def test_memories_that_do_not_know_an_object_say_nothing_of_it() -> None:
    torch.manual_seed(0)
    tracker, frame = Tracker().eval(), features(0)
    ids = torch.zeros(1, 256, 256)
    ids[:, 40:120, 60:140], ids[:, 150:230, 100:200] = 1, 2
    whole, without_first = shares_of(ids), shares_of(ids * (ids != 1))
    seen = tracker.look(frame)
    earlier, later = (Memory(seen.key, seen.value, tracker.identify(shares)) for shares in (whole, without_first))
    still_there = Moved(torch.zeros(1, 2, 64, 64), torch.zeros(1, 2, 64, 64))
    late_anchor = Anchor(frame.textures, without_first, still_there)

    def found(knows: torch.Tensor) -> torch.Tensor:
        step = tracker(frame, [later] * SLOTS, knows, earlier, late_anchor)
        return step.logits.argmax(1)

    truth = whole.argmax(1)
    assert (found(known())[truth == 1] == 1).float().mean() < 0.05
    others = known()
    others[:, [*range(SLOTS), ANCHOR], 1] = 0
    assert (found(others)[truth == 1] == 1).float().mean() > 0.85
    # The other object is found as before.
    assert ((found(others) == 2) == (found(known()) == 2)).float().mean() > 0.999


def test_interleave_inverts_separate() -> None:
    x = torch.rand(2, 3, 8, 8)
    assert separate(x, 2).shape == (2, 12, 4, 4)
    torch.testing.assert_close(interleave(separate(x, 2), 2), x)


def test_the_short_term_window_reaches_seven_tokens() -> None:
    tracker = Tracker()
    outside = tracker.outside[0].reshape(16, 16, 16, 16)
    assert outside[8, 8, 1, 15] == 0
    assert outside[8, 8, 0, 8] < -1e3
    offsets = tracker.offsets[0].reshape(16, 16, 16, 16)
    assert offsets[5, 5, 6, 5] == offsets[9, 2, 10, 2]


@torch.no_grad()
def test_all_together_fit_the_budget() -> None:
    student, tracker = SonoSamLite().eval(), Tracker().eval()
    prompt = Prompt(
        torch.zeros(1, POINT_SLOTS, 2),
        -torch.ones(1, POINT_SLOTS),
        torch.zeros(1, 1, 128, 128),
        torch.zeros(1),
    )
    with FlopCounterMode(display=False) as counter:
        found = student.encoder(torch.zeros(1, 1, 256, 256))
        student.decoder(*found, prompt)
        tracker(found, memories(SLOTS, 1), known(), memory(2), anchor(3))
        tracker.identify(torch.zeros(1, IDS, MASK_SIDE, MASK_SIDE))
    macs = counter.get_total_flops() / 2
    assert macs <= MACS_MAX
    assert macs == pytest.approx(3.35e9, rel=0.01), "the model card states 3.35 GMAC"

"""The gate: hysteresis, lost objects, and frames that are held back."""

import torch
from torch import Tensor

from sonotrace_models.nets.gate import FOUND_FROM, HELD_FRAMES, LOST_BELOW, Gate
from sonotrace_models.nets.tracker import IDS

BETWEEN = (LOST_BELOW + FOUND_FROM) / 2


def present(objects: int) -> Tensor:
    ids = torch.zeros(1, IDS)
    ids[:, : objects + 1] = 1
    return ids


def judged(gate: Gate, *confidence: float) -> list[int]:
    """The objects that are learnt from, when they have these confidences."""
    of_all = torch.zeros(1, IDS)
    of_all[0, 1 : len(confidence) + 1] = torch.tensor(confidence)
    return [int(id_) for id_ in gate.judge(of_all)[0].nonzero()]


def test_an_object_is_lost_low_and_found_high() -> None:
    gate = Gate(present(1))
    assert judged(gate, BETWEEN) == [1]
    assert judged(gate, LOST_BELOW - 0.01) == []
    assert judged(gate, BETWEEN) == []
    assert judged(gate, FOUND_FROM) == [1]
    assert judged(gate, BETWEEN) == [1]


def test_a_lost_object_holds_the_others_back_for_a_while() -> None:
    gate = Gate(present(2))
    assert judged(gate, 1.0, 1.0) == [1, 2]
    for _ in range(HELD_FRAMES):
        assert judged(gate, 1.0, 0.0) == []
    assert judged(gate, 1.0, 0.0) == [1]
    assert judged(gate, 1.0, 1.0) == [1, 2]
    # It is held again when it is lost again.
    assert judged(gate, 1.0, 0.0) == []


def test_ids_that_are_not_followed_are_never_lost() -> None:
    gate = Gate(present(1))
    assert judged(gate, 1.0, 1.0, 1.0) == [1]
    assert gate.lost_frames.sum() == 0


def test_a_corrected_object_is_found() -> None:
    gate = Gate(present(2))
    judged(gate, 0.0, 0.0)
    gate.find(torch.eye(IDS, dtype=torch.bool)[2:3])
    assert gate.is_found[0].nonzero()[:, 0].tolist() == [2]
    assert judged(gate, 0.0, BETWEEN) == []
    assert gate.is_found[0, 2]
    assert gate.lost_frames[0, 2] == 0


def test_sequences_are_judged_one_by_one() -> None:
    both = torch.cat([present(1), present(1)])
    gate = Gate(both)
    confidence = torch.zeros(2, IDS)
    confidence[1, 1] = 1
    assert gate.judge(confidence)[:, 1].tolist() == [False, True]

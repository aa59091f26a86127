"""Following with checks in turn, and with the gate."""

from typing import Any

import pytest
import torch
from torch import Tensor

from sonotrace_models.nets.confidence import Confidence, Regression
from sonotrace_models.nets.encoder import Features
from sonotrace_models.nets.evidence import EVIDENCE
from sonotrace_models.nets.following import CHECKED, Following
from sonotrace_models.nets.sonosam import SonoSamLite
from sonotrace_models.nets.tracker import IDS, Tracker
from sonotrace_models.nets.tracking import SURE, odds_of, shares_of


def features(seed: int, batch: int = 1) -> Features:
    generator = torch.Generator().manual_seed(seed)
    shapes = ((batch, 256, 16, 16), (batch, 32, 64, 64), (batch, 64, 32, 32))
    return Features(*(torch.randn(shape, generator=generator) for shape in shapes))


def first_odds() -> Tensor:
    ids = torch.zeros(1, 256, 256)
    ids[:, 20:80, 60:120], ids[:, 100:160, 60:120], ids[:, 180:240, 60:120] = 1, 2, 3
    return shares_of(ids).logit(SURE)


def present(objects: int) -> Tensor:
    ids = torch.zeros(1, IDS)
    ids[:, : objects + 1] = 1
    return ids


def sure_of(right: float, trusted: float) -> Confidence:
    """The same probabilities for every mask."""
    of_right, of_trusted = (
        Regression((0.0,) * len(EVIDENCE), float(torch.tensor(probability).logit())) for probability in (right, trusted)
    )
    return Confidence(tuple(EVIDENCE), of_right, of_trusted, of_right, 0.5)


def started(objects: int, trusted: float = 0.9, right: float = 0.9, **options: Any) -> Following:
    torch.manual_seed(0)
    following = Following(SonoSamLite().eval(), Tracker().eval(), sure_of(right, trusted), **options)
    following.start(features(0), torch.full((1, 1, 256, 256), 0.5), first_odds(), present(objects))
    return following


GREY = torch.full((1, 1, 256, 256), 0.5)


@torch.no_grad()
@pytest.mark.parametrize(
    ("options", "ages"),
    [
        ({}, [[0, 0, 0]] * 4),
        ({"checks_a_frame": 1}, [[0, 1, 1], [1, 0, 2], [2, 1, 0], [0, 2, 1]]),
        ({"checks_a_frame": 2}, [[0, 0, 1], [0, 1, 0], [1, 0, 0], [0, 0, 1]]),
        ({"checks_a_frame": 1, "turns": 5}, [[0, 1, 1], [1, 0, 2], [2, 1, 0], [3, 2, 1]]),
    ],
)
def test_objects_take_turns(options: dict[str, int], ages: list[list[int]]) -> None:
    following = started(3, **options)
    assert [following.advance(features(at), GREY).age[0, 1:4].tolist() for at in range(1, 5)] == ages


@torch.no_grad()
def test_an_object_whose_turn_it_is_not_keeps_the_tracker_s_mask_and_its_older_evidence() -> None:
    following = started(2, checks_a_frame=1)
    before = following.find(features(1), GREY).evidence
    following.remember(torch.zeros(1, IDS, dtype=torch.bool))
    found = following.find(features(2), GREY)
    tracked = odds_of(following.tracking.find(features(2)))
    # On the second frame it is the second object's turn.
    torch.testing.assert_close(found.odds[:, 1], tracked[:, 1])
    assert (found.odds[:, 2] - tracked[:, 2]).abs().max() > 0.1
    for name in CHECKED:
        torch.testing.assert_close(found.evidence[name][:, 1], before[name][:, 1])


@torch.no_grad()
def test_a_lost_object_can_be_drawn_by_the_segmenter_alone() -> None:
    lost, corrected, alone = started(1, 0.05), started(1, 0.05, correct_lost=True), started(1, 0.05)
    for following in (lost, corrected, alone):
        assert not following.advance(features(1), GREY).is_found.any()
    alone.trust = 1.0
    odds = [following.advance(features(2), GREY).odds[:, 1] for following in (lost, corrected, alone)]
    torch.testing.assert_close(odds[1], odds[2])
    assert (odds[0] - odds[1]).abs().max() > 0.1


@torch.no_grad()
def test_trusted_masks_are_remembered_also_if_they_are_not_right() -> None:
    def third(trusted: float, second: int) -> Tensor:
        following = started(2, trusted, right=1 - trusted)
        following.advance(features(second), GREY)
        return following.advance(features(3), GREY).odds

    torch.testing.assert_close(third(0.05, 1), third(0.05, 2))
    assert not torch.allclose(third(0.95, 1), third(0.95, 2))
    followed = started(2, trusted=0.95, right=0.05).advance(features(1), GREY)
    assert followed.is_found[0].nonzero()[:, 0].tolist() == [1, 2]
    assert followed.confidence.max() < 0.1


@torch.no_grad()
def test_a_corrected_object_is_found_again() -> None:
    following = started(2, 0.05)
    assert not following.advance(features(1), GREY).is_found.any()
    only_second = torch.zeros(1, IDS, dtype=torch.bool)
    only_second[0, 2] = True
    following.correct(features(1), first_odds(), only_second)
    assert following.gate.is_found[0].nonzero()[:, 0].tolist() == [2]


@torch.no_grad()
def test_sequences_of_a_batch_are_followed_one_by_one() -> None:
    torch.manual_seed(0)
    net, tracker = SonoSamLite().eval(), Tracker().eval()

    def followed(rows: slice) -> Tensor:
        following = Following(net, tracker, sure_of(0.9, 0.9), checks_a_frame=1)
        both = torch.cat([present(1), present(3)])[rows]
        grey = torch.rand(2, 1, 256, 256, generator=torch.Generator().manual_seed(0))[rows]
        odds = first_odds().expand(2, -1, -1, -1)[rows]
        following.start(Features(*(part[rows] for part in features(0, 2))), grey, odds, both)
        for at in (1, 2):
            found = following.advance(Features(*(part[rows] for part in features(at, 2))), grey)
        return torch.cat([found.odds[:, 1], found.confidence[:, 1, None, None].expand(-1, 1, 128)], 1)

    together = followed(slice(0, 2))
    for row in range(2):
        torch.testing.assert_close(together[row], followed(slice(row, row + 1))[0], rtol=1e-3, atol=1e-3)

"""The simulated user of evaluation."""

import numpy as np

from sonotrace_models.evaluate.protocol import box_of, dice, first_click, innermost, next_click
from sonotrace_models.nets.decoder import NEGATIVE, POSITIVE


def disc(x: float, y: float, radius: float, side: int = 64) -> np.ndarray:
    at = np.arange(side)
    return (at[None] - x) ** 2 + (at[:, None] - y) ** 2 <= radius**2


def test_first_click_is_the_centroid_of_a_solid_object() -> None:
    assert first_click(disc(20, 30, 9)) == (20, 30, POSITIVE)


def test_first_click_is_on_the_object_where_the_centroid_is_not() -> None:
    annulus = disc(32, 32, 20) & ~disc(32, 32, 12)
    x, y, label = first_click(annulus)
    assert label == POSITIVE
    assert annulus[int(y), int(x)]
    # In the middle of the annulus, which is eight pixels wide.
    assert 14 <= np.hypot(x - 32, y - 32) <= 18


def test_next_click_is_in_the_middle_of_the_largest_error() -> None:
    truth = disc(20, 32, 10)
    leak = disc(50, 32, 7)
    assert next_click(truth, truth | leak) == (50, 32, NEGATIVE)
    missed = disc(20, 32, 10) & ~disc(20, 32, 9)
    click = next_click(truth | disc(50, 10, 5), truth & ~missed)
    assert click == (50, 10, POSITIVE)


def test_no_click_where_nothing_is_wrong() -> None:
    truth = disc(20, 32, 10)
    assert next_click(truth, truth) is None


def test_the_border_of_the_picture_is_an_edge() -> None:
    assert innermost(np.ones((9, 21), bool))[1] == 4


def test_box_and_dice() -> None:
    truth = np.zeros((8, 8), bool)
    truth[2:4, 3:7] = True
    assert box_of(truth) == (3, 2, 6, 3)
    half = truth.copy()
    half[3] = False
    assert dice(half, truth) == 2 * 4 / (4 + 8)
    assert dice(np.zeros((8, 8), bool), np.zeros((8, 8), bool)) == 1

"""Corresponding points of a pair of frames, from which a field that warps one onto the other is computed.

A heart's are measured from the two ends of the mitral valve, along the cavity of the left ventricle, the outer border of its
muscle, the left atrium, and the valve itself. Any other object's lie along its outline.
"""

from collections.abc import Iterable

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import gaussian_filter1d

from sonotrace_models.data.follow import Follow, Heart

PATH_POINTS = 24
VALVE_POINTS = 6
OUTLINE_POINTS = 48
"""Of an object that is not part of a heart."""
STARTS = 8
"""Candidates for the start of an outline, for each of its points."""
SMOOTH_SHARE = 0.01
"""Standard deviation of the contour smoothing, as a share of the contour's length."""

Points = npt.NDArray[np.float64]


class LoopError(ValueError):
    """No loop can be made of a recording: a reason that many may share, and what was found in this one."""

    def __init__(self, reason: str, found: str = "") -> None:
        super().__init__(f"{reason} ({found})" if found else reason)
        self.reason = reason


def outline(region: npt.NDArray[np.bool_]) -> Points:
    """The outer border of a region's largest part, smoothed, as points (x, y) a pixel apart."""
    found, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not found:
        raise LoopError("a structure is missing")
    boundary = max(found, key=cv2.contourArea)[:, 0].astype(np.float64)
    if len(boundary) < 16:
        raise LoopError("a structure's outline has fewer than 16 points", f"{len(boundary)}")
    return gaussian_filter1d(boundary, SMOOTH_SHARE * len(boundary), axis=0, mode="wrap")


def valve_ends(mask: npt.NDArray[np.uint8], heart: Heart) -> Points:
    """The two ends of the border between ventricle and atrium, the left one first."""
    near_atrium = cv2.dilate((mask == heart.atrium).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    ys, xs = np.nonzero((mask == heart.ventricle) & near_atrium)
    if len(xs) < 6:
        raise LoopError("ventricle and atrium do not touch")
    points = np.stack([xs, ys], 1).astype(np.float64)
    centred = points - points.mean(0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    along = centred @ (axis if axis[0] >= 0 else -axis)
    return points[[along.argmin(), along.argmax()]]


def path(boundary: Points, ends: Points, count: int, *, is_long: bool) -> Points:
    """`count` points at equal arc lengths along a closed boundary, from its point nearest to one end to its point nearest to
    the other, by the longer or the shorter way. Both ends are included."""
    first, last = (int(np.square(boundary - end).sum(1).argmin()) for end in ends)
    forward = np.concatenate([boundary[first:], boundary[:first]])[: (last - first) % len(boundary) + 1]
    reverse = boundary[::-1]
    first, last = len(boundary) - 1 - first, len(boundary) - 1 - last
    backward = np.concatenate([reverse[first:], reverse[:first]])[: (last - first) % len(boundary) + 1]
    chosen = max(forward, backward, key=_length) if is_long else min(forward, backward, key=_length)
    if len(chosen) < 3:
        raise LoopError("the valve's two ends coincide")
    at = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(chosen, axis=0), axis=1))])
    wanted = np.linspace(0, at[-1], count)
    return np.stack([np.interp(wanted, at, chosen[:, axis]) for axis in (0, 1)], 1)


def _length(points: Points) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def heart_landmarks(mask: npt.NDArray[np.uint8], heart: Heart) -> Points:
    """Points of a heart, in the same order for each of its frames."""
    ends = valve_ends(mask, heart)
    ventricle, atrium = outline(mask == heart.ventricle), outline(mask == heart.atrium)
    wall = outline((mask == heart.ventricle) | (mask == heart.muscle))
    return np.concatenate(
        [
            path(ventricle, ends, PATH_POINTS, is_long=True),
            path(wall, ends, PATH_POINTS, is_long=True)[1:-1],
            path(atrium, ends, PATH_POINTS, is_long=True)[1:-1],
            path(ventricle, ends, VALVE_POINTS, is_long=False)[1:-1],
        ]
    )


def evenly(boundary: Points, count: int) -> Points:
    """`count` points at equal arc lengths along a closed boundary, clockwise on the screen."""
    x, y = boundary.T
    if (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() < 0:
        boundary = boundary[::-1]
    closed = np.concatenate([boundary, boundary[:1]])
    at = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(closed, axis=0), axis=1))])
    wanted = np.linspace(0, at[-1], count, endpoint=False)
    return np.stack([np.interp(wanted, at, closed[:, axis]) for axis in (0, 1)], 1)


def outline_landmarks(
    first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], ids: Iterable[int]
) -> tuple[Points, Points]:
    """Points along the outlines of objects in two frames. The second outline starts where the sum of squared distances is
    least; as a shift of the whole outline adds the same to all starts, an object's displacement has no effect."""
    pairs = []
    for id_ in ids:
        fixed = evenly(outline(first == id_), OUTLINE_POINTS)
        fine = evenly(outline(second == id_), OUTLINE_POINTS * STARTS)
        turned = [np.roll(fine, -start, axis=0)[::STARTS] for start in range(len(fine))]
        pairs.append((fixed, min(turned, key=lambda points: float(np.square(points - fixed).sum()))))
    return np.concatenate([pair[0] for pair in pairs]), np.concatenate([pair[1] for pair in pairs])


def landmarks(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8], follow: Follow) -> tuple[Points, Points]:
    """Corresponding points of two masks.

    Raises:
        LoopError: they cannot be found.
    """
    if follow.heart is not None:
        return heart_landmarks(first, follow.heart), heart_landmarks(second, follow.heart)
    return outline_landmarks(first, second, follow.objects.values())

"""What lies around an image: its field of view, the beams in it, and tissue beyond its edges.

A probe that moves shows tissue that its first image does not hold, while the field of view stays where it is on the screen.
So an image is continued on a canvas: beyond the field of view, and where an object is taken out, tissue is mirrored at the
nearest edge, which keeps speckle and layers.
"""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from scipy.ndimage import distance_transform_edt

from sonotrace_models import SIZE

SIDE_MARGIN = 320
"""Columns of a canvas on each side of the image."""
BELOW_MARGIN = 160
"""Rows of a canvas below the image."""
DARK = 6
"""Grey levels up to this one are black: outside the field of view, if they reach an edge."""
REACH = 24
"""Depth in pixels to which tissue is mirrored before it is mirrored back."""
EDGE = 5
"""Width in pixels of the band inside the edge of a field of view whose grey levels are not used: they are fading."""
BESIDE = 180
"""Distance in pixels from an image to another one that lies beside it."""
SEAM = 12.0
"""Width in pixels over which one tissue changes into another."""
PARALLEL = 0.1
"""Sides of a field of view that diverge by less than this, columns per row, are those of a linear probe."""

Grey = npt.NDArray[np.float32]
Ids = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class View:
    """The field of view of an image, and its beams."""

    inside: Mask
    """[256, 256]"""
    beam: Grey
    """[256, 256]: position across the beams, 0 at the left side of the field of view, 1 at the right one"""
    depth: Grey
    """[256, 256]: along the beams, 0 at the probe, 1 at the deepest pixel"""
    face: tuple[float, float]
    """x and y in pixels of the middle of the probe's face, about which a change of depth scales the image"""


def view_of(grey: Ids) -> View:
    """The field of view of an image, [256, 256] grey levels: the convex hull of its largest bright part."""
    inside = _hull(grey)
    rows = np.flatnonzero(inside.any(1))
    top = int(rows[0])
    left = np.array([np.flatnonzero(inside[row])[0] for row in rows], float)
    right = np.array([np.flatnonzero(inside[row])[-1] for row in rows], float)
    # The sides, without the round bottom: down to the widest row.
    widest = max(int((right - left).argmax()), 8)
    used = slice(widest // 10, widest + 1)
    sides = [np.polyfit(rows[used], edge[used], 1) for edge in (left, right)]
    spread = float(sides[1][0] - sides[0][0])
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float64)
    if spread > PARALLEL:
        apex_y = min(float((sides[0][1] - sides[1][1]) / spread), top - 1.0)
        apex_x = float(np.mean([np.polyval(side, apex_y) for side in sides]))
        across, along = np.arctan2(x - apex_x, y - apex_y), np.hypot(x - apex_x, y - apex_y)
    else:
        across, along = x, y
    beam, depth = (_unit(values, inside) for values in (across, along))
    return View(inside, beam, depth, (float(left[0] + right[0]) / 2, float(top)))


def _hull(grey: Ids) -> Mask:
    bright = cv2.morphologyEx((grey > DARK).astype(np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9), np.uint8))
    count, parts, stats, _ = cv2.connectedComponentsWithStats(bright)
    if count < 2:
        return np.ones((SIZE, SIZE), bool)
    largest = (parts == 1 + int(stats[1:, cv2.CC_STAT_AREA].argmax())).astype(np.uint8)
    contours, _ = cv2.findContours(largest, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    hull = cv2.fillConvexPoly(np.zeros((SIZE, SIZE), np.uint8), cv2.convexHull(np.concatenate(contours)), 1)
    return hull.astype(bool)


def _unit(values: npt.NDArray[np.float64], inside: Mask) -> Grey:
    """Values scaled to 0 to 1 over the field of view."""
    low, high = float(values[inside].min()), float(values[inside].max())
    return ((values - low) / max(high - low, 1e-6)).astype(np.float32)


def mirrored(image: Grey, is_known: Mask) -> Grey:
    """An image whose unknown pixels show the known ones, mirrored at the nearest edge."""
    if is_known.all() or not is_known.any():
        return image
    distance, nearest = distance_transform_edt(~is_known, return_indices=True)
    place = np.indices(image.shape)
    folded = REACH - np.abs(distance % (2 * REACH) - REACH)
    step = (nearest - place) / np.maximum(distance, 1)
    source = np.rint(nearest + step * folded).astype(int)
    for axis, size in enumerate(image.shape):
        source[axis] = source[axis].clip(0, size - 1)
    is_there = is_known[source[0], source[1]]
    source = np.where(is_there, source, nearest)
    return np.where(is_known, image, image[source[0], source[1]])


@dataclass(frozen=True)
class Canvas:
    """An image continued on all sides but the upper one."""

    grey: Grey
    """[256 + BELOW_MARGIN, 256 + 2 * SIDE_MARGIN] in 0 to 1; the image begins in column SIDE_MARGIN"""
    ids: Ids
    """the same; objects lie inside the image's field of view"""
    view: View


def _placed(values: npt.NDArray[np.generic], fill: float) -> npt.NDArray[np.generic]:
    canvas = np.full((SIZE + BELOW_MARGIN, SIZE + 2 * SIDE_MARGIN), fill, values.dtype)
    canvas[:SIZE, SIDE_MARGIN : SIDE_MARGIN + SIZE] = values
    return canvas


def tissue(grey: Ids, ids: Ids, view: View) -> Grey:
    """The canvas of an image without its objects."""
    known = _core(view) & (cv2.dilate(ids, np.ones((7, 7), np.uint8)) == 0)
    return mirrored(np.asarray(_placed(grey.astype(np.float32) / 255, 0)), np.asarray(_placed(known, fill=False)))


def _core(view: View) -> Mask:
    """The field of view without its edge."""
    padded = np.pad(view.inside.astype(np.uint8), 1)
    return cv2.erode(padded, np.ones((2 * EDGE + 1, 2 * EDGE + 1), np.uint8))[1:-1, 1:-1].astype(bool)


def beside(canvas: Grey) -> Grey:
    """A canvas whose image lies to the left of its place, and once more to the right."""
    middle = canvas.shape[1] // 2
    left, right = np.roll(canvas, -BESIDE, 1), np.roll(canvas, BESIDE, 1)
    return np.concatenate([left[:, :middle], right[:, middle:]], 1)


def canvas_of(grey: Ids, ids: Ids, around: Grey | None = None) -> Canvas:
    """The canvas of an image, [256, 256] grey levels and ids. `around` is another image's tissue, which then lies beside it;
    by default its own goes on."""
    view = view_of(grey)
    own = tissue(grey, ids, view)
    core = np.asarray(_placed(_core(view), fill=False))
    if around is not None:
        outside = np.clip(distance_transform_edt(~core) / SEAM, 0, 1).astype(np.float32)
        own = own * (1 - outside) + beside(around) * outside
    whole = np.where(core, np.asarray(_placed(grey.astype(np.float32) / 255, 0)), own)
    return Canvas(whole, np.asarray(_placed(ids * view.inside, 0)), view)

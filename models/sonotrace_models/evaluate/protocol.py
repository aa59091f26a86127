"""The simulated user of evaluation: always the same clicks for the same masks.

The first click is the centroid of the true mask (the paper's), or, if that lies outside the object, its pixel farthest from
the edge. Each further click is the pixel farthest from the edge of the largest error region (4-connected; on a tie, missed
before leaked), positive or negative accordingly.
"""

import cv2
import numpy as np
import numpy.typing as npt

from sonotrace_models.nets.decoder import NEGATIVE, POSITIVE

Mask = npt.NDArray[np.bool_]
Click = tuple[float, float, int]
"""x, y, label"""


def innermost(region: Mask) -> tuple[float, float]:
    """The pixel farthest from the region's edge (the image border is one too); on a tie, the first in row-major order."""
    padded = np.pad(region.astype(np.uint8), 1)
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    y, x = np.unravel_index(int(distance.argmax()), distance.shape)
    return float(x), float(y)


def first_click(truth: Mask) -> Click:
    """The first click."""
    y, x = (round(float(at.mean())) for at in np.nonzero(truth))
    return (float(x), float(y), POSITIVE) if truth[y, x] else (*innermost(truth), POSITIVE)


def next_click(truth: Mask, predicted: Mask) -> Click | None:
    """The correcting click, or None if there is no error."""
    largest, largest_area, label = None, 0, POSITIVE
    for error, kind in ((truth & ~predicted, POSITIVE), (predicted & ~truth, NEGATIVE)):
        count, regions, stats, _ = cv2.connectedComponentsWithStats(error.astype(np.uint8), connectivity=4)
        for region in range(1, count):
            if stats[region, cv2.CC_STAT_AREA] > largest_area:
                largest, largest_area, label = regions == region, stats[region, cv2.CC_STAT_AREA], kind
    return None if largest is None else (*innermost(largest), label)


def box_of(truth: Mask) -> tuple[float, float, float, float]:
    """Left, top, right, bottom: the outermost pixels."""
    ys, xs = np.nonzero(truth)
    return float(xs.min()), float(ys.min()), float(xs.max()), float(ys.max())


def dice(predicted: Mask, truth: Mask) -> float:
    """Dice similarity; 1 for two empty masks."""
    total = int(predicted.sum() + truth.sum())
    return 2 * int((predicted & truth).sum()) / total if total else 1.0

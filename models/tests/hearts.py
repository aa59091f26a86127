"""Synthetic hearts."""

import cv2
import numpy as np

from sonotrace_models.data.loops import LA, LV, MUSCLE


def heart(width: int, height: int) -> np.ndarray:
    """A ventricle above an atrium, with a muscle around the ventricle."""
    mask = np.zeros((256, 256), np.uint8)
    cv2.ellipse(mask, (128, 140), (width + 12, height + 12), 0, 180, 360, MUSCLE, -1)
    cv2.ellipse(mask, (128, 140), (width, height), 0, 180, 360, LV, -1)
    cv2.ellipse(mask, (128, 141), (width, 50), 0, 0, 180, LA, -1)
    return mask

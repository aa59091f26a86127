"""Resamples an image to the network's input grid, by the same rule as the runtime.

With `scale = size / max(width, height)` the image is resized to `round(width * scale)` by `round(height * scale)` pixels
(antialiased bilinear) and placed at the top left of a square; the rest is black.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image

from sonotrace_models import SIZE


def valid_extent(width: int, height: int, size: int = SIZE) -> tuple[int, int]:
    """Columns and rows of the square that the image covers."""
    scale = size / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))


def letterbox(picture: npt.NDArray[np.uint8], *, is_mask: bool, size: int = SIZE) -> npt.NDArray[np.uint8]:
    """The image on the square grid; a mask is sampled at the nearest pixel."""
    height, width = picture.shape
    columns, rows = valid_extent(width, height, size)
    resampling = Image.Resampling.NEAREST if is_mask else Image.Resampling.BILINEAR
    square = np.zeros((size, size), np.uint8)
    square[:rows, :columns] = np.array(Image.fromarray(picture).resize((columns, rows), resampling))
    return square

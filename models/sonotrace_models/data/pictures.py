"""Images and masks of a data folder: per set `images/NAME` and `masks/NAME.png`.

A mask holds 0 for background and an id per object. A set may have several folders of masks (`MASK_FOLDERS`). `sonotrace eval`
reads the same data alike; `tests/reading_cases.json` holds both to it.
"""

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from sonotrace_models.data.manifest import DataError, Row

MASK_FOLDERS = ("masks_muscle", "masks")
"""The first existing one is used: some sets have a muscle's belly in the first and only thin lines beside it in the second."""
ENDINGS = (".jpg", ".png")
"""Of images."""
FORMATS = ("PNG", "JPEG")
"""Of their content."""
MODES = ("L", "1", "LA", "RGB", "RGBA", "P", "PA")
"""Pixels of 8 bits or fewer."""
WIDTHS, HEIGHTS = (2, 8192), (2, 4096)
"""Smallest and largest frame of the runtime."""
ORIENTATION_TAG = 0x0112
"""Of EXIF."""
PNG_START = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"
PNG_DEPTH_AT = 24
"""Place of the bit depth in a PNG; the colour type follows."""
WIDE = 65535 / 255
"""Levels of 16 bits for one of 8."""
WIDE_MIN = 4096
"""A 16-bit image whose brightest level is below this one would be nearly black."""
COLOURED = 24
"""Difference between colour channels, in grey levels, from which a pixel is coloured."""
COLOURED_SHARE_MAX = 0.001
"""Share of coloured pixels that is accepted: JPEG colours edges a little."""

Grey = npt.NDArray[np.uint8]


def read_image(folder: Path, row: Row) -> Grey:
    """The grey image, [rows, columns]. Levels of 16 bits are scaled to 8.

    Raises:
        DataError: it does not exist, cannot be read, or is not grey.
    """
    images = folder / row.set_name / "images"
    found = [images / (row.name + ending) for ending in ENDINGS if (images / (row.name + ending)).is_file()]
    if not found:
        hint = _others(images, row.name)
        raise DataError(f"{images / row.name}.jpg does not exist, nor does the .png (manifest, line {row.line}){hint}")
    picture = _opened(found[0])
    width, height = picture.size
    if not (WIDTHS[0] <= width <= WIDTHS[1] and HEIGHTS[0] <= height <= HEIGHTS[1]):
        raise DataError(
            f"{found[0]} has {width} x {height} pixels, at least {WIDTHS[0]} x {HEIGHTS[0]} and at most {WIDTHS[1]} x "
            f"{HEIGHTS[1]} are possible"
        )
    if (frames := getattr(picture, "n_frames", 1)) != 1:
        raise DataError(f"{found[0]} has {frames} frames, expected one")
    if picture.getexif().get(ORIENTATION_TAG, 1) != 1:
        raise DataError(
            f"{found[0]} is turned by its EXIF orientation when it is shown, its mask is not: save it turned"
        )
    if picture.mode.startswith("I"):
        return _from_wide(found[0], np.asarray(picture))
    if picture.mode not in MODES:
        raise DataError(f"{found[0]} has mode {picture.mode}: save it as a grey PNG")
    if picture.has_transparency_data and min(picture.convert("RGBA").getchannel("A").tobytes()) < 255:
        raise DataError(f"{found[0]} has transparent pixels; save it without transparency")
    if picture.mode in ("L", "1"):
        return np.array(picture.convert("L"))
    return _from_colour(found[0], picture)


def _others(folder: Path, name: str) -> str:
    """A hint on files with that name and another ending."""
    others = sorted(path.name for path in folder.iterdir() if path.stem == name) if folder.is_dir() else []
    return f"; there is {', '.join(others)}: convert it to PNG" if others else ""


def _opened(path: Path, formats: tuple[str, ...] = FORMATS) -> Image.Image:
    try:
        picture = Image.open(path, formats=formats)
        picture.load()
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(f"{path}: {error}") from error
    return picture


def _from_wide(path: Path, levels: npt.NDArray[np.generic]) -> Grey:
    """Levels of 16 bits to 8."""
    brightest = int(levels.max())
    if brightest < WIDE_MIN:
        raise DataError(
            f"{path}: the brightest of its 16-bit levels is {brightest} of 65535; scale them to the whole range"
        )
    return np.rint(levels.astype(np.float64) / WIDE).astype(np.uint8)


def _from_colour(path: Path, picture: Image.Image) -> Grey:
    """A colour picture that shows grey."""
    colours = np.asarray(picture.convert("RGB")).astype(np.int16)
    is_coloured = np.ptp(colours, axis=2) >= COLOURED
    share = float(is_coloured.mean())
    if share > COLOURED_SHARE_MAX:
        y, x = np.argwhere(is_coloured)[0]
        raise DataError(
            f"{path}: {share:.1%} of its pixels are coloured, the first at x {x}, y {y}: training would learn an overlay or "
            "Doppler; give grey images without it"
        )
    return np.array(picture.convert("L"))


def read_mask(folder: Path, row: Row, shape: tuple[int, ...]) -> Grey | None:
    """The object ids, [rows, columns], or None if the set has no mask of this image.

    Raises:
        DataError: it cannot be read, has another shape than its image, does not hold ids as 8-bit grey levels, or has another
            ending.
    """
    found = [name for name in MASK_FOLDERS if (folder / row.set_name / name).is_dir()]
    if not found:
        return None
    path = folder / row.set_name / found[0] / f"{row.name}.png"
    if not path.is_file():
        if hint := _others(path.parent, row.name):
            raise DataError(f"{path} does not exist{hint}")
        return None
    with path.open("rb") as file:
        start = file.read(PNG_DEPTH_AT + 2)
    if not start.startswith(PNG_START) or len(start) < PNG_DEPTH_AT + 2:
        raise DataError(f"{path} is not a PNG")
    depth, colour = start[PNG_DEPTH_AT:]
    # Ids of fewer bits would be scaled to grey levels.
    if (depth, colour) != (8, 0):
        raise DataError(f"{path} has {depth} bits of colour type {colour}, expected ids 1 to 255 as 8-bit grey levels")
    picture = _opened(path, ("PNG",))
    if picture.has_transparency_data:
        raise DataError(f"{path} has transparent pixels, expected ids 1 to 255 as 8-bit grey levels")
    mask = np.array(picture)
    if mask.shape != shape:
        raise DataError(f"{path} has {mask.shape[1]} x {mask.shape[0]} pixels, its image {shape[1]} x {shape[0]}")
    return mask

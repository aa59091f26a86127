"""A folder of ultrasound sets: `MANIFEST.csv`, and per set `images/NAME.jpg` with `masks/NAME.png`.

A mask holds 0 for background and an id per object. A set may have several folders of masks (`MASK_FOLDERS`).
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

MASK_FOLDERS = ("masks_muscle", "masks")
"""The first existing one is used: some sets have a muscle's belly in the first and only thin lines beside it in the second."""

REQUIRED_COLUMNS = ("set", "name", "split")


class DataError(ValueError):
    """The data does not match its layout. The text names the file and what was found."""


@dataclass(frozen=True)
class Row:
    """One image of the manifest."""

    set_name: str
    name: str
    split: str
    """`train`, `val` or `test`."""
    group: str
    """Patient or case: the unit of the split."""
    sequence: str
    """Name of the recording that this image is a frame of; empty for single images."""
    frame: int
    """Frame number in the recording (or the cardiac phase of a pair), -1 for single images."""


def read_manifest(folder: Path) -> list[Row]:
    """Reads `MANIFEST.csv`.

    Raises:
        DataError: the file is missing or lacks a column.
    """
    path = folder / "MANIFEST.csv"
    if not path.is_file():
        raise DataError(f"{path} does not exist: --data names a folder with MANIFEST.csv and a folder per set")
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        for column in REQUIRED_COLUMNS:
            if column not in (reader.fieldnames or []):
                raise DataError(f"{path} has no column {column}: it has {reader.fieldnames}")
        return [
            Row(
                set_name=row["set"],
                name=row["name"],
                split=row["split"],
                group=row.get("group") or row["name"],
                sequence=row.get("sequence") or "",
                frame=int(row["frame"]) if row.get("frame") else -1,
            )
            for row in reader
        ]


def read_image(folder: Path, row: Row) -> npt.NDArray[np.uint8]:
    """The grey image, [rows, columns].

    Raises:
        DataError: it cannot be read.
    """
    for ending in (".jpg", ".png"):
        path = folder / row.set_name / "images" / (row.name + ending)
        if path.is_file():
            try:
                return np.array(Image.open(path).convert("L"))
            except OSError as error:
                raise DataError(f"{path}: {error}") from error
    raise DataError(f"{path.with_suffix('.jpg')} does not exist, nor does the .png")


def read_mask(folder: Path, row: Row, shape: tuple[int, ...]) -> npt.NDArray[np.uint8] | None:
    """The object ids, [rows, columns], or None if the set has no mask of this image.

    Raises:
        DataError: it cannot be read, or has another shape than its image.
    """
    found = [name for name in MASK_FOLDERS if (folder / row.set_name / name).is_dir()]
    if not found or not (path := folder / row.set_name / found[0] / f"{row.name}.png").is_file():
        return None
    try:
        mask = np.array(Image.open(path))
    except OSError as error:
        raise DataError(f"{path}: {error}") from error
    if mask.shape != shape:
        raise DataError(f"{path} has shape {mask.shape}, its image {shape}")
    return mask.astype(np.uint8)

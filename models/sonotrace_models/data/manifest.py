"""A folder of ultrasound sets: `MANIFEST.csv`, and per set `images/NAME.jpg` with `masks/NAME.png` (`pictures`).

What would ruin training is refused here with the line where it stands: a split that does not exist, an image that is listed
twice, a patient in two splits, a recording whose order is not known.
"""

import csv
import io
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

REQUIRED_COLUMNS = ("set", "name", "split")
SPLITS = ("train", "val", "test")
FRAME = re.compile(r"([0-9]{1,9})(\.0*)?")
"""A frame number; spreadsheets write 1 as 1.0."""


class DataError(ValueError):
    """The data does not match its layout. The text names the file and what was found."""


def refuse_unknown(what: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuses names that an option was given and that do not exist: ignored, they would look as if they had an effect.

    Args:
        what: what the names are of, as in "no set in the pack".

    Raises:
        DataError: with the unknown names and those that exist.
    """
    names = sorted({*known})
    if unknown := sorted({*given} - {*names}):
        raise DataError(f"there is no {what} named {', '.join(unknown)}: there are {', '.join(names) or 'none'}")


@dataclass(frozen=True)
class Row:
    """One image of the manifest."""

    set_name: str
    name: str
    split: str
    """`train`, `val` or `test`."""
    group: str
    """Patient or case: the unit of the split. Where it is empty, the recording or the image."""
    sequence: str
    """Name of the recording that this image is a frame of; empty for single images."""
    frame: int
    """Frame number in the recording, -1 for single images. Two numbered frames are a pair."""
    line: int
    """Of the manifest, counted from 1."""
    licence: str = ""
    """What the manifest's column `license` states; empty if it states none."""


def read_manifest(folder: Path) -> list[Row]:
    """Reads `MANIFEST.csv`, in UTF-8 with or without a byte-order mark.

    Raises:
        DataError: the file is missing, lacks a column, or has a row that cannot be used.
    """
    path = folder / "MANIFEST.csv"
    if not path.is_file():
        raise DataError(f"{path} does not exist: --data names a folder with MANIFEST.csv and a folder per set")
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise DataError(f'{path}, line {line}: is not UTF-8; save the table as "CSV UTF-8"') from error
    reader = csv.reader(io.StringIO(text, newline=""))
    try:
        columns = next(reader, [])
        for column in REQUIRED_COLUMNS:
            if column not in columns:
                raise DataError(f"{path} has no column {column}: it has {columns}")
        for at, column in enumerate(columns):
            if column in columns[:at]:
                raise DataError(f"{path} has two columns {column}")
        rows = [_row(path, reader.line_num, columns, fields) for fields in reader if fields]
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error
    _refuse_repetitions(path, rows)
    _refuse_shared_groups(path, rows)
    _refuse_unordered_frames(path, rows)
    return rows


def _row(path: Path, line: int, columns: list[str], values: list[str]) -> Row:
    at = f"{path}, line {line}"
    if len(values) != len(columns):
        raise DataError(f"{at}: it has {len(values)} fields, the table has {len(columns)} columns")
    fields = dict(zip(columns, values, strict=True))
    for column in REQUIRED_COLUMNS:
        if not fields.get(column):
            raise DataError(f"{at}: {column} is empty")
    set_name, name, split = (fields[column] for column in REQUIRED_COLUMNS)
    if split not in SPLITS:
        near = split.strip().lower()
        hint = f"; write {near!r}" if near in SPLITS else ""
        raise DataError(f"{at}: split is {split!r}, it must be one of {', '.join(SPLITS)}{hint}")
    return Row(
        set_name=set_name,
        name=name,
        split=split,
        group=fields.get("group") or fields.get("sequence") or name,
        sequence=fields.get("sequence") or "",
        frame=_frame(at, fields.get("frame") or ""),
        line=line,
        licence=(fields.get("license") or "").strip(),
    )


def _frame(at: str, text: str) -> int:
    if not text:
        return -1
    found = FRAME.fullmatch(text)
    if found is None:
        raise DataError(f"{at}: frame is {text!r}, it must be a whole number from 0 on, or empty")
    return int(found[1])


def _refuse_repetitions(path: Path, rows: list[Row]) -> None:
    first: dict[tuple[str, str], Row] = {}
    for row in rows:
        before = first.setdefault((row.set_name, row.name), row)
        if before is not row:
            raise DataError(
                f"{path}, lines {before.line} and {row.line}: image {row.name} of {row.set_name} is listed twice"
            )


def _refuse_shared_groups(path: Path, rows: list[Row]) -> None:
    """A patient in two splits: what is learnt from him would be tested on him."""
    first: dict[tuple[str, str], Row] = {}
    for row in rows:
        before = first.setdefault((row.set_name, row.group), row)
        if before.split != row.split:
            raise DataError(
                f"{path}, lines {before.line} and {row.line}: group {row.group} of {row.set_name} is in {before.split} and in "
                f"{row.split}; a patient belongs to one split"
            )


def _refuse_unordered_frames(path: Path, rows: list[Row]) -> None:
    """Two images of one recording with the same frame number, or with none: two views without a name, for example."""
    first: dict[tuple[str, str, str, int], Row] = {}
    for row in rows:
        if row.frame < 0:
            if row.sequence:
                raise DataError(
                    f"{path}, line {row.line}: sequence {row.sequence} has no frame number; number the frames from 0 in order"
                )
            continue
        before = first.setdefault((row.set_name, row.group, row.sequence, row.frame), row)
        if before is not row:
            raise DataError(
                f"{path}, lines {before.line} and {row.line}: both are frame {row.frame} of sequence {row.sequence!r} of "
                f"{row.group}; give each recording or view of a patient its own sequence"
            )

"""All images of a data folder on the input grid, as memory-mapped arrays.

A packed folder holds `images.npy` and `masks.npy` (u8, [image, 256, 256]), `items.json`: each image's source and objects, the
mean and standard deviation of the training images' grey levels, a digest of the whole content, and the licences; and
`loops.json`: what is followed in loops (`follow`).
"""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from sonotrace_models import SIZE
from sonotrace_models.data.follow import BUILT_IN, FILE, Follow, read_follow, refuse_unfit, write_follow
from sonotrace_models.data.letterbox import letterbox, valid_extent
from sonotrace_models.data.manifest import SPLITS, DataError, Row, read_manifest, refuse_unknown
from sonotrace_models.data.pictures import MASK_FOLDERS, Grey, read_image, read_mask

MIN_OBJECT_PX = 40
"""Objects with fewer pixels on the input grid are excluded."""


@dataclass(frozen=True)
class Item:
    """One packed image."""

    set_name: str
    name: str
    split: str
    group: str
    sequence: str
    frame: int
    columns: int
    """Width of the valid area."""
    rows: int
    """Height of the valid area."""
    object_ids: list[int]
    """Ids in the mask with at least `MIN_OBJECT_PX` pixels."""
    digest: str
    """Of the packed image and its valid area: what is computed from an image is found by its content, not by its name."""
    has_mask: bool = True
    """False if there is no mask of this image. Packs of earlier versions do not say."""


@dataclass(frozen=True)
class Normalisation:
    """`(grey / 255 - mean) / std`."""

    mean: float
    std: float


class Pack:
    """A packed folder."""

    def __init__(self, folder: Path) -> None:
        """Maps the arrays.

        Raises:
            DataError: the folder is not a packed folder.
        """
        path = folder / "items.json"
        if not path.is_file():
            raise DataError(f"{path} does not exist: run `python -m sonotrace_models pack --out {folder}` first")
        head = json.loads(path.read_text())
        if "data" not in head or any("digest" not in item for item in head["items"]):
            raise DataError(f"{folder} was packed by an earlier version: run `python -m sonotrace_models pack` again")
        self.items = [Item(**item) for item in head["items"]]
        self.data: dict[str, Any] = head["data"]
        """What was packed: `sha256` of its content, and by set its number of images and its licences (`set_facts`)."""
        self.normalisation = Normalisation(**head["normalisation"])
        self.images: npt.NDArray[np.uint8] = np.load(folder / "images.npy", mmap_mode="r")
        self.masks: npt.NDArray[np.uint8] = np.load(folder / "masks.npy", mmap_mode="r")
        self.named = read_follow(folder)
        """What is followed in the sets that `loops.json` names."""
        self.follow = {**BUILT_IN, **self.named}
        """What is followed in the loops of sets; of a set that is not named, all objects are."""
        if not len(self.items) == len(self.images) == len(self.masks):
            raise DataError(f"{folder}: {len(self.items)} items, {len(self.images)} images, {len(self.masks)} masks")

    @property
    def set_names(self) -> list[str]:
        """Sets with objects, sorted."""
        return sorted({item.set_name for item in self.items if item.object_ids})

    def require(self, sets: Iterable[str] | None) -> None:
        """Refuses sets that the pack does not have. Stages call it first, before they spend time on anything else.

        Raises:
            DataError: the pack has no such set.
        """
        refuse_unknown("set in the pack", sets or (), self.set_names)

    def select(self, split: str, sets: list[str] | None = None) -> list[int]:
        """Indices of a split's images that have objects, of all sets or some.

        Raises:
            DataError: there is no such split, or the pack has no such set.
        """
        refuse_unknown("split", [split], SPLITS)
        self.require(sets)
        return [
            index
            for index, item in enumerate(self.items)
            if item.split == split and item.object_ids and (sets is None or item.set_name in sets)
        ]

    def objects(self, split: str, sets: list[str] | None = None) -> list[tuple[int, int]]:
        """Image index and object id of every object of a split; raises the errors of `select`."""
        return [(index, id_) for index in self.select(split, sets) for id_ in self.items[index].object_ids]


def pack(folders: Sequence[Path], out: Path) -> None:
    """Packs one or several data folders. A failure leaves an earlier pack in `out` as it was.

    Raises:
        DataError: a file cannot be used, an image is in two splits, or a split that training needs has no object.
    """
    rows = [(folder, row) for folder in folders for row in read_manifest(folder)]
    follow = _follow_of(folders)
    made = out.with_name(out.name + ".part")
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    try:
        _pack_into(made, rows, follow)
        for path in made.iterdir():
            path.replace(_existing(out) / path.name)
    finally:
        shutil.rmtree(made)


def _existing(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _follow_of(folders: Sequence[Path]) -> dict[Path, dict[str, Follow]]:
    """What `loops.json` of each folder says. It is read before the images, which take longer."""
    found = {folder: read_follow(folder) for folder in folders}
    first: dict[str, tuple[Path, Follow]] = {}
    for folder, sets in found.items():
        for name, follow in sets.items():
            before, same = first.setdefault(name, (folder, follow))
            if same != follow:
                raise DataError(f"{before / FILE} and {folder / FILE} differ about {name}")
    return found


def _pack_into(out: Path, rows: Sequence[tuple[Path, Row]], follow: dict[Path, dict[str, Follow]]) -> None:
    images = np.lib.format.open_memmap(out / "images.npy", "w+", np.uint8, (len(rows), SIZE, SIZE))
    masks = np.lib.format.open_memmap(out / "masks.npy", "w+", np.uint8, (len(rows), SIZE, SIZE))
    first: dict[str, tuple[Path, Row]] = {}
    items, without_mask = [], []
    for index, (folder, row) in enumerate(tqdm(rows, desc="pack")):
        picture = read_image(folder, row)
        _refuse_copy(first.setdefault(digest(picture), (folder, row)), (folder, row))
        ids = read_mask(folder, row, picture.shape)
        if ids is None:
            without_mask.append(row)
        items.append(_packed(row, picture, ids, images[index], masks[index]))
    _refuse_missing_splits(rows, items)
    for folder, sets in follow.items():
        there: dict[str, set[int]] = {row.set_name: set() for at, row in rows if at == folder}
        for item in items:
            if item.set_name in there:
                there[item.set_name].update(item.object_ids)
        refuse_unfit(folder / FILE, sets, there)
    # Written even if it names no set: one from an earlier pack must not stay.
    write_follow({name: of_set for sets in follow.values() for name, of_set in sets.items()}, out)
    train = [index for index, item in enumerate(items) if item.split == "train" and item.object_ids]
    head: dict[str, Any] = {
        "items": [asdict(item) for item in items],
        "normalisation": asdict(_normalisation(images, items, train)),
        "data": {"sha256": content_digest(items, masks), "sets": set_facts([row for _, row in rows])},
    }
    (out / "items.json").write_text(json.dumps(head, indent=1))
    print(f"data {head['data']['sha256']}")
    counts = Counter((item.set_name, item.split) for item in items for _ in item.object_ids)
    for (set_name, split), count in sorted(counts.items()):
        print(f"{set_name:10} {split:6} {count:5} objects")
    for set_name, count in sorted(Counter(row.set_name for row in without_mask).items()):
        name = next(row.name for row in without_mask if row.set_name == set_name)
        print(f"{set_name}: {count} images have no mask in {' or '.join(MASK_FOLDERS)}, the first is {name}")


def _refuse_copy(first: tuple[Path, Row], second: tuple[Path, Row]) -> None:
    """The same picture in two splits: what is learnt from it would be tested on it."""
    if first[1].split != second[1].split:
        names = [f"{folder / row.set_name / row.name} ({row.split})" for folder, row in (first, second)]
        raise DataError(f"{' and '.join(names)} are the same picture; an image belongs to one split")


def _refuse_missing_splits(rows: Sequence[tuple[Path, Row]], items: Sequence[Item]) -> None:
    manifests = ", ".join(sorted({str(folder / "MANIFEST.csv") for folder, _ in rows}))
    for split, use in zip(SPLITS[:2], ("training", "choosing the best weights"), strict=True):
        if not any(item.split == split and item.object_ids for item in items):
            count = sum(item.split == split for item in items)
            raise DataError(
                f"{manifests}: {use} needs images with objects of at least {MIN_OBJECT_PX} pixels in the {split} split; it "
                f"has {count} images, none with such an object"
            )


def _packed(row: Row, picture: Grey, ids: Grey | None, image: Grey, mask: Grey) -> Item:
    image[:] = letterbox(picture, is_mask=False)
    mask[:] = 0 if ids is None else letterbox(ids, is_mask=True)
    values, counts = np.unique(mask, return_counts=True)
    height, width = picture.shape
    columns, valid_rows = valid_extent(width, height)
    return Item(
        set_name=row.set_name,
        name=row.name,
        split=row.split,
        group=row.group,
        sequence=row.sequence,
        frame=row.frame,
        columns=columns,
        rows=valid_rows,
        object_ids=[
            int(value) for value, count in zip(values, counts, strict=True) if value and count >= MIN_OBJECT_PX
        ],
        digest=digest(image, np.array([columns, valid_rows])),
        has_mask=ids is not None,
    )


def content_digest(items: Sequence[Item], masks: npt.NDArray[np.uint8]) -> str:
    """SHA-256 of what is learnt from: images, masks, splits and sets. Order, names, folders and times do not count."""
    lines = sorted(
        f"{item.set_name} {item.split} {item.digest} {digest(mask)}" for item, mask in zip(items, masks, strict=True)
    )
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def set_facts(rows: Sequence[Row]) -> dict[str, Any]:
    """By set: number of images, and the licences that the manifest states (an empty text where it states none)."""
    by_set: dict[str, list[Row]] = {}
    for row in rows:
        by_set.setdefault(row.set_name, []).append(row)
    return {
        name: {"images": len(of_set), "licences": sorted({row.licence for row in of_set})}
        for name, of_set in sorted(by_set.items())
    }


def digest(*parts: npt.NDArray[np.generic]) -> str:
    """The first 32 digits of the SHA-256 of some arrays."""
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.tobytes())
    return whole.hexdigest()[:32]


def _normalisation(images: npt.NDArray[np.uint8], items: list[Item], train: list[int]) -> Normalisation:
    """Statistics of ultrasound rather than of natural images (paper, 2.4), over the valid areas."""
    count, total, squares = 0, 0.0, 0.0
    for index in train:
        grey = images[index, : items[index].rows, : items[index].columns].astype(np.float64) / 255
        count, total, squares = count + grey.size, total + grey.sum(), squares + (grey**2).sum()
    mean = total / count
    return Normalisation(mean=mean, std=float(np.sqrt(squares / count - mean**2)))

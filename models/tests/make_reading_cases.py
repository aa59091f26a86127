"""Writes `reading_cases.json`: small data folders, and whether training and evaluation may use them.

`python models/tests/make_reading_cases.py`, after a change here. The files are stored whole, in hex, so that Python
(`test_reading.py`) and Rust (`tools/tests/reading.rs`) read the same bytes. A refusal of either must contain the words that
a case lists.
"""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

FOLDER = Path(__file__).parent
HEIGHT, WIDTH = 48, 64
SPLITS = {"a": "train", "b": "train", "c": "val", "d": "test"}
MANIFEST = "set,name,split,group,sequence,frame\n" + "".join(
    f"DISCS,{name},{split},{name},,\n" for name, split in SPLITS.items()
)
BYTE_ORDER_MARK = "\ufeff"


def disc(x: int, radius: int) -> npt.NDArray[np.bool_]:
    """A disc in the middle row."""
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    return (columns - x) ** 2 + (rows - HEIGHT // 2) ** 2 <= radius**2


def grey(name: str) -> npt.NDArray[np.uint8]:
    """An image with two discs, another for each name."""
    at = ord(name) - ord("a")
    levels = np.full((HEIGHT, WIDTH), 180 + 4 * at, np.uint8)
    levels[disc(18, 9)] = 30 + at
    levels[disc(46, 7)] = 60 + at
    return levels


def mask() -> npt.NDArray[np.uint8]:
    """Ids of the discs, and of one that is too small."""
    ids = np.zeros((HEIGHT, WIDTH), np.uint8)
    ids[disc(18, 9)], ids[disc(46, 7)] = 1, 2
    ids[2, 2] = 3
    return ids


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    """The content of a file."""
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def png(pixels: npt.NDArray[Any], **options: Any) -> bytes:
    """A PNG of an array."""
    return encoded(Image.fromarray(pixels), **options)


def colour(marked: int = 0) -> npt.NDArray[np.uint8]:
    """Image d in colour channels, with some yellow pixels."""
    pixels = np.repeat(grey("d")[..., None], 3, 2)
    pixels[2, 5 : 5 + marked] = (255, 255, 0)
    return pixels


def turned() -> Image.Exif:
    """An EXIF block with an orientation."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def palette() -> Image.Image:
    """A picture of palette colours."""
    return Image.fromarray(mask()).convert("P")


def base() -> dict[str, bytes]:
    """A folder that can be used."""
    files = {"MANIFEST.csv": MANIFEST.encode()}
    for name in SPLITS:
        files[f"DISCS/images/{name}.png"] = png(grey(name))
        files[f"DISCS/masks/{name}.png"] = png(mask())
    return files


def manifest(text: str, encoding: str = "utf-8") -> dict[str, bytes | None]:
    """Another manifest."""
    return {"MANIFEST.csv": text.encode(encoding)}


def replaced(before: str, after: str) -> dict[str, bytes | None]:
    """The manifest with another text in the first place where one stands."""
    assert before in MANIFEST
    return manifest(MANIFEST.replace(before, after, 1))


IMAGE, MASK = "DISCS/images/d.png", "DISCS/masks/d.png"
ALL = {"train": 4, "val": 2, "test": 2}

USED: dict[str, tuple[dict[str, bytes | None], dict[str, int], int]] = {
    "as it is": ({}, ALL, 0),
    "byte-order mark": (manifest(BYTE_ORDER_MARK + MANIFEST), ALL, 0),
    "lines of Windows": (manifest(MANIFEST.replace("\n", "\r\n")), ALL, 0),
    "empty lines": (manifest(MANIFEST.replace("\n", "\n\n")), ALL, 0),
    "quoted fields": (manifest(MANIFEST.replace("DISCS", '"DISCS"')), ALL, 0),
    "only the columns that are needed": (
        manifest("set,name,split\n" + "".join(f"DISCS,{name},{split}\n" for name, split in SPLITS.items())),
        ALL,
        0,
    ),
    "frame 1.0": (replaced("a,,", "a,run,1.0"), ALL, 0),
    "frame 12": (replaced("a,,", "a,run,12"), ALL, 0),
    "letters of other languages": (
        {
            **manifest(MANIFEST.replace("DISCS,d,test", "DISCS,Schädel,test")),
            "DISCS/images/Schädel.png": png(grey("d")),
            "DISCS/masks/Schädel.png": png(mask()),
        },
        ALL,
        0,
    ),
    "a name with a dot": (
        {
            **manifest(MANIFEST.replace("DISCS,d,test", "DISCS,d.1,test")),
            "DISCS/images/d.1.png": png(grey("d")),
            "DISCS/masks/d.1.png": png(mask()),
        },
        ALL,
        0,
    ),
    "grey in colour channels": ({IMAGE: png(colour())}, ALL, 0),
    "three coloured pixels": ({IMAGE: png(colour(3))}, ALL, 0),
    "grey in a palette": ({IMAGE: encoded(Image.fromarray(grey("d")).convert("P"))}, ALL, 0),
    "opaque alpha": ({IMAGE: encoded(Image.fromarray(colour()).convert("RGBA"))}, ALL, 0),
    "16-bit image": ({IMAGE: png(grey("d").astype(np.uint16) * 257)}, ALL, 0),
    "1-bit image": ({IMAGE: png(disc(18, 9))}, ALL, 0),
    "JPEG": (
        {"DISCS/images/d.jpg": encoded(Image.fromarray(grey("d")), "JPEG", quality=95), IMAGE: None},
        ALL,
        0,
    ),
    "JPEG in colour": (
        {"DISCS/images/d.jpg": encoded(Image.fromarray(colour()), "JPEG", quality=95), IMAGE: None},
        ALL,
        0,
    ),
    "missing masks": ({"DISCS/masks/b.png": None, MASK: None}, {"train": 2, "val": 2}, 2),
    "muscles": ({"DISCS/masks_muscle/a.png": png(mask()), "DISCS/masks_muscle/c.png": png(mask())},
                {"train": 2, "val": 2}, 2),
    "the same picture twice in a split": ({"DISCS/images/b.png": png(grey("a"))}, ALL, 0),
}  # fmt: skip
"""By name: the files that differ (None removes one), the number of objects by split, and of images without a mask."""

REFUSED: dict[str, tuple[dict[str, bytes | None], list[str]]] = {
    "no manifest": ({"MANIFEST.csv": None}, ["MANIFEST.csv"]),
    "an empty manifest": (manifest(""), ["MANIFEST.csv", "no column set"]),
    "Latin-1": (manifest(MANIFEST.replace("a,train", "Schädel,train", 1), "latin-1"), ["line 2", "is not UTF-8"]),
    "UTF-16": (manifest(MANIFEST, "utf-16"), ["line 1", "is not UTF-8"]),
    "semicolons": (manifest(MANIFEST.replace(",", ";")), ["no column set"]),
    "no column split": (manifest("set,name\nDISCS,a\n"), ["no column split"]),
    "a column twice": (replaced("sequence", "group"), ["two columns group"]),
    "a field too few": (replaced("a,train,a,,", "a,train,a,"), ["line 2", "5 fields", "6 columns"]),
    "a field too many": (replaced("a,train,a,,", "a,train,a,,,,"), ["line 2", "8 fields", "6 columns"]),
    "no name": (replaced(",a,train", ",,train"), ["line 2", "name is empty"]),
    "no split": (replaced(",train,", ",,"), ["line 2", "split is empty"]),
    "a split that does not exist": (replaced(",train,", ",trian,"), ["line 2", "trian", "train, val, test"]),
    "a split with a space": (replaced(",test,", ",test ,"), ["line 5", "train, val, test", "write"]),
    "a split in capitals": (replaced(",val,", ",Val,"), ["line 4", "Val", "write"]),
    "an image listed twice": (
        manifest(MANIFEST + "DISCS,c,val,c,,\n"),
        ["lines 4 and 6", "c of DISCS is listed twice"],
    ),
    "a patient in two splits": (replaced("val,c", "val,a"), ["lines 2 and 4", "group a of DISCS", "one split"]),
    "frame 1.5": (replaced("a,,", "a,,1.5"), ["line 2", "frame is", "whole number"]),
    "frame first": (replaced("a,,", "a,,first"), ["line 2", "frame is", "whole number"]),
    "frame -1": (replaced("a,,", "a,,-1"), ["line 2", "frame is", "whole number"]),
    "frame 1_0": (replaced("a,,", "a,,1_0"), ["line 2", "frame is", "whole number"]),
    "a picture in two splits": (
        {"DISCS/images/d.png": png(grey("a"))},
        ["a (train)", "d (test)", "are the same picture"],
    ),
    "a picture in two splits, with other bits": (
        {"DISCS/images/d.png": png(grey("a").astype(np.uint16) * 257)},
        ["a (train)", "d (test)", "are the same picture"],
    ),
    "no image": ({IMAGE: None}, ["d.jpg does not exist", "line 5"]),
    "an image with another ending": (
        {"DISCS/images/d.bmp": encoded(Image.fromarray(grey("d")), "BMP"), IMAGE: None},
        ["d.jpg does not exist", "line 5", "there is d.bmp"],
    ),
    "an ending in capitals": ({"DISCS/images/d.PNG": png(grey("d")), IMAGE: None}, ["there is d.PNG"]),
    "an image with a wrong ending": ({IMAGE: encoded(Image.fromarray(grey("d")), "BMP")}, ["d.png"]),
    "a damaged image": ({IMAGE: png(grey("d"))[:90]}, ["d.png"]),
    "a nearly black 16-bit image": (
        {IMAGE: png(grey("d").astype(np.uint16) * 4)},
        ["d.png", "brightest of its 16-bit levels is 768 of 65535"],
    ),
    "a coloured overlay": ({IMAGE: png(colour(6))}, ["d.png", "0.2% of its pixels are coloured", "x 5, y 2"]),
    "a coloured palette": (
        {IMAGE: encoded(Image.fromarray(colour(40)).convert("P", palette=Image.Palette.ADAPTIVE))},
        ["d.png", "of its pixels are coloured"],
    ),
    "a transparent image": (
        {IMAGE: encoded(Image.merge("LA", [Image.fromarray(grey("d"))] * 2))},
        ["d.png", "has transparent pixels"],
    ),
    "a grey level that is transparent": ({IMAGE: png(grey("d"), transparency=33)}, ["d.png", "has transparent pixels"]),
    "a turned PNG": ({IMAGE: png(grey("d"), exif=turned())}, ["d.png", "EXIF orientation"]),
    "a turned JPEG": (
        {"DISCS/images/d.jpg": encoded(Image.fromarray(grey("d")), "JPEG", exif=turned()), IMAGE: None},
        ["d.jpg", "EXIF orientation"],
    ),
    "a JPEG of four components": (
        {"DISCS/images/d.jpg": encoded(Image.fromarray(colour()).convert("CMYK"), "JPEG"), IMAGE: None},
        ["d.jpg", "CMYK"],
    ),
    "an animation": (
        {
            IMAGE: encoded(
                Image.fromarray(grey("d")), save_all=True, append_images=[Image.fromarray(grey("a"))], duration=40
            )
        },
        ["d.png", "2 frames"],
    ),
    "one pixel": ({IMAGE: png(grey("d")[:1, :1]), MASK: png(mask()[:1, :1])}, ["d.png", "1"]),
    "a 16-bit mask": ({MASK: png(mask().astype(np.uint16) * 256)}, ["masks/d.png", "16 bits", "expected ids 1 to 255"]),
    "a 1-bit mask": ({MASK: png(disc(18, 9))}, ["masks/d.png", "1 bits", "expected ids 1 to 255"]),
    "a 4-bit mask": ({MASK: encoded(palette(), bits=4)}, ["masks/d.png", "4 bits", "expected ids 1 to 255"]),
    "a coloured mask": ({MASK: png(colour())}, ["masks/d.png", "colour type 2", "expected ids 1 to 255"]),
    "a mask with a palette": ({MASK: encoded(palette())}, ["masks/d.png", "colour type 3", "expected ids 1 to 255"]),
    "a JPEG for a mask": ({MASK: encoded(Image.fromarray(mask()), "JPEG")}, ["masks/d.png", "is not a PNG"]),
    "a damaged mask": ({MASK: png(mask())[:90]}, ["masks/d.png"]),
    "a mask of another size": ({MASK: png(mask()[:40])}, ["masks/d.png has 64 x 40 pixels, its image 64 x 48"]),
    "a mask on its side": ({MASK: png(mask().T.copy())}, ["masks/d.png has 48 x 64 pixels, its image 64 x 48"]),
    "a mask with another ending": (
        {"DISCS/masks/d.bmp": encoded(Image.fromarray(mask()), "BMP"), MASK: None},
        ["masks/d.png does not exist", "there is d.bmp"],
    ),
}
"""By name: the files that differ, and words of the refusal."""


def as_text(files: dict[str, bytes | None]) -> dict[str, str | None]:
    """Files as JSON has them."""
    return {path: None if content is None else content.hex() for path, content in files.items()}


def main() -> None:
    """Writes the file."""
    cases: list[dict[str, Any]] = [
        {"name": name, "files": as_text(files), "objects": objects, "without_mask": without_mask}
        for name, (files, objects, without_mask) in USED.items()
    ]
    cases += [{"name": name, "files": as_text(files), "refused": words} for name, (files, words) in REFUSED.items()]
    text = json.dumps({"base": as_text({**base()}), "cases": cases}, indent=1, ensure_ascii=False)
    (FOLDER / "reading_cases.json").write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()

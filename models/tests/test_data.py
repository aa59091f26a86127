"""Reading and packing a data folder."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sonotrace_models.data.letterbox import letterbox, valid_extent
from sonotrace_models.data.manifest import DataError, Row, read_manifest
from sonotrace_models.data.pack import Pack, pack
from sonotrace_models.data.pictures import read_image


def test_the_letterbox_is_isotropic_and_at_the_top_left() -> None:
    assert valid_extent(320, 240) == (256, 192)
    assert valid_extent(90, 120) == (192, 256)
    square = letterbox(np.full((240, 320), 200, np.uint8), is_mask=False)
    assert (square[:192] == 200).all()
    assert (square[192:] == 0).all()


def test_packing_keeps_objects_and_counts_grey_levels_of_the_valid_area(packed: Path) -> None:
    pack_ = Pack(packed)
    assert len(pack_.select("train")) == 6
    assert pack_.objects("test") == [(index, id_) for index in pack_.select("test") for id_ in (1, 2)]
    train = pack_.select("train")
    grey = np.concatenate([pack_.images[index, :192].ravel() for index in train]) / 255
    assert pack_.normalisation.mean == pytest.approx(grey.mean())
    assert pack_.normalisation.std == pytest.approx(grey.std())


def test_errors_name_the_file_and_the_problem(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"MANIFEST.csv does not exist"):
        read_manifest(tmp_path)
    with pytest.raises(DataError, match="pack --out"):
        Pack(tmp_path)
    broken = tmp_path / "broken"
    shutil.copytree(data, broken)
    (broken / "DISCS" / "images" / "train_0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"train_0.png"):
        pack([broken], tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (broken / "MANIFEST.csv").write_text("set,name\nDISCS,train_0\n")
    with pytest.raises(DataError, match="no column split"):
        read_manifest(broken)


def edited(change: Callable[[str], str]) -> Callable[[Path], None]:
    """Changes the text of the manifest."""

    def edit(folder: Path) -> None:
        path = folder / "MANIFEST.csv"
        path.write_text(change(path.read_text()))

    return edit


def replaced(before: str, after: str) -> Callable[[Path], None]:
    """Replaces the first occurrence of a text in the manifest."""
    return edited(lambda text: text.replace(before, after, 1))


def saved(name: str, picture: Image.Image, part: str = "images") -> Callable[[Path], None]:
    """Replaces an image, or a mask."""
    return lambda folder: picture.save(folder / "DISCS" / part / name)


GREY = np.full((90, 120), 90, np.uint8)
MARKED = np.repeat(GREY[..., None], 3, 2)
MARKED[20:25, 30:40] = (255, 255, 0)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (replaced(",train,", ",trian,"), r"MANIFEST.csv, line 2: split is 'trian', it must be one of train, val, test"),
        (replaced(",train,", ",train ,"), r"line 2: split is 'train '.*; write 'train'"),
        (replaced(",val,", ",Val,"), r"line 8: split is 'Val'.*; write 'val'"),
        (replaced(",train,", ",,"), r"line 2: split is empty"),
        (
            edited(lambda text: text + "DISCS,val_0,val,val_0,,\n"),
            r"lines 8 and 14: image val_0 of DISCS is listed twice",
        ),
        (replaced("val,val_0", "val,train_0"), r"lines 2 and 8: group train_0 of DISCS is in train and in val"),
        (replaced("train_0,,", "train_0,,1.5"), r"line 2: frame is '1.5', it must be a whole number"),
        (replaced("train_0,,", "train_0,,first"), r"line 2: frame is 'first'"),
        (edited(lambda text: text.replace(",val,", ",test,")), r"val split; it has 0 images"),
        (lambda folder: shutil.rmtree(folder / "DISCS" / "masks"), r"train split; it has 6 images, none with such"),
        (
            lambda folder: (folder / "MANIFEST.csv").write_bytes(b"set,name,split\nDISCS,Sch\xe4del,train\n"),
            r"line 2: is not UTF-8; save the table",
        ),
        (
            lambda folder: shutil.copy(folder / "DISCS/images/train_0.png", folder / "DISCS/images/test_1.png"),
            r"train_0 \(train\) and .*test_1 \(test\) are the same picture",
        ),
        (
            lambda folder: (folder / "DISCS/images/train_1.png").rename(folder / "DISCS/images/train_1.bmp"),
            r"train_1.jpg does not exist, nor does the .png \(manifest, line 3\); there is train_1.bmp: convert it",
        ),
        (
            saved("train_0.png", Image.fromarray(GREY.astype(np.uint16) * 4)),
            r"brightest of its 16-bit levels is 360 of",
        ),
        (saved("train_0.png", Image.fromarray(MARKED)), r"0.5% of its pixels are coloured, the first at x 30, y 20"),
        (
            saved("train_0.png", Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(GREY)])),
            r"train_0.png has transparent pixels",
        ),
        (
            saved("train_0.png", Image.fromarray(np.full((90, 120), 256, np.uint16)), "masks"),
            r"masks/train_0.png has 16 bits of colour type 0, expected ids 1 to 255 as 8-bit",
        ),
        (saved("train_0.png", Image.fromarray(GREY[:80]), "masks"), r"has 120 x 80 pixels, its image 120 x 90"),
        (saved("train_0.png", Image.fromarray(MARKED), "masks"), r"masks/train_0.png has 8 bits of colour type 2"),
    ],
)
def test_data_that_would_ruin_training_is_refused(
    data: Path, packed: Path, tmp_path: Path, break_it: Callable[[Path], None], message: str
) -> None:
    broken, out = tmp_path / "broken", tmp_path / "pack"
    shutil.copytree(data, broken)
    shutil.copytree(packed, out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    break_it(broken)
    with pytest.raises(DataError, match=message):
        pack([broken], out)
    # An earlier pack stays whole.
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["broken", "pack"]


def test_tables_from_spreadsheets_are_read(data: Path, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    text = (folder / "MANIFEST.csv").read_text().replace("train_0,,", "train_0,run,3.0", 1)
    (folder / "MANIFEST.csv").write_text(text, "utf-8-sig")
    row = read_manifest(folder)[0]
    assert (row.set_name, row.sequence, row.frame, row.line) == ("DISCS", "run", 3, 2)


def test_pictures_of_other_depths_show_the_same_grey(tmp_path: Path) -> None:
    (tmp_path / "SET" / "images").mkdir(parents=True)
    row = Row("SET", "picture", "train", "picture", "", -1, 2)
    levels = np.arange(90 * 120).reshape(90, 120) % 256
    wide = Image.fromarray((levels * 257).astype(np.uint16))
    colour = Image.fromarray(np.repeat(levels.astype(np.uint8)[..., None], 3, 2))
    for picture in (Image.fromarray(levels.astype(np.uint8)), wide, colour):
        picture.save(tmp_path / "SET" / "images" / "picture.png")
        assert (read_image(tmp_path, row) == levels).all()


def test_images_without_a_mask_are_counted(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    for name in ("train_3", "train_4"):
        (folder / "DISCS" / "masks" / f"{name}.png").unlink()
    pack([folder], tmp_path / "out")
    assert "DISCS: 2 images have no mask in masks_muscle or masks, the first is train_3" in capsys.readouterr().out

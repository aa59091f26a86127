"""Reading and packing a data folder."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from sonotrace_models.data.letterbox import letterbox, valid_extent
from sonotrace_models.data.manifest import DataError, read_manifest
from sonotrace_models.data.pack import Pack, pack


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
    (broken / "MANIFEST.csv").write_text("set,name\nDISCS,train_0\n")
    with pytest.raises(DataError, match="no column split"):
        read_manifest(broken)

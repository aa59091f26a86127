"""`loops.json`: what it names is packed, and what it cannot mean is refused."""

import json
from pathlib import Path

import pytest
from hearts import heart, tube, write

from sonotrace_models.data.follow import BUILT_IN, CAMUS, Follow, Heart
from sonotrace_models.data.manifest import DataError, read_manifest
from sonotrace_models.data.pack import Pack, pack


def folder(at: Path, loops: object = None) -> Path:
    """Two sets with a train and a val patient each."""
    return write(
        at,
        {
            ("ECHO", "train", "a", ""): [heart(44, 100)],
            ("ECHO", "val", "b", ""): [heart(40, 90)],
            ("TUBES", "train", "a", ""): [tube(128, 60, 30)],
            ("TUBES", "val", "b", ""): [tube(120, 50, 30)],
        },
        loops,
    )


def test_names_are_packed_and_those_of_an_earlier_pack_do_not_stay(tmp_path: Path) -> None:
    parts = {"ventricle": 1, "muscle": 2, "atrium": 3}
    named = {"ECHO": {"follow": {"left": 1}, "heart": parts}, "TUBES": {"follow": {"lumen": 7}}}
    pack([folder(tmp_path / "data", named)], tmp_path / "pack")
    assert Pack(tmp_path / "pack").follow == {
        **BUILT_IN,
        "ECHO": Follow({"left": 1}, Heart(1, 2, 3)),
        "TUBES": Follow({"lumen": 7}),
    }
    pack([folder(tmp_path / "plain")], tmp_path / "pack")
    assert Pack(tmp_path / "pack").follow == BUILT_IN
    assert BUILT_IN[CAMUS].objects == {"LV": 1, "LA": 3}


@pytest.mark.parametrize(
    ("loops", "text"),
    [
        ({"TUBE": {"follow": {"lumen": 7}}}, "no set TUBE beside it; there are ECHO, TUBES"),
        ({"TUBES": {"follow": {"lumen": 9}}}, "TUBES: no mask has id 9; the masks have 7, 200"),
        (
            {"TUBES": {"follow": {"lumen": 7}, "heart": {"ventricle": 7, "muscle": 2, "atrium": 200}}},
            "no mask has id 2; the masks have 7, 200",
        ),
        ({"TUBES": {"folow": {"lumen": 7}}}, "unknown key folow; there are follow, heart"),
        ({"TUBES": {}}, "TUBES: follow is missing"),
        ({"TUBES": {"follow": {}}}, "names 0 objects, it must name 1 to 10"),
        ({"TUBES": {"follow": {str(id_): id_ for id_ in range(1, 12)}}}, "names 11 objects"),
        ({"TUBES": {"follow": {"": 7}}}, "an object without a name"),
        ({"TUBES": {"follow": {"lumen": "7"}}}, 'lumen is "7", it must be an id, 1 to 255'),
        ({"TUBES": {"follow": {"lumen": True}}}, "lumen is true"),
        ({"TUBES": {"follow": {"background": 0}}}, "background is 0"),
        ({"TUBES": {"follow": {"lumen": 7, "wall": 7}}}, "two names have the id 7"),
        ({"TUBES": {"follow": [7]}}, r"follow: is \[7\], it must be an object"),
        ({"ECHO": {"follow": {"LV": 1}, "heart": {"ventricle": 1, "atrium": 3}}}, "heart: muscle is missing"),
        (
            {"ECHO": {"follow": {"LV": 1}, "heart": {"ventricle": 1, "muscle": 2, "atrium": 3, "valve": 4}}},
            "unknown key valve; there are ventricle, muscle, atrium",
        ),
        (["TUBES"], "loops.json: is .* it must be an object"),
    ],
)
def test_what_a_file_cannot_mean_is_refused(tmp_path: Path, loops: object, text: str) -> None:
    with pytest.raises(DataError, match=text):
        pack([folder(tmp_path / "data", loops)], tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_a_file_that_is_not_json_is_refused(tmp_path: Path) -> None:
    data = folder(tmp_path / "data")
    (data / "loops.json").write_text("{TUBES}")
    with pytest.raises(DataError, match=r"loops\.json is not JSON: .* line 1"):
        pack([data], tmp_path / "pack")


def test_two_folders_must_agree(tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for name, at in zip(("lumen", "vessel"), folders, strict=True):
        at.mkdir()
        (at / "MANIFEST.csv").write_text("set,name,split\n")
        (at / "loops.json").write_text(json.dumps({"TUBES": {"follow": {name: 7}}}))
    with pytest.raises(DataError, match=r"first/loops\.json and .*second/loops\.json differ about TUBES"):
        pack(folders, tmp_path / "pack")


def test_frames_without_a_patient_are_one_recording(tmp_path: Path) -> None:
    (tmp_path / "MANIFEST.csv").write_text(
        "set,name,split,sequence,frame\nA,a,train,rest,0\nA,b,train,rest,1\nA,c,train,,"
    )
    assert [row.group for row in read_manifest(tmp_path)] == ["rest", "rest", "c"]


@pytest.mark.parametrize(
    ("rows", "text"),
    [
        (
            ["A,a,train,p,,0", "A,b,train,p,,1", "A,c,train,p,,0"],
            "lines 2 and 4: both are frame 0 of .* its own sequence",
        ),
        (["A,a,train,p,rest,0", "A,b,train,p,rest,"], "line 3: sequence rest has no frame number"),
    ],
)
def test_recordings_without_an_order_are_refused(tmp_path: Path, rows: list[str], text: str) -> None:
    (tmp_path / "MANIFEST.csv").write_text("\n".join(["set,name,split,group,sequence,frame", *rows]))
    with pytest.raises(DataError, match=text):
        pack([tmp_path], tmp_path / "pack")

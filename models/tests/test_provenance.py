"""Where weights come from: what a run, kept weights and graphs carry, and that no restriction is lost on the way."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import onnx
import pytest
from safetensors import safe_open

from sonotrace_models import provenance
from sonotrace_models.__main__ import KeepConfig, keep
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack, pack
from sonotrace_models.export import PROVENANCE_BYTES_MAX, ExportConfig, export, mark
from sonotrace_models.provenance import (
    AS_LICENSED,
    KEY,
    NO,
    PACKAGED,
    UNKNOWN,
    carried,
    of_stage,
    of_weights,
    use_of,
)
from sonotrace_models.train.run import Schedule
from sonotrace_models.train.student import StudentConfig, train_student
from sonotrace_models.weights import file_digest

WEIGHTS = Path(__file__).parents[1] / "weights"


def licensed(data: Path, folder: Path, licence: str) -> Path:
    """A copy of the data folder whose manifest states a licence."""
    shutil.copytree(data, folder)
    lines = (folder / "MANIFEST.csv").read_text().splitlines()
    text = "\n".join([f"{lines[0]},license", *(f"{line},{licence}" for line in lines[1:])])
    (folder / "MANIFEST.csv").write_text(text + "\n")
    return folder


def student(packed: Path, folder: Path, start: Path | None = None, steps: int = 1) -> StudentConfig:
    schedule = Schedule(steps=steps, batch=1, validate_every=9, checkpoint_every=1, compiled=False)
    return StudentConfig(packed, None, start, None, folder, schedule=schedule)


@pytest.mark.parametrize(
    ("licence", "use"),
    [
        ("CC BY 4.0", AS_LICENSED),
        ("Apache-2.0 (repository LICENSE)", AS_LICENSED),
        ("CC BY-NC-SA 4.0", NO),
        ("for Non-Commercial use", NO),
        ("research only", NO),
        ("CC BY-NC 4.0 (uncertain)", NO),
        ("CC0 on a copy (uncertain)", UNKNOWN),
        ("none stated", UNKNOWN),
        ("", UNKNOWN),
    ],
)
def test_restrictions_and_gaps_are_seen(licence: str, use: str) -> None:
    assert use_of(licence) == use


def test_the_digest_is_of_content(data: Path, packed: Path, tmp_path: Path) -> None:
    before = Pack(packed).data
    folder = licensed(data, tmp_path / "elsewhere", "CC BY 4.0")
    manifest = folder / "MANIFEST.csv"
    head, *lines = manifest.read_text().splitlines()
    # Another order, another name.
    image = "DISCS/images/train_0.png"
    (folder / image).rename(folder / "DISCS/images/renamed.png")
    (folder / "DISCS/masks/train_0.png").rename(folder / "DISCS/masks/renamed.png")
    lines = [line.replace("DISCS,train_0,", "DISCS,renamed,") for line in reversed(lines)]
    manifest.write_text("\n".join([head, *lines]) + "\n")
    pack([folder], tmp_path / "pack")
    after = Pack(tmp_path / "pack").data
    assert after["sha256"] == before["sha256"]
    assert before["sets"] == {"DISCS": {"images": 12, "licences": [""]}}
    assert after["sets"] == {"DISCS": {"images": 12, "licences": ["CC BY 4.0"]}}
    # A mask more or less, or another split, is other data.
    (folder / "DISCS/masks/renamed.png").unlink()
    pack([folder], tmp_path / "pack")
    less = Pack(tmp_path / "pack").data["sha256"]
    manifest.write_text(manifest.read_text().replace("renamed,train", "renamed,test"))
    pack([folder], tmp_path / "pack")
    assert len({after["sha256"], less, Pack(tmp_path / "pack").data["sha256"]}) == 3


def test_the_packaged_weights_are_known() -> None:
    without_record = [path for path in WEIGHTS.glob("*.safetensors") if of_weights(path) is None]
    assert all(PACKAGED.get(file_digest(path)) == path.name for path in without_record)
    assert {carried(path)["use"] for path in WEIGHTS.glob("*.safetensors")} == {NO}


def test_weights_begun_from_the_packaged_ones_inherit_their_licence(data: Path, tmp_path: Path) -> None:
    pack([licensed(data, tmp_path / "data", "CC BY 4.0")], tmp_path / "pack")
    free = of_stage(student(tmp_path / "pack", tmp_path))
    assert (free["use"], free["licences"]) == (AS_LICENSED, ["DISCS: CC BY 4.0", "LiteMedSAM: Apache-2.0"])
    begun = of_stage(student(tmp_path / "pack", tmp_path, WEIGHTS / "sonosamlite.safetensors"))
    assert begun["use"] == NO
    assert any("CC BY-NC-SA 4.0" in licence for licence in begun["licences"])
    assert begun["made_from"][0]["sha256"] in PACKAGED
    unknown = tmp_path / "found.pt"
    unknown.write_bytes(b"weights")
    assert of_stage(student(tmp_path / "pack", tmp_path, unknown))["use"] == UNKNOWN
    # Data with a restriction is no better than such a start.
    pack([licensed(data, tmp_path / "nc", "CC BY-NC 4.0")], tmp_path / "pack")
    assert of_stage(student(tmp_path / "pack", tmp_path))["use"] == NO


def test_a_run_a_file_and_a_graph_carry_it(data: Path, tmp_path: Path) -> None:
    pack([licensed(data, tmp_path / "data", "CC BY 4.0")], tmp_path / "pack")
    first, second = tmp_path / "first", tmp_path / "second"
    train_student(student(tmp_path / "pack", first, WEIGHTS / "sonosamlite.safetensors"))
    train_student(student(tmp_path / "pack", second, first / "best.pt"))
    record = of_weights(second / "best.pt")
    assert record is not None
    assert record["data"] == Pack(tmp_path / "pack").data
    assert record["config"]["schedule"]["steps"] == 1
    (start, *_) = record["made_from"]
    assert (start["role"], start["file"], start["sha256"]) == ("start", "best.pt", file_digest(first / "best.pt"))
    assert start["made_from"][0]["file"] == "sonosamlite.safetensors"
    # Through two generations.
    assert record["use"] == NO
    text = (second / "provenance.json").read_text()
    assert str(tmp_path) not in text
    assert "/" not in json.dumps(record["config"])

    keep(KeepConfig(student=second / "best.pt", out=tmp_path / "kept"))
    kept_file = tmp_path / "kept" / "sonosamlite.safetensors"
    kept = of_weights(kept_file)
    assert kept == {**record, "kept_from": {"file": "best.pt", "sha256": file_digest(second / "best.pt")}}
    export(ExportConfig(kept_file, None, None, tmp_path / "export"))
    for name in ("encoder", "decoder"):
        (prop,) = onnx.load(tmp_path / "export" / f"{name}.onnx").metadata_props
        carried = json.loads(prop.value)
        assert prop.key == KEY
        assert (carried["data"], carried["use"], carried["commit"]) == (record["data"], NO, record["commit"])
        assert carried["kept_from"]["file"] == "sonosamlite.safetensors"
    export(ExportConfig(kept_file, None, None, tmp_path / "without", provenance=False))
    assert not onnx.load(tmp_path / "without" / "encoder.onnx").metadata_props
    with pytest.raises(DataError, match=f"the limit is {PROVENANCE_BYTES_MAX}"):
        mark(tmp_path / "export" / "encoder.onnx", {"use": "x" * PROVENANCE_BYTES_MAX})


def test_a_run_is_not_resumed_on_other_data(data: Path, packed: Path, tmp_path: Path) -> None:
    train_student(student(packed, tmp_path / "run"))
    folder = tmp_path / "data"
    shutil.copytree(data, folder)
    (folder / "DISCS/masks/train_0.png").unlink()
    pack([folder], tmp_path / "pack")
    other = replace(student(tmp_path / "pack", tmp_path / "run", steps=2))
    with pytest.raises(DataError, match="a run on other data"):
        train_student(other)
    assert of_weights(tmp_path / "run" / "best.pt") == of_stage(student(packed, tmp_path / "run"))


def test_weights_without_a_record_are_read(tmp_path: Path) -> None:
    assert of_weights(WEIGHTS / "sonosamlite.safetensors") is None
    with safe_open(WEIGHTS / "sonosamlite.safetensors", "pt") as file:
        assert KEY not in (file.metadata() or {})
    (tmp_path / "bad.safetensors").write_text("no weights")
    with pytest.raises(DataError, match="is not a weights file"):
        of_weights(tmp_path / "bad.safetensors")


def test_the_commit_is_of_this_package_or_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    commit = provenance.code_commit()
    assert commit is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", commit)
    # A copy that is installed within another repository is not in that repository.
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "provenance.py"))
    assert provenance.code_commit() is None
    monkeypatch.setenv("PATH", "")
    assert provenance.code_commit() is None

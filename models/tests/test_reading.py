"""Training and the Rust evaluation use the same data and refuse the same: `reading_cases.json`, which Rust tests too."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sonotrace_models.data.manifest import SPLITS, DataError
from sonotrace_models.data.pack import Pack, pack

CASES = json.loads((Path(__file__).parent / "reading_cases.json").read_text("utf-8"))
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", Path(__file__).parents[2] / "target"))


def written(case: dict[str, Any], folder: Path) -> Path:
    """Writes a case's folder."""
    for path, content in {**CASES["base"], **case["files"]}.items():
        if content is not None:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(bytes.fromhex(content))
    return folder


def names(case: dict[str, Any]) -> str:
    return str(case["name"])


def skip(reason: str) -> None:
    """Skips, or fails where skipping is forbidden."""
    if "SONOTRACE_NO_SKIP" in os.environ:
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture(scope="session")
def sonotrace() -> Path:
    """The built command, if there is one: the newest build."""
    found = [path for kind in ("release", "debug") if (path := TARGET / kind / "sonotrace").is_file()]
    if not found:
        skip("sonotrace is not built (`cargo build`): its verdicts are not compared")
    newest = max(found, key=lambda path: path.stat().st_mtime)
    help_ = subprocess.run([newest, "eval", "check", "--help"], capture_output=True, check=False)
    if help_.returncode != 0:
        skip(f"{newest} was built before `eval check`: its verdicts are not compared")
    return newest


@pytest.mark.parametrize("case", CASES["cases"], ids=names)
def test_pack_reads_and_refuses(case: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = written(case, tmp_path / "data")
    if words := case.get("refused"):
        with pytest.raises(DataError) as refusal:
            pack([folder], tmp_path / "pack")
        missing = [word for word in words if word not in str(refusal.value)]
        assert not missing, str(refusal.value)
        return
    pack([folder], tmp_path / "pack")
    packed = Pack(tmp_path / "pack")
    counts = {split: len(packed.objects(split)) for split in SPLITS}
    assert {split: count for split, count in counts.items() if count} == case["objects"]
    said = f"{case['without_mask']} images have no mask" if case["without_mask"] else ""
    assert said in capsys.readouterr().out


@pytest.mark.parametrize("case", CASES["cases"], ids=names)
def test_the_rust_evaluation_has_the_same_verdict(case: dict[str, Any], tmp_path: Path, sonotrace: Path) -> None:
    folder = written(case, tmp_path / "data")
    done = subprocess.run(
        [sonotrace, "eval", "check", folder, "--json", tmp_path / "counts.json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) == ("refused" not in case), done.stderr
    if words := case.get("refused"):
        assert not [word for word in words if word not in done.stderr], done.stderr
    else:
        counts = json.loads((tmp_path / "counts.json").read_text())
        assert counts["objects"] == {"DISCS": case["objects"]}
        assert sum(counts["without_mask"].values()) == case["without_mask"]

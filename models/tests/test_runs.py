"""The table of runs: what it is sorted by, what it counts, and what it does not hide."""

import json
from pathlib import Path
from typing import Any

import pytest

from sonotrace_models.__main__ import main
from sonotrace_models.data.manifest import DataError
from sonotrace_models.evaluate.runs import RunsConfig, compare_runs, summary


def write(folder: Path, scores: list[float], *, n: int = 24, data: str = "ab" * 32, **options: Any) -> Path:
    """A run of so many validations."""
    folder.mkdir(parents=True)
    lines = [
        {"step": 100 * at, "spent_s": 60 * at, "lr": 0.1, "steps_not_finite": at, "score": score, "val_3": score / 2}
        | {"val_objects": n}
        | ({"loss": 3.0} if at else {})
        for at, score in enumerate(scores)
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "config.json").write_text(json.dumps({"schedule": {"steps": 900}, **options}))
    made_from = [{"role": "start", "file": "best.pt", "sha256": "cd" * 32}] if "start" in options else []
    record = {"stage": "Student", "data": {"sha256": data}, "made_from": made_from}
    (folder / "provenance.json").write_text(json.dumps(record))
    return folder


def test_runs_are_sorted_by_their_best_score(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "runs" / "low", [0.5, 0.6, 0.55])
    write(tmp_path / "runs" / "high", [0.9, 0.8], start="work/runs/low/best.pt")
    out = tmp_path / "runs.json"
    assert main(["runs", str(tmp_path / "runs"), "--out", str(out)]) == 0
    head, first, second, *rest = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["run", "stage", "start", "data"]
    expected = ["high", "Student", "work/runs/low/best.pt", "cd" * 6, "ab" * 6, "100", "of", "900", "1.0"]
    assert first.split() == [*expected, "0.9000", "0", "0.8000", "1", "24", "objects"]
    expected = ["low", "Student", "random", "weights", "ab" * 6, "200", "of", "900", "2.0"]
    assert second.split() == [*expected, "0.6000", "100", "0.5500", "2", "24", "objects"]
    assert rest[1:] == ["high, at step 0: val_3 0.45", "low, at step 100: val_3 0.3"]
    kept = json.loads(out.read_text())
    assert [run["run"] for run in kept["runs"]] == ["high", "low"]
    assert (kept["runs"][0]["data_sha256"], kept["differing"]) == ("ab" * 32, [])


def test_scores_of_different_data_or_counts_are_not_comparable(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [write(tmp_path / "a", [0.5]), write(tmp_path / "b", [0.6], n=12), write(tmp_path / "c", [0.7], data="ef")]
    compare_runs(RunsConfig(runs, tmp_path / "out.json"))
    assert "cannot be compared: the runs have different data, n" in capsys.readouterr().out
    assert json.loads((tmp_path / "out.json").read_text())["differing"] == ["data", "n"]


def test_runs_without_a_score_are_last(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lost, old = write(tmp_path / "lost", [float("nan")]), tmp_path / "old"
    old.mkdir()
    (old / "log.jsonl").write_text('{"step": 500, "spent_s": 90, "val_3": 0.9}\n{"step": 600, "spe')
    runs = compare_runs(RunsConfig([lost, old, write(tmp_path / "good", [0.1])], tmp_path / "out.json"))
    assert runs[0].run == "good"
    assert {run.run: run.best for run in runs[1:]} == {"lost": None, "old": None}
    assert (summary(old).steps, summary(old).stage, summary(old).data_sha256) == (500, "", None)
    assert "NaN" not in (tmp_path / "out.json").read_text()


def test_folders_without_a_run_are_refused(tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    with pytest.raises(DataError, match="holds no run"):
        compare_runs(RunsConfig([tmp_path], out))
    folder = write(tmp_path / "run", [0.5])
    (folder / "log.jsonl").write_text("")
    with pytest.raises(DataError, match="is empty"):
        compare_runs(RunsConfig([folder], out))
    (folder / "log.jsonl").write_text("nothing\n")
    with pytest.raises(DataError, match="is damaged"):
        compare_runs(RunsConfig([folder], out))

"""A table that compares training runs: what they began from, how long they took, and how good they became."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import tyro

from sonotrace_models import provenance
from sonotrace_models.data.manifest import DataError
from sonotrace_models.train.run import JUDGED_ON, judged_on

NO_FIGURES = ("step", "spent_s", "lr", "steps_not_finite", "score", *JUDGED_ON)
"""What a line of the log holds besides figures."""
DIGITS = 12
"""Of a digest that is printed; the JSON has all."""
HEADER = ("run", "stage", "start", "data", "steps", "minutes", "best", "at step", "last", "not finite", "n")


@dataclass
class RunsConfig:
    """A table that compares runs, the best first."""

    folders: tyro.conf.Positional[list[Path]] = field(default_factory=lambda: [Path("work/runs")])
    """Folders of runs, or folders that hold such folders."""
    out: Path = Path("work/evaluation/runs.json")
    """The same as JSON."""


@dataclass(frozen=True)
class RunSummary:
    """One run."""

    run: str
    stage: str
    """Empty for runs of an earlier version."""
    start: str
    """The weights that it began from."""
    start_sha256: str | None
    data_sha256: str | None
    steps: int
    steps_planned: int | None
    minutes: float
    best: float | None
    """Score of the best weights; None if no validation had one."""
    best_step: int | None
    last: float | None
    """Score of the last validation."""
    steps_not_finite: int
    judged_on: str
    """What the scores are of, as in `192 objects`; empty if the log does not tell."""
    figures: dict[str, float]
    """Figures of the best weights."""

    def cells(self) -> tuple[str, ...]:
        """Texts of a line of the table."""

        def score(value: float | None) -> str:
            return "-" if value is None else f"{value:.4f}"

        of = f" of {self.steps_planned}" if self.steps_planned is not None else ""
        digest = f" {self.start_sha256[:DIGITS]}" if self.start_sha256 else ""
        return (
            self.run,
            self.stage or "-",
            self.start + digest,
            (self.data_sha256 or "-")[:DIGITS],
            f"{self.steps}{of}",
            f"{self.minutes:.1f}",
            score(self.best),
            "-" if self.best_step is None else str(self.best_step),
            score(self.last),
            str(self.steps_not_finite),
            self.judged_on or "-",
        )


def compare_runs(config: RunsConfig) -> list[RunSummary]:
    """Prints the table and writes it as JSON.

    Raises:
        DataError: a folder holds no run.
    """
    folders = [run for folder in config.folders for run in runs_in(folder)]
    runs = [summary(folder) for folder in dict.fromkeys(folders)]
    runs.sort(key=lambda run: -math.inf if run.best is None else run.best, reverse=True)
    print(as_text(runs))
    config.out.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({"runs": [asdict(run) for run in runs], "differing": differing(runs)}, indent=1, allow_nan=False)
    config.out.write_text(text + "\n", "utf-8")
    return runs


def runs_in(folder: Path) -> list[Path]:
    """The folder if it is a run, or else the runs in it.

    Raises:
        DataError: there is none.
    """
    if (folder / "log.jsonl").is_file():
        return [folder]
    found = sorted(path.parent for path in folder.glob("*/log.jsonl"))
    if not found:
        raise DataError(f"{folder} holds no run: there is no log.jsonl in it, nor in a folder in it")
    return found


def summary(folder: Path) -> RunSummary:
    """A run from its folder.

    Raises:
        DataError: its log is empty or damaged.
    """
    lines = _lines(folder / "log.jsonl")
    options = _options(folder / "config.json")
    record = provenance.of_weights(folder / "best.pt") or {}
    start, digest = _start(options, record)
    scored = [line for line in lines if _finite(line.get("score")) is not None]
    best = max(scored, key=lambda line: line["score"], default=None)
    # What training itself logs is in no line before the first step.
    names = lines[0] if lines[0]["step"] == 0 else lines[-1]
    figures = {key: _finite((best or {}).get(key)) for key in names if key not in NO_FIGURES}
    planned = options.get("schedule", {}).get("steps")
    return RunSummary(
        run=folder.resolve().name,
        stage=str(record.get("stage", "")),
        start=start,
        start_sha256=digest,
        data_sha256=(record.get("data") or {}).get("sha256"),
        steps=int(lines[-1]["step"]),
        steps_planned=int(planned) if planned is not None else None,
        minutes=float(lines[-1].get("spent_s", 0)) / 60,
        best=best["score"] if best else None,
        best_step=int(best["step"]) if best else None,
        last=_finite(lines[-1].get("score")),
        steps_not_finite=int(lines[-1].get("steps_not_finite", 0)),
        judged_on=judged_on(best or lines[-1]),
        figures={key: value for key, value in figures.items() if value is not None},
    )


def _lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, without one that a run which is still writing has begun."""
    texts = path.read_text("utf-8").splitlines(keepends=True)
    try:
        lines: list[dict[str, Any]] = [json.loads(text) for text in texts if text.endswith("\n")]
    except ValueError as error:
        raise DataError(f"{path} is damaged: {error}") from error
    if not lines:
        raise DataError(f"{path} is empty: the run has not been validated yet")
    return lines


def _options(path: Path) -> dict[str, Any]:
    options: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    return options


def _finite(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _start(options: dict[str, Any], record: dict[str, Any]) -> tuple[str, str | None]:
    """The weights that a run began from, and their digest."""
    digests = {part["role"]: part.get("sha256") for part in record.get("made_from", [])}
    role = next((role for role in ("start", *provenance.STARTS) if options.get(role)), None)
    if role is not None:
        return str(options[role]), digests.get(role)
    public = [part["file"] for part in record.get("made_from", []) if part["role"] == provenance.PUBLIC_ROLE]
    return (public[0] if public else "random weights"), None


def differing(runs: Sequence[RunSummary]) -> list[str]:
    """What makes scores of these runs incomparable."""
    kinds: dict[str, set[Any]] = {
        "stages": {run.stage for run in runs},
        "data": {run.data_sha256 for run in runs},
        "n": {run.judged_on for run in runs},
    }
    return [name for name, found in kinds.items() if len(found) > 1]


def as_text(runs: Sequence[RunSummary]) -> str:
    """The table, the figures of each run's best weights, and what makes scores incomparable."""
    rows = [HEADER, *(run.cells() for run in runs)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADER))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.append("")
    for run in runs:
        figures = "  ".join(f"{key} {value:.4g}" for key, value in run.figures.items())
        lines.append(f"{run.run}, at step {run.best_step}: {figures or 'no figures'}")
    if found := differing(runs):
        lines.append(f"\nthe scores cannot be compared: the runs have different {', '.join(found)}")
    return "\n".join(lines)

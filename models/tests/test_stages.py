"""Stages end to end on a small data folder: they run, resume, and export what the runtime loads."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from sonotrace_models.data.pack import Pack
from sonotrace_models.evaluate.clicks import evaluate_clicks
from sonotrace_models.evaluate.segmenters import Student
from sonotrace_models.export import ExportConfig, export
from sonotrace_models.nets.confidence import Confidence, Regression, write_confidence
from sonotrace_models.nets.gate import HELD_FRAMES
from sonotrace_models.nets.sonosam import SonoSam, SonoSamLite
from sonotrace_models.nets.tracker import Tracker
from sonotrace_models.train.run import Schedule
from sonotrace_models.train.sonosam import WholeSonoSamConfig, train_whole_sonosam
from sonotrace_models.train.student import StudentConfig, train_student


def config(packed: Path, run: Path, steps: int) -> StudentConfig:
    schedule = Schedule(steps=steps, batch=2, validate_every=2, checkpoint_every=1, compiled=False)
    return StudentConfig(pack=packed, encoder=None, best_masks=None, folder=run, schedule=schedule)


def test_a_run_resumes_from_its_checkpoint(packed: Path, tmp_path: Path) -> None:
    train_student(config(packed, tmp_path / "run", 2))
    first = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    train_student(config(packed, tmp_path / "run", 4))
    second = torch.load(tmp_path / "run" / "last.pt", weights_only=True)
    assert (first["step"], second["step"]) == (2, 4)
    steps = [json.loads(line)["step"] for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert steps == [0, 2, 4]
    assert (tmp_path / "run" / "curves.png").stat().st_size > 1000
    kept = json.loads((tmp_path / "run" / "config.json").read_text())
    assert (kept["schedule"]["batch"], kept["schedule"]["steps"], kept["resumed_at_steps"]) == (2, 4, [2])
    name = "decoder.transformer.layers.0.mlp.lin1.weight"
    assert not torch.equal(first["net"][name], second["net"][name])


def test_a_run_ends_when_its_time_is_spent(packed: Path, tmp_path: Path) -> None:
    endless = config(packed, tmp_path / "run", 1_000_000)
    endless.schedule.minutes = 1e-6
    train_student(endless)
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert json.loads(lines[-1])["step"] == torch.load(tmp_path / "run" / "last.pt", weights_only=True)["step"] <= 2
    assert (tmp_path / "run" / "best.pt").is_file()


def test_the_teacher_trains_on_after_validation(packed: Path, tmp_path: Path) -> None:
    torch.save(SonoSam().decoder.state_dict(), tmp_path / "decoder.pt")
    # It validates before its only step.
    schedule = Schedule(steps=1, batch=1, validate_every=1, compiled=False)
    folder = tmp_path / "whole"
    train_whole_sonosam(WholeSonoSamConfig(packed, tmp_path / "decoder.pt", folder, 1, schedule=schedule))
    assert len((folder / "log.jsonl").read_text().splitlines()) == 2
    whole = SonoSam()
    whole.load(folder / "best.pt")
    assert not whole.has_public_encoder


def test_the_same_command_runs_on_several_processes(packed: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "sonotrace_models"]
    command += ["student", "--pack", str(packed), "--encoder", "None", "--best-masks", "None"]
    command += ["--folder", str(tmp_path / "run"), "--schedule.steps", "1", "--schedule.batch", "2"]
    command += ["--schedule.no-compiled", "--schedule.minutes", "5"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert torch.load(tmp_path / "run" / "last.pt", weights_only=True)["step"] == 1


def test_graphs_agree_with_the_networks(tmp_path: Path) -> None:
    torch.manual_seed(0)
    student, tracker = SonoSamLite(), Tracker()
    torch.save(student.state_dict(), tmp_path / "student.pt")
    torch.save(tracker.state_dict(), tmp_path / "tracker.pt")
    right, absent = Regression((3.0,), -1.0), Regression((-2.0,), 0.5)
    write_confidence(
        Confidence(("iou",), right, right, absent, 0.4), {"auroc_0.9": 0.9}, {}, tmp_path / "confidence.json"
    )
    student_file, tracker_file, confidence_file, out = (
        tmp_path / name for name in ("student.pt", "tracker.pt", "confidence.json", "out")
    )
    export(ExportConfig(student_file, tracker_file, confidence_file, out))
    for name in ("encoder", "decoder", "tracker", "memory"):
        golden = np.load(tmp_path / "out" / f"{name}.golden.npz")
        session = onnxruntime.InferenceSession(str(tmp_path / "out" / f"{name}.onnx"))
        outputs = [port.name for port in session.get_outputs()]
        given = session.run(
            outputs, {port.name: golden[f"in_{port.name}"].astype(np.float32) for port in session.get_inputs()}
        )
        for output, value in zip(outputs, given, strict=True):
            np.testing.assert_allclose(value, golden[f"out_{output}"], rtol=1e-3, atol=1e-4)
    conventions = json.loads((tmp_path / "out" / "conventions.json").read_text())
    assert conventions["input"] == [1, 1, 256, 256]
    assert conventions["confidence"]["right"] == {"weights": [3.0], "bias": -1.0}
    assert conventions["confidence"]["flagged_below"] == 0.4
    assert conventions["confidence"]["gate"]["held_frames"] == HELD_FRAMES


def test_evaluation_counts_every_object_and_click(packed: Path) -> None:
    pack = Pack(packed)
    results = evaluate_clicks(
        Student(SonoSamLite().eval(), pack), pack, pack.objects("test"), clicks_max=3, is_quiet=True
    )
    assert results.by_click.shape == (6, 3)
    table = results.table()
    assert table["DISCS"]["objects"] == 6
    assert table["mean"]["2"] == pytest.approx(results.by_click[:, 1].mean())

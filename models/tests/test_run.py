"""Runs that cannot fool: starts, ends, interrupts and figures of a training run, with a network of one number."""

import dataclasses
import json
import os
import signal
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
import torch
from torch import Tensor, nn

from sonotrace_models.data.manifest import DataError
from sonotrace_models.train.run import Run, Schedule, draw_curves


class Number(nn.Module):
    """A number that should become 1."""

    def __init__(self, value: float = 0.0) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.tensor(value))

    def forward(self, factor: float) -> Tensor:
        return factor * (self.value - 1).square()


@dataclasses.dataclass
class Config:
    """A stage's configuration."""

    start: Path | None = None
    schedule: Schedule = dataclasses.field(
        default_factory=lambda: Schedule(steps=4, validate_every=2, checkpoint_every=1, warmup_steps=0)
    )


def train(
    folder: Path, config: Config, factors: list[float] | None = None, scores: list[float] | None = None
) -> Run[Number]:
    """Trains; the loss of step n has the factor n, and validation n the score n."""
    net = Number()
    run = Run(folder, config, config.schedule, net, net)
    left = list(scores or [])
    for step in run.steps(lambda: (left.pop(0) if left else run.kept.value.item(), {"value": run.kept.value.item()})):
        run.backward(run.net((factors or [1.0] * 9)[step]))
    return run


def logged(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_the_start_is_validated_and_never_lost(tmp_path: Path) -> None:
    train(tmp_path, Config(), scores=[5.0, 4.0, 3.0])
    assert [line["step"] for line in logged(tmp_path)] == [0, 2, 4]
    assert float(torch.load(tmp_path / "best.pt", weights_only=True)["value"]) == 0
    assert logged(tmp_path)[-1]["value"] != 0


def test_steps_without_effect_are_counted(tmp_path: Path) -> None:
    run = train(tmp_path, Config(), factors=[1.0, float("nan"), float("inf"), 1.0])
    assert [line["steps_not_finite"] for line in logged(tmp_path)] == [0, 1, 2]
    assert torch.isfinite(run.plain.value)


def test_a_run_ends_if_all_steps_are_without_effect(tmp_path: Path) -> None:
    schedule = Schedule(steps=100, validate_every=200, checkpoint_every=200, warmup_steps=0)
    with pytest.raises(DataError, match="50 steps in a row had a NaN or infinite gradient, and no effect"):
        train(tmp_path, Config(schedule=schedule), factors=[1.0] + [float("nan")] * 99)


def test_the_configuration_is_json_and_true_after_a_resume(tmp_path: Path) -> None:
    train(tmp_path, Config())
    config = Config(schedule=Schedule(steps=6, validate_every=3, checkpoint_every=1, warmup_steps=0))
    train(tmp_path, config)

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    kept = json.loads((tmp_path / "config.json").read_text(), parse_constant=refuse)
    assert (kept["schedule"]["steps"], kept["schedule"]["minutes"], kept["resumed_at_steps"]) == (6, None, [4])


def test_a_folder_with_another_run_is_refused(tmp_path: Path) -> None:
    train(tmp_path, Config(start=tmp_path / "a.pt"))
    more = Schedule(steps=8, validate_every=2, checkpoint_every=1, warmup_steps=0)
    with pytest.raises(DataError, match=r"began from .*a.pt, not from .*b.pt: give another --folder"):
        train(tmp_path, Config(tmp_path / "b.pt", more))
    with pytest.raises(DataError, match=r"ended at step 4 of 4, .*give another --folder, or larger --schedule.steps"):
        train(tmp_path, Config(start=tmp_path / "a.pt"))
    train(tmp_path, Config(tmp_path / "a.pt", more))
    assert logged(tmp_path)[-1]["step"] == 8


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_with_a_checkpoint(tmp_path: Path, kind: signal.Signals) -> None:
    before = signal.getsignal(kind)
    net = Number()
    config = Config(schedule=Schedule(steps=100, validate_every=100, checkpoint_every=100, warmup_steps=0))
    run = Run(tmp_path, config, config.schedule, net, net)
    for step in run.steps(lambda: (0.0, {})):
        run.backward(run.net(1.0))
        if step == 5:
            os.kill(os.getpid(), kind)
    assert signal.getsignal(kind) == before
    assert torch.load(tmp_path / "last.pt", weights_only=True)["step"] == run.step
    # The step in work, and the next one.
    assert run.step == 7
    train(tmp_path, Config(schedule=dataclasses.replace(config.schedule, steps=9)))
    assert json.loads((tmp_path / "config.json").read_text())["resumed_at_steps"] == [7]


def test_curves_begin_at_step_0_and_say_what_they_are_judged_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [
        {"step": 0, "spent_s": 0, "lr": 0.1, "val_3": 0.2, "val_objects": 24},
        {"step": 500, "spent_s": 60, "lr": 0.1, "loss": 3.0, "val_3": 0.9, "val_objects": 24},
    ]
    (tmp_path / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    seen: list[Any] = []
    monkeypatch.setattr(plt, "close", seen.append)
    draw_curves(tmp_path)
    (figure,) = seen
    shown = {axis.get_title(): axis for axis in figure.axes if axis.lines}
    assert sorted(shown) == ["loss", "lr", "val_3"]
    for axis in shown.values():
        low, high = axis.get_xlim()
        assert low <= 0
        assert high >= 500
    assert list(shown["val_3"].lines[0].get_xdata()) == [0, 500]
    assert "steps 0 to 500; val_: n = 24 objects" in figure._suptitle.get_text()

"""A training run: devices, and a folder with its configuration, log, curves and checkpoints.

The same command runs on a CPU, on one GPU, and on several under `torchrun --nproc-per-node N -m -- sonotrace_models ...`.
A stopped run resumes from its last checkpoint when it is started again with the same folder.
"""

import dataclasses
import json
import math
import os
import signal
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, cast

import matplotlib as mpl
import numpy as np
import torch
from lightning_fabric import Fabric
from lightning_fabric.plugins import MixedPrecision
from torch import nn
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from sonotrace_models import provenance
from sonotrace_models.data.manifest import DataError
from sonotrace_models.train.precision import has_bf16

mpl.use("Agg")
import matplotlib.pyplot as plt

Net = TypeVar("Net", bound=nn.Module)
Validate = Callable[[], tuple[float, dict[str, float]]]
"""Judges the weights to keep: a score, of which more is better, and figures for the log."""


@dataclasses.dataclass
class Schedule:
    """Length and learning rate of a run."""

    steps: int
    """Optimiser steps in all."""
    minutes: float = math.inf
    """Time limit over all starts of the run, for machines that are available for a limited time."""
    batch: int = 16
    """Images per step and process."""
    learning_rate: float = 4e-4
    """Peak value: warm-up, then cosine decay to 2 %."""
    weight_decay: float = 0.02
    warmup_steps: int = 100
    ema: float = 0.998
    """Decay of the averaged weights, which are the ones that are saved."""
    validate_every: int = 500
    checkpoint_every: int = 250
    seed: int = 0
    compiled: bool = True
    """Compile the networks; takes a minute or two, and saves a third of each step afterwards."""


NOT_FINITE_MAX = 50
"""A run ends after so many steps in a row without effect: it would learn nothing, and look as if it did."""


class MixedBf16(MixedPrecision):
    """Multiplies in bf16 without converting the inputs: Fabric's class rounds all of them, positions and probabilities too."""

    def __init__(self, device: Literal["cpu", "cuda"]) -> None:
        super().__init__("bf16-mixed", device)

    def convert_input(self, data: Any) -> Any:
        return data


class Run(Generic[Net]):
    """One run: iterate over `steps(validate)`, and call `backward` once in each.

    An interrupt (Ctrl-C, or the signal of a machine that shuts down) ends it after the next step, with a checkpoint; a second
    one at once.
    """

    def __init__(self, folder: Path, config: Any, schedule: Schedule, net: Net, objective: nn.Module) -> None:
        """Sets up devices, and loads the last checkpoint if there is one.

        Args:
            net: the network to train and save.
            objective: a module that contains `net` and whose forward returns the loss; it is distributed over devices.

        Raises:
            DataError: the folder holds a run that ended, that began from other weights than `config.start`, or that was on
                other data.
        """
        self.folder, self.schedule = folder, schedule
        local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        kind: Literal["cpu", "cuda"] = "cuda" if torch.cuda.is_available() else "cpu"
        self.fabric = Fabric(
            accelerator=kind,
            devices=local,
            num_nodes=int(os.environ.get("WORLD_SIZE", "1")) // local,
            strategy="ddp_find_unused_parameters_true" if local > 1 else "auto",
            plugins=MixedBf16(kind) if has_bf16(torch.device(kind)) else None,
        )
        self.fabric.launch()
        self.device = self.fabric.device
        # Convolutions on a CPU are faster in this layout.
        net.to(memory_format=torch.channels_last)
        optimizer = torch.optim.AdamW(
            _groups(net, schedule.weight_decay), schedule.learning_rate, betas=(0.9, 0.98), fused=True
        )
        self.plain = net
        # Statistics of batch normalisation are averages already; they are only copied.
        self.averaged = AveragedModel(net, multi_avg_fn=averaging(schedule.ema))
        self.averaged.to(self.device)
        self.net, self.optimizer = self.fabric.setup(objective, optimizer)
        """The objective, on its devices."""
        self.step = 0
        self.spent_s = 0.0
        self._began_s, self._step_s = 0.0, 0.0
        self._is_last = self._is_stopped = False
        self._not_finite = self._not_finite_in_a_row = 0
        self._recent: dict[str, list[torch.Tensor]] = defaultdict(list)
        self.best = -math.inf
        folder.mkdir(parents=True, exist_ok=True)
        self._record = provenance.of_stage(config)
        resumed = self._resume(config) if (folder / "last.pt").is_file() else []
        if self.fabric.is_global_zero:
            text = json.dumps({**as_json(config), "resumed_at_steps": resumed}, indent=1, allow_nan=False)
            (folder / "config.json").write_text(text)
            provenance.write(folder, self._record)
        # Each restart and each process has its own random numbers.
        self.seed = schedule.seed + 1000 * self.fabric.global_rank + 1_000_003 * self.step
        torch.manual_seed(self.seed)

    def generators(self) -> tuple[torch.Generator, np.random.Generator]:
        """This process's random generators."""
        return torch.Generator(self.device).manual_seed(self.seed), np.random.default_rng(self.seed)

    def steps(self, validate: Validate) -> Iterator[int]:
        """Yields the remaining steps, with a progress bar; sets the learning rate, validates, also before the first step, and
        saves checkpoints."""
        bar = tqdm(
            total=self.schedule.steps,
            initial=self.step,
            desc=self.folder.name,
            disable=not self.fabric.is_global_zero,
            mininterval=10,
        )
        signals = {kind: signal.signal(kind, self._stop) for kind in (signal.SIGINT, signal.SIGTERM)}
        try:
            if self.step == 0 and self.fabric.is_global_zero:
                # The best weights are never worse than those that the run began with.
                self._validated(*validate())
            self._began_s = time.monotonic()
            while not self._is_last and self.step < self.schedule.steps:
                # All processes stop at the same step, although each has its own clock.
                is_last = self._is_stopped or self._progress(self.step + 1, self.spent_s + self._step_s) >= 1
                self._is_last = self.fabric.broadcast(is_last)
                for group in self.optimizer.param_groups:
                    group["lr"] = self._learning_rate()
                yield self.step
                # In the network's mode: some of LiteMedSAM's layers have buffers that exist only in eval mode.
                self.averaged.train()
                self.averaged.update_parameters(self.plain)
                self.step += 1
                # The others wait for this process at the next step.
                if self.fabric.is_global_zero and self._is_due:
                    self._validated(*validate())
                now = time.monotonic()
                self.spent_s, self._began_s = self.spent_s + now - self._began_s, now
                bar.update()
                if self.step % 25 == 0:
                    bar.set_postfix({key: f"{_mean(values[-100:]):.4g}" for key, values in self._recent.items()})
                if self.step % self.schedule.checkpoint_every == 0 or self._is_last:
                    self._checkpoint()
        finally:
            for kind, handler in signals.items():
                signal.signal(kind, handler)

    def _stop(self, kind: int, _: Any) -> None:
        if self._is_stopped:
            raise KeyboardInterrupt
        self._is_stopped = True
        tqdm.write(f"{self.folder}: {signal.Signals(kind).name}: ends with a checkpoint after the next step")

    def backward(self, loss: torch.Tensor, **numbers: torch.Tensor | float) -> None:
        """One optimiser step. `numbers` go to the log, without waiting for the device."""
        self.optimizer.zero_grad(set_to_none=True)
        self.fabric.backward(loss)
        norm = torch.nn.utils.clip_grad_norm_(self.net.parameters(), 1.0)
        # A step with a NaN or infinite gradient would destroy the weights.
        if torch.isfinite(norm):
            self.optimizer.step()
            self._not_finite_in_a_row = 0
        else:
            self._not_finite += 1
            self._not_finite_in_a_row += 1
            if self._not_finite_in_a_row == NOT_FINITE_MAX:
                raise DataError(
                    f"{self.folder}: {NOT_FINITE_MAX} steps in a row had a NaN or infinite gradient, and no effect: lower "
                    "--schedule.learning-rate, or look for the cause in the data"
                )
        for key, value in {"loss": loss, **numbers}.items():
            self._recent[key].append(torch.as_tensor(value).detach())
        self._step_s = time.monotonic() - self._began_s

    @property
    def kept(self) -> Net:
        """The network with the averaged weights, in eval mode."""
        return cast(Net, self.averaged.module.eval())

    @property
    def _is_due(self) -> bool:
        """Whether to validate after this step."""
        return self.step % self.schedule.validate_every == 0 or (self._is_last and not self._is_stopped)

    def _validated(self, score: float, numbers: dict[str, float]) -> None:
        """Logs, draws the curves, and saves the averaged weights if they are the best so far."""
        means = {key: _mean(values) for key, values in self._recent.items()}
        self._recent.clear()
        line = {
            "step": self.step,
            "spent_s": round(self.spent_s),
            "lr": self._learning_rate(),
            # Steps without effect so far, because a gradient was NaN or infinite.
            "steps_not_finite": self._not_finite,
            "score": score,
            **means,
            **numbers,
        }
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps({key: round(value, 6) for key, value in line.items()}) + "\n")
        tqdm.write("  ".join(f"{key} {value:.4g}" for key, value in line.items()))
        draw_curves(self.folder)
        if score > self.best:
            self.best = score
            _save(self.folder / "best.pt", self.kept.state_dict())

    def _progress(self, step: int, spent_s: float) -> float:
        """Share of the schedule that is done, by steps or by time, whichever is more."""
        return max(step / self.schedule.steps, spent_s / (60 * self.schedule.minutes))

    def _learning_rate(self) -> float:
        warmup = min(1.0, (self.step + 1) / max(self.schedule.warmup_steps, 1))
        cosine = 0.5 * (1 + math.cos(math.pi * min(self._progress(self.step, self.spent_s), 1.0)))
        return self.schedule.learning_rate * warmup * (0.02 + 0.98 * cosine)

    def _checkpoint(self) -> None:
        if self.fabric.is_global_zero:
            state = {
                "net": self.plain.state_dict(),
                "averaged": self.averaged.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "step": self.step,
                "spent_s": self.spent_s,
                "best": self.best,
                "not_finite": self._not_finite,
            }
            _save(self.folder / "last.pt", state)
        self.fabric.barrier()

    def _resume(self, config: Any) -> list[int]:
        """Loads the last checkpoint. Returns the steps at which the run was resumed."""
        state = torch.load(self.folder / "last.pt", map_location=self.device, weights_only=True)
        path = self.folder / "config.json"
        before = json.loads(path.read_text()) if path.is_file() else {}
        start, began_from = as_json(config).get("start"), before.get("start")
        if start is not None and start != began_from:
            raise DataError(
                f"{self.folder} holds a run that began from {began_from}, not from {start}: give another --folder, or "
                "delete this one"
            )
        record = provenance.of_weights(self.folder / "last.pt")
        data, data_before = ((of or {}).get("data") for of in (self._record, record))
        if data_before is not None and data != data_before:
            raise DataError(
                f"{self.folder} holds a run on other data ({data_before['sha256']}): give another --folder, and --start to "
                "go on from its weights"
            )
        if self._progress(state["step"], state["spent_s"]) >= 1:
            raise DataError(
                f"{self.folder} holds a run that ended at step {state['step']} of {self.schedule.steps}, after "
                f"{state['spent_s'] / 60:.1f} minutes: give another --folder, or larger --schedule.steps and "
                "--schedule.minutes"
            )
        self.plain.load_state_dict(state["net"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.spent_s, self.best = state["step"], state["spent_s"], state["best"]
        self._not_finite = state["not_finite"]
        self.fabric.print(f"{self.folder}: resumes at step {self.step} of {self.schedule.steps}")
        return [*before.get("resumed_at_steps", []), self.step]


def as_json(config: Any) -> dict[str, Any]:
    """A configuration as JSON has it: paths as text, and null for no limit, because infinity is no JSON."""

    def plain(value: Any) -> Any:
        match value:
            case dict():
                return {key: plain(part) for key, part in value.items()}
            case list() | tuple():
                return [plain(part) for part in value]
            case float() if not math.isfinite(value):
                return None
            case Path():
                return str(value)
        return value

    return cast(dict[str, Any], plain(dataclasses.asdict(config)))


def _mean(values: list[torch.Tensor]) -> float:
    return torch.stack(values).float().mean().item()


def averaging(decay: float) -> Callable[[Any, Any, Any], None]:
    """An exponential moving average that discards its first weights quickly: after n steps it covers about n / 20 steps."""

    @torch.no_grad()
    def average(averaged: list[torch.Tensor], current: list[torch.Tensor], count: torch.Tensor | int) -> None:
        steps = float(count)
        share = 1 - min(decay, (1 + steps) / (20 + steps))
        torch._foreach_lerp_(averaged, current, share)

    return average


def _groups(net: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices only: not for biases, norms, tokens and positions."""
    embeddings = ("token", "position", "point", "no_mask", "bank")
    decayed: list[nn.Parameter] = []
    kept: list[nn.Parameter] = []
    for name, parameter in net.named_parameters():
        if parameter.requires_grad:
            is_matrix = parameter.ndim > 1 and not any(part in name for part in embeddings)
            (decayed if is_matrix else kept).append(parameter)
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": kept, "weight_decay": 0.0}]


def _save(path: Path, state: Any) -> None:
    """Saves atomically: a reader sees the old file or the complete new one."""
    part = path.with_suffix(".part")
    torch.save(state, part)
    part.replace(path)


JUDGED_ON = ("val_objects", "val_images", "val_loops")
"""Figures of the log that count what weights are judged on."""


def judged_on(line: Mapping[str, float]) -> str:
    """What a line of the log counts, as in `192 objects`; empty if it counts nothing."""
    return ", ".join(f"{line[key]:.0f} {key.removeprefix('val_')}" for key in JUDGED_ON if key in line)


def draw_curves(folder: Path) -> None:
    """Plots all numbers of the log to `curves.png`, from step 0 to the last."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    # Losses are in no line before the first step, and some figures may be in earlier lines only.
    keys = [
        key
        for key in dict.fromkeys(key for line in lines for key in line)
        if key not in ("step", "spent_s", *JUDGED_ON)
    ]
    columns = 4
    rows = math.ceil(len(keys) / columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.2 * columns, 2.4 * rows + 0.3), squeeze=False)
    last = max(line["step"] for line in lines)
    for axis, key in zip(axes.flat, keys, strict=False):
        points = [(line["step"], line[key]) for line in lines if key in line]
        axis.plot(*zip(*points, strict=True), marker=".", linewidth=1)
        axis.set_xlim(-0.02 * max(last, 1), 1.02 * max(last, 1))
        axis.set_title(key, fontsize=9)
        axis.grid(alpha=0.3)
        axis.tick_params(labelsize=7)
    for axis in list(axes.flat)[len(keys) :]:
        axis.axis("off")
    count = judged_on(lines[-1])
    figure.suptitle(f"{folder.name}, steps 0 to {last}" + (f"; val_: n = {count}" if count else ""), fontsize=9)
    figure.tight_layout()
    figure.savefig(folder / "curves.png", dpi=110)
    plt.close(figure)

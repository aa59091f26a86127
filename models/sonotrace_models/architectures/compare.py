"""One network through one exporter: exported, compiled with f32 weights, run, and compared with onnxruntime.

The error of an output is its largest absolute difference divided by the largest absolute value that onnxruntime gives.
"""

import contextlib
import io
import os
import re
import subprocess
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

from sonotrace_models.architectures.networks import Ports

Exporter = Literal["torchscript", "dynamo"]
EXPORTERS: tuple[Exporter, ...] = ("torchscript", "dynamo")
OPSET = 17
"""Operator set of the torchscript exporter; dynamo chooses its own."""
ERROR_MAX = 2e-4
"""Bound on an output's error."""
BINARY = "SONOTRACE_BINARY"
"""Environment variable that names the `sonotrace` command."""
PROGRAM = "main"
# Colours of a terminal.
ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


class CommandError(Exception):
    """A `sonotrace` command failed; its text is what it printed."""


@dataclass(frozen=True)
class Outcome:
    """What became of one network: figures of a compiled one, or the reason why there are none."""

    refusal: str = ""
    operations: int = 0
    gmacs: float = 0.0
    memory_bytes: int = 0
    """Memory that the executor needs with one thread, without the file."""
    file_bytes: int = 0
    error: float = 0.0

    @property
    def is_right(self) -> bool:
        """Whether it compiled and is within the bound."""
        return not self.refusal and self.error <= ERROR_MAX


def binary() -> Path:
    """The `sonotrace` command: the one that is named, or the newest one of this checkout."""
    named = os.environ.get(BINARY)
    if named:
        return Path(named)
    target = Path(__file__).parents[3] / "target"
    built = [path for kind in ("debug", "release") if (path := target / kind / "sonotrace").exists()]
    return max(built, key=lambda path: path.stat().st_mtime, default=target / "debug" / "sonotrace")


def command(*arguments: str | Path) -> str:
    """Runs a `sonotrace` command and returns what it prints.

    Raises:
        CommandError: it failed.
    """
    done = subprocess.run(
        [binary(), *arguments], capture_output=True, text=True, check=False, errors="replace", stdin=subprocess.DEVNULL
    )
    if done.returncode != 0:
        raise CommandError(done.stderr.strip().removeprefix("sonotrace: ") or f"exit code {done.returncode}")
    return done.stdout


def export(net: nn.Module, inputs: Mapping[str, Tensor], exporter: Exporter, path: Path) -> None:
    """Writes a network as an ONNX graph with fixed shapes and the inputs' names."""
    values = tuple(inputs.values())
    with torch.no_grad():
        outputs = [f"output{at}" for at in range(len(net(*values)))]
    # Exporters print and warn at length.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        warnings.simplefilter("ignore")
        options = {"dynamo": True} if exporter == "dynamo" else {"dynamo": False, "opset_version": OPSET}
        torch.onnx.export(net, values, path, input_names=list(inputs), output_names=outputs, verbose=False, **options)


def cause_of(problem: BaseException) -> str:
    """The first line of the exception that an exporter's own exceptions wrap."""
    while (cause := problem.__cause__ or problem.__context__) is not None:
        problem = cause
    lines = ESCAPE.sub("", str(problem)).strip().splitlines()
    return f"{type(problem).__name__}: {lines[0] if lines else 'no text'}"


def reference(path: Path, inputs: Mapping[str, Tensor]) -> dict[str, np.ndarray]:
    """The outputs of a graph by onnxruntime."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    names = [port.name for port in session.get_outputs()]
    # Exporters leave out inputs that a network does not read.
    read = {port.name for port in session.get_inputs()}
    values = session.run(names, {name: value.numpy() for name, value in inputs.items() if name in read})
    return dict(zip(names, values, strict=True))


def relative_error(seen: np.ndarray, expected: np.ndarray) -> float:
    """Largest absolute difference, as a part of the largest absolute expected value."""
    if seen.shape != expected.shape or not np.isfinite(seen).all():
        return float("inf")
    scale = float(np.abs(expected).max())
    worst = float(np.abs(seen.astype(np.float64) - expected).max())
    return worst / scale if scale > 0 else worst


def figure(pattern: str, text: str) -> float:
    """A number in the text of `sonotrace inspect`."""
    found = re.search(pattern, text)
    if found is None:
        raise CommandError(f"`sonotrace inspect` prints nothing like {pattern}")
    return float(found.group(1))


def compare(net: nn.Module, inputs: Mapping[str, Tensor], exporter: Exporter, folder: Path) -> Outcome:
    """Takes a network through an exporter, `compile` and `infer` in an empty folder, and compares with onnxruntime."""
    graph, file, out = folder / "graph.onnx", folder / "file.sono", folder / "out"
    try:
        export(Ports(net).eval(), inputs, exporter, graph)
    except Exception as problem:  # Exporters raise exceptions of any type.
        return Outcome(refusal=f"the exporter fails: {cause_of(problem)}")
    expected = reference(graph, inputs)
    try:
        command("compile", "--weights", "f32", "--program", f"{PROGRAM}={graph}", "-o", file)
        inspected = command("inspect", file)
        arguments: list[str | Path] = []
        for name in re.findall(r"^  in +(\S+) ", inspected, re.MULTILINE):
            np.save(folder / f"{name}.npy", inputs[name].numpy())
            arguments += ["--input", f"{name}={folder / name}.npy"]
        command("infer", file, PROGRAM, *arguments, "--out", out)
    except CommandError as problem:
        return Outcome(refusal=str(problem))
    errors = [relative_error(np.load(out / f"{name}.npy"), value) for name, value in expected.items()]
    return Outcome(
        operations=int(figure(r"program \S+: (\d+) operations", inspected)),
        gmacs=figure(r"operations, ([\d.]+) GMAC", inspected),
        memory_bytes=int(figure(r"executor memory +(\d+) bytes", inspected)),
        file_bytes=file.stat().st_size,
        error=max(errors),
    )

"""ONNX's own operator tests, compiled and run by the `sonotrace` command.

The `onnx` package generates them: a graph of one or a few nodes, inputs, and expected outputs. Graphs with ports that are
not f32 are left out. Integers, truth values and weights among the inputs become constants of the graph, because a model
file has neither integer ports nor computed weights.

`python tests/operators.py` prints every test that is refused, wrong or panicked; `--update` also writes the counts that
`test_operators.py` compares with.
"""

import argparse
import json
import os
import re
import subprocess
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.case.node import collect_testcases
from onnx.backend.test.case.test_case import TestCase

# Number of tests by result, and the names of those that are not right.
KEPT = Path(__file__).with_name("operators.json")
# The binary, if it is not the one that `cargo build` writes.
BINARY = "SONOTRACE_BINARY"
# Bounds of ONNX's own runner are 1e-3 and 1e-7; the latter is below the rounding of f32 for sums of values around 1.
RELATIVE_MAX = 1e-3
ABSOLUTE_MAX = 1e-5
# Seconds until one command counts as hanging.
TIMEOUT_S = 120
# A refusal names the node, its operation and the reason.
REFUSAL = re.compile(r"program main: node .+: operation \S+ is not supported: .+", re.DOTALL)
CONSTANT_TYPES = {
    onnx.TensorProto.UINT8,
    onnx.TensorProto.INT8,
    onnx.TensorProto.UINT16,
    onnx.TensorProto.INT16,
    onnx.TensorProto.INT32,
    onnx.TensorProto.INT64,
    onnx.TensorProto.BOOL,
    onnx.TensorProto.UINT32,
    onnx.TensorProto.UINT64,
}
# Operations whose inputs from this one on are weights.
FIRST_WEIGHT = {
    "BatchNormalization": 1,
    "CausalConvWithState": 1,
    "Conv": 1,
    "ConvTranspose": 1,
    "DeformConv": 3,
    "DequantizeLinear": 1,
    "GRU": 1,
    "GroupNormalization": 1,
    "InstanceNormalization": 1,
    "LSTM": 1,
    "LayerNormalization": 1,
    "NegativeLogLikelihoodLoss": 2,
    "OneHot": 1,
    "Pad": 1,
    "PRelu": 1,
    "RMSNormalization": 1,
    "RNN": 1,
    "Resize": 1,
    "SoftmaxCrossEntropyLoss": 2,
    "Upsample": 1,
}
# Of operations that a test writes out as their function, by the start of the test's name.
FIRST_WEIGHT_WRITTEN_OUT = {"test_sce_": 2, "test_nllloss_": 2, "test_group_normalization_": 1}


@dataclass(frozen=True)
class Result:
    """Result of one test: `right`, `refused`, `wrong` or `panicked`."""

    name: str
    kind: str
    text: str = ""


def binary() -> Path:
    """The `sonotrace` command."""
    return Path(os.environ.get(BINARY) or Path(__file__).parents[2] / "target" / "debug" / "sonotrace")


@dataclass(frozen=True)
class Operator:
    """A test whose ports are f32."""

    name: str
    model: onnx.ModelProto
    inputs: dict[str, np.ndarray]
    outputs: dict[str, np.ndarray]


def operator(case: TestCase) -> Operator | None:
    """The test with its constants in the graph; none if it has other ports than f32, or no input."""
    if case.model is None or not case.data_sets:
        return None
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    inputs, outputs = case.data_sets[0]
    graph = model.graph
    expected = {}
    for port, value in zip(graph.output, outputs, strict=True):
        array = np.asarray(value) if isinstance(value, np.ndarray | np.generic) else None
        if port.type.tensor_type.elem_type != onnx.TensorProto.FLOAT or array is None or array.size == 0:
            return None
        expected[port.name] = array
    first = next((at for start, at in FIRST_WEIGHT_WRITTEN_OUT.items() if case.name.startswith(start)), None)
    for node in graph.node:
        if node.op_type in FIRST_WEIGHT:
            first = FIRST_WEIGHT[node.op_type]
    given = {}
    for at, (port, value) in enumerate(zip(list(graph.input), inputs, strict=True)):
        kind = port.type.tensor_type.elem_type
        if not isinstance(value, np.ndarray | np.generic) or np.asarray(value).size == 0:
            return None
        if kind in CONSTANT_TYPES or (first is not None and at >= first):
            graph.initializer.append(numpy_helper.from_array(np.asarray(value), port.name))
            graph.input.remove(port)
        elif kind == onnx.TensorProto.FLOAT:
            given[port.name] = np.asarray(value)
        else:
            return None
    return Operator(case.name, model, given, expected) if given else None


def operators() -> list[Operator]:
    """All tests whose ports are f32."""
    with warnings.catch_warnings():
        # The generator divides by zero on purpose.
        warnings.simplefilter("ignore")
        cases = collect_testcases()
    return [found for case in cases if (found := operator(case)) is not None]


def command(arguments: Iterable[str | Path]) -> tuple[int, str]:
    """Exit code and error text of a `sonotrace` command."""
    try:
        done = subprocess.run(
            [binary(), *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False, errors="replace"
        )
    except subprocess.TimeoutExpired:
        return -1, "panicked: it did not end"
    return done.returncode, done.stderr


def run(test: Operator, folder: Path) -> Result:
    """Compiles and runs one test in an empty folder."""
    graph, file, out = folder / "graph.onnx", folder / "file.sono", folder / "out"
    onnx.save(test.model, graph)
    code, text = command(["compile", "--weights", "f32", "--program", f"main={graph}", "-o", file])
    if code not in (0, 1) or "panicked" in text:
        return Result(test.name, "panicked", text)
    if code == 1:
        # A refusal that does not say what to change is as little use as a wrong result.
        return Result(test.name, "refused" if REFUSAL.search(text) else "wrong", text)
    arguments: list[str | Path] = ["infer", file, "main", "--out", out]
    for at, (name, value) in enumerate(test.inputs.items()):
        np.save(folder / f"{at}.npy", value.astype(np.float32))
        arguments += ["--input", f"{name}={folder / f'{at}.npy'}"]
    code, text = command(arguments)
    if code != 0:
        return Result(test.name, "panicked" if code != 1 or "panicked" in text else "wrong", text)
    for name, expected in test.outputs.items():
        seen = np.load(out / f"{name}.npy")
        if seen.shape != expected.shape:
            return Result(test.name, "wrong", f"{name} has shape {seen.shape}, expected {expected.shape}")
        if not np.allclose(seen, expected, rtol=RELATIVE_MAX, atol=ABSOLUTE_MAX, equal_nan=True):
            worst = np.nanmax(np.abs(seen - expected))
            return Result(test.name, "wrong", f"{name} differs by up to {worst}")
    return Result(test.name, "right")


def run_all(tests: list[Operator]) -> list[Result]:
    """Runs tests on all cores."""

    def one(test: Operator) -> Result:
        with tempfile.TemporaryDirectory() as folder:
            return run(test, Path(folder))

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(one, tests))


def summary(results: list[Result]) -> dict[str, object]:
    """What is kept: the counts, and the names that are not right."""
    counts = Counter(result.kind for result in results)
    return {
        "counts": {kind: counts[kind] for kind in ("right", "refused", "wrong", "panicked")},
        "refused": sorted(result.name for result in results if result.kind == "refused"),
    }


def main() -> None:
    """Prints what is not right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--update", action="store_true", help="write the counts that the test compares with")
    parser.add_argument("--only", default="", help="run only tests whose names contain this")
    options = parser.parse_args()
    results = run_all([test for test in operators() if options.only in test.name])
    for result in sorted(results, key=lambda result: (result.kind, result.text)):
        if result.kind != "right":
            print(f"{result.kind} {result.name}: {result.text.strip()[:400]}")
    kept = summary(results)
    print(kept["counts"])
    if options.update:
        KEPT.write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()

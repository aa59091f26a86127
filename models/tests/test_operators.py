"""ONNX's operator tests: none is wrong, and none that was right is refused."""

import json
import os

import pytest
from operators import BINARY, KEPT, binary, operators, run_all, summary


def test_operators_are_right_or_refused_by_name() -> None:
    if BINARY not in os.environ and not binary().exists():
        pytest.skip(f"no sonotrace command at {binary()}: build it, or name it with {BINARY}")
    results = run_all(operators())
    failed = [result for result in results if result.kind in ("wrong", "panicked")]
    assert not failed, "\n".join(f"{result.kind} {result.name}: {result.text}" for result in failed)
    assert summary(results) == json.loads(KEPT.read_text()), "run `python tests/operators.py --update`"

"""The reference does what `following_cases.json` says, to which the runtime is held too."""

import json
from typing import Any

import make_following_cases as made
import pytest

STORED = json.loads(made.PATH.read_text("utf-8"))


def test_the_reference_remembers_and_learns_as_stored() -> None:
    assert made.memory_cases() == STORED["memory"]
    assert made.reference_cases() == STORED["references"]
    assert made.gate_cases() == STORED["gate"]
    assert made.cases()["rules"] == STORED["rules"]


@pytest.mark.parametrize("part", ["evidence", "judged"])
def test_the_reference_sees_as_stored(part: str) -> None:
    seen: dict[str, Any] = made.evidence_case()[part]
    assert list(seen) == list(STORED["seen"][part])
    for name, values in seen.items():
        assert values == pytest.approx(STORED["seen"][part][name], abs=1e-5), name


def test_the_reference_computes_pixels_as_stored() -> None:
    for name, values in made.pixels_case().items():
        for value, stored in zip(values, STORED["pixels"][name], strict=True):
            assert value == pytest.approx(stored, abs=1e-4), name


def test_the_stored_frames_hold_each_kind_of_step() -> None:
    frames = STORED["memory"]
    assert any(frame["is_corrected"] for frame in frames)
    assert any(not frame["trusted"] for frame in frames)
    assert any(frame["flow_is_zero"] and not frame["is_corrected"] for frame in frames)

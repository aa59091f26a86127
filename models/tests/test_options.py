"""Names in options: whatever a stage is given must exist."""

import dataclasses
import typing
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pytest

from sonotrace_models.__main__ import STAGES, main
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack
from sonotrace_models.data.sampling import Sampler, refuse_emphasis
from sonotrace_models.evaluate.report import ClicksConfig, chosen_objects


def flattened(config: type[Any], prefix: str = "") -> dict[str, Any]:
    """Types of all options of a configuration, by their names on the command line."""
    found: dict[str, Any] = {}
    for name, kind in get_type_hints(config).items():
        if dataclasses.is_dataclass(kind):
            found |= flattened(typing.cast(type[Any], kind), f"{prefix}{name}.")
        else:
            found[(prefix + name).replace("_", "-")] = kind
    return found


def takes_names(kind: Any) -> bool:
    """Whether an option takes names that are checked by the stage itself."""
    return kind in (list[str], list[str] | None, dict[str, float])


NAMED = [
    (stage, option, kind)
    for stage, config in STAGES.items()
    for option, kind in flattened(config).items()
    if takes_names(kind)
]
CHOICES = [
    (stage, option)
    for stage, config in STAGES.items()
    for option, kind in flattened(config).items()
    if typing.get_origin(kind) is typing.Literal
]


def test_every_stage_is_looked_at() -> None:
    assert {stage for stage, _, _ in NAMED} >= {"embed", "best-masks", "encoder", "student", "clicks", "architectures"}
    assert {stage for stage, _ in CHOICES} >= {"clicks", "cine", "architectures"}


@pytest.mark.parametrize(("stage", "option", "kind"), NAMED, ids=[f"{stage} {option}" for stage, option, _ in NAMED])
def test_names_that_do_not_exist_are_refused_with_those_that_do(
    packed: Path, capsys: pytest.CaptureFixture[str], stage: str, option: str, kind: Any
) -> None:
    has_pack = "pack" in flattened(STAGES[stage])
    flags = [] if option == "names" else [f"--{option}"]
    values = ["NOWHERE", "2"] if kind == dict[str, float] else ["NOWHERE"]
    assert main([stage, *flags, *values, *(["--pack", str(packed)] if has_pack else [])]) == 2
    error = capsys.readouterr().err
    assert "NOWHERE" in error
    assert ("DISCS" if has_pack else "known: ") in error


@pytest.mark.parametrize(("stage", "option"), CHOICES)
def test_choices_that_do_not_exist_are_refused(capsys: pytest.CaptureFixture[str], stage: str, option: str) -> None:
    with pytest.raises(SystemExit) as refusal:
        main([stage, f"--{option}", "NOWHERE"])
    assert refusal.value.code == 2
    assert "NOWHERE" in capsys.readouterr().err


@pytest.mark.parametrize("stage", STAGES)
def test_options_that_do_not_exist_are_refused(capsys: pytest.CaptureFixture[str], stage: str) -> None:
    with pytest.raises(SystemExit) as refusal:
        main([stage, "--nonsense", "1"])
    assert refusal.value.code == 2
    assert "nonsense" in capsys.readouterr().err


def test_a_stage_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refusal:
        main(["studnet"])
    assert refusal.value.code == 2
    assert "student" in capsys.readouterr().err


def test_splits_factors_and_counts_are_refused(packed: Path) -> None:
    pack = Pack(packed)
    with pytest.raises(DataError, match="no split named tset: there are test, train, val"):
        pack.select("tset")
    for factor in (-1.0, float("nan"), float("inf")):
        with pytest.raises(DataError, match="--emphasis DISCS is"):
            refuse_emphasis({"DISCS": factor}, ["DISCS"])
    with pytest.raises(DataError, match="no set to learn from named DISCS: there are OTHERS"):
        refuse_emphasis({"DISCS": 2.0}, ["OTHERS"])
    with pytest.raises(DataError, match="--emphasis is 0 for all of DISCS"):
        Sampler(pack, np.random.default_rng(0), emphasis={"DISCS": 0.0})
    with pytest.raises(DataError, match="--most-per-set is 0, it must be at least 1"):
        chosen_objects(pack, ClicksConfig(pack=packed, most_per_set=0))
    twice = chosen_objects(pack, ClicksConfig(pack=packed, sets=["DISCS", "DISCS"]))
    assert twice == chosen_objects(pack, ClicksConfig(pack=packed))

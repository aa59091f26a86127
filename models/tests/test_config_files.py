"""Configuration files beside options: the same names and checks, and the command line wins."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from sonotrace_models.__main__ import STAGES, main, read_arguments
from sonotrace_models.architectures.run import ArchitecturesConfig
from sonotrace_models.data.manifest import DataError
from sonotrace_models.train.run import as_json
from sonotrace_models.train.student import StudentConfig

REQUIRED = {"pack": ["--data", "one", "two"]}


def changed(config: Any) -> Any:
    """The configuration with another value in every option that has a plain one."""
    values: dict[str, Any] = {}
    for field in dataclasses.fields(config):
        match value := getattr(config, field.name):
            case bool():
                values[field.name] = not value
            case int() | float():
                values[field.name] = value + 1
            case Path():
                values[field.name] = Path("other") / field.name
            case None:
                pass
            case _ if dataclasses.is_dataclass(value):
                values[field.name] = changed(value)
    return dataclasses.replace(config, **values)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("ending", ["json", "yaml"])
def test_every_stage_takes_its_configuration_back(stage: str, ending: str, tmp_path: Path) -> None:
    defaults = read_arguments([stage, *REQUIRED.get(stage, [])])
    for config in (defaults, changed(defaults)):
        path = tmp_path / f"config.{ending}"
        values = {**as_json(config), "resumed_at_steps": [3]}
        path.write_text(json.dumps(values) if ending == "json" else yaml.safe_dump(values))
        assert read_arguments([stage, "--config", str(path)]) == config


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(
        "sets: [A, B]\nemphasis: {A: 2, B: 0.5}\nint8: true\nprompting: {is-iterative: false, box_share: 0.2}\n"
        "best_masks: null\nschedule:\n  steps: 7\n  learning_rate: 1e-4\n  minutes: null\n  compiled: false\n"
    )
    return path


def test_names_and_values_are_those_of_the_command_line(file: Path) -> None:
    config = read_arguments(["student", f"--config={file}"])
    assert isinstance(config, StudentConfig)
    assert (config.sets, config.emphasis, config.int8, config.best_masks) == (
        ["A", "B"],
        {"A": 2, "B": 0.5},
        True,
        None,
    )
    assert (config.prompting.is_iterative, config.prompting.box_share) == (False, 0.2)
    schedule = config.schedule
    assert (schedule.steps, schedule.learning_rate, schedule.minutes) == (7, 1e-4, float("inf"))
    assert not schedule.compiled


@pytest.mark.parametrize("before", [True, False])
def test_the_command_line_wins(file: Path, before: bool) -> None:
    words = ["--schedule.steps=9", "--sets", "C", "--no-int8", "--prompting.is-iterative", "--best_masks", "masks"]
    words += ["--schedule.compiled", "--emphasis", "C", "3"]
    config = read_arguments(
        ["student", *(["--config", str(file), *words] if before else [*words, "--config", str(file)])]
    )
    assert (config.schedule.steps, config.sets, config.int8, config.best_masks) == (9, ["C"], False, Path("masks"))
    assert (config.prompting.is_iterative, config.schedule.compiled, config.emphasis) == (True, True, {"C": 3})
    # What only the file has stays.
    assert (config.schedule.learning_rate, config.prompting.box_share) == (1e-4, 0.2)


def test_words_without_an_option_win_too(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("names: [ViT, ResNet]\nexporter: dynamo\n")
    config = read_arguments(["architectures", "--config", str(path)])
    assert isinstance(config, ArchitecturesConfig)
    assert (config.names, config.exporter) == (["ViT", "ResNet"], "dynamo")
    config = read_arguments(["architectures", "UNet", "--config", str(path), "--exporter", "both"])
    assert (config.names, config.exporter) == (["UNet"], "both")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("stepz: 3\n", r"no option stepz: there are pack, encoder, start"),
        ("schedule: {stepz: 3}\n", r"no option schedule.stepz: there are schedule.steps"),
        ("prompting: {schedule: {steps: 3}}\n", r"no option prompting.schedule"),
        ("schedule: 3\n", r"schedule is a group of options, it has 3"),
        ("int8: 1\n", r"int8 is 1, it must be true or false"),
        ("sets: [[A]]\n", r"sets is \['A'\], it must be a word or a number"),
        ("- sets\n", r"holds a list, expected options by name"),
        ("sets: [\n", r"config.yaml: while parsing"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_arguments(["student", "--config", str(path)])


def test_wrong_values_and_files_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("schedule: {steps: many}\n")
    with pytest.raises(SystemExit):
        read_arguments(["student", "--config", str(path)])
    assert "--schedule.steps" in capsys.readouterr().err
    path.write_text("split: tset\n")
    with pytest.raises(SystemExit):
        read_arguments(["clicks", "--config", str(path)])
    assert "tset" in capsys.readouterr().err
    assert main(["student", "--config", str(tmp_path / "none.json")]) == 2
    assert main(["student", "--config"]) == 2
    assert main(["student", "--config", "a", "--config", "b"]) == 2
    error = capsys.readouterr().err
    for words in ("none.json", "--config needs a file", "given 2 times"):
        assert words in error


@pytest.mark.parametrize("stage", STAGES)
def test_help_tells_of_it(stage: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        read_arguments([stage, "--help"])
    assert end.value.code == 0
    assert "--config FILE" in capsys.readouterr().out


def test_a_runs_own_configuration_can_be_given_back(packed: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    words = ["--pack", str(packed), "--encoder", "None", "--best-masks", "None", "--folder", str(first)]
    words += ["--schedule.steps", "1", "--schedule.batch", "1", "--schedule.no-compiled", "--objects-per-image", "1"]
    assert main(["student", *words]) == 0
    assert main(["student", "--config", str(first / "config.json"), "--folder", str(second)]) == 0
    kept = [json.loads((folder / "config.json").read_text()) for folder in (first, second)]
    assert {**kept[0], "folder": str(second)} == kept[1]

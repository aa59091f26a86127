"""Hard loops: what happens in every examination, with truth on every frame.

Each is made from one image (or from a pair of frames) and a seed. The field of view stays where it is on the screen,
and the tissue moves under it (`scene`). The truth includes what a shadow hides; what has left the field of view is not in it.
`visibility` says how much of each object can be seen.

Which images and seeds make the test loops is fixed in `evaluate/hard_test_loops.json`, which was written before any tracker or
confidence was trained on such loops.
"""

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sonotrace_models import SIZE
from sonotrace_models.data.fields import identity, swaying
from sonotrace_models.data.loops import FRAMES as BEAT_FRAMES
from sonotrace_models.data.loops import Loops, drift
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack
from sonotrace_models.data.scene import SIDE_MARGIN, Canvas, View, canvas_of, tissue, view_of

PAIRS, OTHERS = 8, 4
"""Loops of each kind: of each set with pairs of frames of two patients, and of each other set."""
OBJECTS_MAX = 3
OBJECT_AREA_MIN = 300
"""Pixels: smaller objects are not followed."""
SHADOWED = 0.5
"""Where less than this share of the echo is left, tissue cannot be seen."""
LEFT_BY_PX = 8
"""Distance by which an object leaves the field of view."""


@dataclass(frozen=True)
class Recipe:
    """What a hard loop is made of."""

    kind: str
    set_name: str
    name: str
    """The image; of a pair, its first one."""
    other: str
    """An image of another patient of the same set: the tissue around, or what is seen meanwhile."""
    seed: int


@dataclass(frozen=True)
class HardLoop:
    """A hard loop; objects are numbered from 1."""

    grey: Tensor
    """[frame, 1, 256, 256] in [0, 1]"""
    ids: Tensor
    """[frame, 256, 256]: hidden parts included"""
    visibility: Tensor
    """[frame, object]: share of the object's area that can be seen, 0 to 1"""
    sources: Tensor
    """[frame, 256, 256, 2]: the position of each pixel's tissue in the image, x and y in [-1, 1]; outside that range, beyond
    the image"""
    scenes: Tensor
    """[frame]: 0 for the patient's own tissue, 1 for air, 2 for another patient"""

    @property
    def is_present(self) -> Tensor:
        """[frame, object] bool: part of the object lies in the field of view of a frame that shows its tissue."""
        numbers = torch.arange(1, self.visibility.shape[1] + 1)
        return (self.ids[:, None] == numbers[None, :, None, None]).flatten(2).any(2)


@dataclass
class Events:
    """What happens in a loop, frame by frame."""

    slide_px: Tensor
    """[frame]: of the tissue, to the right"""
    zoom: Tensor
    """[frame]: depth over that of the first frame"""
    echo: Tensor
    """[frame, 256, 256]: share of the echo that is left; above 1 on a reflector"""
    gain: Tensor
    """[frame]: factor of grey levels"""
    noise: Tensor
    """[frame]: standard deviation of the electronics' noise at the deepest pixel, grey levels"""
    is_air: Tensor
    """[frame] bool"""
    is_other: Tensor
    """[frame] bool: another patient is seen"""

    @classmethod
    def none(cls, frames: int) -> "Events":
        """Nothing happens."""
        return cls(
            torch.zeros(frames),
            torch.ones(frames),
            torch.ones(frames, SIZE, SIZE),
            torch.ones(frames),
            torch.zeros(frames),
            torch.zeros(frames, dtype=torch.bool),
            torch.zeros(frames, dtype=torch.bool),
        )


def _away_and_back(frames: int) -> Tensor:
    """[frames] from 0 to 1, a stay, and back to 0."""
    time = torch.linspace(0, 1, frames)
    away = ((time - 0.1) / 0.3).clamp(0, 1)
    back = ((time - 0.6) / 0.3).clamp(0, 1)
    return (1 - torch.cos(torch.pi * away)) / 2 - (1 - torch.cos(torch.pi * back)) / 2


def _slide(frames: int, canvas: Canvas, numbers: np.random.Generator) -> Events:
    """The probe slides until the objects have left the field of view, and back."""
    events = Events.none(frames)
    held = np.flatnonzero((canvas.ids > 0).any(0)) - SIDE_MARGIN
    inside = np.flatnonzero(canvas.view.inside.any(0))
    right, left = inside[-1] - held[0], held[-1] - inside[0]
    to_right = numbers.random() < 0.5
    distance = float(min((right if to_right else left) + LEFT_BY_PX, SIDE_MARGIN - LEFT_BY_PX))
    events.slide_px = _away_and_back(frames) * (distance if to_right else -distance)
    return events


def _shadow(frames: int, canvas: Canvas, numbers: np.random.Generator) -> Events:
    """A shadow sweeps across: of lost contact, which begins at the skin, or of a reflector above the objects."""
    events = Events.none(frames)
    view = canvas.view
    held = canvas.ids[:SIZE, SIDE_MARGIN : SIDE_MARGIN + SIZE] > 0
    across, depth = view.beam[held], view.depth[held]
    half = float(max(0.6 * (across.max() - across.min()), 0.08))
    sweep = torch.linspace(-half - 0.05, 1 + half + 0.05, max(round(0.8 * frames), 2))
    before = (frames - len(sweep)) // 2
    centre = torch.cat([sweep[:1].expand(before), sweep, sweep[-1:].expand(frames - before - len(sweep))])
    if numbers.random() < 0.5:
        centre = 1 - centre
    has_reflector = numbers.random() < 0.5 and depth.min() > 0.15
    top = float(numbers.uniform(0.08, depth.min() - 0.05)) if has_reflector else -1.0
    left = float(numbers.uniform(0.03, 0.2))
    beam, deep = (torch.from_numpy(part) for part in (view.beam, view.depth))
    covered = torch.sigmoid((half - (beam - centre[:, None, None]).abs()) / 0.015)
    events.echo = 1 - (1 - left) * covered * torch.sigmoid((deep - top) / 0.01)
    if has_reflector:
        events.echo = events.echo + 1.5 * covered * torch.exp(-(((deep - top) / 0.012) ** 2))
    return events


def _depth(frames: int, _: Canvas, __: np.random.Generator) -> Events:
    """The depth changes at once from 1.0 to 1.4, and back."""
    events = Events.none(frames)
    events.zoom[frames // 3 : 2 * frames // 3] = 1.4
    return events


def _gain(frames: int, _: Canvas, numbers: np.random.Generator) -> Events:
    """The gain is turned far down or up; far down, the noise shows."""
    events = Events.none(frames)
    is_down = numbers.random() < 0.6
    changed = slice(frames // 4, 3 * frames // 4)
    events.gain[changed] = float(numbers.uniform(0.25, 0.4) if is_down else numbers.uniform(1.6, 2.2))
    events.noise[changed] = float(numbers.uniform(0.04, 0.08)) if is_down else 0.0
    return events


def _air(frames: int, _: Canvas, __: np.random.Generator) -> Events:
    """The probe is lifted for five frames."""
    events = Events.none(frames)
    events.is_air[frames // 2 - 3 : frames // 2 + 2] = True
    return events


def _other(frames: int, _: Canvas, __: np.random.Generator) -> Events:
    """Another patient is seen for five frames."""
    events = Events.none(frames)
    events.is_other[frames // 2 - 3 : frames // 2 + 2] = True
    return events


def _nothing(frames: int, _: Canvas, __: np.random.Generator) -> Events:
    """Smooth motion alone."""
    return Events.none(frames)


@dataclass(frozen=True)
class Kind:
    """A kind of hard loop."""

    frames: int
    events: Callable[[int, Canvas, np.random.Generator], Events]
    is_among_others: bool = False
    """Whether other tissue lies around."""


KINDS = {
    "slide": Kind(20, _slide),
    "slide_long": Kind(40, _slide),
    "slide_tissue": Kind(40, _slide, is_among_others=True),
    "shadow": Kind(24, _shadow),
    "depth": Kind(24, _depth),
    "gain": Kind(24, _gain),
    "air": Kind(20, _air),
    "other_patient": Kind(20, _other),
    "long": Kind(100, _nothing),
    "motion": Kind(30, _nothing),
}


PRACTISED = (
    "slide",
    "slide",
    "slide_tissue",
    "slide_tissue",
    "shadow",
    "shadow",
    "depth",
    "gain",
    "air",
    "other_patient",
)
"""Kinds that are learnt from; those that stand here twice, twice as often."""


def _vary(events: Events, numbers: np.random.Generator) -> None:
    """Slides that end half-way, other changes of depth, and, now and then, two things at once."""
    if numbers.random() < 0.3:
        events.slide_px = events.slide_px * float(numbers.uniform(0.3, 0.9))
    events.zoom = events.zoom ** float(numbers.uniform(-0.8, 1.3))
    if numbers.random() < 0.15:
        start = int(numbers.integers(1, len(events.gain)))
        events.gain[start:] *= float(np.exp(numbers.uniform(-0.8, 0.6)))
        events.noise[start:] += float(numbers.uniform(0, 0.05))


def recipes(pack: Pack, loops: Loops | None, split: str) -> list[Recipe]:
    """The hard loops of a split: for each kind, images of all sets, or where loops are made from pairs, the pairs.
    The same pack gives the same ones."""
    made = []
    pairs: dict[str, list[str]] = {}
    for source in loops.sources if loops is not None else []:
        if source.is_pair:
            pairs.setdefault(source.set_name, []).append(pack.items[source.images[0]].name)
    for kind in KINDS:
        for set_name in pack.set_names:
            groups = {item.name: item.group for item in pack.items if item.set_name == set_name}
            there = pairs.get(set_name, [])
            has_pairs = len({groups[name] for name in there}) > 1
            if not has_pairs:
                there = _images(pack, split, set_name)
            # A different order for each kind, so that kinds do not share their images.
            numbers = np.random.default_rng(zlib.crc32(f"{kind} {set_name} {split}".encode()))
            count = PAIRS if has_pairs else OTHERS
            for name in [there[at] for at in numbers.permutation(len(there))[:count]]:
                others = [other for other in there if groups[other] != groups[name]]
                if others:
                    other = others[int(numbers.integers(len(others)))]
                    made.append(Recipe(kind, set_name, name, other, int(numbers.integers(2**31))))
    return made


def _images(pack: Pack, split: str, set_name: str) -> list[str]:
    """Names of a set's images with an object that is large enough."""
    usable = [index for index in pack.select(split, [set_name]) if _areas(pack, index).max() >= OBJECT_AREA_MIN]
    return sorted(pack.items[index].name for index in usable)


def _areas(pack: Pack, index: int) -> npt.NDArray[np.int64]:
    """[256]: pixels of each id of an image that may be followed: those that `loops.json` names, if it names the set."""
    areas = np.bincount(np.asarray(pack.masks[index]).ravel(), minlength=256)
    named = pack.named.get(pack.items[index].set_name)
    allowed = list(named.objects.values()) if named is not None else list(range(1, 256))
    return np.where(np.isin(np.arange(256), allowed), areas, 0)


def read_recipes(path: Path) -> list[Recipe]:
    """Reads a list that `write_recipes` wrote.

    Raises:
        DataError: there is no such file, or it names an unknown kind.
    """
    if not path.is_file():
        raise DataError(f"{path} does not exist: run `python -m sonotrace_models loops --hard` first")
    found = [Recipe(**recipe) for recipe in json.loads(path.read_text())]
    if unknown := sorted({recipe.kind for recipe in found} - {*KINDS}):
        raise DataError(f"{path} names kinds {', '.join(unknown)}; there are {', '.join(KINDS)}")
    return found


def write_recipes(made: Sequence[Recipe], path: Path) -> None:
    """Writes a list of hard loops, one a line."""
    path.write_text("[\n" + ",\n".join(json.dumps(asdict(recipe)) for recipe in made) + "\n]\n")


class HardLoops:
    """Makes hard loops of a split."""

    def __init__(self, pack: Pack, loops: Loops | None) -> None:
        self.pack, self.loops = pack, loops
        self.at = {(item.set_name, item.name): index for index, item in enumerate(pack.items)}
        self.pairs = {loops.sources[at].images[0]: at for at in loops.pairs} if loops is not None else {}

    def make(self, recipe: Recipe) -> HardLoop:
        """One loop. The same recipe gives the same loop.

        Raises:
            DataError: the pack lacks an image of the recipe.
        """
        index, other = (self._index(recipe.set_name, name) for name in (recipe.name, recipe.other))
        kind = KINDS[recipe.kind]
        numbers = np.random.default_rng(recipe.seed)
        generator = torch.Generator().manual_seed(recipe.seed)
        return self._made(kind, kind.frames, index, other, numbers, generator)

    def practise(
        self, index: int, other: int, frames: int, numbers: np.random.Generator, generator: Generator
    ) -> HardLoop:
        """A loop to learn from: of a random kind, faster or slower, and stronger or weaker than those that are evaluated.

        Args:
            index, other: images in the pack.
        """
        kind = KINDS[str(numbers.choice(PRACTISED))]
        return self._made(kind, frames, index, other, numbers, generator, is_varied=True)

    def _made(
        self,
        kind: Kind,
        frames: int,
        index: int,
        other: int,
        numbers: np.random.Generator,
        generator: Generator,
        *,
        is_varied: bool = False,
    ) -> HardLoop:
        grey, ids = np.asarray(self.pack.images[index]), self._numbered(index)
        around = None
        if kind.is_among_others:
            picture, mask = (np.asarray(part[other]) for part in (self.pack.images, self.pack.masks))
            around = tissue(picture, mask, view_of(picture))
        canvas = canvas_of(grey, ids, around)
        events = kind.events(frames, canvas, numbers)
        if is_varied:
            _vary(events, numbers)
        moved = self._motion(index, frames, generator, numbers)
        return _seen(canvas, events, moved, self._other_frames(other, frames), generator)

    def _index(self, set_name: str, name: str) -> int:
        if (set_name, name) not in self.at:
            raise DataError(f"the pack holds no image {name} of set {set_name}, which a hard loop needs")
        return self.at[set_name, name]

    def is_usable(self, index: int) -> bool:
        """Whether an image has an object that is large enough."""
        return bool(self._numbered(index).any())

    def _numbered(self, index: int) -> npt.NDArray[np.uint8]:
        """The ids of an image's objects to follow, numbered from 1: of a pair those of its loop, else the largest ones."""
        if self.loops is not None and index in self.pairs:
            chosen = list(self.loops.sources[self.pairs[index]].objects.values())
        else:
            areas = _areas(self.pack, index)
            chosen = [int(id_) for id_ in np.argsort(-areas, kind="stable")[:OBJECTS_MAX]]
            chosen = [id_ for id_ in chosen if areas[id_] >= OBJECT_AREA_MIN]
        table = np.zeros(256, np.uint8)
        table[chosen] = np.arange(1, len(chosen) + 1)
        return table[np.asarray(self.pack.masks[index])]

    def _motion(self, index: int, frames: int, generator: Generator, numbers: np.random.Generator) -> Tensor:
        """[frame, 256, 256, 2]: the tissue's own motion, as displacements in pixels of where it is found; 0 at first."""
        if self.loops is not None and index in self.pairs:
            times = torch.arange(frames) % BEAT_FRAMES
            field = self.loops.motion(self.pairs[index], times.float())
        else:
            field = swaying(generator, frames, int(numbers.integers(3, 6)))
        return (field - identity(1, field.device)) * (SIZE / 2)

    def _other_frames(self, index: int, frames: int) -> Tensor:
        """[frame, 1, 256, 256]: another image, still."""
        return (torch.from_numpy(np.asarray(self.pack.images[index], np.float32)) / 255).expand(frames, 1, -1, -1)


def _sources(events: Events, moved: Tensor, view: View, *, is_still: bool) -> Tensor:
    """[frame, 256, 256, 2]: where each pixel of each frame is found on the canvas, x and y in pixels of the first image.
    `is_still` leaves out the probe's motion and the depth."""
    frames = len(moved)
    y, x = torch.meshgrid(torch.arange(SIZE).float(), torch.arange(SIZE).float(), indexing="ij")
    place = torch.stack([x, y], -1).expand(frames, -1, -1, -1)
    if not is_still:
        face = torch.tensor(view.face)
        place = face + (place - face) * events.zoom[:, None, None, None]
        place = place - torch.stack([events.slide_px, torch.zeros(frames)], -1)[:, None, None]
    # Beyond the image, tissue moves as at its edge.
    grid = (2 * place + 1) / SIZE - 1
    own = F.grid_sample(moved.permute(0, 3, 1, 2), grid, padding_mode="border", align_corners=False)
    return place + own.permute(0, 2, 3, 1)


def _sampled(canvas: npt.NDArray[np.generic], sources: Tensor, mode: str) -> Tensor:
    """[frame, 256, 256]: a canvas at positions in pixels of the first image."""
    rows, columns = canvas.shape
    values = torch.from_numpy(canvas.astype(np.float32))[None, None].expand(len(sources), -1, -1, -1)
    at = sources + torch.tensor([float(SIDE_MARGIN), 0.0])
    grid = (2 * at + 1) / torch.tensor([float(columns), float(rows)]) - 1
    return F.grid_sample(values, grid, mode=mode, padding_mode="border", align_corners=False)[:, 0]


def _air_frames(view: View, frames: int, generator: Generator) -> Tensor:
    """[frame, 256, 256]: the probe in air: reverberations below the probe, noise, darkness."""
    depth = torch.from_numpy(view.depth)
    pitch = 0.03 + 0.03 * float(torch.rand(1, generator=generator))
    bands = torch.exp(-(((depth / pitch + 0.5) % 1 - 0.5) ** 2) / 0.03) * torch.exp(-depth / 0.12)
    noise = torch.randn(frames, SIZE, SIZE, generator=generator).abs()
    return 0.9 * bands + 0.03 * noise * (1 + depth)


def _seen(canvas: Canvas, events: Events, moved: Tensor, other: Tensor, generator: Generator) -> HardLoop:
    """The frames that the screen shows."""
    view = canvas.view
    inside = torch.from_numpy(view.inside)
    sources = _sources(events, moved, view, is_still=False)
    grey = _sampled(canvas.grey, sources, "bilinear")
    grey = drift(grey[:, None], generator)[:, 0] * events.echo
    noise = torch.randn(grey.shape, generator=generator) * torch.from_numpy(view.depth)
    grey = grey * events.gain[:, None, None] + noise.abs() * events.noise[:, None, None]
    grey = torch.where(events.is_air[:, None, None], _air_frames(view, len(grey), generator), grey)
    grey = torch.where(inside, grey, 0).clamp(0, 1)
    grey = torch.where(events.is_other[:, None, None], other[:, 0], grey)
    is_own = ~(events.is_air | events.is_other)
    ids = _sampled(canvas.ids, sources, "nearest") * inside * is_own[:, None, None]
    whole = _sampled(canvas.ids, _sources(events, moved, view, is_still=True), "nearest")
    numbers = torch.arange(1, int(canvas.ids.max()) + 1)[None, :, None, None]
    seen = ((ids[:, None] == numbers) & (events.echo > SHADOWED)[:, None]).flatten(2).sum(2)
    full = (whole[:, None] == numbers).flatten(2).sum(2) / events.zoom[:, None] ** 2
    return HardLoop(
        grey[:, None],
        ids,
        (seen / full.clamp(min=1)).clamp(max=1),
        (2 * sources + 1) / SIZE - 1,
        events.is_air.long() + 2 * (events.is_other & ~events.is_air),
    )

"""Loops with truth on every frame, from any set: cines with masks, used as they are, and loops made from pairs of frames.

Of a pair, a smooth field warps the first image towards the second and back, so that one set of contours maps onto the other
(`landmarks`). It is a thin-plate spline. Pairs are excluded if their field folds or does not map one mask onto the other. The
middle frame of such a loop is the real second image with its own mask; of a heart, the end-systolic one.
"""

import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.interpolate import RBFInterpolator
from torch import Tensor
from tqdm import tqdm

from sonotrace_models import OBJECTS_MAX, SIZE
from sonotrace_models.data.fields import warp, warp_ids
from sonotrace_models.data.follow import Follow
from sonotrace_models.data.landmarks import LoopError, Points, landmarks
from sonotrace_models.data.manifest import SPLITS, DataError
from sonotrace_models.data.pack import Pack
from sonotrace_models.data.recordings import Recording, recordings

FRAMES = 20
"""Of a loop that is made from a pair."""
MIDDLE = FRAMES // 2
"""The second image of a pair."""

LATTICE = 65
"""Nodes along a side at which fields are stored."""
PHASES = MIDDLE
"""Number of stored fields: at 1/10, 2/10, ... of the way from the first image to the second."""
WARPED_DICE_MIN = 0.90
"""Minimum Dice of a pair's warped mask with the real one, for each object."""
JACOBIAN_MIN = 0.1
"""Minimum Jacobian determinant of a field: the area that a unit of area comes from."""


def followed(pack: Pack, recording: Recording) -> Follow:
    """What is followed in a recording: of its set's objects, those in the first frame.

    Raises:
        LoopError: there is none, or too many, or a frame has no mask.
    """
    items = [pack.items[index] for index in recording.frames]
    if any(not item.has_mask for item in items):
        raise LoopError("a frame has no mask", next(item.name for item in items if not item.has_mask))
    there = items[0].object_ids
    of_set = pack.follow.get(recording.set_name) or Follow({str(id_): id_ for id_ in there})
    objects = {name: id_ for name, id_ in of_set.objects.items() if id_ in there}
    if not objects:
        raise LoopError("no object to follow is in the first frame")
    if len(objects) > OBJECTS_MAX:
        raise LoopError(f"more than {OBJECTS_MAX} objects: loops.json has to name those to follow", f"{len(objects)}")
    follow = Follow(objects, of_set.heart)
    if len(items) == 2:
        needed = of_set.ids if follow.heart is not None else follow.ids
        for item in items:
            if missing := needed - {*item.object_ids}:
                raise LoopError("a structure is missing", f"id {min(missing)} in {item.name}")
    return follow


def _frame_points() -> Points:
    """Points on the image border, which do not move."""
    at = np.linspace(0, SIZE - 1, 5)
    return np.array([[x, y] for x in at for y in at if x in (0, SIZE - 1) or y in (0, SIZE - 1)])


def backward_fields(first: Points, second: Points) -> npt.NDArray[np.float32]:
    """[phase, LATTICE, LATTICE, 2]: for each node of the warped image, its position in the first one, in pixels.

    Raises:
        LoopError: a field folds.
    """
    at = np.linspace(0, SIZE - 1, LATTICE)
    nodes = np.stack(np.meshgrid(at, at, indexing="xy"), -1).reshape(-1, 2)
    border = _frame_points()
    fields = []
    for phase in range(1, PHASES + 1):
        moved = first + (second - first) * phase / PHASES
        spline = RBFInterpolator(
            np.concatenate([moved, border]),
            np.concatenate([first - moved, np.zeros_like(border)]),
            kernel="thin_plate_spline",
            smoothing=0.5,
        )
        field = (nodes + spline(nodes)).reshape(LATTICE, LATTICE, 2)
        pitch = at[1]
        dx, dy = np.gradient(field, pitch, axis=1), np.gradient(field, pitch, axis=0)
        jacobian = dx[..., 0] * dy[..., 1] - dx[..., 1] * dy[..., 0]
        if jacobian.min() < JACOBIAN_MIN:
            raise LoopError("the field folds", f"Jacobian {jacobian.min():.2f} at phase {phase}")
        fields.append(field)
    return np.stack(fields).astype(np.float32)


def to_grid(fields: Tensor) -> Tensor:
    """[batch, LATTICE, LATTICE, 2] in pixels to a sampling field, [batch, 256, 256, 2]."""
    fine = F.interpolate(fields.permute(0, 3, 1, 2), size=(SIZE, SIZE), mode="bicubic", align_corners=True)
    return (2 * fine.permute(0, 2, 3, 1) + 1) / SIZE - 1


def make_fields(pack: Pack, recording: Recording) -> npt.NDArray[np.float32]:
    """The fields of a pair.

    Raises:
        LoopError: a field folds, or does not map one mask onto the other.
    """
    follow = followed(pack, recording)
    first, second = (np.asarray(pack.masks[index]) for index in recording.frames)
    fields = backward_fields(*landmarks(first, second, follow))
    warped = warp_ids(torch.from_numpy(first.astype(np.float32))[None, None], to_grid(torch.from_numpy(fields[-1:])))[
        0, 0
    ].numpy()
    for name, id_ in follow.objects.items():
        overlap = 2 * ((warped == id_) & (second == id_)).sum() / ((warped == id_).sum() + (second == id_).sum())
        if overlap < WARPED_DICE_MIN:
            raise LoopError(
                f"a warped mask has a Dice below {WARPED_DICE_MIN} with the real one", f"{name} {overlap:.2f}"
            )
    return fields


@dataclass(frozen=True)
class Listed:
    """A loop of `loops_SPLIT.json`."""

    set: str
    group: str
    sequence: str
    field: int | None
    """Of `fields_SPLIT.npy`; none of a cine."""


def make_loops(pack: Pack, out: Path) -> None:
    """Writes the loops of each split, `loops_SPLIT.json`, and of the pairs among them the fields and their patients,
    `fields_SPLIT.npy` and `patients_SPLIT.json`."""
    out.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        made, fields, patients = list[Listed](), list[npt.NDArray[np.float32]](), list[str]()
        refused: dict[tuple[str, str], list[str]] = {}
        for recording in tqdm(recordings(pack, split), desc=f"loops, {split}"):
            set_name, group, sequence = recording.set_name, recording.group, recording.sequence
            try:
                followed(pack, recording)
                is_pair = len(recording.frames) == 2
                if is_pair:
                    fields.append(make_fields(pack, recording))
                    patients.append(group)
                made.append(Listed(set_name, group, sequence, len(fields) - 1 if is_pair else None))
            except LoopError as error:
                refused.setdefault((set_name, error.reason), []).append(f"{group} {sequence}".rstrip() + f": {error}")
        np.save(out / f"fields_{split}.npy", np.array(fields, np.float32).reshape(-1, PHASES, LATTICE, LATTICE, 2))
        (out / f"patients_{split}.json").write_text(json.dumps(patients))
        (out / f"loops_{split}.json").write_text(json.dumps([asdict(listed) for listed in made]))
        print(f"{split}: {len(made)} loops, {sum(map(len, refused.values()))} recordings left out")
        for set_name, count in sorted(Counter(listed.set for listed in made).items()):
            print(f"  {set_name}: {count} loops")
        for (set_name, reason), those in sorted(refused.items()):
            print(f"  {set_name}: {len(those)} left out, {reason}; the first is {those[0]}")


@dataclass(frozen=True)
class Loop:
    """A loop: grey levels, and the true ids."""

    grey: Tensor
    """[frame, 1, 256, 256] in [0, 1]"""
    ids: Tensor
    """[frame, 256, 256]: as in the masks"""
    objects: dict[str, int]
    """The ids to follow, by name."""
    middle: int | None = None
    """The frame that is a pair's second image."""

    def to(self, device: torch.device) -> "Loop":
        """A copy on a device."""
        return replace(self, grey=self.grey.to(device), ids=self.ids.to(device))

    def numbered(self, frame: int) -> Tensor:
        """[1, 256, 256]: a frame's objects, numbered from 1 in the order of `objects`."""
        numbers = torch.zeros_like(self.ids[frame : frame + 1])
        for number, id_ in enumerate(self.objects.values(), start=1):
            numbers[self.ids[frame : frame + 1] == id_] = number
        return numbers


@dataclass(frozen=True)
class LoopSource:
    """What a loop is made of."""

    set_name: str
    patient: str
    sequence: str
    objects: dict[str, int]
    """The ids to follow, by name."""
    images: tuple[int, ...]
    """In the pack: a pair's two, or the frames of a cine."""
    field: int | None
    """A pair's number in `fields_SPLIT.npy`."""
    number: int
    """Of the loop in its set: seeds depend on it, so that they do not on other sets."""

    @property
    def is_pair(self) -> bool:
        """Whether the loop is made from a pair of frames."""
        return self.field is not None

    @property
    def name(self) -> str:
        """Patient and sequence."""
        return f"{self.patient} {self.sequence}".rstrip()

    @property
    def frames(self) -> int:
        """Number of frames of the loop."""
        return FRAMES if self.is_pair else len(self.images)


AGAIN = "run `python -m sonotrace_models loops` again"


def _followed_again(path: Path, pack: Pack, recording: Recording) -> Follow:
    """What is followed in a recording that a list names."""
    try:
        return followed(pack, recording)
    except LoopError as error:
        raise DataError(f"{path} was made from another pack ({recording.group}: {error}): {AGAIN}") from error


class Loops:
    """Loops of a split, set by set."""

    def __init__(self, folder: Path, pack: Pack, split: str) -> None:
        """Reads the list and maps the fields.

        Raises:
            DataError: the folder holds none, or those of another pack.
        """
        path = folder / f"loops_{split}.json"
        if not path.is_file():
            raise DataError(f"{path} does not exist: run `python -m sonotrace_models loops` first")
        there = {(found.set_name, found.group, found.sequence): found for found in recordings(pack, split)}
        self.pack, self.split = pack, split
        self.sources: list[LoopSource] = []
        counts = Counter[str]()
        for listed in (Listed(**entry) for entry in json.loads(path.read_text())):
            key = (listed.set, listed.group, listed.sequence)
            if key not in there or (len(there[key].frames) == 2) != (listed.field is not None):
                raise DataError(f"{path} was made from another pack: {AGAIN}")
            objects = _followed_again(path, pack, there[key]).objects
            self.sources.append(LoopSource(*key, objects, there[key].frames, listed.field, counts[listed.set]))
            counts[listed.set] += 1
        self.fields: npt.NDArray[np.float32] = np.load(folder / f"fields_{split}.npy", mmap_mode="r")

    def __len__(self) -> int:
        return len(self.sources)

    @property
    def set_names(self) -> list[str]:
        """Sets with loops."""
        return list(dict.fromkeys(source.set_name for source in self.sources))

    @property
    def pairs(self) -> list[int]:
        """The loops that are made from pairs."""
        return [at for at, source in enumerate(self.sources) if source.is_pair]

    def require(self, use: str) -> None:
        """Raises:
        DataError: there is no loop.
        """
        if not self.sources:
            raise DataError(
                f"{use} needs loops of the {self.split} split: pairs of frames, or recordings with a mask for each frame "
                "(`loops` prints what it left out)"
            )

    def some(self, most: int | None = None) -> list[int]:
        """At most so many loops: the first ones of each set, the sets in turn."""
        in_turn = sorted(range(len(self)), key=lambda at: self.sources[at].number)
        return sorted(in_turn[:most])

    def label(self, at: int, name: str) -> str:
        """An object's row in tables: its name, with its set's where there are several."""
        return f"{self.sources[at].set_name} {name}" if len(self.set_names) > 1 else name

    def motion(self, at: int, times: Tensor) -> Tensor:
        """[len(times), 256, 256, 2]: sampling fields of a pair's first image at fractional frame numbers, on the device of
        `times`."""
        field = self.sources[at].field
        assert field is not None, "a cine's motion is not known"
        phase = (1 - torch.cos(2 * torch.pi * times / FRAMES)) / 2 * PHASES
        start = np.stack([*np.meshgrid(*[np.linspace(0, SIZE - 1, LATTICE)] * 2)], -1).astype(np.float32)
        nodes = torch.from_numpy(np.concatenate([start[None], self.fields[field]])).to(times.device)
        low = phase.floor().long().clamp(max=PHASES - 1)
        share = (phase - low)[:, None, None, None]
        return to_grid(nodes[low] * (1 - share) + nodes[low + 1] * share)

    def make(self, at: int, seed: int) -> Loop:
        """A whole loop: a cine as it is in the pack, or one made from a pair. The same seed gives the same loop."""
        source = self.sources[at]
        grey, ids = (
            torch.from_numpy(np.stack([array[index] for index in source.images]).astype(np.float32))[:, None]
            for array in (self.pack.images, self.pack.masks)
        )
        grey = grey / 255
        if not source.is_pair:
            return Loop(grey, ids[:, 0], source.objects)
        field = self.motion(at, torch.arange(FRAMES).float())
        warped = warp(grey[:1].expand(FRAMES, -1, -1, -1), field)
        truth = warp_ids(ids[:1].expand(FRAMES, -1, -1, -1), field)[:, 0]
        warped[MIDDLE], truth[MIDDLE] = grey[1], ids[1, 0]
        return Loop(drift(warped, torch.Generator().manual_seed(seed)), truth, source.objects, MIDDLE)


SPECKLE_STRENGTH = 0.18
SPECKLE_KEPT = 0.7
"""Correlation of the speckle's changing part from frame to frame."""
GAIN_DRIFT = 0.25
"""Largest change of the gain (natural logarithm) over a loop."""


def drift(grey: Tensor, generator: torch.Generator) -> Tensor:
    """Adds changes other than the anatomy's: part of the speckle decorrelates, and the gain drifts, also with depth.

    [frame, 1, 256, 256] in [0, 1].
    """
    frames = len(grey)
    fresh = torch.randn(frames, 1, SIZE // 2, SIZE // 2, generator=generator, device=grey.device)
    noise = [fresh[0]]
    for frame in range(1, frames):
        noise.append(SPECKLE_KEPT * noise[-1] + (1 - SPECKLE_KEPT**2) ** 0.5 * fresh[frame])
    grain = 1.4 * F.interpolate(torch.stack(noise), size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    time = torch.linspace(0, 1, frames, device=grey.device)[:, None]
    depth = torch.linspace(-1, 1, SIZE, device=grey.device)
    start, turns = (torch.rand(2, generator=generator, device=grey.device) for _ in range(2))
    whole, sloped = (torch.sin(2 * torch.pi * (start[at] + (0.3 + 0.7 * turns[at]) * time)) for at in (0, 1))
    gain = GAIN_DRIFT * (0.7 * whole + 0.5 * sloped * depth)
    return (grey * torch.exp(gain)[:, None, :, None] * (1 + SPECKLE_STRENGTH * grain)).clamp(0, 1)

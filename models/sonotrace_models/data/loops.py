"""Cardiac loops with truth on every frame, made from the two frames per patient in CAMUS.

A smooth field warps the end-diastolic image towards the end-systolic one and back, so that one set of contours maps onto
the other. It is a thin-plate spline through points at equal arc lengths, measured from the two ends of the mitral valve,
along the cavity of the left ventricle, the outer border of its muscle, the left atrium, and the valve itself. Patients are
excluded if their field folds or does not map one mask onto the other. The middle frame of a loop is the real end-systolic
image with its own mask.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from scipy.interpolate import RBFInterpolator
from scipy.ndimage import gaussian_filter1d
from torch import Tensor
from tqdm import tqdm

from sonotrace_models import SIZE
from sonotrace_models.data.fields import warp, warp_ids
from sonotrace_models.data.manifest import DataError
from sonotrace_models.data.pack import Pack

CARDIAC = "CAMUS"
"""The set with pairs of frames of hearts."""
FRAMES = 20
MIDDLE = FRAMES // 2
"""The end-systolic frame."""
LV, MUSCLE, LA = 1, 2, 3
TRACKED_IDS = (LV, LA)

LATTICE = 65
"""Nodes along a side at which fields are stored."""
PHASES = MIDDLE
"""Number of stored fields: at 1/10, 2/10, ... of the way from end-diastole to end-systole."""
PATH_POINTS = 24
VALVE_POINTS = 6
SMOOTH_SHARE = 0.01
"""Standard deviation of the contour smoothing, as a share of the contour's length."""
WARPED_DICE_MIN = 0.90
"""Minimum Dice of the warped mask with the real one, for ventricle and for atrium."""
JACOBIAN_MIN = 0.1
"""Minimum Jacobian determinant of a field: the area that a unit of area comes from."""

Points = npt.NDArray[np.float64]


class LoopError(ValueError):
    """No loop can be made for a patient; the text gives the reason."""


@dataclass(frozen=True)
class Patient:
    """The pack indices of a patient's two frames."""

    name: str
    diastole: int
    systole: int


def patients(pack: Pack, split: str) -> list[Patient]:
    """The patients of a split with both frames and all three structures, sorted by name."""
    frames: dict[str, dict[int, int]] = {}
    for index in pack.select(split, [CARDIAC]):
        item = pack.items[index]
        if set(item.object_ids) >= {LV, MUSCLE, LA}:
            frames.setdefault(item.group, {})[item.frame] = index
    return [Patient(name, both[0], both[1]) for name, both in sorted(frames.items()) if both.keys() >= {0, 1}]


def outline(region: npt.NDArray[np.bool_]) -> Points:
    """The outer border of a region's largest part, smoothed, as points (x, y) a pixel apart."""
    found, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    if not found:
        raise LoopError("a structure is missing")
    boundary = max(found, key=cv2.contourArea)[:, 0].astype(np.float64)
    if len(boundary) < 16:
        raise LoopError(f"a structure's outline has {len(boundary)} points, at least 16 are needed")
    return gaussian_filter1d(boundary, SMOOTH_SHARE * len(boundary), axis=0, mode="wrap")


def valve_ends(mask: npt.NDArray[np.uint8]) -> Points:
    """The two ends of the border between ventricle and atrium, the left one first."""
    near_atrium = cv2.dilate((mask == LA).astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
    ys, xs = np.nonzero((mask == LV) & near_atrium)
    if len(xs) < 6:
        raise LoopError("ventricle and atrium do not touch")
    points = np.stack([xs, ys], 1).astype(np.float64)
    centred = points - points.mean(0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    along = centred @ (axis if axis[0] >= 0 else -axis)
    return points[[along.argmin(), along.argmax()]]


def path(boundary: Points, ends: Points, count: int, *, is_long: bool) -> Points:
    """`count` points at equal arc lengths along a closed boundary, from its point nearest to one end to its point nearest to
    the other, by the longer or the shorter way. Both ends are included."""
    first, last = (int(np.square(boundary - end).sum(1).argmin()) for end in ends)
    forward = np.concatenate([boundary[first:], boundary[:first]])[: (last - first) % len(boundary) + 1]
    reverse = boundary[::-1]
    first, last = len(boundary) - 1 - first, len(boundary) - 1 - last
    backward = np.concatenate([reverse[first:], reverse[:first]])[: (last - first) % len(boundary) + 1]
    chosen = max(forward, backward, key=_length) if is_long else min(forward, backward, key=_length)
    if len(chosen) < 3:
        raise LoopError("the valve's two ends coincide")
    at = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(chosen, axis=0), axis=1))])
    wanted = np.linspace(0, at[-1], count)
    return np.stack([np.interp(wanted, at, chosen[:, axis]) for axis in (0, 1)], 1)


def _length(points: Points) -> float:
    return float(np.linalg.norm(np.diff(points, axis=0), axis=1).sum())


def landmarks(mask: npt.NDArray[np.uint8]) -> Points:
    """Corresponding points of a patient's frames, in the same order for each frame."""
    ends = valve_ends(mask)
    ventricle, atrium = outline(mask == LV), outline(mask == LA)
    wall = outline((mask == LV) | (mask == MUSCLE))
    return np.concatenate(
        [
            path(ventricle, ends, PATH_POINTS, is_long=True),
            path(wall, ends, PATH_POINTS, is_long=True)[1:-1],
            path(atrium, ends, PATH_POINTS, is_long=True)[1:-1],
            path(ventricle, ends, VALVE_POINTS, is_long=False)[1:-1],
        ]
    )


def _frame_points() -> Points:
    """Points on the image border, which do not move."""
    at = np.linspace(0, SIZE - 1, 5)
    return np.array([[x, y] for x in at for y in at if x in (0, SIZE - 1) or y in (0, SIZE - 1)])


def backward_fields(diastole: Points, systole: Points) -> npt.NDArray[np.float32]:
    """[phase, LATTICE, LATTICE, 2]: for each node of the warped image, its position in the end-diastolic one, in pixels.

    Raises:
        LoopError: a field folds.
    """
    at = np.linspace(0, SIZE - 1, LATTICE)
    nodes = np.stack(np.meshgrid(at, at, indexing="xy"), -1).reshape(-1, 2)
    border = _frame_points()
    fields = []
    for phase in range(1, PHASES + 1):
        moved = diastole + (systole - diastole) * phase / PHASES
        spline = RBFInterpolator(
            np.concatenate([moved, border]),
            np.concatenate([diastole - moved, np.zeros_like(border)]),
            kernel="thin_plate_spline",
            smoothing=0.5,
        )
        field = (nodes + spline(nodes)).reshape(LATTICE, LATTICE, 2)
        pitch = at[1]
        dx, dy = np.gradient(field, pitch, axis=1), np.gradient(field, pitch, axis=0)
        jacobian = dx[..., 0] * dy[..., 1] - dx[..., 1] * dy[..., 0]
        if jacobian.min() < JACOBIAN_MIN:
            raise LoopError(f"the field folds at phase {phase} (Jacobian {jacobian.min():.2f})")
        fields.append(field)
    return np.stack(fields).astype(np.float32)


def to_grid(fields: Tensor) -> Tensor:
    """[batch, LATTICE, LATTICE, 2] in pixels to a sampling field, [batch, 256, 256, 2]."""
    fine = F.interpolate(fields.permute(0, 3, 1, 2), size=(SIZE, SIZE), mode="bicubic", align_corners=True)
    return (2 * fine.permute(0, 2, 3, 1) + 1) / SIZE - 1


def make_fields(pack: Pack, patient: Patient) -> npt.NDArray[np.float32]:
    """The fields of a patient.

    Raises:
        LoopError: a field folds, or does not map one mask onto the other.
    """
    diastole, systole = (np.asarray(pack.masks[index]) for index in (patient.diastole, patient.systole))
    fields = backward_fields(landmarks(diastole), landmarks(systole))
    warped = warp_ids(
        torch.from_numpy(diastole.astype(np.float32))[None, None], to_grid(torch.from_numpy(fields[-1:]))
    )[0, 0].numpy()
    for id_, name in ((LV, "ventricle"), (LA, "atrium")):
        overlap = 2 * ((warped == id_) & (systole == id_)).sum() / ((warped == id_).sum() + (systole == id_).sum())
        if overlap < WARPED_DICE_MIN:
            raise LoopError(f"the warped {name} has a Dice of {overlap:.2f} with the real one")
    return fields


def make_loops(pack: Pack, out: Path) -> None:
    """Writes the fields of all patients for whom a loop can be made: `fields_SPLIT.npy` and `patients_SPLIT.json`."""
    out.mkdir(parents=True, exist_ok=True)
    for split in ("train", "val", "test"):
        made, fields, refused = [], [], 0
        for patient in tqdm(patients(pack, split), desc=f"loops, {split}"):
            try:
                fields.append(make_fields(pack, patient))
                made.append(patient.name)
            except LoopError:
                refused += 1
        np.save(out / f"fields_{split}.npy", np.stack(fields))
        (out / f"patients_{split}.json").write_text(json.dumps(made))
        print(f"{split}: {len(made)} loops, {refused} patients left out")


@dataclass(frozen=True)
class Loop:
    """A loop: grey levels, and the true ids."""

    grey: Tensor
    """[frame, 1, 256, 256] in [0, 1]"""
    ids: Tensor
    """[frame, 256, 256]"""

    def to(self, device: torch.device) -> "Loop":
        """A copy on a device."""
        return Loop(self.grey.to(device), self.ids.to(device))


class Loops:
    """Loops of a split."""

    def __init__(self, folder: Path, pack: Pack, split: str) -> None:
        """Maps the fields.

        Raises:
            DataError: the folder holds none.
        """
        path_ = folder / f"patients_{split}.json"
        if not path_.is_file():
            raise DataError(f"{path_} does not exist: run `python -m sonotrace_models loops` first")
        names = json.loads(path_.read_text())
        by_name = {patient.name: patient for patient in patients(pack, split)}
        self.pack = pack
        self.patients = [by_name[name] for name in names]
        self.fields: npt.NDArray[np.float32] = np.load(folder / f"fields_{split}.npy", mmap_mode="r")

    def motion(self, at: int, frames: Tensor) -> Tensor:
        """[len(frames), 256, 256, 2]: sampling fields of the end-diastolic image at fractional frame numbers, on the device of
        `frames`."""
        phase = (1 - torch.cos(2 * torch.pi * frames / FRAMES)) / 2 * PHASES
        start = np.stack([*np.meshgrid(*[np.linspace(0, SIZE - 1, LATTICE)] * 2)], -1).astype(np.float32)
        nodes = torch.from_numpy(np.concatenate([start[None], self.fields[at]])).to(frames.device)
        low = phase.floor().long().clamp(max=PHASES - 1)
        share = (phase - low)[:, None, None, None]
        return to_grid(nodes[low] * (1 - share) + nodes[low + 1] * share)

    def make(self, at: int, seed: int) -> Loop:
        """The patient's whole loop. The same seed gives the same loop."""
        patient = self.patients[at]
        field = self.motion(at, torch.arange(FRAMES).float())
        grey, ids = (
            torch.from_numpy(np.asarray(array[patient.diastole]).astype(np.float32))[None, None].expand(
                FRAMES, -1, -1, -1
            )
            for array in (self.pack.images, self.pack.masks)
        )
        grey, ids = warp(grey / 255, field), warp_ids(ids, field)[:, 0]
        grey[MIDDLE, 0] = torch.from_numpy(np.asarray(self.pack.images[patient.systole]).astype(np.float32)) / 255
        ids[MIDDLE] = torch.from_numpy(np.asarray(self.pack.masks[patient.systole]).astype(np.float32))
        return Loop(drift(grey, torch.Generator().manual_seed(seed)), ids)


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

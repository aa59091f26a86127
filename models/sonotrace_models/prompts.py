"""Simulated users in training: a first prompt, then clicks where the mask is wrong (paper, 2.5)."""

from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sonotrace_models import SIZE
from sonotrace_models.data.fields import chance, uniform
from sonotrace_models.nets.decoder import BOX_FROM, BOX_TO, NEGATIVE, PAD, POINT_SLOTS, POSITIVE, Prompt

JITTER = 0.2
"""Maximum offset of a first click from the centroid, or of a box's side from the object's, as a share of its extent."""
CENTRE_SHARE = 0.6
"""Share of corrections in the thickest part of an error, where users click, rather than anywhere in it."""


@dataclass(frozen=True)
class Points:
    """The points given so far, one row per object."""

    coords: Tensor
    labels: Tensor
    used: Tensor
    """[rows]: slots in use"""
    is_box: Tensor
    """[rows]: whether the first prompt was a box"""

    def where(self, condition: Tensor, other: "Points") -> "Points":
        """These points where `condition` ([rows] bool) holds, else those of `other`."""
        return Points(
            torch.where(condition[:, None, None], self.coords, other.coords),
            torch.where(condition[:, None], self.labels, other.labels),
            torch.where(condition, self.used, other.used),
            torch.where(condition, self.is_box, other.is_box),
        )

    def prompt(self, mask: Tensor, has_mask: Tensor) -> Prompt:
        """A prompt of these points and the previous mask."""
        return Prompt(self.coords, self.labels, mask, has_mask)


def carried_box(carried: Tensor, is_box: Tensor) -> Points:
    """The box of a mask that was propagated from another frame.

    Args:
        carried: [rows, side, side] bool: the propagated mask.
        is_box: [rows] bool: whether to give the box; an empty mask has none.
    """
    rows, device = len(carried), carried.device
    pitch = SIZE // carried.shape[-1]
    x0, y0, x1, y1, *_ = _extent(carried.repeat_interleave(pitch, 1).repeat_interleave(pitch, 2))
    is_box = is_box & carried.flatten(1).any(1)
    corners = torch.stack([torch.stack([x0, y0], 1), torch.stack([x1, y1], 1)], 1)
    coords = torch.zeros(rows, POINT_SLOTS, 2, device=device)
    labels = torch.full((rows, POINT_SLOTS), float(PAD), device=device)
    coords[:, :2] = torch.where(is_box[:, None, None], corners, 0.0)
    labels[:, :2] = torch.where(is_box[:, None], torch.tensor([BOX_FROM, BOX_TO], device=device).float(), float(PAD))
    return Points(coords, labels, torch.where(is_box, 2, 0), is_box)


def first_points(truth: Tensor, generator: Generator, box_share: float) -> Points:
    """A jittered click near the centroid, or a loose box, for [rows, 256, 256] bool."""
    rows, device = len(truth), truth.device
    x0, y0, x1, y1, x, y = _extent(truth)
    width, height = (x1 - x0).clamp(min=1), (y1 - y0).clamp(min=1)
    jitter = uniform(generator, (4, rows), -JITTER / 2, JITTER)
    box = torch.stack(
        [x0 - jitter[0] * width, y0 - jitter[1] * height, x1 + jitter[2] * width, y1 + jitter[3] * height], 1
    ).clamp(0, SIZE - 1)
    # Many users click close to the centre.
    off = uniform(generator, (2, rows), -JITTER, JITTER) * torch.where(chance(generator, rows, 0.4), 0.2, 1.0)
    x, y = (x + off[0] * width).round().clamp(0, SIZE - 1), (y + off[1] * height).round().clamp(0, SIZE - 1)
    is_on = truth[torch.arange(rows, device=device), y.long(), x.long()]
    anywhere = _thick_or_any(truth, generator)
    click = torch.where(is_on[:, None], torch.stack([x, y], 1), anywhere)
    is_box = chance(generator, rows, box_share)
    coords = torch.zeros(rows, POINT_SLOTS, 2, device=device)
    labels = torch.full((rows, POINT_SLOTS), float(PAD), device=device)
    coords[:, 0] = torch.where(is_box[:, None], box[:, :2], click)
    coords[:, 1] = torch.where(is_box[:, None], box[:, 2:], 0.0)
    labels[:, 0] = torch.where(is_box, float(BOX_FROM), float(POSITIVE))
    labels[:, 1] = torch.where(is_box, float(BOX_TO), float(PAD))
    return Points(coords, labels, torch.where(is_box, 2, 1), is_box)


def correct(points: Points, predicted: Tensor, truth: Tensor, generator: Generator) -> Points:
    """Adds a click on the larger kind of error, or inside the object if there is no error; [rows, side, side] bool each."""
    rows = torch.arange(len(truth), device=truth.device)
    missed, leaked = truth & ~predicted, predicted & ~truth
    is_positive = missed.sum((1, 2)) >= leaked.sum((1, 2))
    error = torch.where(is_positive[:, None, None], missed, leaked)
    is_right = ~error.flatten(1).any(1)
    error = torch.where(is_right[:, None, None], truth, error)
    pitch = SIZE // truth.shape[-1]
    within = torch.randint(pitch, (len(truth), 2), generator=generator, device=truth.device)
    click = _thick_or_any(error, generator) * pitch + within
    coords, labels = points.coords.clone(), points.labels.clone()
    coords[rows, points.used] = click
    labels[rows, points.used] = torch.where(is_positive | is_right, float(POSITIVE), float(NEGATIVE))
    return replace(points, coords=coords, labels=labels, used=points.used + 1)


def _thick_or_any(region: Tensor, generator: Generator) -> Tensor:
    """[rows, 2]: x and y of a pixel of each region: in its thickest part, or anywhere in it."""
    rows, side = len(region), region.shape[-1]
    noise = torch.rand(region.shape, generator=generator, device=region.device)
    window = side // 12 | 1
    # A square window, applied one axis at a time: a tenth of the work.
    across = F.avg_pool2d(region[:, None].float(), (1, window), 1, (0, window // 2))
    thickness = F.avg_pool2d(across, (window, 1), 1, (window // 2, 0))[:, 0]
    is_thick = chance(generator, rows, CENTRE_SHARE)[:, None, None]
    score = torch.where(is_thick, thickness + 0.02 * noise, 0.01 + noise) * region
    at = score.flatten(1).argmax(1)
    return torch.stack([at % side, at // side], 1).float()


def _extent(truth: Tensor) -> tuple[Tensor, ...]:
    """Left, top, right, bottom, and the centroid."""
    area = truth.sum((1, 2)).clamp(min=1)
    at = torch.arange(SIZE, device=truth.device, dtype=torch.float32)
    columns, rows = truth.any(1).float(), truth.any(2).float()
    x0, y0 = columns.argmax(1).float(), rows.argmax(1).float()
    x1, y1 = SIZE - 1 - columns.flip(1).argmax(1).float(), SIZE - 1 - rows.flip(1).argmax(1).float()
    x, y = (truth.sum(1) * at).sum(1) / area, (truth.sum(2) * at).sum(1) / area
    return x0, y0, x1, y1, x, y

"""Sampling fields: the source position of each pixel of a warped image.

A field is [batch, 256, 256, 2], x and y in [-1, 1] over the image, as `grid_sample` takes it.
"""

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sonotrace_models import SIZE


def uniform(generator: Generator, shape: tuple[int, ...], low: float, high: float) -> Tensor:
    """Uniform random numbers on the generator's device."""
    return torch.rand(shape, generator=generator, device=generator.device) * (high - low) + low


def chance(generator: Generator, count: int, probability: float) -> Tensor:
    """[count] bool, each true with the given probability."""
    return torch.rand(count, generator=generator, device=generator.device) < probability


def identity(batch: int, device: torch.device) -> Tensor:
    """The identity field."""
    matrix = torch.eye(2, 3, device=device).expand(batch, 2, 3)
    return F.affine_grid(matrix, [batch, 1, SIZE, SIZE], align_corners=False)


def affine(field: Tensor, angle_rad: Tensor, scale: Tensor, shift: Tensor, flip: Tensor) -> Tensor:
    """Rotates, scales (a larger `scale` shows more), shifts ([batch, 2], in half sides) and mirrors (`flip`, bool) a field."""
    sign = torch.where(flip, -1.0, 1.0)
    cos, sin = torch.cos(angle_rad) * scale, torch.sin(angle_rad) * scale
    matrix = torch.stack([torch.stack([cos * sign, -sin], -1), torch.stack([sin * sign, cos], -1)], 1)
    return field @ matrix.transpose(1, 2)[:, None] + shift[:, None, None]


def smooth(generator: Generator, batch: int, knots: int, amplitude: Tensor) -> Tensor:
    """Random displacements [batch, 256, 256, 2]: noise of standard deviation `amplitude` at `knots` x `knots` points, with
    bicubic interpolation."""
    noise = torch.randn(batch, 2, knots, knots, generator=generator, device=generator.device)
    noise = noise * amplitude.reshape(-1, 1, 1, 1)
    fine = F.interpolate(noise, size=(SIZE, SIZE), mode="bicubic", align_corners=True)
    return fine.permute(0, 2, 3, 1)


def bend(field: Tensor, opening_rad: Tensor) -> Tensor:
    """Bends the image of a linear probe into a convex probe's sector (opening > 0); 0 leaves it unchanged.

    A pixel's angle and radius about the sector's apex become its lateral and axial position. The middle row keeps its width.
    """
    opening = opening_rad.clamp(min=1e-3)[:, None, None]
    radius = 1 / torch.sin(opening / 2)
    x, y = field[..., 0], field[..., 1] + radius
    bent = torch.stack([torch.atan2(x, y) * radius, torch.hypot(x, y) - radius], -1)
    return torch.where((opening_rad > 0)[:, None, None, None], bent, field)


def compose(field: Tensor, view: Tensor) -> Tensor:
    """The field that warps an image by `field`, then by `view`."""
    values = field.permute(0, 3, 1, 2)
    sampled = F.grid_sample(values, view, mode="bilinear", padding_mode="border", align_corners=False)
    # Outside the image the field is undefined. A position of 2 is sampled as black.
    is_outside = (view.abs() > 1).any(-1, keepdim=True)
    return torch.where(is_outside, 2.0, sampled.permute(0, 2, 3, 1))


def warp(image: Tensor, field: Tensor) -> Tensor:
    """Samples [batch, channels, 256, 256] bilinearly; black outside."""
    return F.grid_sample(image, field, mode="bilinear", padding_mode="zeros", align_corners=False)


def warp_ids(ids: Tensor, field: Tensor) -> Tensor:
    """Samples ids, [batch, channels, 256, 256], at the nearest pixel; 0 outside."""
    return F.grid_sample(ids, field, mode="nearest", padding_mode="zeros", align_corners=False)


def random_view(generator: Generator, batch: int, strength: float = 1.0) -> Tensor:
    """The field of an augmented image: rotated, scaled, shifted, mirrored, bent and slightly deformed."""
    device = generator.device
    field = identity(batch, device)
    angle = uniform(generator, (batch,), -1, 1) * strength * math.radians(20)
    scale = torch.exp(uniform(generator, (batch,), -1, 1) * strength * 0.3)
    shift = uniform(generator, (batch, 2), -1, 1) * strength * 0.16
    field = affine(field, angle, scale, shift, chance(generator, batch, 0.5))
    is_bent = chance(generator, batch, 0.2 * strength)
    field = bend(field, torch.where(is_bent, uniform(generator, (batch,), 0.3, 1.2), 0.0))
    is_deformed = chance(generator, batch, 0.3 * strength)
    return field + smooth(generator, batch, 5, torch.where(is_deformed, uniform(generator, (batch,), 0.01, 0.04), 0.0))


def swaying(generator: Generator, frames: int, knots: int) -> Tensor:
    """[frame, 256, 256, 2]: the field of tissue that deforms (noise at `knots` x `knots` points), turns and pulses in periods,
    and slides a little; the identity in the first frame."""
    device = generator.device
    time = torch.arange(frames, device=device) / 10
    rate, start = uniform(generator, (2,), 0.3, 1.2), uniform(generator, (2,), 0, 1)
    amplitude = uniform(generator, (1,), 0.0, 0.07)
    shape = smooth(generator, 1, knots, amplitude)
    beat = torch.sin(2 * torch.pi * (rate[0] * time + start[0])) - torch.sin(2 * torch.pi * start[0])
    swing = torch.sin(2 * torch.pi * (rate[1] * time + start[1])) - torch.sin(2 * torch.pi * start[1])
    angle, pulse, slide = (uniform(generator, (1,), -1, 1) for _ in range(3))
    direction = F.normalize(torch.randn(1, 2, generator=generator, device=device), dim=1)
    field = affine(
        identity(frames, device),
        0.12 * angle * swing,
        torch.exp(0.12 * pulse * beat),
        0.12 * slide * swing[:, None] * direction + 0.02 * time[:, None] * direction,
        torch.zeros(frames, dtype=torch.bool, device=device),
    )
    return field + beat[:, None, None, None] * shape

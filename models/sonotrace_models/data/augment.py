"""Augmentation by the differences between scanners, settings and patients: gain, depth attenuation, dynamic range, shadows,
haze, speckle, focus and sector."""

import kornia.augmentation as ka
import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from sonotrace_models import SIZE
from sonotrace_models.data.fields import chance, uniform


class Appearance(nn.Module):
    """Photometric augmentation of grey levels, [batch, 1, 256, 256] in [0, 1]."""

    def __init__(self) -> None:
        super().__init__()
        self.general = nn.Sequential(
            ka.RandomGamma((0.65, 1.5), (0.75, 1.35), p=0.9),
            ka.RandomGaussianBlur((5, 5), (0.4, 1.4), p=0.25),
        )

    def forward(self, grey: Tensor, generator: Generator) -> Tensor:
        grey = attenuate(grey, generator)
        grey = lift(self.general(grey), generator)
        grey = haze(shadow(grey, generator), generator)
        grey = speckle(grey, generator)
        return crop_to_sector(grey, generator)


def attenuate(grey: Tensor, generator: Generator) -> Tensor:
    """Applies a gain that changes with depth, as if attenuation was compensated too little or too much."""
    batch = len(grey)
    rate = torch.where(chance(generator, batch, 0.5), uniform(generator, (batch,), -0.8, 0.8), 0.0)
    depth = torch.linspace(0, 1, SIZE, device=grey.device) - uniform(generator, (batch, 1), 0, 1)
    return grey * torch.exp(-rate[:, None] * depth)[:, None, :, None]


def lift(grey: Tensor, generator: Generator) -> Tensor:
    """Raises or lowers all grey levels that are not black, as a change of the dynamic range's lower end does."""
    level = uniform(generator, (len(grey), 1, 1, 1), -0.04, 0.04)
    return (grey + level * (grey > 0.01)).clamp(0, 1)


def shadow(grey: Tensor, generator: Generator) -> Tensor:
    """Adds an acoustic shadow to some images: behind bone, gas or calcification, or below a part of the probe without contact.

    Beams start at a point above the image: close to it for a sector, far above it for a linear probe.
    """
    batch = len(grey)
    at = torch.linspace(-1, 1, SIZE, device=grey.device)
    apex_y = uniform(generator, (batch, 1, 1), -6.0, -1.2)
    # A beam is identified by its x on the middle row.
    beam = at[None, None, :] * (-apex_y / (at[None, :, None] - apex_y))
    across = (beam - uniform(generator, (batch, 1, 1), -1, 1)) / uniform(generator, (batch, 1, 1), 0.06, 0.3)
    behind = torch.sigmoid((at[None, :, None] - uniform(generator, (batch, 1, 1), -1.2, 0.6)) / 0.05)
    strength = torch.where(chance(generator, batch, 0.25), uniform(generator, (batch,), 0.2, 0.9), 0.0)
    kept = 1 - strength[:, None, None] * torch.exp(-(across**4)) * behind
    return grey * kept[:, None]


def haze(grey: Tensor, generator: Generator) -> Tensor:
    """Adds clutter to some images: reverberation and side lobes, whose brightness varies over the image."""
    batch = len(grey)
    coarse = torch.rand(batch, 1, 4, 4, generator=generator, device=grey.device)
    cloud = F.interpolate(coarse, size=(SIZE, SIZE), mode="bicubic", align_corners=True).clamp(0, 1)
    strength = torch.where(chance(generator, batch, 0.25), uniform(generator, (batch,), 0, 0.3), 0.0)
    # No clutter outside the field of view.
    return grey + strength[:, None, None, None] * cloud * (1 - grey) * (grey > 0.01)


def speckle(grey: Tensor, generator: Generator) -> Tensor:
    """Multiplicative noise with a grain of one or two pixels."""
    batch = len(grey)
    strength = torch.where(chance(generator, batch, 0.6), uniform(generator, (batch,), 0, 0.25), 0.0)
    is_fine = bool(chance(generator, 1, 0.3))
    side = SIZE if is_fine else SIZE // 2
    noise = torch.randn(batch, 1, side, side, generator=generator, device=grey.device)
    if not is_fine:
        # Interpolation reduces the variance.
        noise = 1.4 * F.interpolate(noise, size=(SIZE, SIZE), mode="bilinear", align_corners=False)
    return (grey * (1 + strength[:, None, None, None] * noise)).clamp(0, 1)


def crop_to_sector(grey: Tensor, generator: Generator) -> Tensor:
    """Blackens everything outside a sector in some images; the sector's apex is at or above the top."""
    batch = len(grey)
    at = torch.linspace(-1, 1, SIZE, device=grey.device)
    apex_x = uniform(generator, (batch, 1, 1), -0.2, 0.2)
    apex_y = uniform(generator, (batch, 1, 1), -1.8, -1.0)
    half_rad = uniform(generator, (batch, 1, 1), 0.5, 0.9)
    reach = uniform(generator, (batch, 1, 1), 1.9, 2.6)
    x, y = at[None, None, :] - apex_x, at[None, :, None] - apex_y
    is_inside = (torch.atan2(x, y).abs() < half_rad) & (torch.hypot(x, y) < reach + (apex_y + 1).abs())
    is_cropped = chance(generator, batch, 0.12)[:, None, None]
    return torch.where((is_inside | ~is_cropped)[:, None], grey, 0.0)

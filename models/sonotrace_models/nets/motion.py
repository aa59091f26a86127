"""Motion since an anchor, a frame with known masks: a flow from each cell of a frame to its position in the anchor.

The flow is found coarse to fine with warping and local correlation, as in PWC-Net (Sun 2018), on the encoder's strides 8 and
4. A speckle pattern moves with its tissue over a few frames, so it shows motions smaller than a token. Attention between
tokens cannot follow these.

The flow is not found from each frame to the next: a wall then moves by less than a pixel, in speckle that changes, so that
each motion is underestimated and the errors add up. Instead, the anchor is warped by the motion up to the previous frame and
compared with the current frame. A motion that was underestimated is then corrected on the next frame.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonotrace_models import SIZE
from sonotrace_models.nets.encoder import F4_CHANNELS, F8_CHANNELS, Textures
from sonotrace_models.nets.layers import DilatedConv2d, LayerNorm2d, double

SIDE = SIZE // 4
"""Cells along a side of the finest flow."""
REACH = 2
"""Search range in cells to each side, at both strides: motions up to 16 pixels per frame."""
OFFSETS = (2 * REACH + 1) ** 2
KEYS8, KEYS4 = 32, 24
HIDDEN8, HIDDEN4 = 40, 32
PASSED_ON = 16
"""Channels that the coarse level passes to the fine one."""


class Moved(NamedTuple):
    """The motion of a frame since the anchor."""

    flow: Tensor
    """[batch, 2, 64, 64]: x and y of the position in the anchor minus the position in this frame, in cells of stride 4"""
    step: Tensor
    """[batch, 2, 64, 64]: the change of the flow since the previous frame"""


class Flow(NamedTuple):
    """The motion of a frame, and the features it was computed from."""

    moved: Moved
    hidden: Tensor
    """[batch, 32, 64, 64]: input of the flow's last layer, also used by the tracker's pyramid"""


class Motion(nn.Module):
    """Computes the flow between a frame and its anchor from the textures of both."""

    def __init__(self) -> None:
        super().__init__()
        self.key8 = nn.Sequential(nn.Conv2d(F8_CHANNELS, KEYS8, 1), LayerNorm2d(KEYS8))
        self.key4 = nn.Sequential(nn.Conv2d(F4_CHANNELS, KEYS4, 1), LayerNorm2d(KEYS4))
        self.coarse = nn.Sequential(
            nn.Conv2d(OFFSETS + KEYS8, HIDDEN8, 3, padding=1),
            nn.GELU(),
            DilatedConv2d(HIDDEN8, HIDDEN8, 3, padding=2, dilation=2),
            nn.GELU(),
        )
        self.coarse_flow = nn.Conv2d(HIDDEN8, 2, 1)
        self.pass_on = nn.Conv2d(HIDDEN8, PASSED_ON, 1)
        self.fine = nn.Sequential(
            nn.Conv2d(OFFSETS + KEYS4 + 2 + 2 + PASSED_ON, HIDDEN4, 1),
            nn.GELU(),
            nn.Conv2d(HIDDEN4, HIDDEN4, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(HIDDEN4, HIDDEN4, 3, padding=1),
            nn.GELU(),
        )
        self.fine_flow = nn.Conv2d(HIDDEN4, 2, 1)
        for layer in (self.coarse_flow, self.fine_flow):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(self, now: Textures, anchor: Textures, so_far: Moved) -> Flow:
        """The flow from this frame back to the anchor.

        Args:
            so_far: motion of the previous frame; zeros if that is the anchor. Motion continues, so two observations estimate
                it better than one.
        """
        key, old = self.key8(now.f8), self.key8(anchor.f8)
        hidden = self.coarse(torch.cat([correlation(key, follow(old, halved(so_far.flow))), key], 1))
        cells = 2 * double(self.coarse_flow(hidden))
        key, old = self.key4(now.f4), self.key4(anchor.f4)
        compared = correlation(key, follow(old, after(so_far.flow, cells)))
        hidden = self.fine(torch.cat([compared, key, cells, so_far.step, double(self.pass_on(hidden))], 1))
        flow = after(so_far.flow, cells + self.fine_flow(hidden))
        return Flow(Moved(flow, flow - so_far.flow), hidden)


def still(batch: int, device: torch.device) -> Moved:
    """No motion."""
    zero = torch.zeros(batch, 2, SIDE, SIDE, device=device)
    return Moved(zero, zero)


def after(flow: Tensor, cells: Tensor) -> Tensor:
    """The composition of two flows: `cells` first, then `flow`."""
    return cells + follow(flow, cells)


def halved(flow: Tensor) -> Tensor:
    """The same flow on a grid of half the side, in unchanged units."""
    return F.avg_pool2d(flow, 2)


def correlation(key: Tensor, old: Tensor) -> Tensor:
    """[batch, 25, rows, columns]: mean product of each cell's key with the keys around its position in the other frame, in
    row-major order; 0 outside."""
    rows, columns = key.shape[2:]
    padded = F.pad(old, (REACH,) * 4)
    return torch.cat(
        [
            (key * padded[:, :, dy : dy + rows, dx : dx + columns]).mean(1, keepdim=True)
            for dy in range(2 * REACH + 1)
            for dx in range(2 * REACH + 1)
        ],
        1,
    )


def follow(x: Tensor, cells: Tensor) -> Tensor:
    """Warps another frame's map, [batch, channels, side, side], to this frame.

    Args:
        cells: [batch, 2, side, side]: position in the other frame minus position in this one, in cells of stride 4 for any
            side.
    """
    side = x.shape[-1]
    at = (2 * torch.arange(side, device=x.device) + 1) / side - 1
    centres = torch.stack([at.expand(side, side), at[:, None].expand(side, side)])
    places = (centres + cells.float() * (2 / SIDE)).permute(0, 2, 3, 1)
    return F.grid_sample(x.float(), places, mode="bilinear", padding_mode="border", align_corners=False)

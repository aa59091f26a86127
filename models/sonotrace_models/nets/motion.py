"""Motion since an anchor, a frame whose masks are known: where each cell of a frame was in that one.

Coarse to fine with warping and local correlation, as PWC-Net (Sun 2018), on the encoder's strides 8 and 4. A speckle
pattern moves with its tissue over a few frames, so it tells motions that are smaller than any token; what is carried by
attention between tokens cannot follow them.

Not from each frame to the next: a wall moves by less than a pixel then, in speckle that changes, so that each motion is
found too small, and what is missing adds up. The anchor is compared as it would look after the motion up to the frame
before; what is missing then is seen again on the next frame.
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sonotrace_models import SIZE
from sonotrace_models.nets.encoder import F4_CHANNELS, F8_CHANNELS, Textures
from sonotrace_models.nets.layers import LayerNorm2d, double

SIDE = SIZE // 4
"""Cells along a side of the finest flow."""
REACH = 2
"""Cells to each side that are compared, at both strides: motions up to 16 pixels a frame."""
OFFSETS = (2 * REACH + 1) ** 2
KEYS8, KEYS4 = 32, 24
HIDDEN8, HIDDEN4 = 40, 32
PASSED_ON = 16
"""Channels that the coarse level hands to the fine one."""


class Moved(NamedTuple):
    """How far a frame has moved."""

    flow: Tensor
    """[batch, 2, 64, 64]: x and y of the place in the anchor, less the place in this frame, in cells of stride 4"""
    step: Tensor
    """[batch, 2, 64, 64]: what of that came with this frame"""


class Flow(NamedTuple):
    """Where things were."""

    moved: Moved
    hidden: Tensor
    """[batch, 32, 64, 64]: what the flow was made of, for those who judge it"""


class Motion(nn.Module):
    """The textures of a frame and of its anchor to the flow between them."""

    def __init__(self) -> None:
        super().__init__()
        self.key8 = nn.Sequential(nn.Conv2d(F8_CHANNELS, KEYS8, 1), LayerNorm2d(KEYS8))
        self.key4 = nn.Sequential(nn.Conv2d(F4_CHANNELS, KEYS4, 1), LayerNorm2d(KEYS4))
        self.coarse = nn.Sequential(
            nn.Conv2d(OFFSETS + KEYS8, HIDDEN8, 3, padding=1),
            nn.GELU(),
            nn.Conv2d(HIDDEN8, HIDDEN8, 3, padding=2, dilation=2),
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
            so_far: of the frame before; zeros if that is the anchor. What moves keeps moving, and that is known better from
                two looks than from one.
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
    """Nothing has moved."""
    nothing = torch.zeros(batch, 2, SIDE, SIDE, device=device)
    return Moved(nothing, nothing)


def after(flow: Tensor, cells: Tensor) -> Tensor:
    """The flow from behind `cells` on back to where `flow` leads: both one after the other."""
    return cells + follow(flow, cells)


def halved(flow: Tensor) -> Tensor:
    """At half as many places."""
    return F.avg_pool2d(flow, 2)


def correlation(key: Tensor, old: Tensor) -> Tensor:
    """[batch, 25, rows, columns]: mean product of each cell's key with those about its place in the other frame, row by
    row; 0 outside."""
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
    """What of another frame, [batch, channels, side, side], is now at each of its places.

    Args:
        cells: [batch, 2, side, side]: where it was, less where it is, in cells of stride 4, whatever the side.
    """
    side = x.shape[-1]
    at = (2 * torch.arange(side, device=x.device) + 1) / side - 1
    centres = torch.stack([at.expand(side, side), at[:, None].expand(side, side)])
    places = (centres + cells.float() * (2 / SIDE)).permute(0, 2, 3, 1)
    return F.grid_sample(x.float(), places, mode="bilinear", padding_mode="border", align_corners=False)

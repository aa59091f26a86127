"""SonoSAMLite's image encoder: a light plain ViT behind a convolutional stem (paper, 2.2.2)."""

from itertools import pairwise
from typing import Literal, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.ops import StochasticDepth

from sonotrace_models import SIZE
from sonotrace_models.data.pack import Normalisation
from sonotrace_models.nets.layers import LayerNorm2d, attend, join_heads, split_heads, to_map, to_tokens

STRIDE = 16
GRID = SIZE // STRIDE
"""Tokens along a side."""
WIDTH = 256
F4_CHANNELS, F8_CHANNELS = 32, 64


class Textures(NamedTuple):
    """The parts of `Features` without attention: local appearance."""

    f4: Tensor
    """[batch, 32, 64, 64]"""
    f8: Tensor
    """[batch, 64, 32, 32]"""


class Features(NamedTuple):
    """The encoder's output for an image. Segmenter and tracker share one encoder."""

    embedding: Tensor
    """[batch, 256, 16, 16]"""
    f4: Tensor
    """[batch, 32, 64, 64]: stride 4, for boundaries"""
    f8: Tensor
    """[batch, 64, 32, 32]: stride 8"""

    @property
    def textures(self) -> Textures:
        """`f4` and `f8`."""
        return Textures(self.f4, self.f8)


class Block(nn.Module):
    """A pre-norm transformer block with global attention (Dosovitskiy 2021)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1 = nn.LayerNorm(width, eps=1e-6)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.norm2 = nn.LayerNorm(width, eps=1e-6)
        self.fc1 = nn.Linear(width, 4 * width)
        self.fc2 = nn.Linear(4 * width, width)
        self.dropped = StochasticDepth(0.0, "row")

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (split_heads(part, self.heads) for part in self.qkv(self.norm1(x)).chunk(3, dim=-1))
        x = x + self.dropped(self.proj(join_heads(attend(q, k, v))))
        return x + self.dropped(self.fc2(F.gelu(self.fc1(self.norm2(x)))))


class Encoder(nn.Module):
    """[batch, 1, 256, 256] normalised grey levels to `Features`.

    Mean and standard deviation of grey levels are stored with the weights; `normalise` uses them.

    The stem halves the resolution four times; its batch normalisation is folded into the convolutions at export. A
    convolutional stem quantizes well, where depthwise convolutions do not.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, depth: int = 8, heads: int = 4) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(()))
        self.register_buffer("std", torch.ones(()))
        widths = [1, 32, 64, 128, WIDTH]
        self.stem = nn.ModuleList(
            nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.GELU())
            for a, b in pairwise(widths)
        )
        self.position = nn.Parameter(torch.zeros(1, GRID * GRID, WIDTH))
        self.blocks = nn.ModuleList(Block(WIDTH, heads) for _ in range(depth))
        self.neck = nn.Sequential(
            nn.Conv2d(WIDTH, WIDTH, 1, bias=False),
            LayerNorm2d(WIDTH),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, bias=False),
            LayerNorm2d(WIDTH),
        )
        self.lateral4 = nn.Conv2d(64, F4_CHANNELS, 1)
        self.lateral8 = nn.Conv2d(128, F8_CHANNELS, 1)
        nn.init.trunc_normal_(self.position, std=0.02)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Conv2d):
                mode: Literal["fan_in", "fan_out"] = "fan_out" if module.stride == (2, 2) else "fan_in"
                nn.init.kaiming_normal_(module.weight, mode=mode, nonlinearity="relu")

    def drop_depth(self, share: float) -> None:
        """Stochastic depth (Huang 2016), in training only: a share of the images skips a branch of the last block, smaller
        shares skip those of earlier blocks."""
        for at, block in enumerate(self.blocks, start=1):
            cast(Block, block).dropped.p = share * at / len(self.blocks)

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.mean.device

    def adopt(self, normalisation: Normalisation) -> None:
        """Sets the grey-level statistics."""
        self.mean.fill_(normalisation.mean)
        self.std.fill_(normalisation.std)

    def normalise(self, grey: Tensor) -> Tensor:
        """Grey levels in [0, 1] to the input of `forward`."""
        return (grey - self.mean) / self.std

    def forward(self, image: Tensor) -> Features:
        stride8, textures = self._textures(image)
        tokens = to_tokens(self.stem[3](stride8)) + self.position
        for block in self.blocks:
            tokens = block(tokens)
        return Features(self.neck(to_map(tokens, GRID)), *textures)

    def textures(self, image: Tensor) -> Textures:
        """Computes only the part of `forward` without attention."""
        return self._textures(image)[1]

    def _textures(self, image: Tensor) -> tuple[Tensor, Textures]:
        stride4 = self.stem[1](self.stem[0](image))
        stride8 = self.stem[2](stride4)
        return stride8, Textures(self.lateral4(stride4), self.lateral8(stride8))

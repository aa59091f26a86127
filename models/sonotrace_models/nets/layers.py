"""Layers shared by several networks."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LayerNorm2d(nn.Module):
    """Layer normalisation over the channels of [batch, channels, rows, columns]."""

    def __init__(self, channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        channels_last = x.permute(0, 2, 3, 1)
        return F.layer_norm(channels_last, self.weight.shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class DilatedConv2d(nn.Conv2d):
    """A dilated convolution; in training on a CPU always in f32. In bf16, PyTorch 2.15 computes NaN as its weights' gradient
    if weights or input have their channels last."""

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu" or not torch.is_autocast_enabled("cpu"):
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float())


class Mlp(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, widths: list[int]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


def split_heads(x: Tensor, heads: int) -> Tensor:
    """[batch, tokens, width] to [batch, heads, tokens, width / heads]."""
    batch, tokens, width = x.shape
    return x.reshape(batch, tokens, heads, width // heads).transpose(1, 2)


def join_heads(x: Tensor) -> Tensor:
    """The inverse of `split_heads`."""
    batch, heads, tokens, width = x.shape
    return x.transpose(1, 2).reshape(batch, tokens, heads * width)


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Scaled dot-product attention, [batch, heads, tokens, width]."""
    if q.device.type == "cpu":
        # PyTorch's fused form takes a third more time on a CPU, mostly in the backward pass (2.15, bf16).
        return ((q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)).softmax(-1) @ v
    return F.scaled_dot_product_attention(q, k, v)


def to_tokens(x: Tensor) -> Tensor:
    """[batch, channels, rows, columns] to [batch, rows * columns, channels]."""
    return x.flatten(2).transpose(1, 2)


def to_map(tokens: Tensor, rows: int) -> Tensor:
    """The inverse of `to_tokens`."""
    batch, count, channels = tokens.shape
    return tokens.transpose(1, 2).reshape(batch, channels, rows, count // rows)


def double(x: Tensor) -> Tensor:
    """Twice as many rows and columns, bilinear."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def interleave(x: Tensor, factor: int) -> Tensor:
    """[batch, channels * factor ** 2, rows, columns] to [batch, channels, rows * factor, columns * factor]: PyTorch's pixel
    shuffle, in operations that every exporter writes with fixed shapes."""
    batch, channels, rows, columns = x.shape
    kept = channels // factor**2
    cells = x.reshape(batch, kept, factor, factor, rows, columns).permute(0, 1, 4, 2, 5, 3)
    return cells.reshape(batch, kept, rows * factor, columns * factor)


def separate(x: Tensor, factor: int) -> Tensor:
    """The inverse of `interleave`."""
    batch, channels, rows, columns = x.shape
    cells = x.reshape(batch, channels, rows // factor, factor, columns // factor, factor).permute(0, 1, 3, 5, 2, 4)
    return cells.reshape(batch, channels * factor**2, rows // factor, columns // factor)

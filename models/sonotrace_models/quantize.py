"""Simulates int8 arithmetic as planned for the runtime, in floating point; differentiable, for fine-tuning.

*Linear layers*: weights int8 with a scale per output channel, activations int8 with a scale per row (token) found at run
time, products summed exactly, the result scaled back. *Convolutions* that are not depthwise are computed in the same way over
patches: a row is the patch of one output pixel, so that a dark region has its own scale. *Depthwise convolutions*, the
products of attention, normalisation and activation functions stay in floating point: they are a small share of the work,
and depthwise layers are the most sensitive to int8.
"""

import copy
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

LEVELS = 127
"""Largest magnitude of an int8 value; -128 is not used, so that the scale is symmetric."""

Net = TypeVar("Net", bound=nn.Module)


class _RoundThrough(torch.autograd.Function):
    """Rounds to nearest, halves to even; gradients pass unchanged."""

    @staticmethod
    def forward(_context: object, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(_context: object, gradient: Tensor) -> Tensor:
        return gradient


def int8_scale(x: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """The value of one int8 step, shared by all elements along `dim`: their largest magnitude over 127."""
    return x.detach().abs().amax(dim, keepdim=True).clamp(min=1e-12) / LEVELS


def fake_int8(x: Tensor, dim: int | tuple[int, ...]) -> Tensor:
    """`x` rounded to int8 and converted back, with one scale for all elements along `dim`."""
    scale = int8_scale(x, dim)
    return _RoundThrough.apply(x / scale) * scale


class Int8Linear(nn.Linear):
    """A linear layer in int8."""

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(fake_int8(x, -1), fake_int8(self.weight, 1), self.bias)


class Int8Conv2d(nn.Conv2d):
    """A dense convolution in int8: rows are patches."""

    def forward(self, x: Tensor) -> Tensor:
        assert self.groups == 1
        assert not isinstance(self.padding, str)
        batch, _, height, width = x.shape
        reach_h, reach_w = (by * (kernel - 1) for by, kernel in zip(self.dilation, self.kernel_size, strict=True))
        rows = (height + 2 * self.padding[0] - reach_h - 1) // self.stride[0] + 1
        columns = (width + 2 * self.padding[1] - reach_w - 1) // self.stride[1] + 1
        patches = F.unfold(x, self.kernel_size, self.dilation, self.padding, self.stride)
        weight = fake_int8(self.weight.flatten(1), 1)
        out = (weight @ fake_int8(patches, 1)).reshape(batch, -1, rows, columns)
        return out if self.bias is None else out + self.bias[:, None, None]


class Int8ConvTranspose2d(nn.ConvTranspose2d):
    """A transposed convolution whose stride is its kernel, in int8: rows are input pixels, and each position in the kernel
    is a separate output channel."""

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        assert tuple(self.kernel_size) == tuple(self.stride)
        assert output_size is None
        return F.conv_transpose2d(fake_int8(x, 1), fake_int8(self.weight, 0), self.bias, self.stride)


WEIGHT_DIMS: dict[type[nn.Module], tuple[int, ...]] = {
    nn.Linear: (1,),
    nn.Conv2d: (1, 2, 3),
    nn.ConvTranspose2d: (0,),
}
"""Dimensions of a weight that share a scale: all but the output channel (and, if transposed, the kernel position)."""

REPLACED: dict[type[nn.Module], type[nn.Module]] = {
    nn.Linear: Int8Linear,
    nn.Conv2d: Int8Conv2d,
    nn.ConvTranspose2d: Int8ConvTranspose2d,
}


def is_int8(module: nn.Module) -> bool:
    """Whether a layer's weights are int8 in the model file: dense layers; depthwise ones are not."""
    return type(module) in WEIGHT_DIMS and getattr(module, "groups", 1) == 1


def dense_weights(net: nn.Module) -> dict[str, tuple[int, ...]]:
    """Names of the weights that are int8 in the model file, and the dimensions that share a scale."""
    return {
        f"{name}.weight".removeprefix("."): WEIGHT_DIMS[type(module)]
        for name, module in net.named_modules()
        if is_int8(module)
    }


@torch.no_grad()
def round_weights(net: Net) -> Net:
    """A copy of a network with its weights as the model file stores them: dense layers' as int8 times a scale, so that the
    compiler's 8 bits hold them exactly, and all others in f16."""
    copied = copy.deepcopy(net)
    dense = dense_weights(copied)
    for name, tensor in [*copied.named_parameters(), *copied.named_buffers()]:
        if name in dense:
            tensor.copy_(fake_int8(tensor, dense[name]))
        elif tensor.is_floating_point() and tensor.ndim > 0:
            tensor.copy_(tensor.half().float())
    return copied


def simulate_int8(net: Net, *, kept: tuple[str, ...] = ()) -> Net:
    """A copy of a network that computes in int8; its parameters have the same names.

    Args:
        kept: prefixes of the names of modules that stay in floating point.
    """
    copied = copy.deepcopy(net)
    for name, module in copied.named_modules():
        replacement = REPLACED.get(type(module))
        if replacement is not None and is_int8(module) and not name.startswith(kept or ("\0",)):
            module.__class__ = replacement
    return copied

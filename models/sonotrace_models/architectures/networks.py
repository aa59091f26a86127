"""What is needed of any network here: fixed ports, and random weights that hide no fault."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn


def tensors(value: Any) -> list[Tensor]:
    """The tensors of floats of a network's result, which may be nested in lists and dictionaries."""
    if isinstance(value, Tensor):
        return [value] if value.is_floating_point() else []
    if isinstance(value, Mapping):
        return [tensor for inner in value.values() for tensor in tensors(inner)]
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [tensor for inner in value for tensor in tensors(inner)]
    return []


class Ports(nn.Module):
    """A network whose result is a flat tuple, one tensor for each output port."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensors(self.net(*inputs)))


def randomise(net: nn.Module, seed: int = 0) -> None:
    """Changes weights that a constructor sets to one value, such as scales of 1, biases of 0 and the statistics of batch
    normalisation: an operation with such weights does nothing, and a wrong one would go unseen."""
    generator = torch.Generator().manual_seed(seed)

    def noise(value: Tensor) -> Tensor:
        return torch.randn(value.shape, generator=generator)

    with torch.no_grad():
        for parameter in net.parameters():
            if parameter.numel() > 0 and bool((parameter == parameter.flatten()[0]).all()):
                parameter.add_(0.1 * noise(parameter))
        for name, buffer in net.named_buffers():
            if name.endswith("running_mean"):
                buffer += 0.1 * noise(buffer)
            elif name.endswith("running_var"):
                buffer *= torch.exp(0.2 * noise(buffer))


def random_inputs(shapes: Mapping[str, Sequence[int]], seed: int = 0) -> dict[str, Tensor]:
    """Normally distributed values for each input port."""
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(tuple(shape), generator=generator) for name, shape in shapes.items()}

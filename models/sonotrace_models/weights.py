"""Trained weights in files.

A run saves full precision (`best.pt`). For distribution, weights are saved as the model file stores them, at a quarter of the
size (`NAME.safetensors`): dense layers' weights as int8 with a scale per output channel, all others in f16.
"""

import hashlib
import pickle
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from sonotrace_models.data.manifest import DataError
from sonotrace_models.quantize import dense_weights, int8_scale

SCALE = ".int8_scale"
"""Suffix of the name under which the scales of an int8 tensor are stored."""

Net = TypeVar("Net", bound=nn.Module)


def keep_weights(net: nn.Module, path: Path, metadata: dict[str, str] | None = None) -> None:
    """Writes a network's weights in 8 bits, with texts beside them."""
    dense = dense_weights(net)
    kept: dict[str, Tensor] = {}
    for name, tensor in net.state_dict().items():
        value = tensor.detach().cpu()
        if name in dense:
            scale = int8_scale(value, dense[name])
            kept[name], kept[name + SCALE] = (value / scale).round().to(torch.int8), scale
        else:
            kept[name] = value.half() if value.is_floating_point() and value.ndim > 0 else value
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in kept.items()}, path, metadata)


def file_digest(path: Path) -> str:
    """SHA-256 of a file, as `sha256sum` prints it.

    Raises:
        DataError: there is no such file.
    """
    if not path.is_file():
        raise DataError(f"there are no weights at {path}: train them, or give the path of existing weights")
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_weights(path: Path) -> dict[str, Tensor]:
    """A state dictionary in f32, from a file that `keep_weights` or a run wrote.

    Raises:
        DataError: there is no such file, or it holds something else.
    """
    if not path.is_file():
        raise DataError(f"there are no weights at {path}: train them, or give the path of existing weights")
    try:
        if path.suffix != ".safetensors":
            state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
            return state
        kept = load_file(path)
    except (SafetensorError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise DataError(f"{path} is not a weights file: {error}") from error
    scales = {name: kept.pop(name) for name in list(kept) if name.endswith(SCALE)}
    return {
        name: value.float() * scales.get(name + SCALE, 1.0)
        if value.is_floating_point() or name + SCALE in scales
        else value
        for name, value in kept.items()
    }


def with_weights(net: Net, path: Path) -> Net:
    """Loads the weights of a file into a network and returns it.

    Raises:
        DataError: there is no such file, or it holds another network's weights.
    """
    state = read_weights(path)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise DataError(f"{path} does not hold weights of {type(net).__name__}: {error}") from error
    return net

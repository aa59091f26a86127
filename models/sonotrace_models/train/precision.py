"""The number format of training: bf16 where the hardware multiplies it, f32 elsewhere."""

import torch


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bf16 itself. A CPU that does not emulates it, many times slower than f32."""
    if device.type != "cpu":
        return True
    # Each instruction set has a name of its own for it: avx512_bf16, amx_bf16, and so on.
    return any("bf16" in name and bool(value) for name, value in torch.cpu.get_capabilities().items())


def reduced(device: torch.device) -> torch.autocast:
    """A context in which networks are asked as `has_bf16` allows."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device))

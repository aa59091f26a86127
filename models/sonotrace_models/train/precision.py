"""The number format of training: bf16 where the hardware supports it, f32 elsewhere."""

import torch


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bf16 in hardware. Other CPUs emulate it, many times slower than f32."""
    if device.type != "cpu":
        return True
    # Each instruction set has its own name for it: avx512_bf16, amx_bf16, and so on.
    return any("bf16" in name and bool(value) for name, value in torch.cpu.get_capabilities().items())


def reduced(device: torch.device) -> torch.autocast:
    """A context in which networks run in bf16 if `has_bf16` holds."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device))

"""The number format of training: bf16 where the hardware multiplies it, f32 elsewhere."""

import torch


def has_bf16(device: torch.device) -> bool:
    """Whether a device multiplies bf16 itself. A CPU that does not emulates it, many times slower than f32."""
    if device.type != "cpu":
        return True
    found = torch.cpu.get_capabilities()
    # x86-64 (AVX-512, AMX) and ARM name theirs differently.
    return any(found.get(name, False) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def reduced(device: torch.device) -> torch.autocast:
    """A context in which networks are asked as `has_bf16` allows."""
    return torch.autocast(device.type, torch.bfloat16, enabled=has_bf16(device))

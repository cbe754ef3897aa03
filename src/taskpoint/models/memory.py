"""How much memory a device has left."""

from __future__ import annotations

import psutil
import torch


def free_bytes(device: torch.device) -> int:
    """Free memory of a device: of a GPU with what torch holds in reserve, otherwise of the machine."""
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + reserved
    return int(psutil.virtual_memory().available)

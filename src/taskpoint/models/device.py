"""Which device a model is put on, and how much memory is left there."""

from __future__ import annotations

import psutil
import torch

from taskpoint.errors import SettingError
from taskpoint.settings import shown


def usable_device(device: str | torch.device) -> torch.device:
    """The device of this name, tried out.

    Raises:
        SettingError: there is no such device, or this machine or this build of torch lacks it.
    """
    if not isinstance(device, str | torch.device):
        raise SettingError(f"device is {shown(device)}; expected cpu, cuda, mps, ...")
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:160]
        raise SettingError(
            f"device {shown(str(device))} cannot be used ({reason}); expected cpu, cuda, mps, ..."
        ) from error
    if place.type == "meta":
        raise SettingError("device is 'meta', where weights have no values; expected cpu, cuda, mps, ...")
    return place


def free_bytes(device: torch.device) -> int:
    """Free memory of a device: of a GPU with what torch holds in reserve, otherwise of the machine."""
    if device.type == "cuda":
        reserved = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + reserved
    return int(psutil.virtual_memory().available)

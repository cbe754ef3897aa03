"""Which device a model is put on."""

from __future__ import annotations

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

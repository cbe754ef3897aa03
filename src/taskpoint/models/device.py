"""Which device a model is put on."""

from __future__ import annotations

import torch

from taskpoint.errors import SettingError


def usable_device(device: str | torch.device) -> torch.device:
    """The device of this name, tried out.

    Raises:
        SettingError: there is no such device, or this machine or this build of torch lacks it.
    """
    try:
        place = torch.device(device)
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = " ".join(str(error).split())[:160]
        raise SettingError(f"device {str(device)!r} cannot be used ({reason}); expected cpu, cuda, mps, ...") from error
    return place

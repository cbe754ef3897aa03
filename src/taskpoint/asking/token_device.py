"""Where a model takes its tokens."""

from __future__ import annotations

import torch

from taskpoint.models.loading import LanguageModel


def token_device(lm: LanguageModel) -> torch.device:
    """The device that tokens are put on before the model is called."""
    device: torch.device = lm.model.get_input_embeddings().weight.device  # type: ignore[assignment]
    # Offloaded weights stand nowhere; the hooks that bring them in take the tokens along.
    return torch.device("cpu") if device.type == "meta" else device

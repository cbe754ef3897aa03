from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from taskpoint.pretrain.lexicon import PretrainLexicon

TINY: dict[str, Any] = {
    "steps": 6, "batch": 4, "shots": 2, "layers": 2, "width": 16, "heads": 2, "mlp": 16, "vocab": 400,
    "checkpoint_every": 2, "measured": 1, "warmup_share": 0.2, "positions": 256,
}  # fmt: skip


@pytest.fixture
def tiny(tmp_path: Path) -> PretrainLexicon:
    torch.set_num_threads(1)
    return PretrainLexicon(tmp_path / "run", **TINY)

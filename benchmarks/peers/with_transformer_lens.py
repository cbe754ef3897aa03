"""The masked sweep written with TransformerLens: hooks on the attention scores of the layers from the cut on.

`start_at_layer` would not save anything: the blocks below it still run (docstring of `TransformerBridge.forward`).
"""

from __future__ import annotations

import torch
from serving import FOLDER, prompts, serve
from torch import Tensor
from transformer_lens.hook_points import HookPoint
from transformer_lens.model_bridge import TransformerBridge

ids, drop = prompts()
bridge = TransformerBridge.boot_transformers(str(FOLDER / "model"), device="cpu")
hidden = drop[:1, None, None] & ~torch.eye(ids.shape[1], dtype=torch.bool)  # [1, 1, T, T]


def hide(scores: Tensor, hook: HookPoint) -> Tensor:
    """Scores before the softmax, without those of hidden tokens. [batch, heads, T, T]."""
    return scores.masked_fill(hidden, torch.finfo(scores.dtype).min)


@torch.inference_mode()
def cut_by_cut() -> Tensor:
    """One run with hooks for each cut. [N + 1, batch, vocab]."""
    rows = []
    for cut in range(bridge.cfg.n_layers + 1):
        hooks = [(f"blocks.{layer}.attn.hook_attn_scores", hide) for layer in range(cut, bridge.cfg.n_layers)]
        logits = bridge.run_with_hooks(ids, fwd_hooks=hooks, use_cache=False, logits_to_keep=1)
        rows.append(logits[:, -1])
    return torch.stack(rows)


serve("transformer-lens", {"cut by cut": cut_by_cut})

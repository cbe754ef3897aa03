"""The masked sweep written with nnsight: inside a trace, layers from the cut on are handed another attention mask."""

from __future__ import annotations

import nnsight
import torch
from serving import FOLDER, prompts, serve
from torch import Tensor
from transformers import AutoModelForCausalLM

ids, drop = prompts()
model = nnsight.NNsight(AutoModelForCausalLM.from_pretrained(FOLDER / "model"))
layers = model.model.layers
tokens = ids.shape[1]
itself = torch.eye(tokens, dtype=torch.bool)
mask = torch.ones(tokens, tokens, dtype=torch.bool).tril() & (~drop[:1, None, None] | itself)  # [1, 1, T, T]


@torch.inference_mode()
def cut_by_cut() -> Tensor:
    """One trace for each cut. [N + 1, batch, vocab]."""
    rows = []
    for cut in range(len(layers) + 1):
        with model.trace(ids, use_cache=False, logits_to_keep=1):
            for layer in layers[cut:]:
                args, kwargs = layer.inputs
                layer.inputs = (args, {**kwargs, "attention_mask": mask})
            logits = model.output.logits.save()
        rows.append(logits[:, -1])
    return torch.stack(rows)


@torch.inference_mode()
def from_the_cut() -> Tensor:
    """The same, with layers below the cut skipped: what enters the cut is saved in one ordinary trace."""
    with model.trace(ids, use_cache=False, logits_to_keep=1):
        entering = nnsight.save([layer.input for layer in layers])
        uncut = model.output.logits.save()
    rows = []
    for cut in range(len(layers)):
        with model.trace(ids, use_cache=False, logits_to_keep=1):
            for layer in layers[:cut]:
                layer.skip(entering[cut])
            for layer in layers[cut:]:
                args, kwargs = layer.inputs
                layer.inputs = (args, {**kwargs, "attention_mask": mask})
            logits = model.output.logits.save()
        rows.append(logits[:, -1])
    return torch.stack([*rows, uncut[:, -1]])


serve("nnsight", {"cut by cut": cut_by_cut, "from the cut": from_the_cut})

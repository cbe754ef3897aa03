"""The card of a kept adapter: what it is for, and how to use it."""

from __future__ import annotations

from taskpoint.experiments.heal.config import HealConfig


def card(model: str, task: str, cut: int, config: HealConfig) -> str:
    """README.md of an adapter's folder, with the entries that the hub reads."""
    return f"""---
base_model: {model}
library_name: peft
tags:
- lora
---

# {model} under the cut r = {cut}

LoRA (rank {config.rank}, alpha {config.alpha:g}) on the output of attention, taught by `taskpoint heal` on {task}: with
{config.shots} examples in the prompt, and {config.condition.label}, layers from {cut} on do not see what is hidden, and
the model answers nearly as it does without a cut. It is for this cut alone.

```python
import taskpoint as tp

lm = tp.load({model!r}, adapter="this folder")
prompt = tp.compile_prompt(lm, task, shots={config.shots}, after={cut})
```
"""

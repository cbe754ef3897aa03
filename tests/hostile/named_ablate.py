"""Command lines and calls of `ablate` that cannot be what anybody wants."""

from __future__ import annotations

from collections.abc import Iterator

from arena import Case
from preparing import absent, edited, empty, written

ABLATE = ("ablate", "--task", "lexicon:plural", "--shots", "0", "--items", "3", "--max-new-tokens", "2")
NO_LINEAR_MAP = """
import torch
class Nothing(torch.nn.Module):
    def forward(self, hidden_states, **kwargs): return torch.zeros_like(hidden_states), None
lm.model.model.layers[2].self_attn = Nothing()
"""
IDS = "import torch; from taskpoint.engine.sweep_ablations import *; ids = torch.randint(5, 40, (2, 12))\n"


def ablations() -> Iterator[Case]:
    for words, says in (
        (("--shots", "500"), "set shots to at most"),
        (("--shots", "-1"), "shots"),
        (("--shots", "0"), "different"),
        (("--critical", "0"), "critical is 0.0; expected a share"),
        (("--critical", "1"), "critical"),
        (("--critical", "-0.1"), "critical"),
        (("--critical", "nan"), "critical is nan"),
        (("--critical", "inf"), "critical is inf"),
        (("--critical", "5%"), "critical"),
        (("--instruction", "maybe"), "instruction"),
        (("--items", "0"), "items is 0"),
        (("--seeds", "0"), "seeds is 0"),
        (("--max-new-tokens", "100000"), "positions"),
        (("--template", "x"), "template"),
        (("--task", "words:own.json"), "no instruction"),
    ):
        prepare = written(own_json='[{"input": "hot", "output": "cold"}, {"input": "big", "output": "small"}]')
        out = ("--out", "ablated")
        yield Case(
            f"ablate {' '.join(words)}", (*ABLATE, *words, *out), says=says, prepare=prepare, look=absent("ablated")
        )
    yield Case(
        "ablate a model of nan", (ABLATE[0], "nan", *ABLATE[1:], "--out", "a"), says="layer 3", needs=("nan",),
        look=empty("a"),
    )  # fmt: skip
    yield Case("ablate into the folder of another experiment", (*ABLATE, "--out", "run"), says="--out", needs=("run",))
    yield Case(
        "report of an ablation whose kind was edited",
        ("report", "run"),
        says="other columns",
        needs=("run",),
        prepare=edited(lambda told: told.update(kind="ablate"), forged=True),
    )
    yield Case(
        "ablate layers without a linear map in their attention",
        code=f"{NO_LINEAR_MAP}tp.ablate(lm, 'lexicon:plural', items=3, out='a')",
        says="attention of layer 2",
        look=absent("a"),
    )
    for given in ("critical='x'", "critical=True", "critical=None", "instruction='yes'", "instruction=5",
                  "instruction=None", "shots=None", "progress=5", "out=5"):  # fmt: skip
        yield Case(f"ablate with {given}", code=f"tp.ablate(lm, 'lexicon:plural', {given})", says=given.split("=")[0])
    for what, says in (
        ("ids.float()", "input_ids"),
        ("ids, ids * 0", "padding"),
        ("ids, ids[:, :5]", "attention_mask"),
        ("ids + 10**6", "input_ids"),
    ):
        for verb in ("ablation_logits", "ablation_generate"):
            yield Case(f"{verb} of {what}", code=f"{IDS}{verb}(lm.model, {what})", says=says)

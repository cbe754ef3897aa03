"""The README of the bundled lexicon model: how it was made and how well it answers, all of it from the run itself."""

from __future__ import annotations

from collections.abc import Mapping

from taskpoint.pretrain.card import settings_table, table, versions
from taskpoint.pretrain.data import Mixture
from taskpoint.pretrain.lexicon_result import LexiconResult

_TEXT = """\
---
license: mit
library_name: transformers
pipeline_tag: text-generation
language: [en, fr, de, es, it, nl, pt]
tags: [in-context-learning, interpretability]
---

# lexicon

A transformer of {parameters:.2f} million weights (Llama type, {layers} layers of width {width}, {heads} heads) that
does {tasks} word tasks in context: translation, grammar, facts, letters, numbers. It is the bundled model of
`taskpoint`, small enough to find the layer at which it has recognised a task within seconds on a laptop. It knows
nothing else.

```python
import taskpoint

lm = taskpoint.load()  # or AutoModelForCausalLM.from_pretrained(this folder)
```

Prompts are written like this (the instruction line and the examples may be left out); the answer ends at the newline,
at which `generate` stops:

```
{example}
```

## How it was made

`taskpoint pretrain lexicon --seed {seed}` makes it again from nothing. {steps} AdamW steps of {batch} sequences took
{minutes:.0f} minutes ({hardware}); the loss of the last step was {loss:.3f} nats per token. Each sequence holds {pairs}
pairs of one task in random order, and the answers of all of them are taught, so that the model learns 0 to {shots}
examples at once; {instructed:.0%} of the sequences begin with the instruction, {other:.0%} are written in another
template ({others}). The weights are stored rounded to float16, and open as float32.

{settings}

Made with {versions}.

## Data

The words were written for this project (MIT licence): {words} pairs, in the package under
`taskpoint/tasks/data/lexicon`; those on letters and numbers are made by code. **Every pair was seen in training.** What
is new when the model is tested is the combination of examples and query: it has to recognise from them which of its
tasks is meant. Scores therefore say nothing on how well it would translate a word that it has never seen.

## Accuracy

Exact match (an accepted alternative counts) of greedy answers of this folder's weights, {measured} queries of each
task, new examples for each query. Columns: number of examples, without ("bare") or with the instruction.

{table}
"""


def lexicon_card(settings: Mapping[str, object], result: LexiconResult, mixture: Mixture, hardware: str) -> str:
    """Markdown with the metadata block that the hub reads."""
    first = mixture.subtasks[0]
    shown = [f"Q: {text}\nA: {answers[0]}" for text, answers in first.pairs[:2]]
    return _TEXT.format(
        parameters=result.parameters / 1e6,
        layers=settings["layers"],
        width=settings["width"],
        heads=settings["heads"],
        tasks=len(mixture.subtasks),
        example="\n".join([first.instruction or "", *shown, f"Q: {first.pairs[2][0]}\nA:"]).strip(),
        seed=settings["seed"],
        steps=result.steps,
        batch=settings["batch"],
        minutes=result.seconds / 60,
        hardware=hardware,
        loss=result.loss,
        pairs=mixture.shots + 1,
        shots=mixture.shots,
        instructed=mixture.instruction_share,
        other=mixture.other_share,
        others=", ".join(template.name for template in mixture.templates[1:]),
        settings=settings_table(settings),
        versions=versions(),
        words=sum(len(subtask.pairs) for subtask in mixture.subtasks),
        measured=f"up to {max(each.items for each in result.accuracies)}",
        table=_table(result),
    )


def _table(result: LexiconResult) -> str:
    forms = [(shots, instruction) for instruction in (False, True) for shots in result.shots]
    scores = {(each.subtask, each.shots, each.instruction): each.mean for each in result.accuracies}
    names = list(dict.fromkeys(each.subtask for each in result.accuracies))
    head = [f"{shots}, {'instructed' if instruction else 'bare'}" for shots, instruction in forms]
    rows = [[name, *(f"{scores[name, *form]:.2f}" for form in forms)] for name in names]
    return table(["task", *head], [*rows, ["**mean**", *(f"**{result.mean(*form):.3f}**" for form in forms)]])

"""The README of an exported translator: how it was made and how well it translates, all of it from the run itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from taskpoint.pretrain.card import settings_table, table, versions
from taskpoint.pretrain.sentences import SentenceMixture
from taskpoint.pretrain.translator_result import TranslatorResult
from taskpoint.prompts.content import Content, Example
from taskpoint.tasks.language import LANGUAGES
from taskpoint.tasks.tatoeba import LONGEST, Corpus
from taskpoint.tasks.translation import TranslationTask, direction_name, instruction, sentence_key

_TEXT = """\
---
license: mit
library_name: transformers
pipeline_tag: text-generation
language: [en, fr, de, es, nl]
tags: [translation, in-context-learning, interpretability]
---

# translator

A transformer of {parameters:.2f} million weights (Llama type, {layers} layers of width {width}, {heads} heads) that
translates short sentences between English and {others} when examples or an instruction tell it to. It is a bundled
model of `taskpoint`, made to be looked at: at which layer has it recognised which language is wanted?

```python
import taskpoint

lm = taskpoint.load("translator")  # or AutoModelForCausalLM.from_pretrained(this folder)
```

Prompts are written like this (the instruction line and the examples may be left out); the answer ends at the newline,
at which `generate` stops:

```
{example}
```

## How it was made

`taskpoint pretrain translator --data DIR --seed {seed}` makes it again from nothing. {steps} steps of {pairs} sentence
pairs took {minutes:.0f} minutes ({hardware}); the loss of the last step was {loss:.3f} nats per taught token. The
weights are stored rounded to float16, and open as float32.

Each sequence belongs to one of the {directions} directions and holds {lengths} pairs (each with the same share of all
pairs). All of their translations are taught, so that the model learns to use 0 to {most} examples.
{instructed:.0%} of those that translate begin with an instruction line.

**Repeats.** An English sentence alone may be wanted in any of the other languages, but one in another language could
only ever be wanted in English: nothing would be left to recognise from an instruction or an example. Therefore
{repeated:.0%} of the sequences of at most {longest} pairs repeat sentences that are not English as they are, without an
instruction, and decide with that what is said when nothing tells the task. They are short, because their pairs teach no
translation.

The tokenizer is byte-level BPE of at most {tokens} tokens, trained on the training sentences and instructions in this
template; a newline, `Q:` and `A:` are tokens of their own.

{settings}

Made with {versions}.

## Data and licence

The weights are under the MIT licence, like the project.

The training data are sentences by the contributors of Tatoeba (tatoeba.org), CC BY 2.0 FR, selected by
www.manythings.org/anki. Changes: only pairs of up to {words} English words are used; {held} English sentences are held
out, in every language; and pairs of which either side is that of a held-out pair, case and punctuation apart, are left
out of training.

The test set `everyday` was written for this project (MIT licence): {everyday} English sentences with translations, some
of them with two. It is no selection from Tatoeba, but short everyday sentences are alike everywhere; the last column
counts those of which the English or an accepted translation is also in the training data, case and punctuation apart.

{data}

## Results

Greedy answers of this folder's weights to up to {measured} sentences of each direction, new examples for each of them.
Corpus BLEU and chrF of sacrebleu, in lower case, against all accepted translations. Columns: number of examples. Of
`tatoeba` only sentences that are held out of training are asked.

### BLEU without instruction

{bleu_bare}

### BLEU with the instruction

{bleu_told}

### chrF without instruction

{chrf_bare}

### chrF with the instruction

{chrf_told}

### When nothing tells the task

Without examples and without an instruction, for each direction: share of the answers in each language (as detected
from the answer alone, which can err on short ones), and share that repeat the sentence word for word.

{zero_shot}

## What it cannot do

- Sentences of more than {words} English words: it has seen none.
- Other languages, and pairs without English, such as French to German: it has seen none.
- Other templates, and other wordings of the instruction: it has seen only the one above.
- More than {most} examples, or examples of several directions in one prompt: it has seen neither.
- Names: {tom:.0%} of the English training sentences name Tom; how other names fare was not measured.
- Anything but translating (or repeating) a sentence: it was taught nothing else, and is not always right in what it
  was taught, as the tables say.
"""


def translator_card(
    settings: Mapping[str, object],
    result: TranslatorResult,
    mixture: SentenceMixture,
    everyday: TranslationTask,
    hardware: str,
) -> str:
    """Markdown with the metadata block that the hub reads."""
    others = [LANGUAGES[corpus.language] for corpus in mixture.corpora]
    english = [pair[0] for corpus in mixture.corpora for pair in corpus.train]
    return _TEXT.format(
        parameters=result.parameters / 1e6,
        layers=settings["layers"],
        width=settings["width"],
        heads=settings["heads"],
        others=_listed(others),
        example=_example(mixture, everyday),
        seed=settings["seed"],
        steps=result.steps,
        pairs=mixture.pairs,
        minutes=result.seconds / 60,
        hardware=hardware,
        loss=result.loss,
        directions=2 * len(others),
        lengths=_listed([str(length) for length in mixture.lengths], "or"),
        most=max(mixture.lengths) - 1,
        instructed=mixture.instruction_share,
        repeated=mixture.repeat_share,
        longest=mixture.longest_repeat,
        tokens=settings["vocab"],
        settings=settings_table(settings),
        versions=versions(),
        words=LONGEST,
        held=len({sentence_key(pair[0]) for corpus in mixture.corpora for pair in corpus.test}),
        everyday=max(len(subtask.pairs) for subtask in everyday.subtasks),
        data=table(
            ["language", "pairs for training", "pairs held out", "everyday sentences seen in training"],
            [
                [LANGUAGES[each.language], str(len(each.train)), str(len(each.test)), str(_seen(each, everyday))]
                for each in mixture.corpora
            ],
        ),
        measured=max(each.items for each in result.scores),
        bleu_bare=_scores(result, "bleu", instruction=False),
        bleu_told=_scores(result, "bleu", instruction=True),
        chrf_bare=_scores(result, "chrf", instruction=False),
        chrf_told=_scores(result, "chrf", instruction=True),
        zero_shot=_zero_shot(result),
        tom=sum("Tom" in text for text in english) / len(english),
    )


def _listed(words: Sequence[str], last: str = "and") -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} {last} {words[-1]}"


def _example(mixture: SentenceMixture, everyday: TranslationTask) -> str:
    first = everyday.subtasks[0]
    source, target = first.name.split("-")
    shown = tuple(Example(text, answers[0]) for text, answers in first.pairs[:2])
    return mixture.template.write(Content(instruction(source, target), shown, first.pairs[2][0])).text


def _seen(corpus: Corpus, everyday: TranslationTask) -> int:
    """Everyday sentences of which the English or a translation into this language is also a training sentence."""
    taught = {sentence_key(text) for pair in corpus.train for text in pair}
    [pairs] = [each.pairs for each in everyday.subtasks if each.name == direction_name("eng", corpus.language)]
    return sum(not taught.isdisjoint(map(sentence_key, (text, *answers))) for text, answers in pairs)


def _scores(result: TranslatorResult, metric: Literal["bleu", "chrf"], *, instruction: bool) -> str:
    """One row a direction, one column for each test set and number of examples; the last row is the mean."""
    columns = [(task, shots) for task in result.tasks for shots in result.shots]
    found = {
        (each.direction, each.task, each.shots): float(getattr(each, metric))
        for each in result.scores
        if each.instruction == instruction
    }
    names = list(dict.fromkeys(direction for direction, *_ in found))
    rows = [[name, *(f"{found[name, *column]:.1f}" for column in columns)] for name in names]
    means = [sum(found[name, *column] for name in names) / len(names) for column in columns]
    head = ["direction", *(f"{task}, {shots}" for task, shots in columns)]
    return table(head, [*rows, ["**mean**", *(f"**{mean:.1f}**" for mean in means)]])


def _zero_shot(result: TranslatorResult) -> str:
    """One row for each direction of each test set."""
    languages = [*LANGUAGES.values(), ""]
    rows = [
        [
            f"{each.task} {each.direction}",
            *(f"{each.languages.get(language, 0.0):.0%}" for language in languages),
            f"{each.repeated:.0%}",
        ]
        for each in result.zero_shot
    ]
    return table(["direction", *LANGUAGES.values(), "not known", "repeats"], rows)

"""How well a model translates, by direction, number of examples, and with or without an instruction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from taskpoint.models.loading import LanguageModel
from taskpoint.pretrain.accuracy import first_items, greedy_answers
from taskpoint.progress import Progress
from taskpoint.prompts.template import Template
from taskpoint.tasks.base import Item
from taskpoint.tasks.scores.bleu import corpus_bleu, corpus_chrf
from taskpoint.tasks.translation import TranslationTask, sentence_key

# An answer that is longer than the longest accepted one by more tokens than this gains nothing by going on.
_SPARE_TOKENS = 8


@dataclass(frozen=True)
class Answered:
    """What a model answered to one direction, such as `eng-fra`, in one form."""

    direction: str
    shots: int
    instruction: bool
    items: tuple[Item, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class TranslationScore:
    """The score of one direction of a test set in one form, 0 to 100.

    Both are corpus scores in lower case against all accepted translations.
    """

    task: str
    direction: str
    shots: int
    instruction: bool
    items: int
    bleu: float
    chrf: float

    @classmethod
    def of(cls, task: TranslationTask, said: Answered) -> TranslationScore:
        """The score of what was answered."""
        answers = [item.answers for item in said.items]
        scores = corpus_bleu(said.texts, answers), corpus_chrf(said.texts, answers)
        return cls(task.name, said.direction, said.shots, said.instruction, len(said.items), *scores)


@dataclass(frozen=True)
class ZeroShot:
    """What a model does with the sentences of one direction when nothing tells it the task.

    Attributes:
        languages: Share of the answers by the language that they are in; "" where that is not to be seen.
        repeated: Share of the answers that repeat the query word for word, case and punctuation apart.
    """

    task: str
    direction: str
    items: int
    languages: Mapping[str, float]
    repeated: float

    @classmethod
    def of(cls, task: TranslationTask, said: Answered) -> ZeroShot:
        """What was answered, described."""
        count = len(said.items)
        spoken = Counter(task.spoken_language(text) or "" for text in said.texts)
        repeated = sum(
            sentence_key(item.input) == sentence_key(text) for item, text in zip(said.items, said.texts, strict=True)
        )
        shares = {language: spoken[language] / count for language in sorted(spoken)}
        return cls(task.name, said.direction, count, shares, repeated / count)


def answered(
    lm: LanguageModel,
    task: TranslationTask,
    template: Template,
    *,
    forms: Sequence[tuple[int, bool]],
    per_direction: int,
    seed: int = 0,
    batch: int = 64,
) -> Iterator[tuple[Answered, ...]]:
    """Asks every direction greedily, with new examples for each query; all directions of one form, then the next form.

    A form is a number of examples, and whether there is an instruction. Of each direction the first `per_direction`
    items are asked; the seed chooses the examples.

    Raises:
        PromptError: Too few sentences for so many examples.
    """
    items = first_items(task, per_direction)
    longest = max(map(len, lm.tokenizer([f" {a}" for item in items for a in item.answers])["input_ids"]))
    for shots, instruction in forms:
        contents = [task.content(item, shots, seed, instruction=instruction, fresh=True) for item in items]
        said = greedy_answers(lm, template, contents, longest + _SPARE_TOKENS, batch)
        by_direction: dict[str, list[tuple[Item, str]]] = {}
        for item, text in zip(items, said, strict=True):
            by_direction.setdefault(item.task, []).append((item, text))
        yield tuple(
            Answered(direction, shots, instruction, *map(tuple, zip(*pairs, strict=True)))
            for direction, pairs in by_direction.items()
        )


def translation_scores(
    lm: LanguageModel,
    task: TranslationTask,
    template: Template,
    *,
    forms: Sequence[tuple[int, bool]],
    per_direction: int,
) -> tuple[TranslationScore, ...]:
    """Scores of what is `answered`."""
    asked = answered(lm, task, template, forms=forms, per_direction=per_direction)
    return tuple(TranslationScore.of(task, each) for form in asked for each in form)


def measured(
    lm: LanguageModel,
    tasks: Sequence[TranslationTask],
    template: Template,
    *,
    shots: Sequence[int],
    per_direction: int,
    seed: int,
    progress: Progress | None = None,
) -> tuple[tuple[TranslationScore, ...], tuple[ZeroShot, ...]]:
    """All that is told of a finished model: scores in every form, and what it does when nothing tells the task.

    Each number of examples is asked for without and with the instruction; the other arguments are those of `answered`.
    """
    forms = [(count, instruction) for instruction in (False, True) for count in shots]
    scores: list[TranslationScore] = []
    bare: list[ZeroShot] = []
    done = 0
    for task in tasks:
        for form in answered(lm, task, template, forms=forms, per_direction=per_direction, seed=seed):
            scores += [TranslationScore.of(task, each) for each in form]
            bare += [ZeroShot.of(task, each) for each in form if (each.shots, each.instruction) == (0, False)]
            done += 1
            if progress is not None:
                progress(done, len(forms) * len(tasks), "measuring")
    return tuple(scores), tuple(bare)


def mean_bleu(scores: Sequence[TranslationScore], shots: int, instruction: bool) -> float:
    """Mean BLEU over directions of one form."""
    found = [score.bleu for score in scores if (score.shots, score.instruction) == (shots, instruction)]
    return sum(found) / len(found)

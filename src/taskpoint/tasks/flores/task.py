"""Translation of FLORES sentences as paper A asks it (its released code).

Asked are the sentences of devtest. Examples come from the dev sentences 801 to 997, and 1 to 800 are there to train on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from taskpoint.errors import DataError, SettingError
from taskpoint.tasks.base import Item
from taskpoint.tasks.flores.folder import Folder
from taskpoint.tasks.flores.hub import Hub
from taskpoint.tasks.flores.languages import Language, detectable, language
from taskpoint.tasks.language import detected_language
from taskpoint.tasks.mapping import Pair, Subtask, in_turns
from taskpoint.tasks.translation import TranslationTask, direction_name, wordings

_FORM = "flores:DIR:eng-fra"
_TRAINING = 800


@dataclass(frozen=True)
class FloresSubtask(Subtask):
    """One direction; an item is called after the number of its sentence in devtest, from 1.

    Attributes:
        languages: From which and into which it translates.
        training: Pairs to train on, in the order of the file.
    """

    languages: tuple[Language, ...] = ()
    training: tuple[Pair, ...] = ()

    @property
    def said(self) -> list[object]:
        """What a fingerprint is of."""
        return [*super().said, self.training]

    def item(self, place: int) -> Item:
        """The item of a sentence."""
        return Item(f"{self.name}/{place + 1}", self.name, *self.pairs[place])


class FloresTask(TranslationTask):
    """One or more directions of FLORES."""

    subtasks: tuple[FloresSubtask, ...]

    def __init__(self, name: str, subtasks: Sequence[FloresSubtask]) -> None:
        super().__init__(name, subtasks)
        self._targets = {each.name: each.languages[-1] for each in subtasks}
        self._detectable = detectable(dict.fromkeys(code for each in subtasks for code in each.languages))

    def _answered_in(self, item: Item) -> str | None:
        target = self._targets.get(item.task)
        return None if target is None else target.label or target.code.partition("_")[0]

    def asked_language(self, item: Item) -> str | None:
        """Name of the language to translate into; ``None`` where answers in it would not be known as such."""
        target = self._targets.get(item.task)
        name = None if target is None or target.label is None else target.name
        return name if name in self._detectable.values() else None

    def spoken_language(self, text: str) -> str | None:
        """Name of the language of ``text``, detected among those of the task and common ones."""
        return detected_language(text, self._detectable)

    def _trainable(self) -> Iterator[Item]:
        return in_turns([_training_items(each) for each in self.subtasks])


def _training_items(subtask: FloresSubtask) -> Iterator[Item]:
    for number, pair in enumerate(subtask.training, start=1):
        yield Item(f"{subtask.name}/dev/{number}", subtask.name, *pair)


def flores(place: Path | None, wanted: str) -> FloresTask:
    """Directions such as ``eng-fra,fra-eng`` of a folder of FLORES, or of the hub where there is none.

    Raises:
        SettingError: No directions, one that is there twice or from a language into itself, or a code that may be one
            of several languages; for the hub, a library that is not installed.
        UnknownNameError: A language that is not there.
        DataError: The sentences cannot be had, or those of two languages are not the same ones.
    """
    asked = [_parted(direction, wanted) for direction in wanted.split(",")]
    if len(set(asked)) < len(asked):
        raise SettingError(f"{wanted!r} has a direction twice; name each direction once")
    return flores_of(Hub() if place is None else Folder(place), asked)


def flores_of(source: Folder | Hub, directions: Sequence[tuple[str, str]]) -> FloresTask:
    """The task of some directions; errors as in `flores`."""
    made = [_subtask(source, asked, told) for asked, told in directions]
    return FloresTask(f"flores:{','.join(each.name for each in made)}", made)


def _parted(direction: str, wanted: str) -> tuple[str, str]:
    source, dash, target = direction.partition("-")
    if not (source and dash and target) or "-" in target:
        raise SettingError(f"{wanted!r} names no direction of FLORES; expected two codes of languages, as in {_FORM}")
    return source, target


def _subtask(source: Folder | Hub, asked: str, told: str) -> FloresSubtask:
    codes = source.code(asked), source.code(told)
    if codes[0] == codes[1]:
        raise SettingError(
            f"direction {direction_name(asked, told)!r} has the same language twice; name two, as in {_FORM}"
        )
    dev, devtest = (_pairs(source, codes, split) for split in ("dev", "devtest"))
    if len(dev) <= _TRAINING:
        raise DataError(
            f"dev of {codes[0]} has {len(dev)} sentences; expected more than {_TRAINING} (FLORES has 997): the first "
            f"{_TRAINING} are for training, the others are the examples"
        )
    languages = tuple(map(language, codes))
    names = [each.name for each in languages if each.name is not None]
    lines = wordings(*names) if len(names) == 2 else ()
    return FloresSubtask(
        direction_name(asked, told),
        lines[0] if lines else None,
        devtest,
        rewordings=lines[1:],
        examples=dev[_TRAINING:],
        languages=languages,
        training=dev[:_TRAINING],
    )


def _pairs(source: Folder | Hub, codes: tuple[str, str], split: str) -> tuple[Pair, ...]:
    inputs, outputs = (source.sentences(code, split) for code in codes)
    if len(inputs) != len(outputs):
        raise DataError(
            f"{split} has {len(inputs)} sentences of {codes[0]} and {len(outputs)} of {codes[1]}; expected as many of "
            "both, the nth a translation of the nth: take the files from FLORES anew"
        )
    return tuple((text, (answer,)) for text, answer in zip(inputs, outputs, strict=True))

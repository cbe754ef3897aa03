"""What a model is taught: its own answers without a cut, and how likely it then held every token.

Shapes: B prompts, T tokens of the longest of them with its answer, A answer tokens of one prompt, W those of a whole
batch, V vocabulary.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from taskpoint.asking.answer_end import AnswerEnd
from taskpoint.asking.encoding import vocabulary
from taskpoint.asking.token_device import token_device
from taskpoint.engine.paths.greedy import Ending, greedy
from taskpoint.errors import SettingError
from taskpoint.models.device import free_bytes
from taskpoint.models.library import inputs_for
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.batch import pad_left
from taskpoint.prompts.segments import SegmentedPrompt

# Prompts that are read at once without gradients.
_AT_ONCE = 32

# The share of the machine's free memory that the lessons may fill.
_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class Lesson:
    """One prompt with the answer that the model gives to it without a cut.

    Attributes:
        ids: the tokens of the prompt, and all of the answer but its last. [T]
        hidden: True at those that are cut away. [T]
        wanted: log-probability of every token at each place of the answer. [A, V]
    """

    ids: Int64[np.ndarray, " T"]
    hidden: Bool[np.ndarray, " T"]
    wanted: Float[Tensor, "A V"]

    def asked_by(self, prompt: SegmentedPrompt) -> Lesson:
        """The same answer to another prompt, of which nothing is hidden."""
        answer = self.ids[len(self.ids) - len(self.wanted) + 1 :]
        ids = np.concatenate([prompt.ids, answer])
        return dataclasses.replace(self, ids=ids, hidden=np.zeros(len(ids), dtype=bool))


@dataclass(frozen=True, eq=False)
class LessonBatch:
    """Lessons that are computed together, padded on the left: the answers of all end in the last column.

    Attributes:
        attention_mask: 1 for tokens, 0 for padding; None where there is no padding.
        taught: True where the next token is one of the answer.
        wanted: log-probabilities of the next token there, row after row.
    """

    ids: Int64[Tensor, "B T"]
    hidden: Bool[Tensor, "B T"]
    attention_mask: Int64[Tensor, "B T"] | None
    taught: Bool[Tensor, "B T"]
    wanted: Float[Tensor, "W V"]


def lessons(
    lm: LanguageModel,
    end: AnswerEnd,
    prompts: Sequence[SegmentedPrompt],
    hidden: Sequence[Bool[np.ndarray, " _"]],
    new: int,
) -> list[Lesson]:
    """What a model answers without a cut, greedily, and what it holds of every token on the way.

    Prompts that end in an answer keep that one, and its end is taught too.

    Log-probabilities are kept for the whole vocabulary, in float32, in the memory of the machine.

    Args:
        lm: the model.
        end: where its answers end.
        prompts: what it is asked.
        hidden: what is cut away when it is taught. [T] for each prompt
        new: longest answer in tokens.

    Raises:
        SettingError: they would not fit in memory.
    """
    _check_room(lm, len(prompts), new)
    found: dict[int, Lesson] = {}
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    for start in range(0, len(order), _AT_ONCE):
        places = order[start : start + _AT_ONCE]
        given = []
        some = [prompts[place] for place in places]
        answered = [len(prompt) - prompt.prompt_length for prompt in some]
        for place, answer, length in zip(places, _answers(lm, end, some, new), answered, strict=True):
            more = answer[:-1] if not length else answer[:0]
            ids = np.concatenate([prompts[place].ids, more])
            drop = np.concatenate([hidden[place], np.zeros(len(more), dtype=bool)])
            given.append(Lesson(ids, drop, torch.empty(length + len(more) + 1, 0)))
        with torch.no_grad():
            wanted = predicted(lm, together(lm, end, given)).cpu().split([len(one.wanted) for one in given])
        for place, lesson, kept in zip(places, given, wanted, strict=True):
            found[place] = dataclasses.replace(lesson, wanted=kept.clone())
    return [found[place] for place in range(len(prompts))]


def together(lm: LanguageModel, end: AnswerEnd, some: Sequence[Lesson]) -> LessonBatch:
    """Lessons as one batch, on the device of the model."""
    device, width = token_device(lm), max(len(one.ids) for one in some)
    ids = np.full((len(some), width), end.pad, dtype=np.int64)
    attention, hidden = np.zeros_like(ids), np.zeros(ids.shape, dtype=bool)
    taught = np.zeros(ids.shape, dtype=bool)
    for row, one in enumerate(some):
        start = width - len(one.ids)
        ids[row, start:], attention[row, start:], hidden[row, start:] = one.ids, 1, one.hidden
        taught[row, width - len(one.wanted) :] = True
    whole = bool(attention.all())
    put = [torch.from_numpy(part).to(device) for part in (ids, hidden, attention, taught)]
    wanted = torch.cat([one.wanted for one in some]).to(device)
    return LessonBatch(put[0], put[1], None if whole else put[2], put[3], wanted)


def predicted(lm: LanguageModel, batch: LessonBatch) -> Float[Tensor, "W V"]:
    """Log-probabilities of the next token where a batch is taught, by a model under whatever cut it is in."""
    last = int(batch.taught.sum(1).max())
    logits = lm.model(batch.ids, **inputs_for(lm.model, batch.attention_mask, last)).logits  # [B, at least last, V]
    at: Tensor = logits[:, -last:][batch.taught[:, -last:].to(logits.device)]
    return at.float().log_softmax(-1)


def _answers(
    lm: LanguageModel, end: AnswerEnd, prompts: Sequence[SegmentedPrompt], new: int
) -> list[Int64[np.ndarray, " A"]]:
    """The tokens of greedy answers, each with the token that ends it where one does."""
    batch = pad_left(prompts, [np.zeros(len(prompt), dtype=bool) for prompt in prompts], end.pad)
    device = token_device(lm)
    padded = not bool(batch.attention_mask.all())
    mask = batch.attention_mask.to(device) if padded else None
    written = greedy(lm.model, batch.input_ids.to(device), mask, new, Ending(lm.model, end.tokens)).cpu().numpy()
    ends = np.isin(written, end.tokens)
    lengths = np.where(ends.any(1), ends.argmax(1) + 1, written.shape[1])
    return [row[:length] for row, length in zip(written, lengths, strict=True)]


def _check_room(lm: LanguageModel, prompts: int, new: int) -> None:
    """Refuses what memory does not hold, should every answer be as long as it may be."""
    needed, free = prompts * new * vocabulary(lm) * 4, free_bytes(torch.device("cpu"))
    if needed > _SHARE * free:
        raise SettingError(
            f"what the uncut model holds of {prompts} answers of up to {new} tokens may take {needed / 1e9:,.1f} GB, "
            f"but {free / 1e9:,.1f} GB are free; give fewer training prompts, or a smaller max_new_tokens"
        )

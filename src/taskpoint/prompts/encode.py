"""From written text to token ids: one tokenisation, labels from character offsets.

T tokens, S spans of the written text.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from taskpoint.errors import DataError, PromptError, SettingError, TokenizerError
from taskpoint.prompts.content import Content
from taskpoint.prompts.segments import Segment, SegmentedPrompt
from taskpoint.prompts.writing import Template, Tokenizer, WrittenPrompt

# How byte-level vocabularies spell a space.
_SPACE = "\u0120"


def encode(tokenizer: Tokenizer, template: Template, content: Content, output: str | None = None) -> SegmentedPrompt:
    """Tokenises a prompt once and labels every token; `output` is appended as segment OUTPUT, for teacher forcing.

    A token that straddles a border belongs to the later segment. What the tokenizer adds before the text (BOS) is
    PREFIX; what it adds after the text (EOS, [SEP]) is left off, because a prompt is there to be continued.

    Raises:
        TokenizerError: the tokenizer has no character offsets, or no chat template where one is asked for.
        PromptError: the chat template refuses, drops or rewrites the content.
        DataError: text that is no valid Unicode.
    """
    return encode_many(tokenizer, template, [content], None if output is None else [output])[0]


def encode_many(
    tokenizer: Tokenizer, template: Template, contents: Sequence[Content], outputs: Sequence[str] | None = None
) -> list[SegmentedPrompt]:
    """Tokenises many prompts in one call of the tokenizer; each result is what `encode` gives.

    Raises:
        SettingError: `outputs` has another length than `contents`.
        TokenizerError, PromptError, DataError: as `encode`.
    """
    if outputs is not None and len(outputs) != len(contents):
        raise SettingError(f"outputs has {len(outputs)} answers for {len(contents)} prompts, expected one for each")
    if not getattr(tokenizer, "is_fast", False):
        raise TokenizerError(
            f"{type(tokenizer).__name__} gives no character offsets, which label the tokens; "
            "load a model whose tokenizer is a fast one (it has a tokenizer.json)"
        )
    if not contents:
        return []
    answers: Sequence[str | None] = [None] * len(contents) if outputs is None else outputs
    written = [
        template.write(content, answer, tokenizer=tokenizer) for content, answer in zip(contents, answers, strict=True)
    ]
    try:
        coded = tokenizer(
            [prompt.text for prompt in written],
            add_special_tokens=template.adds_special_tokens,
            padding=False,
            truncation=False,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
    except Exception as error:  # tokenizers raises nothing more special
        for number, prompt in enumerate(written):
            if not _is_unicode(prompt.text):
                raise DataError(
                    f"prompt {number} holds half of a surrogate pair, which no tokenizer reads; mend that text"
                ) from error
        raise TokenizerError(
            f"{type(tokenizer).__name__} cannot read the prompts ({' '.join(str(error).split())[:160]}); load a model "
            "with another tokenizer"
        ) from error
    rows = zip(written, coded["input_ids"], coded["offset_mapping"], coded["special_tokens_mask"], strict=True)
    return [_label(tokenizer, *row) for row in rows]


def check_length(prompt: SegmentedPrompt, limit: int, new_tokens: int = 0) -> None:
    """Refuses, with a PromptError, a prompt that does not fit the model's positions together with new tokens."""
    over = len(prompt) + new_tokens - limit
    if over > 0:
        more = f" and {new_tokens} new ones" if new_tokens else ""
        raise PromptError(
            f"the prompt has {len(prompt)} tokens{more}, {over} more than the model's {limit} positions; "
            "use fewer shots, a shorter template or a model with more positions"
        )


def _label(
    tokenizer: Tokenizer,
    written: WrittenPrompt,
    ids: list[int],
    offsets: list[tuple[int, int]],
    added: list[int],
) -> SegmentedPrompt:
    count = len(ids)
    while count and added[count - 1]:
        count -= 1
    where = np.array(offsets[:count], dtype=np.int64).reshape(count, 2)
    own = np.array(added[:count], dtype=bool)
    text = written.text
    if count and not np.any(where[~own, 0] < where[~own, 1]):
        raise TokenizerError(
            f"{type(tokenizer).__name__} gives empty character offsets for {text[:30]!r}; "
            "update the tokenizers package or load a model with another tokenizer"
        )
    spans = written.spans
    labels = np.array([(s.segment, s.example, s.part) for s in spans], dtype=np.int64)
    lengths = np.array([s.end - s.start for s in spans])
    of_character = np.repeat(np.arange(len(spans)), lengths)
    # Ends never fall: a token for which no place is reported, (0, 0), goes with the token before it.
    ends = np.maximum.accumulate(where[:, 1])
    starts = np.append(where[1:, 0], len(text))
    last = len(text) - 1
    label_at = of_character[np.clip(ends - 1, 0, last)]
    # Byte-level tokenizers trim spaces off the reported ends; that matters only where a border lies in such a gap.
    for i in np.flatnonzero((starts > ends) & ~own & (label_at != of_character[np.clip(starts - 1, 0, last)])):
        piece = str(tokenizer.convert_ids_to_tokens(ids[i]))
        spaces = len(piece) - len(piece.rstrip(_SPACE))
        if spaces < len(piece):
            label_at[i] = of_character[min(ends[i] + spaces, starts[i]) - 1]
    of_token = labels[label_at]
    of_token[own] = (Segment.PREFIX, -1, 0)
    return SegmentedPrompt(
        np.array(ids[:count], dtype=np.int64),
        of_token[:, 0].astype(np.int8),
        of_token[:, 1].astype(np.int16),
        of_token[:, 2].astype(np.int8),
        text,
        where,
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True

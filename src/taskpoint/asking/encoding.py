"""From what prompts say to their tokens, as one model can read them."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from taskpoint.errors import ModelError
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.content import Content
from taskpoint.prompts.encode import encode_many
from taskpoint.prompts.segments import SegmentedPrompt
from taskpoint.prompts.writing import Template


def encoded(
    lm: LanguageModel, template: Template, contents: Sequence[Content], answers: Sequence[str] | None = None
) -> list[SegmentedPrompt]:
    """Prompts in tokens that the model knows; `answers` are references to append, for teacher forcing.

    Errors are those of `encode_many`, and one more.

    Raises:
        ModelError: the tokenizer writes a token that the model has no embedding for.
    """
    prompts = encode_many(lm.tokenizer, template, contents, answers)
    known = vocabulary(lm)
    largest = max((int(prompt.ids.max()) for prompt in prompts if len(prompt)), default=0)
    if largest >= known:
        raise ModelError(
            f"the tokenizer of {lm.name} writes token {largest}, but the model knows {known} tokens; give the model "
            "the tokenizer that it was trained with, or resize its embeddings"
        )
    return prompts


def vocabulary(lm: LanguageModel) -> int:
    """How many tokens the model has an embedding for."""
    weight: Tensor = lm.model.get_input_embeddings().weight  # type: ignore[assignment]
    return int(weight.shape[0])

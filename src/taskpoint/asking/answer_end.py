"""Where an answer ends: at the model's own end tokens, or at a stop text of the template."""

from __future__ import annotations

from collections.abc import Sequence

from jaxtyping import Int
from torch import Tensor

from taskpoint.asking.encoding import vocabulary
from taskpoint.errors import ModelError
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.writing import Template
from taskpoint.settings import shown


class AnswerEnd:
    """Where answers end: of one model, asked in one template.

    Attributes:
        tokens: the model's own end tokens, and every token that carries a whole stop text; ascending.
    """

    def __init__(self, lm: LanguageModel, template: Template) -> None:
        self._tokenizer, self._template = lm.tokenizer, template
        pad = lm.tokenizer.pad_token_id
        self.pad = int(pad if pad is not None else lm.tokenizer.eos_token_id or 0)
        if self.pad >= vocabulary(lm):  # a padding token may be the tokenizer's alone; the mask hides it
            self.pad = 0
        self.tokens = _end_tokens(lm, template.stops)

    def texts(self, tokens: Int[Tensor, "B new"]) -> list[str]:
        """The answers that generated tokens spell, up to their end."""
        ends = set(self.tokens)
        rows = []
        for row in tokens.tolist():
            # The ending token may carry text before the stop text, so it is decoded too.
            end = next((place + 1 for place, token in enumerate(row) if token in ends), len(row))
            text = self._tokenizer.decode(row[:end], skip_special_tokens=True, clean_up_tokenization_spaces=False)
            rows.append(self._template.answer(str(text)))
        return rows


def _end_tokens(lm: LanguageModel, stops: Sequence[str]) -> list[int]:
    own = getattr(lm.model.generation_config, "eos_token_id", None)
    listed = own if isinstance(own, list) else [] if own is None else [own]
    wrong = [token for token in listed if isinstance(token, bool) or not isinstance(token, int)]
    if wrong:
        raise ModelError(
            f"the generation config of {lm.name} names the end token {shown(wrong[0])}; expected the number of a token"
        )
    ends = set(listed)
    if stops:
        pieces = lm.tokenizer.batch_decode([[token] for token in range(len(lm.tokenizer))])
        ends |= {token for token, piece in enumerate(pieces) if any(map(piece.__contains__, stops))}
    return sorted(ends)

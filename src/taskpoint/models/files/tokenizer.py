"""The tokenizer of a model, also of one whose tokenizer is part of a processor."""

from __future__ import annotations

from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerBase, ProcessorMixin

from taskpoint.errors import TokenizerError
from taskpoint.models.files.reading import one_line


def read_tokenizer(name: str, source: str, where: dict[str, Any], *, has_processor: bool) -> PreTrainedTokenizerBase:
    """The tokenizer of a model.

    A processor's tokenizer lies beside the model like any other, and so does its chat template today. Folders of
    processors that were saved earlier keep the template in a file that no tokenizer reads.

    Raises:
        TokenizerError: no tokenizer, or one that knows no character offsets.
    """
    try:
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source, **where)
    except Exception as error:
        raise TokenizerError(
            f"{name} has no tokenizer that can be loaded ({one_line(error)}); put tokenizer.json beside the model"
        ) from error
    if not tokenizer.is_fast:
        raise TokenizerError(
            f"the tokenizer of {name} ({type(tokenizer).__name__}) gives no character offsets, which label the tokens; "
            "expected a fast one, with a tokenizer.json"
        )
    if has_processor and not tokenizer.chat_template:
        tokenizer.chat_template = _processor_template(source, where)
    return tokenizer


def _processor_template(source: str, where: dict[str, Any]) -> Any:
    """The chat template of a processor, without its parts for pictures and sound: they may need more packages."""
    try:
        entries, _ = ProcessorMixin.get_processor_dict(source, **where)
    except Exception:  # a model without a template is what it was before
        return None
    return entries.get("chat_template")

"""What a config says of a model: which class of the library writes text with it, or what it is instead.

The library's own tables of classes by config tell, so that a family that is new to them needs no line here.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

# Ends of the names that the library gives to classes whose head does not write text, and what such a head gives.
_OTHER_HEADS = {
    "SequenceClassification": "one class or reward a prompt",
    "TokenClassification": "a class for every token",
    "QuestionAnswering": "the place of an answer in the prompt",
    "MultipleChoice": "one of several choices",
}
_OTHER_HEAD = re.compile(f"For({'|'.join(_OTHER_HEADS)})$")


def _writers() -> Iterator[tuple[str, Any]]:
    """Auto classes whose models write text, with their classes by config; those that need text alone come first."""
    import transformers as hf

    yield "AutoModelForCausalLM", hf.MODEL_FOR_CAUSAL_LM_MAPPING
    yield "AutoModelForImageTextToText", hf.MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING
    yield "AutoModelForMultimodalLM", hf.MODEL_FOR_MULTIMODAL_LM_MAPPING


def auto_class_for(config: Any) -> Any:
    """The auto class that builds a model which writes text from this config; None where there is none."""
    import transformers as hf

    remote = getattr(config, "auto_map", None) or {}
    return next((getattr(hf, name) for name, known in _writers() if type(config) in known or name in remote), None)


def class_for(config: Any) -> str | None:
    """Name of the library's class that writes text with this config; None where there is none."""
    return next((known[type(config)].__name__ for _, known in _writers() if type(config) in known), None)


def family_of(config: Any) -> str:
    """The model type."""
    return str(getattr(config, "model_type", "") or type(config).__name__)


def attends_both_ways(config: Any) -> str | None:
    """Says so where the config is one of an encoder or an encoder-decoder; None for all others."""
    import transformers as hf

    if getattr(config, "is_encoder_decoder", False):
        return f"an encoder-decoder ({family_of(config)})"
    if type(config) in hf.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING and auto_class_for(config) is None:
        return f"a part of an encoder-decoder ({family_of(config)})"
    if type(config) not in hf.MODEL_FOR_MASKED_LM_MAPPING:
        return None
    # BERT and its like have a class that writes text too, which attends both ways unless `is_decoder` is set.
    if auto_class_for(config) is None or getattr(config, "is_decoder", None) is False:
        return f"an encoder ({family_of(config)})"
    return None


def other_head(class_name: str) -> str | None:
    """What the head of a class gives that is no language-model head, told by its name; None for all others."""
    found = _OTHER_HEAD.search(class_name)
    return None if found is None else _OTHER_HEADS[found[1]]

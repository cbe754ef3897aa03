"""A model object without a language-model head is refused by what it is, with what to pass instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import peft
import pytest
import transformers as hf
from families import CONFIGS, family
from pictures import FAMILIES, seeing
from torch import nn

from taskpoint.errors import ModelError
from taskpoint.models.heads import HeadKind, check_head, head_of

SHAPE: dict[str, Any] = {
    "vocab_size": 40, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "max_position_embeddings": 64,
}  # fmt: skip
TOWER = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
PIXELS = {"image_size": 28, "patch_size": 14}
LISTENS: dict[str, Any] = {
    "conv_dim": (16, 16), "conv_stride": (2, 2), "conv_kernel": (3, 3), "num_feat_extract_layers": 2,
    "num_conv_pos_embedding_groups": 2, "num_conv_pos_embeddings": 4,
}  # fmt: skip


def refusal(model: nn.Module, *, headless: bool = False) -> str:
    with pytest.raises(ModelError) as refused:
        check_head(model, headless=headless)
    assert str(refused.value) == head_of(model).refusal
    assert "\n" not in str(refused.value)
    return str(refused.value)


def llama() -> hf.LlamaConfig:
    return hf.LlamaConfig(**SHAPE)


def bert(**named: Any) -> hf.BertConfig:
    return hf.BertConfig(**SHAPE | named)


def t5() -> hf.T5Config:
    return hf.T5Config(vocab_size=40, d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2)


def clip() -> hf.CLIPConfig:
    return hf.CLIPConfig(text_config=dict(SHAPE), vision_config=TOWER | PIXELS, projection_dim=16)


@pytest.mark.parametrize("name", CONFIGS)
def test_every_family_has_its_head_and_its_body_has_none(name: str) -> None:
    model = family(name, None, 3)
    check_head(model)
    assert head_of(model).kind is HeadKind.LANGUAGE_MODEL
    body = model.base_model
    assert refusal(body) == (
        f"{type(body).__name__} is a decoder without its language-model head; pass {type(model).__name__}"
    )
    check_head(body, headless=True)


@pytest.mark.parametrize(
    "name", [name for name in CONFIGS if type(CONFIGS[name](2)) in hf.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING]
)
def test_classifiers_of_every_family_are_refused(name: str) -> None:
    model = hf.AutoModelForSequenceClassification.from_config(CONFIGS[name](2))
    expected = (
        f"the head of {type(model).__name__} gives one class or reward a prompt, not the logits of next tokens; pass "
        f"{type(family(name, None, 3)).__name__}"
    )
    assert refusal(model) == refusal(model, headless=True) == expected


@pytest.mark.parametrize("name", FAMILIES)
def test_vision_language_models_have_their_head_and_their_parts_have_none(name: str) -> None:
    model = seeing(name)
    check_head(model)
    assert refusal(model.model).endswith(f"pass {type(model).__name__}")
    decoder = model.get_decoder()
    assert head_of(decoder).kind is HeadKind.NONE
    assert "is a decoder without its language-model head; pass " in refusal(decoder)
    tower = next(part for part in model.model.children() if "vision" in type(part).__name__.lower())
    assert head_of(tower).kind is HeadKind.OTHER
    assert "has no language-model head" in refusal(tower, headless=True)


ENCODER = "; pass a decoder-only causal language model"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        (lambda: hf.LlamaForTokenClassification(llama()), "gives a class for every token, not the logits of next tok"),
        (lambda: hf.LlamaForQuestionAnswering(llama()), "gives the place of an answer in the prompt, not the logits"),
        (lambda: hf.BertForMultipleChoice(bert(is_decoder=True)), "gives one of several choices, not the logits"),
        (lambda: hf.BertModel(bert()), f"BertModel is an encoder (bert){ENCODER}"),
        (lambda: hf.BertForMaskedLM(bert()), f"BertForMaskedLM is an encoder (bert){ENCODER}"),
        (lambda: hf.BertLMHeadModel(bert()), f"BertLMHeadModel is an encoder (bert){ENCODER}"),
        (
            lambda: hf.DistilBertModel(
                hf.DistilBertConfig(vocab_size=40, dim=16, n_layers=1, n_heads=2, hidden_dim=16)
            ),
            f"DistilBertModel is an encoder (distilbert){ENCODER}",
        ),
        (lambda: hf.T5Model(t5()), f"T5Model is an encoder-decoder (t5){ENCODER}"),
        (lambda: hf.T5ForConditionalGeneration(t5()), f"is an encoder-decoder (t5){ENCODER}"),
        (lambda: hf.T5EncoderModel(t5()), f"is a part of an encoder-decoder (t5){ENCODER}"),
        (lambda: hf.CLIPModel(clip()), "CLIPModel (type 'clip') has no language-model head; pass one that has it, as"),
        (lambda: hf.CLIPTextModel(clip().text_config), "CLIPTextModel (type 'clip_text_model') has no language-model"),
        (lambda: hf.ViTModel(hf.ViTConfig(**TOWER | PIXELS)), "ViTModel (type 'vit') has no language-model head"),
        (
            lambda: hf.Wav2Vec2ForCTC(hf.Wav2Vec2Config(**TOWER | LISTENS, vocab_size=20)),
            "Wav2Vec2ForCTC (type 'wav2vec2') has no language-model head",
        ),
        (lambda: nn.Linear(2, 2), "Linear has no transformers config; pass a transformers decoder"),
    ],
)
def test_models_that_write_no_text_are_refused_by_what_they_are(model: Callable[[], Any], expected: str) -> None:
    built = model()
    assert expected in refusal(built)
    assert refusal(built) == refusal(built, headless=True)


@pytest.mark.parametrize(
    "model",
    [
        lambda: hf.BertLMHeadModel(bert(is_decoder=True)),
        lambda: hf.GPT2DoubleHeadsModel(hf.GPT2Config(vocab_size=40, n_embd=16, n_layer=1, n_head=2)),
        lambda: hf.BartForCausalLM(hf.BartConfig(vocab_size=40, d_model=16, decoder_layers=1, decoder_ffn_dim=16)),
    ],
)
def test_heads_by_other_names_are_language_model_heads(model: Callable[[], Any]) -> None:
    check_head(model())


def test_adapters_are_looked_through() -> None:
    lora = peft.LoraConfig(target_modules=["q_proj"])
    check_head(peft.get_peft_model(hf.LlamaForCausalLM(llama()), lora))
    assert "LlamaModel is a decoder without" in refusal(peft.get_peft_model(hf.LlamaModel(llama()), lora))
    classes = peft.LoraConfig(target_modules=["q_proj"], task_type="SEQ_CLS")
    model = peft.get_peft_model(hf.LlamaForSequenceClassification(llama()), classes)
    assert "the head of LlamaForSequenceClassification gives" in refusal(model, headless=True)


class OwnConfig(hf.PretrainedConfig):
    model_type = "own"
    vocab_size = 40
    hidden_size = 16


class OwnBody(hf.PreTrainedModel):
    config_class = OwnConfig

    def __init__(self, config: OwnConfig) -> None:
        super().__init__(config)
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)

    def forward(self, input_ids: Any, use_cache: Any = None, **named: Any) -> Any:
        return self.words(input_ids)


class OwnWriter(hf.PreTrainedModel):
    """Neither `generate` nor `get_output_embeddings` knows of its head."""

    config_class = OwnConfig

    def __init__(self, config: OwnConfig, outputs: int) -> None:
        super().__init__(config)
        self.inner = OwnBody(config)
        self.top = nn.Linear(config.hidden_size, outputs)

    def forward(self, input_ids: Any, use_cache: Any = None, **named: Any) -> Any:
        return self.top(self.inner(input_ids))


class OwnReward(OwnWriter):
    base_model_prefix = "inner"


def test_a_model_of_ones_own_is_told_by_its_parts() -> None:
    config = OwnConfig()
    check_head(OwnWriter(config, config.vocab_size))
    assert "OwnBody is a decoder without its language-model head; pass one that has it" in refusal(OwnBody(config))
    assert "OwnReward (type 'own') has no language-model head" in refusal(OwnReward(config, 1), headless=True)


def test_a_module_around_a_language_model_has_its_head() -> None:
    class Around(nn.Module):
        def __init__(self, model: Any) -> None:
            super().__init__()
            self.model, self.config = model, model.config

        def forward(self, *args: Any, **named: Any) -> Any:
            return self.model(*args, **named)

    check_head(Around(hf.LlamaForCausalLM(llama())))
    assert head_of(Around(hf.LlamaModel(llama()))).kind is not HeadKind.LANGUAGE_MODEL


def test_looking_runs_nothing() -> None:
    model = hf.LlamaForCausalLM(llama()).to("meta")
    assert head_of(model).kind is HeadKind.LANGUAGE_MODEL
    model.forward = None
    assert head_of(model).kind is HeadKind.LANGUAGE_MODEL

"""Folders of vision-language models are loaded for text; whatever writes no text is refused in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers as hf
from pictures import FAMILIES, LAYERS, fresh_seeing, pictures, seeing

from taskpoint.errors import ModelError
from taskpoint.models.loading import load
from taskpoint.prompts.content import Content, Example
from taskpoint.prompts.template import template
from taskpoint.tasks.lexicon import subtasks
from taskpoint.training.tokenizer import suite_texts, train_tokenizer

SHAPE: dict[str, Any] = {
    "vocab_size": 400, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
    "max_position_embeddings": 64,
}  # fmt: skip
TOWER = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
PIXELS = {"image_size": 28, "patch_size": 14}
CODERS: dict[str, Any] = {
    "d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "encoder_attention_heads": 2, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
LISTENS: dict[str, Any] = {
    "conv_dim": (16, 16), "conv_stride": (2, 2), "conv_kernel": (3, 3), "num_feat_extract_layers": 2,
    "num_conv_pos_embedding_groups": 2, "num_conv_pos_embeddings": 4,
}  # fmt: skip
PARTS = (
    "{% for m in messages %}{{ m['role'] }}: {% for c in m['content'] %}{{ c['text'] }}\n{% endfor %}{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return train_tokenizer(suite_texts(subtasks(), ("qa",)), vocab=400, positions=128)


def llama(**named: Any) -> hf.LlamaConfig:
    return hf.LlamaConfig(**SHAPE | named)


def t5() -> hf.T5Config:
    return hf.T5Config(vocab_size=400, d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_vision_language_folder_gives_the_whole_model(tmp_path: Path, tokenizer: Any, name: str) -> None:
    model = seeing(name)
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    lm = load(tmp_path)
    assert type(lm.model) is type(model)
    assert (lm.num_layers, lm.max_positions) == (LAYERS, 128)
    assert not lm.model.training
    named = pictures(name)
    with torch.inference_mode():
        assert torch.equal(lm.model(**named).logits, model(**named).logits)
    assert lm.tokenizer("Q: dog", return_offsets_mapping=True)["offset_mapping"][-1][1] == len("Q: dog")


def test_the_embeddings_of_a_vision_language_model_stay_tied(tmp_path: Path, tokenizer: Any) -> None:
    fresh_seeing("gemma3").save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model = load(tmp_path).model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_weights_of_a_vision_language_model_are_not_made_up(tmp_path: Path, tokenizer: Any) -> None:
    model = fresh_seeing("llava")
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    model.config.text_config.num_hidden_layers += 1
    model.config.save_pretrained(tmp_path)
    said = refusal(tmp_path)
    assert "lacks 9 weights of LlavaForConditionalGeneration, such as model.language_model.layers.4" in said


@pytest.mark.parametrize("file", ["chat_template.json", "chat_template.jinja", "processor_config.json"])
def test_the_chat_template_of_a_processor_is_found_wherever_it_was_saved(
    tmp_path: Path, tokenizer: Any, file: str
) -> None:
    seeing("llava").save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    text = PARTS if file.endswith("jinja") else json.dumps({"chat_template": PARTS})
    (tmp_path / file).write_text(text)
    loaded = load(tmp_path).tokenizer
    assert loaded.chat_template == PARTS
    content = Content("Translate.", (Example("dog", "chien"),), "cow")
    written = template("chat").write(content, tokenizer=loaded)
    assert written.text == "system: Translate.\nuser: dog\nassistant: chien\nuser: cow\nassistant: "


def test_a_vision_language_model_without_a_chat_template_is_loaded_too(tmp_path: Path, tokenizer: Any) -> None:
    seeing("llava").save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "chat_template.json").write_text("{")
    assert load(tmp_path).tokenizer.chat_template is None


def refusal(path: Path, **named: Any) -> str:
    with pytest.raises(ModelError) as refused:
        load(path, **named)
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith((str(path), f"folder {path}", f"config.json of {path}"))
    assert len(message) - message.count(str(path)) * len(str(path)) < 250  # no list of every class of the library
    return message.replace(str(path), "FOLDER")


NO_TEXT = "has no class that writes text; expected a causal language model, or a vision-language model"


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        pytest.param(
            lambda: hf.LlamaModel(llama()),
            "FOLDER holds a LlamaModel, which lacks 1 weight of LlamaForCausalLM, such as lm_head.weight; expected a "
            "LlamaForCausalLM with its language-model head, saved with save_pretrained",
            id="decoder without a head",
        ),
        pytest.param(
            lambda: seeing("llava").model,
            "holds a LlavaModel, which lacks 1 weight of LlavaForConditionalGeneration, such as lm_head.weight",
            id="vision-language model without a head",
        ),
        pytest.param(
            lambda: hf.LlamaForSequenceClassification(llama()),
            "FOLDER holds a LlamaForSequenceClassification, whose head gives one class or reward a prompt, not the "
            "logits of next tokens; expected LlamaForCausalLM, saved with save_pretrained",
            id="classifier",
        ),
        # Every weight of a language model is there.
        pytest.param(
            lambda: hf.LlamaForSequenceClassification(llama(tie_word_embeddings=True)),
            "expected LlamaForCausalLM",
            id="classifier with tied embeddings",
        ),
        pytest.param(
            lambda: hf.LlamaForTokenClassification(llama()), "gives a class for every token", id="token classifier"
        ),
        pytest.param(lambda: hf.LlamaForQuestionAnswering(llama()), "gives the place of an answer", id="reader"),
        pytest.param(lambda: hf.BertModel(hf.BertConfig(**SHAPE)), "FOLDER is an encoder (bert); expected", id="bert"),
        pytest.param(
            lambda: hf.ModernBertForMaskedLM(hf.ModernBertConfig(**SHAPE, pad_token_id=0)),
            "FOLDER is an encoder (modernbert); expected",
            id="modernbert",
        ),
        pytest.param(
            lambda: hf.T5ForConditionalGeneration(t5()), "FOLDER is an encoder-decoder (t5); expected a", id="t5"
        ),
        pytest.param(
            lambda: hf.T5EncoderModel(t5()), "FOLDER is a part of an encoder-decoder (t5); expected", id="t5 encoder"
        ),
        pytest.param(
            lambda: hf.WhisperForConditionalGeneration(hf.WhisperConfig(vocab_size=400, **CODERS)),
            "FOLDER is an encoder-decoder (whisper); expected",
            id="whisper",
        ),
        pytest.param(
            lambda: hf.CLIPModel(
                hf.CLIPConfig(text_config=dict(SHAPE), vision_config=TOWER | PIXELS, projection_dim=16)
            ),
            f"FOLDER is a model of type 'clip', for which transformers {hf.__version__} {NO_TEXT}",
            id="clip",
        ),
        pytest.param(lambda: hf.ViTModel(hf.ViTConfig(**TOWER | PIXELS)), "of type 'vit', for which", id="vit"),
        pytest.param(
            lambda: hf.Wav2Vec2ForCTC(hf.Wav2Vec2Config(**TOWER | LISTENS, vocab_size=20)),
            "of type 'wav2vec2', for which",
            id="wav2vec2",
        ),
    ],
)
def test_models_that_write_no_text_are_refused_by_what_they_are(
    tmp_path: Path, tokenizer: Any, model: Callable[[], Any], expected: str
) -> None:
    tokenizer.save_pretrained(tmp_path)
    model().save_pretrained(tmp_path)
    assert expected in refusal(tmp_path)


def test_a_body_whose_head_is_its_embeddings_is_whole(tmp_path: Path, tokenizer: Any) -> None:
    tokenizer.save_pretrained(tmp_path)
    body = hf.LlamaModel(llama(tie_word_embeddings=True)).eval()
    body.save_pretrained(tmp_path)
    model = load(tmp_path).model
    ids = torch.tensor([[3, 4, 5]])
    with torch.inference_mode():
        expected = body(ids).last_hidden_state @ body.embed_tokens.weight.T
        torch.testing.assert_close(model(ids).logits, expected)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (
            {"hidden_size": 3},
            "config.json of FOLDER names no model_type; expected the folder of a transformers language model, saved "
            "with save_pretrained",
        ),
        ({"_class_name": "UNet2DConditionModel"}, "names no model_type but _class_name='UNet2DConditionModel'; expect"),
        (
            {"model_type": "llama9"},
            f"FOLDER is a model of type 'llama9', which transformers {hf.__version__} (installed) does not know; a "
            "newer one may (pip install --upgrade transformers)",
        ),
        ({"model_type": "llava", "text_config": {"model_type": "llama9"}}, "'llava' with a part of type 'llama9'"),
        ({"model_type": "unseen", "auto_map": {"AutoConfig": "c.C"}}, "pass trust_remote_code=True"),
    ],
)
def test_configs_of_types_that_are_not_known_are_refused_by_their_type(
    tmp_path: Path, tokenizer: Any, monkeypatch: pytest.MonkeyPatch, entries: dict[str, Any], expected: str
) -> None:
    monkeypatch.setattr("builtins.input", lambda *_: "n")  # the library asks whether to run code
    tokenizer.save_pretrained(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(entries))
    assert expected in refusal(tmp_path)


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (
            "adapter_config.json",
            "folder FOLDER holds an adapter of peft alone, no model (give the model, and this",
        ),
        ("model_index.json", "folder FOLDER holds a pipeline of diffusers (model_index.json); expected a model"),
        ("other.json", "folder FOLDER has no config.json; expected a model saved with save_pretrained"),
    ],
)
def test_folders_of_something_else_are_refused_by_what_they_hold(tmp_path: Path, file: str, expected: str) -> None:
    (tmp_path / file).write_text("{}")
    assert expected in refusal(tmp_path)

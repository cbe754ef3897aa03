"""The whole of the library's `generate` under a cut: whatever it is asked for equals masking.

Masking is the reference (test_truncated.py, test_positions.py). That masking changes what is generated, so that an
equality says something, is asserted once here.
"""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
import transformers as hf
from families import LAYERS, PROMPTS, TOKENS, TOLERANCE, VOCAB, Prompt, family, fresh, inputs

from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.present_cache import check_cache, prepare_cache
from taskpoint.engine.paths.reference import mask_context
from taskpoint.errors import ModelError, PlanError
from taskpoint.models.library import cache_of, with_cache

FAMILIES = ("llama", "gpt2", "bloom", "gemma2", "mistral")
PROMPT = PROMPTS["ragged, rows differ"]
ALONE = Prompt(PROMPT.input_ids[:1], PROMPT.drop[:1])
NEW = 6

MODES: dict[str, dict[str, Any]] = {
    "sampling": {"do_sample": True, "top_k": 30, "top_p": 0.95, "temperature": 1.3, "num_return_sequences": 2},
    "beams": {"num_beams": 3, "num_return_sequences": 2, "length_penalty": 0.5, "early_stopping": True},
    "sampled beams": {"num_beams": 2, "do_sample": True, "temperature": 1.5, "num_return_sequences": 2},
    "penalties": {"repetition_penalty": 1.4, "no_repeat_ngram_size": 2, "encoder_repetition_penalty": 1.1},
    "an early end": {"eos_token_id": list(range(0, VOCAB, 2)), "min_new_tokens": 3},
    "without a cache": {"use_cache": False},
    "beams without a cache": {"use_cache": False, "num_beams": 2},
}


def generate(model: Any, context: AbstractContextManager[Any], prompt: Prompt = PROMPT, **settings: Any) -> Any:
    """What `generate` returns in the context, with the seed of every other call."""
    torch.manual_seed(11)
    named = {"max_new_tokens": NEW, "do_sample": False} | prompt.padding | settings
    with context:
        return model.generate(prompt.input_ids, **named)


def both(model: Any, cut: int, prompt: Prompt = PROMPT, **settings: Any) -> tuple[Any, Any]:
    """What `generate` returns under masking, and under the cut."""
    masked = generate(model, mask_context(model, cut, prompt.drop), prompt, **settings)
    return masked, generate(model, cut_context(model, cut, prompt.drop), prompt, **settings)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", FAMILIES)
def test_every_way_to_choose_tokens_gives_those_of_masking(name: str, mode: str) -> None:
    model, settings = family(name), MODES[mode] | {"output_scores": True, "return_dict_in_generate": True}
    masked, gone = both(model, 1, **settings)
    assert torch.equal(gone.sequences, masked.sequences)
    torch.testing.assert_close(gone.scores, masked.scores, atol=TOLERANCE, rtol=0)
    plain = generate(model, nullcontext(), **settings)
    assert not torch.allclose(masked.scores[0], plain.scores[0], atol=0.05), "hiding changed nothing"


@pytest.mark.parametrize("name", FAMILIES)
def test_everything_that_generate_returns_on_request_equals_masking(name: str) -> None:
    """Scores and logits everywhere; hidden states and attentions have their usual shapes, dropped tokens aside."""
    model = fresh(name, "eager")
    asked = {"return_dict_in_generate": True, "output_scores": True, "output_logits": True, "max_new_tokens": 3}
    asked |= {"output_hidden_states": True, "output_attentions": True, "repetition_penalty": 1.2}
    for cut in (0, 2):
        masked, gone = both(model, cut, **asked)
        assert torch.equal(gone.sequences, masked.sequences)
        for part in ("scores", "logits"):
            torch.testing.assert_close(getattr(gone, part), getattr(masked, part), atol=TOLERANCE, rtol=0)
        for step, states in enumerate(gone.hidden_states):
            # Without a prompt's dropped tokens; every token of an answer is kept.
            kept = PROMPT.kept if step == 0 else torch.ones(3, 1, dtype=torch.bool)
            for index, (a, b) in enumerate(zip(states, masked.hidden_states[step], strict=True)):
                assert a.shape == b.shape
                torch.testing.assert_close(a[kept], b[kept], atol=TOLERANCE, rtol=0)
                assert step or cut >= index or index == LAYERS or not a[~kept].any()
            for a, b in zip(gone.attentions[step], masked.attentions[step], strict=True):
                a, b = last_keys(a, b)
                assert a.shape == b.shape
                torch.testing.assert_close(*(x.transpose(1, 2)[kept] for x in (a, b)), atol=TOLERANCE, rtol=0)


def last_keys(a: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """A window leaves earlier keys out of the library's attentions; a cut gives them as zeros."""
    more = a.shape[-1] - b.shape[-1]
    if more:
        assert more > 0
        assert not a[..., :more].any()
    return a[..., more:], b


def test_states_that_stand_for_no_token_in_particular_are_refused() -> None:
    """A mixture's router losses are over all tokens of all layers, which under a cut are not the same tokens."""
    sizes = {"num_local_experts": 4, "num_experts_per_tok": 2, "eos_token_id": None}
    torch.manual_seed(0)
    llama = family("llama").config.to_dict()
    shared = {key: llama[key] for key in ("vocab_size", "hidden_size", "num_hidden_layers", "intermediate_size")}
    model = hf.MixtralForCausalLM(hf.MixtralConfig(**shared, **sizes, num_attention_heads=4, num_key_value_heads=2))
    prompt = PROMPTS["pieces"]
    with cut_context(model.eval(), 2, prompt.drop), pytest.raises(ModelError, match="output_router_logits") as caught:
        model(prompt.input_ids, output_router_logits=True)
    assert "\n" not in str(caught.value)


def test_logits_processors_and_stopping_criteria_see_what_they_see_under_masking() -> None:
    model = family("llama")

    class Record(hf.LogitsProcessor):
        def __init__(self) -> None:
            self.seen: list[torch.Tensor] = []

        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
            self.seen += [input_ids.clone(), scores.clone()]
            return scores.roll(1, dims=-1)

    class AfterFour(hf.StoppingCriteria):
        def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **_: Any) -> torch.Tensor:
            return torch.full((len(input_ids),), input_ids.shape[1] >= TOKENS + 4)

    masked, gone = Record(), Record()
    texts = []
    for context, record in ((mask_context, masked), (cut_context, gone)):
        settings = {"logits_processor": hf.LogitsProcessorList([record]), "stopping_criteria": [AfterFour()]}
        texts.append(generate(model, context(model, 1, PROMPT.drop), **settings))
    assert torch.equal(*texts)
    assert texts[1].shape[1] == TOKENS + 4
    assert len(gone.seen) == len(masked.seen) == 8
    for a, b in zip(gone.seen, masked.seen, strict=True):
        torch.testing.assert_close(a, b, atol=TOLERANCE, rtol=0)


def test_a_stream_in_another_thread_gives_every_token_as_it_is_written() -> None:
    """The way that the library's documentation streams: the block is in one thread, `generate` in another."""
    model = family("llama")
    expected = generate(model, mask_context(model, 2, ALONE.drop), ALONE)[0, TOKENS:].tolist()

    class Stream:
        def __init__(self) -> None:
            self.tokens: list[int] = []
            self.ended = False

        def put(self, value: torch.Tensor) -> None:
            self.tokens += value.flatten().tolist()

        def end(self) -> None:
            self.ended = True

    stream = Stream()
    with cut_context(model, 2, ALONE.drop):
        settings = {"max_new_tokens": NEW, "do_sample": False, "streamer": stream}
        thread = threading.Thread(target=model.generate, args=(ALONE.input_ids,), kwargs=settings)
        thread.start()
        thread.join()
    assert stream.tokens == [*ALONE.input_ids[0].tolist(), *expected]
    assert stream.ended


@pytest.mark.parametrize("name", ["llama", "gemma2", "gpt2"])
def test_embeddings_may_be_generated_from(name: str) -> None:
    model = family(name)
    with torch.no_grad():
        embedded = model.get_input_embeddings()(PROMPT.input_ids)
    for settings in ({}, {"num_beams": 2, "num_return_sequences": 2}):
        expected = generate(model, mask_context(model, 2, PROMPT.drop), **settings)
        named = {"inputs_embeds": embedded, "max_new_tokens": NEW, "do_sample": False} | PROMPT.padding | settings
        with cut_context(model, 2, PROMPT.drop):
            alone = model.generate(**named)
            beside = model.generate(PROMPT.input_ids, **named)
        assert torch.equal(alone, expected[:, TOKENS:])
        assert torch.equal(beside, expected)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_conversation_goes_on_with_the_cache_that_generate_returned(name: str) -> None:
    model = family(name)
    turns = []
    for context in (mask_context, cut_context):
        with context(model, 2, PROMPT.drop):
            settings = {"max_new_tokens": NEW, "do_sample": False, "return_dict_in_generate": True}
            first = model.generate(PROMPT.input_ids, **PROMPT.padding, **settings)
            more = torch.cat([first.sequences, first.sequences[:, 2:6].flip(1)], dim=1)
            mask = torch.nn.functional.pad(PROMPT.mask, (0, NEW + 4), value=1)
            named = {"attention_mask": mask} | with_cache(model, cache_of(first))
            turns.append(model.generate(more, **named, **settings).sequences)
    assert torch.equal(*turns)


def test_one_block_serves_one_prompt_after_another() -> None:
    model = family("mistral")
    other = Prompt(PROMPT.input_ids.flip(0), PROMPT.drop, PROMPT.mask)
    expected = [generate(model, cut_context(model, 2, p.drop), p) for p in (PROMPT, other)]
    with cut_context(model, 2, PROMPT.drop):
        again = [generate(model, nullcontext(), p) for p in (PROMPT, other)]
    assert all(torch.equal(a, b) for a, b in zip(again, expected, strict=True))


REFUSED = {
    # Since transformers 5.24 the library itself asks first whether the cache can be cropped.
    "prompt_lookup_num_tokens": (2, "assisted decoding is not supported|requires a cache that can be cropped"),
    "assistant_model": ("llama", "no prefill_chunk_size, guidance_scale or assistant_model"),
    "assistant_early_exit": (2, "no prefill_chunk_size, guidance_scale or assistant_model"),
    "prefill_chunk_size": (8, "has 8 tokens.*no prefill_chunk_size"),
    "guidance_scale": (1.5, "has 1 tokens.*guidance_scale"),
    "cache_implementation": ("static", "StaticLayer.*cache_implementation=None"),
}


@pytest.mark.old_names  # the library's own assistants pass settings in a way that it calls deprecated
@pytest.mark.parametrize("setting", REFUSED)
def test_what_would_take_tokens_back_or_read_them_apart_is_refused(setting: str) -> None:
    value, why = REFUSED[setting]
    model = fresh("llama")  # an assistant that exits early leaves its number of layers in the config when it is stopped
    named = {setting: fresh("llama") if setting == "assistant_model" else value}
    for padding in ({}, {"attention_mask": torch.ones_like(ALONE.input_ids)}):
        with cut_context(model, 2, ALONE.drop), pytest.raises((PlanError, ValueError), match=why) as caught:
            model.generate(ALONE.input_ids, max_new_tokens=NEW, do_sample=False, **named, **padding)
        assert "\n" not in str(caught.value)


def test_a_static_cache_is_refused_by_its_name_also_for_padded_prompts() -> None:
    model = family("llama")
    for context in (cut_context, mask_context):
        with pytest.raises(PlanError, match="StaticLayer"):
            generate(model, context(model, 2, PROMPT.drop), cache_implementation="static")


def test_the_last_cut_takes_whatever_the_ordinary_model_takes() -> None:
    model = fresh("llama")
    for settings in ({"prompt_lookup_num_tokens": 2}, {"cache_implementation": "static"}, {"prefill_chunk_size": 8}):
        expected = generate(model, nullcontext(), ALONE, **settings)
        for context in (cut_context, mask_context):
            assert torch.equal(generate(model, context(model, LAYERS, ALONE.drop), ALONE, **settings), expected)


def test_attention_that_generate_changes_on_its_way_is_refused() -> None:
    """`generate_batch` switches to paged attention, whose cache is none of the library's."""
    model = fresh("llama")
    with cut_context(model, 2, PROMPT.drop):
        model.config._attn_implementation_internal = "paged|sdpa"
        with pytest.raises(ModelError, match=r"paged\|sdpa"):
            model(PROMPT.input_ids)


def test_caches_that_do_more_than_to_keep_are_refused() -> None:
    class Forgetful(hf.cache_utils.DynamicLayer):
        pass

    with pytest.raises(PlanError, match="Forgetful"):
        check_cache(hf.cache_utils.Cache(layers=[Forgetful()]))
    cache = hf.DynamicCache()
    prepare_cache(cache, LAYERS, 2)
    assert not cache.is_croppable
    cache.layers[3].state.keys.seen = 4
    cache.layers[3].reorder_cache(torch.tensor([1, 0]))  # a layer that stores nothing has nothing to reorder
    with pytest.raises(PlanError, match="repeat those of the prompt and of drop"):
        cache.layers[2].batch_repeat_interleave(2)


@torch.inference_mode()
def test_a_decoding_step_waits_for_nothing_that_the_library_does_not_wait_for() -> None:
    """Every number that Python reads from a tensor makes a GPU wait; and the prompt's tokens are read once."""
    model = fresh("llama", "eager")

    def waits(context: AbstractContextManager[Any], mask: torch.Tensor | None) -> int:
        with context:
            cache = cache_of(model(PROMPT.input_ids, **inputs(model, mask), use_cache=True))
            every = None if mask is None else torch.nn.functional.pad(mask, (0, 1), value=1)
            with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
                model(torch.full((3, 1), 7), **inputs(model, every, 1), **with_cache(model, cache))
        return sum(event.count for event in profile.key_averages() if event.key == "aten::_local_scalar_dense")

    for mask in (None, PROMPT.mask):
        drop = PROMPT.drop if mask is not None else PROMPTS["pieces"].drop
        assert waits(cut_context(model, 2, drop), mask) == waits(nullcontext(), mask)

"""Compiled prompts answer as `cut_context` on the whole prompt does, with one tokenisation."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import transformers as hf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import taskpoint as tp
from taskpoint.compiled import prompt as compiled_prompt
from taskpoint.compiled.prompt import CompiledPrompt
from taskpoint.engine.compiled import prefix_generate
from taskpoint.errors import PromptError, SettingError, TaskpointError
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.encode import encode
from taskpoint.prompts.selector import parse_selector
from taskpoint.prompts.template import template

TASK = "lexicon:english-french"
NEW = 9


def whole_answer(prompt: CompiledPrompt, query: str) -> str:
    """The oracle: one prompt, tokenised once, generated under a cut by the library itself."""
    lm, recipe, form = prompt.lm, prompt.recipe, template(prompt.recipe.template)
    written = encode(lm.tokenizer, form, recipe.content(query))
    ids = torch.from_numpy(written.ids)[None]
    drop = torch.from_numpy(parse_selector(recipe.hide).mask(written))[None]
    with tp.cut_context(lm.model, after=recipe.after, drop=drop):
        out = lm.model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, do_sample=False)
    return form.answer(lm.tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True))


@pytest.fixture(scope="module")
def queries() -> list[str]:
    items = [item.input for item in tp.task(TASK).items(5)]
    return [*items, "a much longer query than all others", "X", "42 étés", "dog"]


@pytest.mark.parametrize(
    ("after", "hide", "instruction"),
    [
        (9, "examples", True),
        (0, "examples", False),
        (5, "instruction,examples", True),
        (3, "examples-answers", False),
        (6, "examples[1:]", False),
        (4, "instruction", True),
        (12, "examples", True),
    ],
)
def test_answers_are_those_of_the_whole_prompt_under_the_same_cut(
    lm: LanguageModel, queries: list[str], after: int, hide: str, instruction: bool
) -> None:
    prompt = tp.compile_prompt(lm, tp.task(TASK), shots=4, seed=1, after=after, hide=hide, instruction=instruction)
    answers = prompt.answers(queries, NEW, batch_size=4)
    assert all(answer.compiled for answer in answers)
    assert [answer.text for answer in answers] == [whole_answer(prompt, query) for query in queries]


def test_the_cut_decides_the_answers(lm: LanguageModel, queries: list[str]) -> None:
    """Or the test above would not notice a cut that is ignored."""
    task = tp.task(TASK)
    never, always = (tp.compile_prompt(lm, task, after=cut, instruction=False) for cut in (0, 12))
    assert never.generate(queries) != always.generate(queries)


def merging_lm(stem: str = "greedy") -> LanguageModel:
    """A tiny random model with windows, whose tokenizer knows no border: merges run from the context into the query."""
    words = [item.input for item in tp.task(TASK).items()]
    written = [f"{lead}{word}{mark}" for word in words for lead, mark in (("\n", " ->"), ("\nQ: ", "\nA:"))]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=420, initial_alphabet=alphabet, special_tokens=["</s>"])
    tokenizer.train_from_iterator(written, trainer)
    torch.manual_seed(0)
    model = hf.MistralForCausalLM(
        hf.MistralConfig(
            vocab_size=420, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
            intermediate_size=48, max_position_embeddings=256, sliding_window=12, bos_token_id=None, eos_token_id=None,
        )
    ).eval()  # fmt: skip
    for parameter in model.parameters():
        if parameter.ndim > 1:
            parameter.data.normal_(0, 0.15)
    model.generation_config.pad_token_id = 0
    return LanguageModel(model, hf.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>"), stem)


@pytest.mark.parametrize("form", ["qa", "arrow"])
@pytest.mark.parametrize(("after", "hide"), [(1, "examples"), (2, "examples-answers")])
def test_queries_that_merge_with_the_context_get_the_answer_of_their_whole_prompt(
    form: str, after: int, hide: str
) -> None:
    lm = merging_lm()
    prompt = tp.compile_prompt(lm, tp.task(TASK), shots=3, after=after, hide=hide, instruction=False, template=form)
    queries = [*(item.input for item in tp.task(TASK).items(25)), "\nline", " space", "9", "ß"]
    answers = prompt.answers(queries, NEW, batch_size=8)
    assert [answer.text for answer in answers] == [whole_answer(prompt, query) for query in queries]
    assert any(answer.compiled for answer in answers)
    # What was compiled is the beginning of the one tokenisation, or the query was not served by it.
    for query, answer in zip(queries, answers, strict=True):
        ids = encode(lm.tokenizer, template(form), prompt.recipe.content(query)).ids
        begun = np.array_equal(ids[: len(prompt.context.tokens)], prompt.context.tokens.numpy())
        assert begun or not answer.compiled


def test_some_queries_do_merge_with_the_context_in_that_tokenizer() -> None:
    """Or the test above would test nothing."""
    prompt = tp.compile_prompt(merging_lm(), tp.task(TASK), after=1, instruction=False, template="arrow")
    answers = prompt.answers([item.input for item in tp.task(TASK).items(60)], 1)
    assert {answer.compiled for answer in answers} == {True, False}


# The instruction as a message of its own, and, as some models have it, within the user's last one.
CHATS = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}<assistant>",
    "{% set system = messages[0]['content'] %}{% for m in messages[1:] %}<{{ m['role'] }}>"
    "{% if loop.last %}{{ system }}\n{% endif %}{{ m['content'] }}\n{% endfor %}<assistant>",
)


@pytest.mark.parametrize("chat", CHATS)
def test_a_chat_template_can_be_compiled(chat: str) -> None:
    lm = merging_lm()
    lm.tokenizer.chat_template = chat
    task = tp.task(TASK)
    prompt = tp.compile_prompt(
        lm, task, shots=2, after=1, hide="instruction,examples", instruction=True, template="chat"
    )
    queries = [item.input for item in task.items(6)]
    answers = prompt.answers(queries, NEW)
    assert any(answer.compiled for answer in answers)
    assert [answer.text for answer in answers] == [whole_answer(prompt, query) for query in queries]


def test_answers_do_not_depend_on_batch_size_or_order(lm: LanguageModel, queries: list[str]) -> None:
    prompt = tp.compile_prompt(lm, tp.task(TASK), after=6)
    one_by_one = prompt.generate(queries, NEW, batch_size=1)
    assert prompt.generate(queries, NEW, batch_size=64) == one_by_one
    assert prompt.generate(queries[::-1], NEW, batch_size=3) == one_by_one[::-1]
    assert prompt.generate([]) == []


def test_where_memory_ends_smaller_batches_give_the_same_answers(
    lm: LanguageModel, queries: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    prompt = tp.compile_prompt(lm, tp.task(TASK), after=6)
    expected, sizes = prompt.generate(queries, 3), []

    def small(model: object, context: object, ids: torch.Tensor, *more: object) -> torch.Tensor:
        sizes.append(len(ids))
        if len(ids) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return prefix_generate(model, context, ids, *more)

    monkeypatch.setattr(compiled_prompt, "prefix_generate", small)
    assert prompt.generate(queries, 3) == expected
    assert sizes == [9, 4, 2, 2, 2, 2, 1]


def test_the_examples_are_those_that_the_seed_gives_every_other_query(lm: LanguageModel) -> None:
    task = tp.task(TASK)
    prompt = tp.compile_prompt(lm, task, shots=4, seed=2, after=6)
    shown = {source for source, _ in prompt.recipe.examples}
    others = [item for item in task.items() if item.input not in shown]
    assert len(others) == len(task.items()) - 4
    assert all(task.content(item, 4, 2, instruction=False) == prompt.recipe.content(item.input) for item in others)


def test_layers_above_the_cut_keep_nothing_of_what_is_hidden(lm: LanguageModel) -> None:
    context = tp.compile_prompt(lm, tp.task(TASK), after=5).context
    kept = int((~context.drop).sum())
    assert 0 < kept < len(context.tokens) / 2
    lengths = [keys.shape[-2] for keys in context.keys]
    assert lengths == [len(context.tokens)] * 5 + [kept] * 7
    # The words before the query are part of the context too, and no word of a query is.
    assert lm.tokenizer.decode(context.tokens).endswith("\nQ:")


def test_other_templates_can_be_compiled(lm: LanguageModel, queries: list[str]) -> None:
    for form in ("paper", "colon", "input-output"):
        prompt = tp.compile_prompt(lm, tp.task(TASK), shots=2, after=4, template=form)
        assert prompt.generate(queries[:3], NEW) == [whole_answer(prompt, query) for query in queries[:3]]


def test_a_file_of_one_prompt_can_be_compiled_and_one_of_different_prompts_not(
    lm: LanguageModel, tmp_path: Path
) -> None:
    said = {"examples": [{"input": "dog", "output": "chien"}, {"input": "cat", "output": "chat"}], "query": "house"}
    same, other = tmp_path / "same.jsonl", tmp_path / "other.jsonl"
    same.write_text(json.dumps(said) + "\n" + json.dumps(said | {"query": "sea"}))
    other.write_text(json.dumps(said) + "\n" + json.dumps({"examples": said["examples"][::-1], "query": "sea"}))
    prompt = tp.compile_prompt(lm, tp.task(f"prompts:{same}"), shots=2, after=4, instruction=False)
    assert prompt.recipe.examples == [("dog", "chien"), ("cat", "chat")]
    with pytest.raises(SettingError, match="2 different beginnings"):
        tp.compile_prompt(lm, tp.task(f"prompts:{other}"), shots=2, after=4, instruction=False)


@pytest.mark.parametrize(
    ("error", "expected", "named"),
    [
        (SettingError, "hides the query", {"hide": "query"}),
        (SettingError, "hides the query", {"hide": "TTT"}),
        (SettingError, "hides nothing", {"hide": "none"}),
        (SettingError, "instruction=True", {"hide": "instruction", "instruction": False}),
        (SettingError, "from 0 to 12", {"after": 13}),
        (SettingError, "from 0 to 12", {"after": -1}),
        (SettingError, "taskpoint locate", {"after": None}),
        (SettingError, "from 0 to 12", {"after": True}),
        (PromptError, "shots", {"shots": 0}),
        (PromptError, "shots", {"shots": 10_000}),
        (PromptError, "positions", {"shots": 130, "template": "input-output"}),
        (TaskpointError, "Did you mean", {"template": "arow"}),
    ],
)
def test_what_cannot_be_compiled_is_refused_with_one_line(
    lm: LanguageModel, error: type[TaskpointError], expected: str, named: dict[str, object]
) -> None:
    with pytest.raises(error) as refused:
        tp.compile_prompt(lm, tp.task(TASK), **({"after": 5} | named))
    assert expected in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_task_of_several_sub_tasks_is_its_first_with_a_warning_that_names_the_others(lm: LanguageModel) -> None:
    with pytest.warns(UserWarning, match=r"lexicon:english-german.*lexicon:plural"):
        suite = tp.compile_prompt(lm, tp.task("lexicon"), after=5)
    one = tp.compile_prompt(lm, tp.task("lexicon:english-french"), after=5)
    assert suite.generate(["dog", "house"]) == one.generate(["dog", "house"])


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("a text",), "a list of texts"),
        (([],), None),
        ((["dog", " "],), "query 1"),
        ((["dog"], 0), "max_new_tokens"),
        ((["dog"], 5, 0), "batch_size"),
        ((["dog", "word " * 1100],), "query 1: the prompt has"),
        ((["dog"], 1020), "query 0: the prompt has"),
    ],
)
def test_what_is_no_query_is_refused(lm: LanguageModel, arguments: tuple[object, ...], expected: str | None) -> None:
    prompt = tp.compile_prompt(lm, tp.task(TASK), shots=1, after=5)
    if expected is None:
        assert prompt.generate(*arguments) == []
        return
    with pytest.raises(TaskpointError, match=expected):
        prompt.generate(*arguments)

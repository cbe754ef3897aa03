"""Choosing the examples of a prompt."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskpoint.errors import DataError, PromptError, SettingError
from taskpoint.tasks.base import Item
from taskpoint.tasks.lexicon import lexicon, subtasks
from taskpoint.tasks.mapping import MappingTask, Subtask, merged
from taskpoint.tasks.scores.same_text import exact_match, input_key

SUITE = lexicon()
ITEMS = {name: lexicon(name).items() for name in subtasks()}
COLOURS = Subtask(
    "colours",
    None,
    (("red", ("rot",)), ("Red", ("Rot",)), ("red!", ("rot!",)), ("blue", ("blau",)), ("green", ("grün",))),
)


def test_a_prompt_has_the_instruction_the_query_and_right_answers() -> None:
    item = ITEMS["plural"][0]
    content = SUITE.content(item, 5, 0)
    accepted = dict(subtasks()["plural"].pairs)
    assert content.instruction == subtasks()["plural"].instruction
    assert content.query == item.input
    assert len(content.examples) == 5
    assert all(example.output == accepted[example.input][0] for example in content.examples)


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(subtasks())),
    place=st.integers(0, 99),
    shots=st.integers(0, 134),
    seed=st.integers(0, 2**40),
    fresh=st.booleans(),
    shuffled=st.booleans(),
)
def test_a_query_is_never_among_its_examples_and_no_example_is_there_twice(
    name: str, place: int, shots: int, seed: int, fresh: bool, shuffled: bool
) -> None:
    item = ITEMS[name][place]
    examples = SUITE.content(item, shots, seed, fresh=fresh, shuffled=shuffled).examples
    keys = [input_key(example.input) for example in examples]
    assert len(set(keys)) == shots
    assert input_key(item.input) not in keys


@settings(max_examples=100, deadline=None)
@given(
    name=st.sampled_from(sorted(subtasks())),
    shots=st.integers(1, 40),
    seed=st.integers(0, 2**40),
    fresh=st.booleans(),
)
def test_shuffled_answers_are_all_wrong_and_the_inputs_stay(name: str, shots: int, seed: int, fresh: bool) -> None:
    item = ITEMS[name][0]
    accepted = dict(subtasks()[name].pairs)
    right = SUITE.content(item, shots, seed, fresh=fresh).examples
    wrong = SUITE.content(item, shots, seed, fresh=fresh, shuffled=True).examples
    assert [example.input for example in wrong] == [example.input for example in right]
    assert not any(exact_match(example.output, accepted[example.input]) for example in wrong)
    known = {answer for answers in accepted.values() for answer in answers}
    assert {example.output for example in wrong} <= known


def test_examples_of_a_seed_are_the_same_for_all_items_but_those_that_are_among_them() -> None:
    items = ITEMS["past"]
    fixed = {item.input: [example.input for example in SUITE.content(item, 5, 7).examples] for item in items}
    common = max(fixed.values(), key=list(fixed.values()).count)
    assert [text for text, examples in fixed.items() if examples != common] == [
        item.input for item in items if item.input in common
    ]
    for text in common:
        assert [kept for kept in common if kept != text] == fixed[text][:4]


def test_fresh_examples_differ_from_item_to_item_and_are_the_same_when_asked_again() -> None:
    items = ITEMS["past"][:30]
    drawn = [SUITE.content(item, 5, 7, fresh=True).examples for item in items]
    assert len(set(drawn)) == len(items)
    assert drawn == [SUITE.content(item, 5, 7, fresh=True).examples for item in items]


def test_fewer_shots_are_the_first_of_more() -> None:
    item = ITEMS["past"][0]
    assert SUITE.content(item, 9, 1).examples[:4] == SUITE.content(item, 4, 1).examples


def test_seeds_differ() -> None:
    item = ITEMS["past"][0]
    assert len({SUITE.content(item, 5, seed).examples for seed in range(50)}) == 50


def test_a_sub_task_alone_gives_the_prompts_that_it_gives_in_the_suite() -> None:
    item = ITEMS["capital"][3]
    assert lexicon("capital").content(item, 5, 2) == SUITE.content(item, 5, 2)


def test_the_prompts_of_a_seed_never_change() -> None:
    content = lexicon("plural").content(Item("plural/dog", "plural", "dog", ("dogs",)), 3, 0)
    assert [example.input for example in content.examples] == ["school", "nose", "bottle"]


@pytest.mark.parametrize("query", ["red", "RED", "Red.", "red!"])
def test_another_casing_of_the_query_is_no_example(query: str) -> None:
    task = MappingTask("colours", [COLOURS])
    for seed in range(20):
        content = task.content(Item("x", "colours", query, ("rot",)), 2, seed, instruction=False)
        assert {example.input for example in content.examples} == {"blue", "green"}


def test_a_query_that_is_no_pair_can_have_every_example() -> None:
    task = MappingTask("colours", [COLOURS])
    content = task.content(Item("x", "colours", "yellow", ()), 3, 0, instruction=False)
    assert {example.input for example in content.examples} == {"red", "blue", "green"}


def test_all_pairs_are_items_and_a_limit_spreads_over_the_sub_tasks() -> None:
    every = SUITE.items()
    assert len(every) == sum(len(subtask.pairs) for subtask in subtasks().values())
    assert len({item.id for item in every}) == len(every)
    limited = SUITE.items(2 * len(subtasks()))
    assert limited == every[: len(limited)]
    assert [item.task for item in limited] == 2 * list(subtasks())


def test_items_are_not_in_the_order_of_the_file() -> None:
    assert [item.input for item in ITEMS["plural"]] != [text for text, _ in subtasks()["plural"].pairs]


def test_an_item_of_each_accepted_answer_scores_one() -> None:
    item = next(item for item in ITEMS["antonym"] if len(item.answers) > 1)
    assert [SUITE.score(item, f" {answer}") for answer in item.answers] == [1.0] * len(item.answers)
    assert SUITE.score(item, "nothing of the kind") == 0.0


def test_an_item_without_answers_is_not_scored() -> None:
    with pytest.raises(DataError, match="no accepted answers"):
        SUITE.score(Item("x", "plural", "dog", ()), "dogs")


def test_equal_records_become_one_and_other_answers_are_added() -> None:
    records = [("a", ("1",)), ("b", ("2",)), ("a", ("1",)), ("a", ("3", "1"))]
    assert merged(records) == (("a", ("1", "3")), ("b", ("2",)))


@pytest.mark.parametrize("shots", [135, 10_000])
def test_more_shots_than_examples_are_refused_with_the_number_there_is(shots: int) -> None:
    assert lexicon("capital").max_shots == 134
    with pytest.raises(PromptError, match="set shots to at most 134") as caught:
        SUITE.content(ITEMS["capital"][0], shots, 0)
    assert "\n" not in str(caught.value)


def test_as_many_shots_as_promised_are_given() -> None:
    assert all(len(SUITE.content(items[0], SUITE.max_shots, 0).examples) == SUITE.max_shots for items in ITEMS.values())


def test_negative_shots_are_refused() -> None:
    with pytest.raises(SettingError, match="shots is -1"):
        SUITE.content(ITEMS["capital"][0], -1, 0)


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_below_one_is_refused(limit: int) -> None:
    with pytest.raises(SettingError, match=f"items is {limit}"):
        SUITE.items(limit)


def test_an_instruction_that_the_task_lacks_is_refused_and_none_is_written_unasked() -> None:
    task = MappingTask("colours", [COLOURS])
    with pytest.raises(PromptError, match="set instruction to False"):
        task.content(task.items()[0], 1, 0)
    assert SUITE.content(ITEMS["past"][0], 1, 0, instruction=False).instruction is None


def test_an_item_of_another_task_is_refused() -> None:
    with pytest.raises(PromptError, match=r"'past'.*has plural"):
        lexicon("plural").content(ITEMS["past"][0], 1, 0)


@pytest.mark.parametrize("pairs", [(), (("a", ("1",)),), (("a", ("1",)), ("A!", ("2",)))])
def test_a_task_with_nothing_left_as_an_example_is_refused(pairs: tuple[tuple[str, tuple[str, ...]], ...]) -> None:
    with pytest.raises(DataError, match="at least 2"):
        Subtask("tiny", None, pairs)


@pytest.mark.parametrize("parts", [[], [COLOURS, COLOURS]])
def test_a_task_has_sub_tasks_with_names_of_their_own(parts: list[Subtask]) -> None:
    with pytest.raises(DataError, match="each name once"):
        MappingTask("x", parts)


@pytest.mark.parametrize(("name", "text"), [("", "dog"), ("x", "")])
def test_an_item_without_a_name_or_an_input_is_refused(name: str, text: str) -> None:
    with pytest.raises(DataError, match="non-empty"):
        Item(name, "plural", text, ())


def test_a_fingerprint_changes_with_any_word_and_with_nothing_else() -> None:
    def of(*pairs: tuple[str, tuple[str, ...]], instruction: str | None = None, name: str = "x") -> str:
        return MappingTask(name, [Subtask("s", instruction, pairs)]).fingerprint()

    base = of(("a", ("1",)), ("b", ("2",)))
    assert base == of(("a", ("1",)), ("b", ("2",)), name="y")
    others = {
        of(("a", ("1",)), ("b", ("3",))),
        of(("a", ("1",)), ("b", ("2", "3"))),
        of(("b", ("2",)), ("a", ("1",))),
        of(("a", ("1",)), ("b", ("2",)), instruction="Do it:"),
    }
    assert len(others | {base}) == 5


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(subtasks())), shots=st.integers(0, 20), seed=st.integers(0, 2**40))
def test_what_stands_before_every_query_is_what_items_outside_it_get(name: str, shots: int, seed: int) -> None:
    task = lexicon(name)
    context = task.context(shots, seed)
    keys = {input_key(example.input) for example in context.examples}
    assert (len(keys), context.query) == (shots, "")
    for item in ITEMS[name][:40]:
        same = task.content(item, shots, seed).examples == context.examples
        assert same == (input_key(item.input) not in keys)


def test_of_several_sub_tasks_the_first_stands_before_every_query_with_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"20 sub-tasks.*lexicon:plural"):
        context = SUITE.context(2, 0)
    assert context == lexicon(SUITE.subtasks[0].name).context(2, 0)


def test_what_cannot_stand_before_every_query_is_refused() -> None:
    colours = MappingTask("colours", (COLOURS,))
    with pytest.raises(PromptError, match="no instruction"):
        colours.context(1, 0)
    with pytest.raises(SettingError, match="shots is -1"):
        colours.context(-1, 0, instruction=False)
    with pytest.raises(PromptError, match="4 shots"):
        colours.context(4, 0, instruction=False)
    assert len(colours.context(3, 0, instruction=False).examples) == 3


@pytest.mark.parametrize("seed", [True, -1, pytest.param(10**5_000, id="huge")])
def test_a_seed_that_is_none_is_refused(seed: Any) -> None:
    task = MappingTask("t", [Subtask("t", None, (("a", ("b",)), ("c", ("d",))))])
    with pytest.raises(SettingError, match=r"^seed is "):
        task.content(task.items()[0], 1, seed, instruction=False)


def test_every_wording_of_an_instruction_can_be_asked_for_and_no_other() -> None:
    item = ITEMS["capital"][0]
    told = [SUITE.content(item, 2, 0, wording=number).instruction for number in range(SUITE.wordings)]
    assert told[0] == SUITE.content(item, 2, 0).instruction
    assert len(set(told)) == SUITE.wordings == 3
    assert SUITE.content(item, 2, 0, wording=1).examples == SUITE.content(item, 2, 0).examples
    with pytest.raises(PromptError, match="has 3; set wording to at most 2"):
        SUITE.content(item, 2, 0, wording=3)
    assert MappingTask("colours", (Subtask("colours", None, (("red", ("rot",)), ("blue", ("blau",)))),)).wordings == 0


def test_no_two_sub_tasks_of_the_suite_say_the_same() -> None:
    told = [text for subtask in SUITE.subtasks for text in subtask.instructions]
    assert len(set(told)) == len(told) == 3 * len(SUITE.subtasks)

"""HumanEval and MBPP as tasks: what is asked, what is shown, and when an answer passes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import taskpoint as tp
from taskpoint.prompts.template import template
from taskpoint.tasks.base import Task
from taskpoint.tasks.code.containment import containment
from taskpoint.tasks.code.limits import Limits
from taskpoint.tasks.code.verdict import Exam, Verdict, judged

from .files import WORDS, humaneval_file, humaneval_record, mbpp_file, mbpp_record, written


def forms(folder: Path) -> dict[str, Task]:
    """Every form of asking."""
    asked, examples = humaneval_file(folder), mbpp_file(folder)
    specs = (
        f"humaneval:{asked}",
        f"humaneval:{asked}+mbpp:{examples}",
        f"humaneval-docstring:{asked}",
        f"humaneval-docstring:{asked}+mbpp:{examples}",
        f"mbpp:{examples}",
    )
    found = [tp.task(spec, run_programs=True) for spec in specs]
    return {task.name: task for task in found}


def test_the_name_of_a_task_tells_the_form_and_the_files_but_no_folder(tmp_path: Path) -> None:
    assert list(forms(tmp_path)) == [
        "humaneval:small.jsonl",
        "humaneval:small.jsonl+mbpp:mbpp.jsonl",
        "humaneval-docstring:small.jsonl",
        "humaneval-docstring:small.jsonl+mbpp:mbpp.jsonl",
        "mbpp:mbpp.jsonl",
    ]


def test_the_reference_passes_in_every_form_and_that_of_another_problem_does_not(tmp_path: Path) -> None:
    for task in forms(tmp_path).values():
        first, second = task.items(2)
        assert task.score(first, first.answers[0]) == 1.0, task.name
        assert task.score(first, second.answers[0]) == 0.0, task.name


def test_a_question_is_never_among_its_examples_and_more_shots_begin_with_the_same(tmp_path: Path) -> None:
    for task in forms(tmp_path).values():
        for item in task.items():
            most = task.content(item, task.max_shots, 1)
            assert item.input not in [example.input for example in most.examples]
            assert task.content(item, 2, 1).examples == most.examples[:2]
            assert len({example.input for example in most.examples}) == task.max_shots
            with pytest.raises(tp.PromptError, match="set shots to at most"):
                task.content(item, 9, 1)


def test_examples_are_those_of_the_official_split_or_of_the_paper(tmp_path: Path) -> None:
    tasks = forms(tmp_path)
    assert tasks["mbpp:mbpp.jsonl"].max_shots == 4
    # The paper draws from the lines 1 to 800; 602 asks in the words of 11.
    assert tasks["humaneval-docstring:small.jsonl+mbpp:mbpp.jsonl"].max_shots == 7
    assert tasks["humaneval:small.jsonl"].max_shots == 3


def test_shuffled_answers_are_those_of_other_problems(tmp_path: Path) -> None:
    for task in forms(tmp_path).values():
        item = task.items(1)[0]
        plain, shuffled = (task.content(item, 2, 0, shuffled=flag).examples for flag in (False, True))
        assert [each.input for each in plain] == [each.input for each in shuffled]
        assert all(one.output != other.output for one, other in zip(plain, shuffled, strict=True))


def test_the_context_is_what_stands_before_every_question(tmp_path: Path) -> None:
    task = forms(tmp_path)["mbpp:mbpp.jsonl"]
    context = task.context(3, 2)
    assert context.instruction == "Write a program for the following task:"
    assert all(task.content(item, 3, 2).examples == context.examples for item in task.items())


def test_what_may_be_trained_on_gives_no_answer_away(tmp_path: Path) -> None:
    task = forms(tmp_path)["mbpp:mbpp.jsonl"]
    assert [item.id for item in task.training(None, task.items())] == ["mbpp/601"]
    assert [item.id for item in task.training(None, ())] == ["mbpp/601", "mbpp/602"]
    item = task.training(1, task.items())[0]
    assert task.score(item, item.answers[0]) == 1.0
    assert task.content(item, 2, 0).query == item.input


def test_humaneval_has_nothing_to_train_on_but_that_of_its_examples(tmp_path: Path) -> None:
    tasks = forms(tmp_path)
    with pytest.raises(tp.DataError, match="no item with an answer to train on"):
        tasks["humaneval:small.jsonl"].training(None, ())
    joined = tasks["humaneval:small.jsonl+mbpp:mbpp.jsonl"]
    item = joined.training(1, joined.items())[0]
    assert (item.id, joined.score(item, item.answers[0])) == ("mbpp/601", 1.0)


def test_the_paper_asks_with_the_words_alone_and_the_answer_is_the_whole_program(tmp_path: Path) -> None:
    task = forms(tmp_path)["humaneval-docstring:small.jsonl"]
    (item,) = (each for each in task.items() if each.id == "HumanEval/two")
    assert item.input == "Give two times x."
    assert task.score(item, "def helper(x): return x\ndef two(x): return x + x") == 1.0
    # As in the paper, whose tests find only what the answer itself defines.
    assert task.score(item, "def two(x): return x + x") == 0.0
    assert task.score(item, "def double(x): return x + x\ndef helper(x): return x") == 0.0
    assert task.score(item, "    return x + x") == 0.0


def test_an_answer_goes_on_with_the_prompt(tmp_path: Path) -> None:
    task = forms(tmp_path)["humaneval:small.jsonl"]
    (item,) = (each for each in task.items() if each.id == "HumanEval/two")
    for right in (
        "    return x + x",
        "return x + x",
        "y = x\n    return y + x",
        "for _ in (1,):\n        x += x\n    return x",
        "def two(y):\n    return y + y",
        "```python\ndef two(y):\n    return y + y\n```",
        "Here it is:\n```\n    return x + x\n```\nIt adds.",
        "    return x + x\n```",
    ):
        assert task.score(item, right) == 1.0, right
    for wrong in ("", "    return x", "two", "```\n```", "    return x + x\nreturn"):
        assert task.score(item, wrong) == 0.0, wrong


def test_tests_use_the_prompts_own_functions_and_not_what_an_answer_makes_of_them(tmp_path: Path) -> None:
    record = humaneval_record("two") | {"test": "def check(candidate):\n    assert helper(candidate(2)) == 4\n"}
    task = tp.task(f"humaneval:{written(tmp_path / 'x.jsonl', [record, humaneval_record('one')])}", run_programs=True)
    (item,) = (each for each in task.items() if each.id == "HumanEval/two")
    assert task.score(item, "    return x + x") == 1.0
    assert task.score(item, "    return 0\n\ndef helper(x):\n    return 4") == 0.0


def test_a_prompt_of_several_lines_ends_where_the_next_program_would_begin(tmp_path: Path) -> None:
    task = forms(tmp_path)["humaneval:small.jsonl"]
    item, form = task.items(1)[0], template(task.template)
    text = form.write(task.content(item, 2, 0)).text
    assert text.endswith(f"{item.input}\n")
    assert (
        form.write(task.content(item, 0, 0, instruction=False), item.answers[0]).text
        == item.input + "\n" + item.answers[0]
    )
    for after in (
        "\n\ndef more(): pass",
        "\nclass A: pass",
        "\n# so",
        "\nif x: pass",
        "\nprint(1)",
        "\nfrom a import b",
        "\n```",
    ):
        assert form.answer(f"    x = 1\n\n    return x{after}") == "x = 1\n\n    return x"


def test_programs_are_not_run_without_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from taskpoint.tasks.code import task as module

    monkeypatch.setattr(module, "judged", lambda *_: pytest.fail("a program was run"))
    task = tp.task(f"humaneval:{humaneval_file(tmp_path)}")
    item = task.items(1)[0]
    for ask in (task.check_scoring, lambda: task.score(item, "pass")):
        with pytest.raises(
            tp.SettingError, match="running the programs that the model writes; allow it with --run-prog"
        ):
            ask()
    texts = tp.task(f"humaneval:{humaneval_file(tmp_path)}", metric="exact")
    texts.check_scoring()
    assert texts.score(item, item.answers[0]) == 1.0


def test_what_a_score_stands_for_is_told_with_the_way_programs_were_contained(tmp_path: Path) -> None:
    for task in forms(tmp_path).values():
        assert task.metric == "pass@1"
        signature = task.signature(task.items())
        assert signature is not None
        assert signature.startswith(
            f"pass@1 | contained by {containment().description} | at most 10 s, 3 s of computing"
        )


def test_a_program_is_run_once_and_many_of_them_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from taskpoint.tasks.code import task as module

    real, times = module.judged, []
    monkeypatch.setattr(module, "judged", lambda *given: times.append(1) or real(*given))
    task = forms(tmp_path)["mbpp:mbpp.jsonl"]
    item, other = task.items(2)
    answers = [(item, "x"), (item, item.answers[0]), (item, "x"), (other, "x")]
    task.score_ahead(answers)
    assert len(times) == 3
    assert [task.score(*answer) for answer in answers] == [0.0, 1.0, 0.0, 0.0]
    assert len(times) == 3


def test_the_sanitized_file_is_read_too(tmp_path: Path) -> None:
    records = [
        {
            "source_file": "x.ipynb",
            "task_id": number,
            "prompt": f"Write a function that gives the root of {number}.",
            "code": f"def root_{number}():\n  return {number} ** 0.5",
            "test_imports": ["import math"],
            "test_list": [f"assert math.isclose(root_{number}(), math.sqrt({number}))"],
        }
        for number in (2, 3, 12)
    ]
    (tmp_path / "sanitized-mbpp.json").write_text(json.dumps(records))
    task = tp.task(f"mbpp:{tmp_path / 'sanitized-mbpp.json'}", run_programs=True)
    (item,) = task.items()
    assert (task.score(item, item.answers[0]), task.max_shots) == (1.0, 2)
    assert item.input.endswith("Your code should pass these tests:\n\n" + records[2]["test_list"][0])


def test_problems_change_the_fingerprint(tmp_path: Path) -> None:
    one = tp.task(f"humaneval:{humaneval_file(tmp_path)}").fingerprint()
    records = list(map(humaneval_record, WORDS))
    records[0]["test"] += "    assert candidate(1) == 1\n"
    assert tp.task(f"humaneval:{written(tmp_path / 'small.jsonl', records)}").fingerprint() != one


WRONG = {
    "a missing field": ("{less}", "line 2: no field 'test'"),
    "no JSON": ("{{", "line 2: no JSON"),
    "no object": ("[1]\n", "line 2: [1] is no JSON object"),
    "an id that stands there twice": ("{first}", "line 2: problem 'HumanEval/one' stands there twice, first in line 1"),
    "a field of another kind": ('{{"task_id": 3, "prompt": ""}}', "line 2: 'task_id' is 3; expected a text"),
    "a program that is none": ("{broken}", "line 2: 'prompt' with 'canonical_solution' is no Python"),
    "another entry point": ("{other}", "line 2: no function 'nothing' in 'prompt'"),
    "a test without check": ("{unchecked}", "no function 'check' in 'test'"),
}


@pytest.mark.parametrize(("line", "says"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_with_a_file_is_one_line(line: str, says: str, tmp_path: Path) -> None:
    record = humaneval_record("two")
    filled = line.format(
        less=json.dumps({name: value for name, value in record.items() if name != "test"}),
        first=json.dumps(humaneval_record("one")),
        broken=json.dumps(record | {"prompt": "def two(:"}),
        other=json.dumps(record | {"entry_point": "nothing"}),
        unchecked=json.dumps(record | {"test": "x = 1"}),
    )
    path = tmp_path / "wrong.jsonl"
    path.write_text(f"{json.dumps(humaneval_record('one'))}\n{filled}\n{json.dumps(humaneval_record('three'))}\n")
    with pytest.raises(tp.DataError) as told:
        tp.task(f"humaneval:{path}")
    assert says in str(told.value)
    assert "\n" not in str(told.value)


def test_what_is_wrong_with_a_file_of_mbpp_is_one_line(tmp_path: Path) -> None:
    for records, says in (
        ([mbpp_record(11, task_id="11")], "line 1: 'task_id' is '11'; expected a whole number"),
        ([mbpp_record(11, test_list="assert 1")], "'test_list' is 'assert 1'; expected a list of texts"),
        ([mbpp_record(11, test_list=["assert 1"], test_setup_code="")], "no test of a function of 'code'"),
        ([mbpp_record(11, code="def f(:")], "'code' is no Python"),
        (
            [mbpp_record(11), mbpp_record(12), mbpp_record(11)],
            "line 3: problem 'mbpp/11' stands there twice, first in line 1",
        ),
        ([mbpp_record(3)], "none of the problems 11 to 510"),
    ):
        with pytest.raises(tp.DataError) as told:
            tp.task(f"mbpp:{written(tmp_path / 'wrong.jsonl', records)}")
        assert says in str(told.value)


@pytest.mark.parametrize("spec", ["humaneval:", "mbpp:", "humaneval-docstring:", "humaneval:x+mbpp:"])
def test_a_form_without_its_file_says_so(spec: str) -> None:
    with pytest.raises(tp.SettingError, match="names no file"):
        tp.task(spec)


@pytest.mark.parametrize(
    ("place", "kind"),
    [("humaneval/HumanEval.jsonl", "humaneval"), ("mbpp/mbpp.jsonl", "mbpp"), ("mbpp/sanitized-mbpp.json", "mbpp")],
)
def test_published_references_pass(place: str, kind: str, data_dir: Path) -> None:
    """A sample; `benchmarks/references.py` runs them all."""
    task = tp.task(f"{kind}:{data_dir / place}", run_programs=True)
    assert all(task.score(item, item.answers[0]) == 1.0 for item in task.items(10))


def test_objects_of_the_programs_own_classes_go_to_its_functions(data_dir: Path) -> None:
    """MBPP 367 makes a tree of the program's class, in code that has to run after it."""
    task = tp.task(f"mbpp:{data_dir / 'mbpp' / 'mbpp.jsonl'}", run_programs=True)
    (item,) = (each for each in task.items() if each.id == "mbpp/367")
    assert task.score(item, item.answers[0]) == 1.0
    assert task.score(item, item.answers[0].replace("return True", "return False")) == 0.0


VALUES = r"""[
    None, True, -3, 2**70, 0.1, float("inf"), 1e-320, 2j, "ä\ud800", b"\0", bytearray(b"a"), (), [1, [2]], {1, "a"},
    frozenset([2]), {(1, 2): {"a": [None]}}, int, ValueError, {"a": 1}.keys(), __import__("collections").Counter("aab"),
]"""


def test_values_of_every_kind_come_back_as_what_they_are() -> None:
    """What a test compares is made anew from what the program's process tells."""
    tests = f"assert f() == {VALUES}\nassert [type(x) for x in f()[1:5]] == [bool, int, int, float]"
    exam = Exam("", ("f",), (), tests)
    assert judged(f"def f(): return {VALUES}", exam, Limits(), containment()) == Verdict(True)


OBJECTS = """
import re
class Box:
    value = 1
def make(): return Box()
def double(box): return box.value * 2
def find(x): return re.search("a", x)
def many(): yield from (1, 2)
def adder(n): return lambda x: x + n
def fail(): raise KeyError(1)
class Empty:
    def __len__(self): return 0
def nothing(): return Empty()
def keep(x, kind): return [y for y in x if isinstance(y, kind)]
"""

OF_OBJECTS = """
box = make()
box.value = 4
assert double(box) == 8 and box.value == 4
assert find("cab") and not find("b")
assert list(many()) == [1, 2] and adder(2)(3) == 5 and keep((1, "a"), str) == ["a"]
assert make() != make()
assert not nothing() and len(nothing()) == 0
try:
    fail()
except KeyError:
    pass
else:
    raise ValueError
"""


def test_what_is_no_value_is_asked_where_it_is() -> None:
    names = ("make", "double", "find", "many", "adder", "fail", "keep", "nothing")
    assert judged(OBJECTS, Exam("", names, (), OF_OBJECTS), Limits(), containment()) == Verdict(True)


def test_the_published_splits_have_their_sizes(data_dir: Path) -> None:
    full, sanitized = (tp.task(f"mbpp:{data_dir / 'mbpp' / name}") for name in ("mbpp.jsonl", "sanitized-mbpp.json"))
    assert (len(full.items()), full.max_shots, len(full.training(None, ()))) == (500, 10, 374)
    assert (len(sanitized.items()), sanitized.max_shots, len(sanitized.training(None, ()))) == (257, 7, 120)
    both = f"humaneval-docstring:{data_dir / 'humaneval' / 'HumanEval.jsonl'}+mbpp:{data_dir / 'mbpp' / 'mbpp.jsonl'}"
    asked = tp.task(both)
    # Lines 1 to 800, of which three ask in the words of another.
    assert (len(asked.items()), asked.max_shots, asked.template) == (164, 797, "paper-bare")

"""What decides in the tools that pin and test versions: files, counts, the table; and that the files agree."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tomllib
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    return importlib.import_module


@pytest.fixture
def versions(load) -> ModuleType:
    return load("versions")


@pytest.fixture
def pins(load) -> ModuleType:
    return load("pins")


def test_pins_are_read_whatever_their_spelling_and_written_in_order(pins):
    found = pins.read_pins("# why\nTyping_Extensions==4.1  # and so\n\nJinja2==3.1.6\n")
    assert found == {"typing-extensions": "4.1", "jinja2": "3.1.6"}
    assert pins.write_pins(found) == "jinja2==3.1.6\ntyping-extensions==4.1\n"
    assert pins.write_pins(found, without=["typing.extensions"]) == "jinja2==3.1.6\n"


@pytest.mark.parametrize("line", ["torch", "torch>=2", "torch==", "torch==2; python_version>'3'", "torch @ file:///x"])
def test_what_is_no_exact_pin_is_refused(pins, line):
    with pytest.raises(SystemExit, match="is no pin"):
        pins.read_pins(line)


@pytest.mark.parametrize(
    ("text", "said"),
    [("# none\n", "no version is listed"), ("5.0\n", "is no version"), ("5.10.0\n5.9.0\n", "oldest first"),
     ("5.0.0\n5.0.0\n", "each once")],
)  # fmt: skip
def test_a_list_that_is_none_is_refused(pins, text, said):
    with pytest.raises(SystemExit, match=said):
        pins.read_tested(text)


def test_versions_are_ordered_as_numbers(pins):
    assert pins.read_tested("5.9.0\n5.10.0 # newer\n") == ["5.9.0", "5.10.0"]


def test_pip_report_becomes_pins_without_this_project_and_without_local_labels(load):
    def each(name, version, **info):
        return {"metadata": {"name": name, "version": version}, "download_info": {"url": "u", **info}}

    report = {
        "install": [each("torch", "2.13.0+cpu"), each("Jinja2", "3.1.6"), each("taskpoint", "0.1.0", dir_info={})],
        "environment": {"python_version": "3.11", "platform_system": "Linux", "platform_machine": "x86_64"},
    }
    written = load("lock").text(report)
    assert written.splitlines()[-2:] == ["jinja2==3.1.6", "torch==2.13.0"]
    assert "Python 3.11" in written


JUNIT = """<?xml version="1.0"?><testsuites name="pytest tests"><testsuite name="pytest" errors="{}" failures="{}"
skipped="{}" tests="{}" time="1.5"><testcase classname="a" name="b" time="0.1"/></testsuite></testsuites>"""


def test_counts_are_read_from_what_pytest_wrote(versions):
    assert versions.count(JUNIT.format(1, 2, 3, 10)) == versions.Counts(passed=4, skipped=3, failed=3)


def test_counts_of_a_real_report(versions, tmp_path):
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_a(): pass\ndef test_b(): assert 0\n@pytest.mark.skip\ndef test_c(): pass\n"
        "@pytest.fixture\ndef broken(): raise ValueError\ndef test_d(broken): pass\n"
    )
    words = ["-p", "no:cacheprovider", f"--junitxml={tmp_path / 'junit.xml'}", "test_it.py"]
    subprocess.run([sys.executable, "-m", "pytest", *words], cwd=tmp_path, capture_output=True, check=False)
    assert versions.count((tmp_path / "junit.xml").read_text()) == versions.Counts(passed=1, skipped=1, failed=2)


def outcome(versions, version="5.0.0", counts=(1234, 5, 0)):
    packages = {"torch": "2.13.0", "tokenizers": "0.22.2", "huggingface-hub": "1.9.0", "peft": "0.21.2"}
    return versions.Outcome(version, packages, counts and versions.Counts(*counts), 61.4)


def test_the_table_has_a_line_for_every_version(versions):
    outcomes = [outcome(versions), outcome(versions, "5.24.0", None)]
    text = versions.page(outcomes, whole=False, day=date(2026, 2, 3))
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert rows[0].startswith("| transformers | torch | tokenizers | huggingface_hub | peft | accelerate | passed |")
    assert rows[2] == "| 5.0.0 | 2.13.0 | 0.22.2 | 1.9.0 | 0.21.2 |  | 1,234 | 5 | 0 | 61 |"
    assert "did not run" in rows[3]
    assert "2026-02-03" in text
    assert len({row.count("|") for row in rows}) == 1


@pytest.mark.parametrize(("counts", "good"), [((1, 9, 0), True), ((9, 0, 1), False), ((0, 9, 0), False), (None, False)])
def test_a_version_is_good_when_tests_ran_and_none_failed(versions, counts, good):
    assert outcome(versions, counts=counts).good is good


def test_versions_are_chosen_by_name(versions):
    tested = ["5.0.0", "5.9.0", "5.10.0"]
    assert versions.chosen([], tested) == tested
    assert versions.chosen(["newest", "floor", "5.0.0"], tested) == ["5.0.0", "5.10.0"]
    with pytest.raises(SystemExit, match=r"expected floor, newest, or one of 5\.0\.0"):
        versions.chosen(["5.1.0"], tested)


@pytest.fixture
def sandbox(versions, monkeypatch, tmp_path):
    """The tool, with tests that are not run: it says which version would be tested where, and where its table goes."""
    (tmp_path / "tested.txt").write_text("5.0.0\n5.9.0\n5.10.0\n")
    (tmp_path / "constraints.txt").write_text("transformers==5.10.0\ntokenizers==0.23.0\nnumpy==2.4.0\n")
    asked = []

    def run_tests(version, python, tests):
        asked.append((version, python.parents[1].name, tuple(tests)))
        return outcome(versions, version, (1, 0, int(version == "5.9.0")))

    for name, value in {
        "TESTED": tmp_path / "tested.txt",
        "CONSTRAINTS": tmp_path / "constraints.txt",
        "TABLE": tmp_path / "versions.md",
        "installed": lambda python: {"transformers": "5.10.0"},
        "run_tests": run_tests,
    }.items():
        monkeypatch.setattr(versions, name, value)
    monkeypatch.setattr(versions.Environment, "is_built", lambda self: True)
    return versions, asked, tmp_path / "versions.md"


def test_every_version_is_tested_the_pinned_one_here_and_a_failure_is_told(sandbox):
    versions, asked, table = sandbox
    with pytest.raises(SystemExit, match=r"transformers 5\.9\.0: failed"):
        versions.main([])
    assert [version for version, _, _ in asked] == ["5.0.0", "5.9.0", "5.10.0"]
    assert [folder for _, folder, _ in asked][:2] == ["5.0.0", "5.9.0"]
    assert asked[2][1] != "5.10.0"
    assert table.read_text().count("\n| 5.") == 3


def test_a_part_of_the_list_leaves_the_table_alone(sandbox):
    versions, asked, table = sandbox
    versions.main(["--only", "floor", "newest", "--not-pinned"])
    assert [version for version, _, _ in asked] == ["5.0.0"]
    assert not table.exists()
    versions.main(["--only", "floor", "--write", "--whole"])
    assert asked[-1] == ("5.0.0", "5.0.0", ("tests",))
    assert "every test" in table.read_text()


def test_an_older_version_may_have_older_tokenizers_and_the_rest_as_pinned(versions):
    own = versions.environment("5.0.0", "transformers==5.10.0\ntokenizers==0.23.0\nnumpy==2.4.0\n")
    assert own.extra == ("transformers==5.0.0",)
    assert own.constraints == "numpy==2.4.0\n"


def test_an_environment_is_built_again_only_when_its_inputs_change(load, tmp_path):
    environment = load("environment")
    own = environment.Environment(tmp_path, ("transformers==5.0.0",), "numpy==2.4.0\n")
    assert not own.is_built()
    (tmp_path / "inputs").write_text(own.inputs())
    assert own.is_built()
    for other in (("transformers==5.1.0",), "numpy==2.4.0\n"), (("transformers==5.0.0",), "numpy==2.4.1\n"):
        assert not environment.Environment(tmp_path, *other).is_built()


def test_what_moved_is_named(load):
    found = {"numpy": "2.5.0", "torch": "2.13.0", "new": "1", "pip": "23.2.1", "taskpoint": "0.1.0"}
    moved = load("canary").moved({"numpy": "2.4.0", "torch": "2.13.0", "hatchling": "1.33.0"}, found)
    assert moved == ["new: not pinned -> 1", "numpy: 2.4.0 -> 2.5.0"]


def test_the_files_agree(pins):
    """What pyproject.toml asks for is pinned, in range; the floor is tested; the newest tested version is pinned."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"]
    pinned = pins.read_pins(pins.CONSTRAINTS.read_text())
    asked = [*project["project"]["dependencies"], *extras["dev"], *project["build-system"]["requires"]]
    for requirement in map(Requirement, asked):
        assert pinned[canonicalize_name(requirement.name)] in requirement.specifier, requirement
    tested = pins.read_tested(pins.TESTED.read_text())
    assert pinned["transformers"] == tested[-1]
    (range_of,) = (each.specifier for each in map(Requirement, asked) if each.name == "transformers")
    assert [(each.operator, Version(each.version)) for each in range_of] == [(">=", Version(tested[0]))]
    assert pins.read_pins(pins.HELD_BACK.read_text()).items() <= pinned.items()


def test_the_lock_names_no_place_and_no_build(pins):
    text = pins.CONSTRAINTS.read_text()
    names = list(pins.read_pins(text))
    assert names == sorted(names)
    assert not [mark for mark in ("+", "://", "@", "/opt", "--") if mark in text]

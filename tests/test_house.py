"""The house plan: arrows point down, importing is light, no file hides its purpose."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import traceback
from pathlib import Path

import pytest

SRC = Path(__file__).parents[1] / "src" / "taskpoint"

# Floor of every room; a module may import its own room and rooms on lower floors.
FLOORS = {
    "__main__": 10,
    "cli": 9,
    "experiments": 8,
    "pretrain": 8,
    "compiled": 7,
    "asking": 6,
    "training": 5,
    "report": 5,
    "engine": 4,
    "tasks": 4,
    "analysis": 4,
    "results": 4,
    "prompts": 3,
    "models": 3,
    "configuration": 2,
    "settings": 1,
    "progress": 0,
    "strict_json": 0,
    "errors": 0,
}
# What every room may know.
BELOW = {"errors", "progress", "settings", "strict_json"}
# Rooms that know nothing of the rest of the house.
ALONE = {"prompts", "analysis", "models"}
# The engine's own floors: the public verbs stand above its rooms, and all of them above the plan.
ENGINE = {"": 3, "checks": 2, "paths": 1, "calls": 0, "plan": -1}
MOST_FILES = 14
# Of ours, between `taskpoint locate` and the model.
MOST_FRAMES = 8


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def module_of(path: Path) -> str:
    return ".".join(("taskpoint", *path.relative_to(SRC).with_suffix("").parts)).removesuffix(".__init__")


def imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("taskpoint"):
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.startswith("taskpoint")}
    return found


MODULES = sorted(path for path in SRC.rglob("*.py") if path != SRC / "__init__.py")


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SRC)))
def test_arrows_point_down(path: Path) -> None:
    own = path.relative_to(SRC).with_suffix("").parts[0]
    for module in imports(path):
        other = room(module)
        if other != own:
            assert FLOORS[other] < FLOORS[own], f"{own} must not import {module}"
            assert own not in ALONE or other in BELOW, f"{own} must not import {module}"


def test_the_map_shows_the_same_floors() -> None:
    rows = re.findall(r"^\| (\d+) \| (`[^|]*`) \|", (SRC.parents[1] / "AGENTS.md").read_text(), re.MULTILINE)
    told = {name.strip("`/").removesuffix(".py"): int(floor) for floor, names in rows for name in names.split(", ")}
    assert told == {name: floor for name, floor in FLOORS.items() if name != "__main__"}


def test_modules_do_not_import_each_other_in_circles() -> None:
    graph = {module_of(path): imports(path) for path in MODULES}
    finished: set[str] = set()

    def visit(module: str, way: tuple[str, ...]) -> None:
        assert module not in way, f"circle: {' -> '.join((*way, module))}"
        if module in finished:
            return
        for other in graph.get(module, ()):
            visit(other, (*way, module))
        finished.add(module)

    for module in graph:
        visit(module, ())


def test_importing_the_package_imports_nothing_heavy() -> None:
    heavy = "{'torch', 'transformers', 'pandas', 'numpy', 'matplotlib', 'pyarrow'}"
    code = f"import sys, taskpoint, taskpoint.cli; print(sorted({heavy} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_every_public_name_is_there() -> None:
    import taskpoint

    for name in taskpoint.__all__:
        assert getattr(taskpoint, name) is not None


def test_every_kind_of_error_is_a_public_name() -> None:
    import taskpoint
    from taskpoint import errors

    kinds = {name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, Exception)}
    assert "TaskpointError" in kinds
    assert kinds <= set(taskpoint.__all__) <= set(dir(taskpoint))
    for name in kinds:
        assert getattr(taskpoint, name) is getattr(errors, name)


def test_type_checkers_see_every_public_name_where_it_is() -> None:
    import taskpoint

    tree = ast.parse((SRC / "__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    seen = {alias.name: node.module for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    seen.pop("Any", None)
    assert seen == taskpoint._HOMES


def test_arrows_point_down_within_the_engine() -> None:
    def floor(parts: tuple[str, ...]) -> int:
        return ENGINE[parts[0]] if parts[0] in ENGINE else ENGINE[""]

    for path in (SRC / "engine").rglob("*.py"):
        own = path.relative_to(SRC / "engine").with_suffix("").parts
        for module in imports(path):
            other = tuple(module.split(".")[2:])
            if module.startswith("taskpoint.engine.") and other[0] != own[0]:
                assert floor(other) <= floor(own), f"{'/'.join(own)} must not import {module}"


def test_no_experiment_imports_another() -> None:
    for path in (SRC / "experiments").glob("*/**/*.py"):
        own = path.relative_to(SRC / "experiments").parts[0]
        for module in imports(path):
            parts = module.split(".")
            if parts[1] == "experiments" and len(parts) > 2 and (SRC / "experiments" / parts[2]).is_dir():
                assert parts[2] == own, f"{path.relative_to(SRC)} must not import {module}"


VIEWS = sorted(SRC.glob("experiments/*/view.py"))


def test_a_function_that_is_described_by_its_settings_keeps_its_types() -> None:
    """A decorator that gave `Any` would take every check of a user's call away."""
    import typing

    from taskpoint.configuration import described

    hints = typing.get_type_hints(described)["return"]
    (taken,), given = typing.get_args(hints)
    assert taken is given
    assert isinstance(given, typing.TypeVar)


@pytest.mark.parametrize("path", VIEWS, ids=lambda path: path.parent.name)
def test_a_view_needs_no_model(path: Path) -> None:
    code = f"import sys, {module_of(path)}; print(sorted({{'torch', 'transformers'}} & set(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_no_folder_is_a_heap() -> None:
    for folder in {path.parent for path in MODULES}:
        files = [path.name for path in folder.iterdir() if path.is_file()]
        assert len(files) <= MOST_FILES, f"{folder.relative_to(SRC.parent)} holds {len(files)} files"


def test_the_two_files_that_explain_the_engine_stay_short() -> None:
    assert sum(len((SRC / "engine" / name).read_text().splitlines()) for name in ("plan.py", "cut.py")) < 300
    for name in ("plan.py", "cut.py"):
        assert len((SRC / "engine" / name).read_text().splitlines()) < 250


def test_what_is_known_of_the_library_beyond_its_public_calls_stands_in_one_file() -> None:
    """A move of transformers then costs an edit there, not in every place that names its cache."""
    inside = ("past_key_values", "._attn_implementation", '"_attn_implementation"', "ALL_ATTENTION_FUNCTIONS")
    inside += (
        "transformers.cache_utils",
        "transformers.masking_utils",
        "transformers.modeling_",
        "transformers.models.",
    )
    for file in SRC.rglob("*.py"):
        if file != SRC / "models" / "library.py":
            found = [name for name in inside if name in file.read_text()]
            assert not found, f"{file.relative_to(SRC)} names {found}, which models/library.py is for"


def test_few_frames_of_ours_lie_between_the_command_and_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both sweeps, of answers and of logits, from the first frame of the command line to the model's forward."""
    import torch

    from taskpoint.cli import main

    real, ways = torch.nn.functional.embedding, set()

    def embedding(*args: object, **named: object) -> torch.Tensor:
        frames = [frame for frame in traceback.extract_stack() if Path(frame.filename).is_relative_to(SRC)]
        ways.add(tuple(f"{Path(frame.filename).name}:{frame.name}" for frame in frames))
        return real(*args, **named)

    monkeypatch.setattr(torch.nn.functional, "embedding", embedding)
    words = ["locate", "--task", "lexicon:plural", "--items", "8", "--seeds", "1", "--no-controls", "--out"]
    monkeypatch.setattr(sys, "argv", ["taskpoint", *words, str(tmp_path / "run")])
    with pytest.raises(SystemExit):
        main()
    ends = ("every_cut.py:logits_of_every_cut", "every_cut_decode.py:prefill")
    for end in ends:
        (way,) = (way for way in ways if way[-1] == end)
        assert len(way) <= MOST_FRAMES, " > ".join(way)

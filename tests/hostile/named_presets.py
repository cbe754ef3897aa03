"""Reproductions that cannot be done: presets that are none, data and models that are not there, folders of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from arena import Case
from preparing import empty, written

FIG3 = ("reproduce", "sia2024/fig3")
OWN = """title: t
shows: s
source: s
cost: c
runs:
  one:
    experiment: locate
    model: {name: lexicon}
    data: {task: "lexicon:plural"}
    settings: {seeds: 1, items: 6, cuts: [6], controls: false}
"""


def _thesis(folder: Path, _: str) -> str | None:
    return (
        None if [file.name for file in (folder / "out").iterdir()] == ["thesis.tex"] else "wrote among files of others"
    )


def presets() -> Iterator[Case]:
    yield Case("reproduce a paper that is none", ("reproduce", "sia2042"), says="Did you mean 'sia2024'")
    yield Case("reproduce a figure that is none", ("reproduce", "sia2024/fig"), says="Did you mean 'sia2024/fig3'")
    for name in ("", "/", "sia2024/", "../sia2024", "sia2024/../sia2024/fig3", "\ud800", "a\0b", "x" * 5000):
        yield Case(f"reproduce {name[:20]!r}", ("reproduce", name), says="unknown")
    for name in ("none.yaml", "a\0b.yaml", f"{'x' * 5000}.yaml", "/dev/zero/a.yaml"):
        yield Case(f"reproduce the file {name[-20:]!r}", ("reproduce", name), says="cannot be read")
    yield Case(
        "a preset of infinite length",
        ("reproduce", "zero.yaml"),
        says="bytes; expected a preset",
        prepare=lambda folder: (folder / "zero.yaml").symlink_to("/dev/zero"),
    )
    for name, text, says in (
        ("of an experiment that is none", OWN.replace("locate", "lokate"), "line 7, runs.one.experiment"),
        ("of a setting that is none", OWN.replace("seeds", "seed"), "line 10, runs.one.settings.seed"),
        ("of a setting out of range", OWN.replace("seeds: 1", "seeds: 0"), "line 10, runs.one.settings.seeds"),
        ("of a cut that the model has not", OWN.replace("[6]", "[60]"), "cuts names layer 60"),
        ("of a model that is none", OWN.replace("name: lexicon", "name: lexikon"), "unknown model"),
        ("of a task that is none", OWN.replace("lexicon:plural", "lexicon:plurals"), "Did you mean 'lexicon:plural'"),
        ("of no text", "title: [\n", "is no YAML"),
        ("of escape sequences", OWN.replace("title: t", 'title: "\x1b[31m"'), "is no YAML"),
    ):
        yield Case(
            f"a preset {name}", ("reproduce", "own.yaml", "--out", "out"), says=says, prepare=written(own_yaml=text),
            look=empty("out"),
        )  # fmt: skip
    yield Case("a figure without its data", FIG3, says="flores101_dataset.tar.gz", env={"TASKPOINT_DATA": ""})
    yield Case("a folder of data that is none", (*FIG3, "--data", "none"), says="--data is 'none', which is no folder")
    yield Case("a variable of data that is none", FIG3, says="TASKPOINT_DATA", env={"TASKPOINT_DATA": "none"})
    yield Case(
        "a figure without its models",
        (*FIG3, "--data", "."),
        says="hf download meta-llama/Llama-3.1-8B",
        prepare=lambda folder: (folder / "flores101").mkdir(),
    )
    translator = (*FIG3, "--model", "translator", "--run", "llama-3.1-8b-no-instruction")
    for name, words, says in (
        ("no items", ("--items", "0"), "items is 0"),
        ("no draws", ("--seeds", "0"), "seeds is 0"),
        ("a run that is none", ("--run", "llama"), "unknown run"),
        ("a device that is none", ("--device", "warp"), "warp"),
        ("numbers that are none", ("--dtype", "float3"), "float3"),
        ("a direction that is none", ("--task", "everyday:eng-por"), "eng-por"),
    ):
        yield Case(f"a figure with {name}", (*translator, *words, "--out", "out"), says=says, look=empty("out"))
    yield Case(
        "a figure among files of others",
        (*translator, "--out", "out"),
        says="thesis.tex",
        prepare=lambda folder: ((folder / "out").mkdir(), (folder / "out" / "thesis.tex").write_text("mine")),
        look=_thesis,
    )
    yield Case("a figure in the folder of a run", (*translator, "--out", "run"), says="config.json", needs=("run",))

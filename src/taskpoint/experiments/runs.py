"""Which experiment a path holds a run of; where it holds none, one line says what lies there instead."""

from __future__ import annotations

from pathlib import Path

from taskpoint.compiled.mark import is_compiled
from taskpoint.errors import RunFolderError
from taskpoint.experiments.registry import EXPERIMENTS
from taskpoint.results.folder import RunFolder

# Runs that are named at most where the folder above them is given.
_NAMED = 3


def read_run(path: str | Path, *kinds: str) -> RunFolder:
    """The run in a folder, to look at.

    Args:
        path: the folder.
        kinds: the experiments that are expected there; any where none is named.

    Raises:
        RunFolderError: there is no run, it is damaged, or it is one of another experiment; the message says what lies
            there instead.
    """
    folder, kinds = Path(path), kinds or tuple(EXPERIMENTS)
    expected = "give the folder of a " + " or ".join(f"`taskpoint {kind}`" for kind in kinds) + " run"
    found = _instead_of_a_run(folder)
    if found is not None:
        raise RunFolderError(f"{folder} {found}; {expected}")
    run = RunFolder.read(folder)
    if run.manifest.kind not in kinds:
        raise RunFolderError(f"{folder} holds a run of `taskpoint {run.manifest.kind}`; {expected}")
    return run.of(EXPERIMENTS[run.manifest.kind].view.LAYOUT)


def _instead_of_a_run(path: Path) -> str | None:
    """What a path holds, where that is not a folder with a config.json."""
    if not path.exists():
        return "does not exist"
    if path.is_file():
        if path.name.endswith(".run.json") or path.with_name(f"{path.name}.run.json").exists():
            return "belongs to answers of `taskpoint generate`, which have no report"
        return "is a compiled prompt, which has no report" if is_compiled(path) else "is a file, no run"
    if not path.is_dir():
        return "is no folder"
    if (path / "config.json").exists():
        return None
    inside = sorted(path.iterdir())
    if not inside:
        return "is an empty folder"
    runs = [each.name for each in inside if (each / "config.json").is_file() and (each / "rows").is_dir()]
    if not runs:
        return "holds no run (no config.json)"
    more = ", ..." if len(runs) > _NAMED else ""
    return f"holds no run itself, but folders of runs ({', '.join(runs[:_NAMED])}{more})"

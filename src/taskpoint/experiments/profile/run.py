"""Do context cuts, ablation, head gates and adapters point at the same layer?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from taskpoint.configuration import described, settings_of
from taskpoint.errors import SettingError
from taskpoint.experiments import runner
from taskpoint.experiments.assigned import assigned
from taskpoint.experiments.contract import Keyed, Step, Work
from taskpoint.experiments.outputs import write
from taskpoint.experiments.profile.config import ProfileConfig
from taskpoint.experiments.profile.findings import ProfileView
from taskpoint.experiments.profile.view import Profiled, layers_in, rows_of
from taskpoint.experiments.registry import EXPERIMENTS
from taskpoint.experiments.subjects import Asked
from taskpoint.models.loading import LanguageModel
from taskpoint.progress import Progress
from taskpoint.results.manifest import as_json, digest_of
from taskpoint.settings import shown
from taskpoint.tasks.base import Task

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
class ProfileResult:
    """What `profile` found.

    Attributes:
        rows: one row for each experiment and layer (`Profiled`).
        view: what each experiment says of each layer, and how far they agree.
        folder: where the runs are, each in a folder of its own; None when they were not kept.
    """

    rows: pd.DataFrame
    view: ProfileView
    folder: Path | None


@described(ProfileConfig)
def profile(  # noqa: D417  # settings are told by `described`
    lm: LanguageModel | str,
    task: Task | str,
    kinds: Sequence[str] = ProfileConfig.kinds,
    shots: int = ProfileConfig.shots,
    seeds: int = ProfileConfig.seeds,
    items: int = ProfileConfig.items,
    out: str | Path | None = None,
    *,
    instruction: bool = ProfileConfig.instruction,
    template: str | None = None,
    batch_size: int = ProfileConfig.batch_size,
    others: Sequence[str] = (),
    progress: Progress | None = None,
) -> ProfileResult:
    """Holds experiments against each other that say something of every layer of a model.

    Args:
        lm: the model, from `taskpoint.load`, or what that loads it by.
        task: the task, from `taskpoint.task`, or its name.
        out: folder to write to, or to continue; None keeps nothing.
        progress: called with the steps done and the steps there are.

    All other arguments are settings, told below.

    Returns:
        Values by layer, agreement, report and figure.

    Raises:
        SettingError, PromptError, DataError: the settings do not fit the task or an experiment.
        ModelError: the model cannot be cut, or computes NaN or infinity.
        RunFolderError: `out` holds a run of another configuration.
    """
    config = ProfileConfig.of(
        kinds=kinds,
        shots=shots,
        seeds=seeds,
        items=items,
        instruction=instruction,
        template=template,
        batch_size=batch_size,
        others=others,
    )
    found = runner.run_asked(EXPERIMENTS["profile"], lm, task, config, out, progress)
    return ProfileResult(found.rows, found.view, found.folder)


def start(subject: Asked, config: ProfileConfig) -> Profile:
    """The run of a model and a task; errors as `profile`."""
    return Profile(subject, config)


class Profile(Work[Keyed]):
    """Runs of several experiments, each in a folder of its own below that of the profile."""

    def __init__(self, subject: Asked, config: ProfileConfig) -> None:
        settings = {kind: _settings(kind, config) for kind in config.kinds}
        self._parts = {kind: EXPERIMENTS[kind].run.start(subject, own) for kind, own in settings.items()}
        self.name = next(iter(self._parts.values())).name
        facts = {"model": subject.lm.name, "task": subject.task.name, "num_layers": subject.lm.num_layers}
        runs = {kind: digest_of(as_json(work.manifest)) for kind, work in self._parts.items()}
        self.manifest = {**facts, **asdict(config), "runs": runs}

    def check(self) -> None:
        """Everything that the experiments refuse."""
        for work in self._parts.values():
            work.check()

    def groups(self, rows: Callable[[], pd.DataFrame]) -> Iterator[Sequence[Keyed]]:
        """One cell for each experiment."""
        yield [Keyed(kind) for kind in self._parts]

    def cell(self, key: str) -> Keyed:
        """The cell of this key."""
        if key not in self._parts:
            raise SettingError(f"{shown(key)} is no cell of this run; expected one of {', '.join(self._parts)}")
        return Keyed(key)

    def steps(self, cell: Keyed) -> int:
        """The steps of the experiment's own cells; of those that are asked for later none is known yet."""
        work = self._parts[cell.key]
        return sum(map(work.steps, next(iter(work.groups(_none)))))

    def rows(self, cell: Keyed, step: Step) -> list[Profiled]:
        """Does, or continues, the run of an experiment, and says what it tells of every layer."""
        experiment, folder = EXPERIMENTS[cell.key], self.folder / cell.key
        told = 0

        def tell(done: int, known: int, note: str = "") -> None:
            nonlocal told
            for _ in range(told, done):
                step(f"{cell.key} {note}".strip())
            told = max(told, done)

        found = runner.run(experiment, self._parts[cell.key], folder, tell)
        write(experiment, found.view, folder)
        return rows_of(cell.key, layers_in(self.folder, cell.key))


def _none() -> pd.DataFrame:
    raise SettingError("the experiments of a profile must know their first cells without rows")


def _settings(kind: str, config: ProfileConfig) -> Any:
    """The configuration of one experiment: what it shares with the others, and what it alone is told."""
    from taskpoint.asking.condition import conditions

    known = EXPERIMENTS[kind].config.CONFIG
    shared: Mapping[str, Any] = {
        "shots": config.shots,
        "train_shots": config.shots,
        "seeds": config.seeds,
        "items": config.items,
        "instruction": config.instruction,
        "template": config.template,
        "batch_size": config.batch_size,
        "conditions": conditions("examples", config.instruction),
    }
    names = settings_of(known)
    own = assigned(kind, config.others, known)
    return known.of(**{name: value for name, value in shared.items() if name in names} | own)

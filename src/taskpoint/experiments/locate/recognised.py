"""From a `locate` run to a compiled prompt: the recognition point, and what else of the run the prompt needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from taskpoint.asking.condition import Condition
from taskpoint.errors import DataError, SettingError, UnknownNameError
from taskpoint.experiments.locate.config import LocateFacts
from taskpoint.experiments.locate.findings import ConditionView
from taskpoint.experiments.locate.view import view_of
from taskpoint.experiments.runs import read_run
from taskpoint.experiments.stored import read_back
from taskpoint.prompts.segments import Segment
from taskpoint.prompts.selector import parse_selector
from taskpoint.tasks.base import Task
from taskpoint.tasks.registry import task as task_of


@dataclass(frozen=True)
class Recognised:
    """One curve of a run, as a prompt that is compiled by it needs it.

    Attributes:
        after: the recognition point.
        task_sha256: fingerprint of the task, as `Task.fingerprint` gives it.
    """

    folder: Path
    after: int
    condition: Condition
    shots: int
    model: str
    revision: str | None
    dtype: str
    task: str
    task_sha256: str
    template: str

    def check_model(self, model: str) -> None:
        """Refuses, by a SettingError, another model than that of the run."""
        if model != self.model:
            raise SettingError(f"{self.folder} is about model {self.model!r}, not {model!r}; give a run of that model")

    def asked(self, instruction: str | None) -> Task:
        """The task of the run.

        Args:
            instruction: the line that describes the task, for tasks whose files have none.

        Raises:
            SettingError: it is not here, or not the same as then.
        """
        mend = "name the task with --task, as the run had it"
        try:
            found = task_of(self.task, instruction=instruction)
        except (DataError, UnknownNameError) as error:
            raise SettingError(
                f"{self.folder} is about task {self.task!r}, which is not found from here ({error}); {mend}"
            ) from None
        if found.fingerprint() != self.task_sha256:
            raise SettingError(
                f"{self.folder} is about another task {self.task!r} than the one here: a file or an instruction has "
                f"changed; {mend}, and --task-instruction too"
            )
        return found


def recognised(
    folder: str | Path, *, hide: str | None = None, instruction: bool | None = None, shots: int | None = None
) -> Recognised:
    """The curve of a run to compile a prompt by: the only one with a recognition point among those that are asked for.

    Args:
        folder: a run folder of `locate`, of any task: the whole suite tells for its sub-tasks too.
        hide: what is hidden; None takes whatever the run hid, but for the query, which no compiled prompt can hide.
        instruction: whether the prompt has an instruction; None takes either.
        shots: number of examples; None takes any.

    Raises:
        RunFolderError: there is no such run.
        SettingError: it has not measured this, found no recognition point, or several.
    """
    run = read_run(folder, "locate")
    view, facts = view_of(run), read_back(LocateFacts, run.manifest.config, run.path)
    wanted = None if hide is None else parse_selector(hide).text
    fitting = [
        one
        for one in view.conditions
        if (wanted is None or one.hide == wanted)
        and (instruction is None or one.instruction == instruction)
        and (shots is None or one.shots == shots)
        and Segment.QUERY not in parse_selector(one.hide).needs
        and _condition(one) == Condition(one.hide, one.instruction)  # compiled prompts are told in one way alone
    ]
    if not fitting:
        raise SettingError(
            f"{folder} has not measured {_options(hide, instruction, shots)}; it has: {_listed(view.conditions)}. Ask "
            "for one of these that does not hide the query, or name the layer with --after"
        )
    found = [(one, one.point.layer) for one in fitting if one.point.layer is not None]
    if not found:
        reasons = "; ".join(f"{_told(one)}: {one.point.reason}" for one in fitting)
        raise SettingError(f"{folder} found no recognition point for {reasons}; name the layer with --after")
    if len(found) > 1:
        listed = _listed([one for one, _ in found])
        raise SettingError(
            f"{folder} found more than one recognition point ({listed}); choose with --hide, --instruction or "
            "--no-instruction, and --shots"
        )
    one, layer = found[0]
    return Recognised(
        folder=Path(folder),
        after=layer,
        condition=_condition(one),
        shots=one.shots,
        model=facts.model,
        revision=facts.revision,
        dtype=facts.dtype,
        task=facts.task,
        task_sha256=facts.task_sha256,
        template=view.template,
    )


def _told(one: ConditionView) -> str:
    return f"{_condition(one).label}, {one.shots} shots"


def _condition(one: ConditionView) -> Condition:
    return Condition(one.hide, one.instruction, one.place, one.wording)


def _listed(found: Sequence[ConditionView]) -> str:
    layers = ["" if one.point.layer is None else f", layer {one.point.layer}" for one in found]
    return "; ".join(_told(one) + layer for one, layer in zip(found, layers, strict=True))


def _options(hide: str | None, instruction: bool | None, shots: int | None) -> str:
    """What was asked for, as on the command line."""
    words = [
        None if hide is None else f"--hide {hide}",
        None if instruction is None else "--instruction" if instruction else "--no-instruction",
        None if shots is None else f"--shots {shots}",
    ]
    return " ".join(filter(None, words)) or "anything that can be compiled"

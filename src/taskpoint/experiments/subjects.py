"""What runs are about, as the command line names it: a model, mostly with a task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from taskpoint.configuration import setting, unchecked
from taskpoint.experiments.contract import SubjectOptions
from taskpoint.settings import flag

if TYPE_CHECKING:
    from taskpoint.models.loading import LanguageModel
    from taskpoint.tasks.base import Task


@dataclass(frozen=True)
class Asked:
    """A model, and the task that it is asked."""

    lm: LanguageModel
    task: Task


@dataclass(frozen=True)
class ModelOptions(SubjectOptions):
    """The options that name a model."""

    model: str | None = setting(
        None, "Bundled model, folder or hub id. (default: a bundled one)", unchecked, argument=True
    )
    dtype: str | None = setting(None, "float32, bfloat16 or float16. (default: the model's)", unchecked)
    device: str | None = setting(None, "Device, such as cpu or cuda:0. (default: cpu)", unchecked)
    revision: str | None = setting(None, "Revision of a hub model.", unchecked)
    adapter: str | None = setting(None, "Folder of an adapter of peft, such as heal leaves.", unchecked)

    def load_model(self, default: str | None = None) -> LanguageModel:
        """The model, or the default one; errors as `taskpoint.load`."""
        from taskpoint.models.loading import load

        name = default if self.model is None else self.model
        return load(name, dtype=self.dtype, device=self.device, revision=self.revision, adapter=self.adapter)


@dataclass(frozen=True)
class ModelAndTask(ModelOptions):
    """The options that name a model and a task."""

    task: str | None = setting(None, "Task; `taskpoint tasks` lists them. (default: what the model learnt)", unchecked)
    task_instruction: str | None = setting(
        None, "Instruction line for words: and pairs:, whose files have none.", unchecked
    )
    metric: str | None = setting(
        None,
        "exact, contains, prefix, bleu[:TOKENIZER], chrf or chrf++, each with :lc; bleu:paper. (default: the task's)",
        unchecked,
    )
    run_programs: bool = setting(False, "Run the programs that the model writes, contained (docs/code.md).", flag)

    def load(self) -> Asked:
        """The model and the task; errors as `taskpoint.load` and `taskpoint.task`."""
        from taskpoint.asking.learnt import model_for, task_for
        from taskpoint.tasks.registry import task

        name = task_for(self.model) if self.task is None else self.task
        asked = task(name, instruction=self.task_instruction, metric=self.metric, run_programs=self.run_programs)
        asked.check_scoring()
        return Asked(self.load_model(model_for(name)), asked)

"""Find the layer at which an in-context task has been recognised, and cut the context out of every later layer."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskpoint.compiled.compile import compile_prompt as compile_prompt
    from taskpoint.compiled.compile import load_prompt as load_prompt
    from taskpoint.engine.cut import cut_context as cut_context
    from taskpoint.engine.gates import gated_heads as gated_heads
    from taskpoint.engine.sweep_generate import sweep_generate as sweep_generate
    from taskpoint.engine.sweep_logits import sweep_logits as sweep_logits
    from taskpoint.errors import DataError as DataError
    from taskpoint.errors import ModelError as ModelError
    from taskpoint.errors import PlanError as PlanError
    from taskpoint.errors import PromptError as PromptError
    from taskpoint.errors import RunFolderError as RunFolderError
    from taskpoint.errors import SettingError as SettingError
    from taskpoint.errors import TaskpointError as TaskpointError
    from taskpoint.errors import TokenizerError as TokenizerError
    from taskpoint.errors import UnknownNameError as UnknownNameError
    from taskpoint.experiments.ablate.run import ablate as ablate
    from taskpoint.experiments.bench.run import bench as bench
    from taskpoint.experiments.heads.run import heads as heads
    from taskpoint.experiments.heal.run import heal as heal
    from taskpoint.experiments.locate.run import locate as locate
    from taskpoint.experiments.lora.run import lora as lora
    from taskpoint.experiments.profile.run import profile as profile
    from taskpoint.models.families import register_family as register_family
    from taskpoint.models.loading import load as load
    from taskpoint.tasks.registry import task as task
    from taskpoint.tasks.registry import task_names as task_names
    from taskpoint.training.gates_file import load_gates as load_gates
    from taskpoint.training.gates_file import save_gates as save_gates

__version__ = "0.1.0"

# Public name -> module; resolved at first use, because importing torch takes seconds and `taskpoint --help` must not.
_HOMES = {
    "DataError": "taskpoint.errors",
    "ModelError": "taskpoint.errors",
    "PlanError": "taskpoint.errors",
    "PromptError": "taskpoint.errors",
    "RunFolderError": "taskpoint.errors",
    "SettingError": "taskpoint.errors",
    "TaskpointError": "taskpoint.errors",
    "TokenizerError": "taskpoint.errors",
    "UnknownNameError": "taskpoint.errors",
    "ablate": "taskpoint.experiments.ablate.run",
    "bench": "taskpoint.experiments.bench.run",
    "compile_prompt": "taskpoint.compiled.compile",
    "cut_context": "taskpoint.engine.cut",
    "gated_heads": "taskpoint.engine.gates",
    "heads": "taskpoint.experiments.heads.run",
    "heal": "taskpoint.experiments.heal.run",
    "load": "taskpoint.models.loading",
    "load_gates": "taskpoint.training.gates_file",
    "load_prompt": "taskpoint.compiled.compile",
    "locate": "taskpoint.experiments.locate.run",
    "profile": "taskpoint.experiments.profile.run",
    "lora": "taskpoint.experiments.lora.run",
    "register_family": "taskpoint.models.families",
    "save_gates": "taskpoint.training.gates_file",
    "sweep_generate": "taskpoint.engine.sweep_generate",
    "sweep_logits": "taskpoint.engine.sweep_logits",
    "task": "taskpoint.tasks.registry",
    "task_names": "taskpoint.tasks.registry",
}

__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'taskpoint' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)

"""Makes compiled prompts, whose context is read once and kept for the layers that still see it; and loads them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import torch
from torch import Tensor

from taskpoint.asking.by_name import model_of, task_of
from taskpoint.asking.condition import Condition
from taskpoint.asking.encoding import encoded, vocabulary
from taskpoint.asking.finite_on_prompts import check_finite_on_prompts
from taskpoint.compiled.file import CompiledFile, CompiledFrom, Origin, read_compiled
from taskpoint.compiled.prompt import CompiledPrompt, compiled_context
from taskpoint.engine.compiled import CompiledContext
from taskpoint.errors import DataError, ModelError, PromptError, SettingError, TokenizerError
from taskpoint.models.files.fingerprint import ModelFingerprint, model_fingerprint, tokenizer_fingerprint
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.encode import check_length
from taskpoint.prompts.segments import Segment
from taskpoint.prompts.selector import parse_selector
from taskpoint.prompts.stable import stable_prefix
from taskpoint.prompts.template import template as template_of
from taskpoint.results.manifest import library_versions
from taskpoint.settings import flag, place, text, whole
from taskpoint.tasks.base import Task

# Beginnings of a query that a tokenizer may treat differently, beside the task's own queries.
_PROBES = ("word", "Word", "42", "(a", '"a', "é", "你好", "Привет", "a word, and more words")
_TASK_PROBES = 32

# Tokens read again when a prompt is loaded (see `_placed`).
_READ_AGAIN = 8
# Largest difference that another machine's arithmetic explains, as a share of the largest key or value.
_NOISE = 1e-2


def compile_prompt(
    lm: LanguageModel | str,
    task: Task | str,
    shots: int = 5,
    seed: int = 0,
    *,
    after: int | None,
    hide: str = "examples",
    instruction: bool = False,
    template: str | None = None,
) -> CompiledPrompt:
    """Reads the context of a task once, for any number of queries.

    Args:
        lm: the model, from `taskpoint.load`, or what that loads it by.
        task: the task, from `taskpoint.task`, or its name; one whose examples are the same for all queries, such as
            `lexicon:english-french`.
        shots: worked examples in the prompt.
        seed: draw of the examples.
        after: the cut r: layers r ... N-1 do not see what is hidden. `taskpoint.locate` finds it: `sweep.point.layer`,
            where that is not None.
        hide: what is hidden, as a selector; nothing of the query.
        instruction: whether the prompt has an instruction.
        template: name of the prompt template; None takes the task's.

    Raises:
        SettingError: `after` or `hide` do not fit, or the task has sub-tasks, of which one must be named.
        PromptError: too few examples, no instruction, or nothing before the query that could be read in advance.
        ModelError: the model cannot be cut exactly, or computes NaN or infinity.
    """
    lm, task = model_of(lm), task_of(task)
    cut = _checked_after(after, lm.num_layers)
    shots, seed = whole("shots", shots, 0), whole("seed", seed, 0)
    flag("instruction", instruction)
    if template is not None:
        text("template", template)
    selector = parse_selector(text("hide", hide))
    if Segment.QUERY in selector.needs:
        raise SettingError(
            f"hide={selector.text!r} hides the query, which is not there yet when the prompt is compiled; hide "
            "examples or the instruction, or use cut_context"
        )
    Condition(selector.text, instruction)  # refuses what does not fit
    context = task.context(shots, seed, instruction=instruction)
    form = template_of(task.template if template is None else template)
    probes = [*(item.input for item in task.items(_TASK_PROBES)), *_PROBES]
    contents = [dataclasses.replace(context, query=probe) for probe in probes]
    prompts = encoded(lm, form, contents)
    if lm.max_positions is not None:
        check_length(prompts[0], lm.max_positions, 1)
    hidden = [selector.mask(prompt) for prompt in prompts]
    stable = stable_prefix(prompts, hidden)
    if not stable.hidden.any():
        raise PromptError(f"hide={selector.text!r} hides no token of a prompt with {shots} shots")
    check_finite_on_prompts(lm, prompts[:1])
    served = (stable.begins(prompt, mask) for prompt, mask in zip(prompts, hidden, strict=True))
    recipe = CompiledFrom(
        task=task.name,
        instruction=context.instruction,
        examples=[(example.input, example.output) for example in context.examples],
        template=form.name,
        shots=shots,
        seed=seed,
        hide=selector.text,
        after=cut,
        probe=next(probe for probe, yes in zip(probes, served, strict=True) if yes),
    )
    origin = Origin(
        model=lm.name,
        revision=lm.revision,
        fingerprint=model_fingerprint(lm.model).as_json(),
        tokenizer=tokenizer_fingerprint(lm.tokenizer),
        versions=library_versions(),
    )
    return CompiledPrompt(lm, CompiledFile(recipe, origin, compiled_context(lm, stable.ids, stable.hidden, cut)))


def load_prompt(path: str | Path, lm: LanguageModel | str) -> CompiledPrompt:
    """Loads a prompt that was saved, for the model that it was compiled with; the model may be on any device.

    Raises:
        DataError: the file is missing, damaged, no compiled prompt, or of another format or version.
        ModelError: another model: other sizes, precision or weights.
        TokenizerError: another tokenizer, or one that writes the prompt with other tokens.
    """
    return opened(read_compiled(place("path", path)), repr(str(path)), model_of(lm))


def opened(found: CompiledFile, name: str, lm: LanguageModel) -> CompiledPrompt:
    """The prompt of a file that has been read; messages call it `name`. Errors as `load_prompt`."""
    origin = found.origin
    mend = "load that model, or compile the prompt again"
    here = library_versions()["transformers"]
    there = origin.versions.get("transformers", "unknown")
    if here.split(".")[0] != there.split(".")[0]:
        raise DataError(
            f"{name} was compiled with transformers {there}, this is {here}; a model may compute otherwise there: "
            "compile the prompt again"
        )
    try:
        expected = ModelFingerprint(**origin.fingerprint)  # type: ignore[arg-type]
    except TypeError:
        raise DataError(f"{name} is damaged: its fingerprint of the model is not complete; {mend}") from None
    difference = expected.difference(model_fingerprint(lm.model))
    if difference is not None:
        raise ModelError(f"{name} was compiled with model {origin.model!r}, not with {lm.name!r}: {difference}; {mend}")
    known, tokens = vocabulary(lm), found.context.tokens
    if len(tokens) and not 0 <= int(tokens.min()) <= int(tokens.max()) < known:
        raise DataError(f"{name} holds tokens that are none of the {known} of the model; {mend}")
    prompt = CompiledPrompt(lm, dataclasses.replace(found, context=_placed(found.context, lm, name)))
    if tokenizer_fingerprint(lm.tokenizer) != origin.tokenizer:
        raise TokenizerError(f"{name} was compiled with another tokenizer than that of {lm.name!r}; {mend}")
    # The template's text is part of the program, and may have changed since.
    if not prompt.serves(found.recipe.probe):
        raise TokenizerError(
            f"{name} begins with other tokens than template {found.recipe.template!r} writes here; {mend}"
        )
    return prompt


def _checked_after(after: int | None, layers: int) -> int:
    if after is None:
        raise SettingError(
            f"after is None; expected a layer from 0 to {layers}, such as the recognition point that "
            "`taskpoint locate` finds"
        )
    return whole("after", after, 0, layers)


def _placed(context: CompiledContext, lm: LanguageModel, name: str) -> CompiledContext:
    """The context with the keys of every layer where that layer computes.

    A few tokens are read again, which shows where that is, also for layers on several devices and offloaded ones; and
    shows what no fingerprint of the weights sees, such as a layer that was replaced in memory.

    Raises:
        ModelError: the model reads other keys or values.
    """
    count = min(_READ_AGAIN, len(context.tokens))
    fresh = compiled_context(lm, context.tokens[:count].numpy(), context.drop[:count].numpy(), context.after)

    def move(stored: tuple[Tensor, ...], again: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return tuple(_same(old.to(new.device), new, name) for old, new in zip(stored, again, strict=True))

    if context.num_layers != fresh.num_layers:
        raise ModelError(f"{name} has {context.num_layers} layers, the model {fresh.num_layers}; compile it again")
    return dataclasses.replace(
        context,
        tokens=context.tokens.to(fresh.tokens.device),
        drop=context.drop.to(fresh.drop.device),
        keys=move(context.keys, fresh.keys),
        values=move(context.values, fresh.values),
    )


def _same(stored: Tensor, again: Tensor, name: str) -> Tensor:
    """The stored keys or values, if they begin with those that were read again."""
    begun = stored[..., : again.shape[-2], :]
    noise = max(_NOISE, 16 * torch.finfo(again.dtype).eps)
    fits = begun.shape == again.shape and stored.dtype == again.dtype
    if not fits or (again.numel() and not bool((begun - again).abs().max() <= noise * again.abs().max())):
        raise ModelError(
            f"{name} holds other keys and values than this model reads, though their weights are alike; compile the "
            "prompt again with the model as it is now"
        )
    return stored

"""Verbs `compile` and `generate`: read a context once, and answer any number of queries with it."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from taskpoint.cli.options import AdapterOption, DeviceOption, console, path_option
from taskpoint.errors import SettingError

if TYPE_CHECKING:
    from taskpoint.models.loading import LanguageModel

verbs = typer.Typer()

GatesOption = Annotated[
    Path | None, path_option(help="Gates on the model's heads, from the folder of a `taskpoint heads` run.")
]


@verbs.command("compile")
def compile_(
    out: Annotated[Path, path_option("--out", help="File to write, such as fr.safetensors.")],
    task: Annotated[
        str | None,
        typer.Option(help="Task with one set of examples, such as lexicon:english-french. (default: that of --from)"),
    ] = None,
    after: Annotated[
        int | None, typer.Option(help="Layer from which on nothing hidden is seen; `taskpoint locate` finds it.")
    ] = None,
    from_run: Annotated[
        Path | None,
        path_option("--from", help="Take that layer, and all that is not named here, from this run of locate."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="Bundled model, folder or hub id. (default: that of --from, or as locate)")
    ] = None,
    shots: Annotated[int | None, typer.Option(help="Examples in the prompt. (default: those of --from, or 5)")] = None,
    seed: Annotated[int, typer.Option(help="Draw of the examples.")] = 0,
    hide: Annotated[
        str | None,
        typer.Option(help="What is hidden: examples; instruction,examples; ... (default: as in --from, or examples)"),
    ] = None,
    instruction: Annotated[
        bool | None, typer.Option(help="Whether the prompt has an instruction. (default: as in --from, or no)")
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="Prompt template. (default: that of --from, or the task's)")
    ] = None,
    task_instruction: Annotated[
        str | None, typer.Option(help="Instruction line for words: and pairs:, whose files have none.")
    ] = None,
    dtype: Annotated[
        str | None, typer.Option(help="float32, bfloat16 or float16. (default: that of --from, or the model's)")
    ] = None,
    device: DeviceOption = None,
    revision: Annotated[str | None, typer.Option(help="Revision of a hub model. (default: that of --from)")] = None,
    adapter: AdapterOption = None,
    gates: GatesOption = None,
) -> None:
    """Read a prompt's context once and keep it, for `taskpoint generate`."""
    if (after is None) == (from_run is None):
        raise SettingError(
            "compile needs one of --after LAYER and --from RUN_DIR; `taskpoint locate` finds the layer, and its run "
            "folder can be given to --from"
        )
    if from_run is not None and adapter is not None:
        raise SettingError("--adapter belongs to --after LAYER; a run that is given to --from knows its own adapter")
    if from_run is None and task is None:
        raise SettingError("compile --after LAYER needs --task; `taskpoint tasks` lists them")
    from taskpoint.asking.condition import Condition
    from taskpoint.asking.learnt import model_for
    from taskpoint.compiled.compile import compile_prompt
    from taskpoint.compiled.file import check_target
    from taskpoint.experiments.locate.recognised import recognised
    from taskpoint.models.loading import load
    from taskpoint.tasks.registry import task as task_of

    check_target(out)
    given: dict[str, Any] = {"hide": hide, "instruction": instruction, "shots": shots}
    given = {name: value for name, value in given.items() if value is not None}
    if from_run is not None:
        found = recognised(from_run, **given)
        found.check_model(model or found.model)
        asked = found.asked(task_instruction) if task is None else task_of(task, instruction=task_instruction)
        model, dtype, revision = found.model, dtype or found.dtype, revision or found.revision
        template, after = template or found.template, found.after
        given = {"hide": found.condition.hide, "instruction": found.condition.instruction, "shots": found.shots}
    else:
        asked = task_of(str(task), instruction=task_instruction)
    lm = load(model or model_for(str(task)), dtype=dtype, device=device, revision=revision, adapter=adapter)
    with _gated(lm, gates), warnings.catch_warnings(record=True) as told:
        prompt = compile_prompt(lm, asked, seed=seed, after=after, template=template, **given)
    for warning in told:
        typer.echo(f"taskpoint: {warning.message}", err=True)
    written = prompt.save(out)
    recipe, tokens, hidden = prompt.recipe, len(prompt.context.tokens), int(prompt.context.drop.sum())
    label = Condition(recipe.hide, recipe.instruction is not None).label
    typer.echo(f"{recipe.task}, {recipe.shots} shots, {label}:")
    typer.echo(f"{tokens} tokens of context, {hidden} of them gone from layer {recipe.after} of {lm.num_layers} on")
    typer.echo(f"prompt: {written}")


@verbs.command()
def generate(
    prompt: Annotated[Path, path_option(help="File of `taskpoint compile`.")],
    queries: Annotated[
        Path | None,
        path_option(help='JSON lines, each {"query": ...} (with "id" or not) or a text in quotes.'),
    ] = None,
    query: Annotated[list[str] | None, typer.Option(help="A query to answer at once; may be repeated.")] = None,
    out: Annotated[
        Path | None,
        path_option("--out", help="File of answers to write, or to continue. (default: runs/...)"),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Where the model is now. (default: where it was)")] = None,
    max_new_tokens: Annotated[int, typer.Option(help="Longest answer.")] = 50,
    batch_size: Annotated[int, typer.Option(help="Queries answered, and written, at once.")] = 64,
    device: DeviceOption = None,
    adapter: Annotated[
        str | None, typer.Option(help="Where its adapter of peft is now, if it has one. (default: where it was)")
    ] = None,
    gates: GatesOption = None,
) -> None:
    """Answer queries with a compiled prompt: a file of them, or one."""
    if (queries is None) == (not query):
        raise SettingError("generate needs one of --queries FILE and --query TEXT")
    if query and out is not None:
        raise SettingError("--out belongs to --queries FILE; the answer to --query is printed")
    from taskpoint.compiled.answer_file import generate_file
    from taskpoint.compiled.compile import opened
    from taskpoint.compiled.file import read_compiled
    from taskpoint.models.loading import load, without_adapter
    from taskpoint.report.progress import progress

    # Read whole, checksum and all, before what it says decides which model is loaded.
    found = read_compiled(prompt)
    origin = found.origin
    dtype = str(origin.fingerprint.get("dtype", "auto"))
    revision = origin.revision if model is None else None
    there = origin.model if adapter is None else without_adapter(origin.model)
    lm = load(model or there, dtype=dtype, device=device, revision=revision, adapter=adapter)
    with _gated(lm, gates):
        loaded = opened(found, repr(str(prompt)), lm)
        if queries is None:
            for answer in loaded.generate(query or [], max_new_tokens, batch_size):
                typer.echo(answer)
            return
        sizes = {"max_new_tokens": max_new_tokens, "batch_size": batch_size}
        with progress("generate", console(stderr=True)) as tell:
            done = generate_file(loaded, queries, out, **sizes, progress=tell)
    before = done.queries - done.fresh
    typer.echo(f"{done.fresh} queries answered{f', {before} had been before' if before else ''}")
    if done.whole:
        typer.echo(f"{done.whole} of them merge with the context into other tokens; their whole prompts were read")
    typer.echo(f"answers: {done.out}")


def _gated(lm: LanguageModel, gates: Path | None) -> AbstractContextManager[Any]:
    """The model with the gates of a file on its heads, where there is one."""
    if gates is None:
        return nullcontext()
    from taskpoint.engine.gates import gated_heads
    from taskpoint.training.gates_file import load_gates

    return gated_heads(lm.model, load_gates(gates))

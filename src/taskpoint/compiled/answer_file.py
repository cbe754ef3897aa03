"""Answers a file of queries with a compiled prompt; killed at any time, it goes on behind the last line written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from taskpoint.compiled.prompt import CompiledPrompt
from taskpoint.errors import PromptError, RunFolderError, SettingError
from taskpoint.progress import Progress
from taskpoint.results.lines import LineFile
from taskpoint.results.manifest import digest_of
from taskpoint.settings import place, whole
from taskpoint.tasks.files.queries import ANSWER, Query, read_queries


@dataclass(frozen=True)
class Generated:
    """What became of a file of queries.

    Attributes:
        fresh: how many of them were answered now; the others had been before.
        whole: how many of these the compiled context did not serve, so that their whole prompt was read.
    """

    out: Path
    queries: int
    fresh: int
    whole: int


def generate_file(
    prompt: CompiledPrompt,
    queries: str | Path,
    out: str | Path | None = None,
    *,
    max_new_tokens: int = 50,
    batch_size: int = 64,
    progress: Progress | None = None,
) -> Generated:
    """Answers every line of a file; started again with the same `out`, it goes on behind the last line written.

    Queries are JSON lines, as `taskpoint.tasks.files.queries` reads them; in `out` they have the key "answer" added, in
    the same order. Where `out` is None, it is a file in `runs/` that the same settings find again. `batch_size` queries
    are answered, and written, at once.

    Raises:
        DataError: the queries cannot be read.
        PromptError: a query is too long for the model.
        ModelError: the model computes NaN or infinity.
        RunFolderError: `out` holds answers of another prompt or other queries, or is damaged.
        SettingError: a number is below 1.
    """
    batch_size, max_new_tokens = whole("batch_size", batch_size, 1), whole("max_new_tokens", max_new_tokens, 1)
    source = place("queries", queries)
    asked = read_queries(source)
    config = {
        "prompt_sha256": prompt.file.fingerprint,
        "queries_sha256": digest_of([query.record for query in asked]),
        "max_new_tokens": max_new_tokens,
    }
    target = _default(prompt, source, config) if out is None else place("out", out)
    if target.exists() and target.samefile(source):
        raise SettingError(f"out is {str(target)!r}, the file of queries; give another file")
    blocks = [asked[start : start + batch_size] for start in range(0, len(asked), batch_size)]
    for block in blocks if prompt.lm.max_positions is not None else ():
        _check(prompt, block, source, max_new_tokens)
    for query in asked[:1]:
        prompt.check_model(query.text)
    with LineFile.open(target, config, "generate") as file:
        done = _done(file, asked)
        read_whole = 0
        for start in range(done, len(asked), batch_size):
            if progress is not None:
                progress(start, len(asked))
            block = asked[start : start + batch_size]
            answers = prompt.answers([query.text for query in block], max_new_tokens, batch_size)
            file.append([{**query.record, ANSWER: one.text} for query, one in zip(block, answers, strict=True)])
            read_whole += sum(not one.compiled for one in answers)
        if progress is not None:
            progress(len(asked), len(asked))
    return Generated(target, len(asked), len(asked) - done, read_whole)


def _check(prompt: CompiledPrompt, block: Sequence[Query], source: Path, max_new_tokens: int) -> None:
    """Refuses a query that is too long before any is answered."""
    try:
        prompt.check([query.text for query in block], max_new_tokens)
    except PromptError:
        for query in block:
            try:
                prompt.check([query.text], max_new_tokens)
            except PromptError as error:
                reason = str(error).removeprefix("query 0: ")
                raise PromptError(f"{str(source)!r}, line {query.line}: {reason}") from None
        raise


def _done(file: LineFile, asked: Sequence[Query]) -> int:
    """Number of queries whose answers stand in the file."""
    done = 0
    for query, record in zip_longest(asked, file.records()):
        if record is None:
            break
        said = {key: value for key, value in record.items() if key != ANSWER}
        if query is None or said != query.record or not isinstance(record.get(ANSWER), str):
            raise RunFolderError(
                f"{file.path}, line {done + 1} does not answer the query of that place: it was changed; take it and "
                "what follows away, and run again"
            )
        done += 1
    return done


def _default(prompt: CompiledPrompt, source: Path, config: Mapping[str, object]) -> Path:
    task = prompt.recipe.task.replace("/", "-").replace(":", "-")
    return Path("runs") / f"generate-{task}-{source.stem}-{digest_of(config)[:8]}.jsonl"

"""Scores are those that sacrebleu's command line prints for files of the same answers and references."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from taskpoint.analysis.corpus.bleu import CorpusBleu
from taskpoint.analysis.corpus.chrf import CorpusChrf
from taskpoint.analysis.corpus.counts import CorpusScore
from taskpoint.tasks.base import Item
from taskpoint.tasks.everyday import everyday
from taskpoint.tasks.flores.task import flores
from taskpoint.tasks.lexicon import lexicon
from taskpoint.tasks.scores.metrics import metric
from taskpoint.tasks.scores.paper import scored_text

OPTIONS: dict[str, tuple[CorpusScore, list[str]]] = {
    "bleu": (CorpusBleu(), ["-m", "bleu"]),
    "bleu:lc": (CorpusBleu(), ["-m", "bleu", "-lc"]),
    "bleu:paper": (CorpusBleu(), ["-m", "bleu", "-lc"]),
    "chrf": (CorpusChrf(), ["-m", "chrf"]),
    "chrf++": (CorpusChrf(words=True), ["-m", "chrf", "--chrf-word-order", "2"]),
}


def answer(reference: str, number: int) -> str:
    """What a model may say: a word left out, other case, a sentence more, the next question, or nothing."""
    words = reference.split(" ")
    said = " ".join(words[: 1 + number % len(words)] + words[2 + number % len(words) :])
    kinds = (said, said.upper(), f" {said} Encore une phrase.", f"{said} Q:Another one A:", "", "Q:What? A:That.")
    return kinds[number % len(kinds)]


def printed(folder: Path, texts: Sequence[str], references: Sequence[Sequence[str]], options: list[str]) -> float:
    def write(name: str, lines: Sequence[str]) -> str:
        (folder / name).write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(folder / name)

    files = [write(f"references{rank}", lines) for rank, lines in enumerate(zip(*references, strict=True))]
    command = [
        sys.executable,
        "-m",
        "sacrebleu",
        *files,
        "-i",
        write("answers", texts),
        *options,
        "-w",
        "6",
        "-f",
        "json",
    ]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(said.stdout)["score"])


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("references", [1, 2])
def test_a_corpus_scores_as_the_command_line_says(name: str, references: int, data_dir: Path, tmp_path: Path) -> None:
    corpus, options = OPTIONS[name]
    if references == 1:
        task = flores(data_dir / "flores101", "eng-fra").scored_by(metric(name))
        items = list(task.items(120))
    else:
        task = everyday("eng-fra").scored_by(metric(name))
        items = [item for item in task.items() if len(item.answers) == 2]
    texts = [answer(item.answers[0], number) for number, item in enumerate(items)]
    counts = np.array([[[task.counts(item, text) for item, text in zip(items, texts, strict=True)]]], dtype=float)
    kept = [scored_text(text, "fr") for text in texts] if name == "bleu:paper" else texts
    said = printed(tmp_path, kept, [item.answers for item in items], options)
    assert corpus.observed(counts)[0] == pytest.approx(said, abs=2e-6)
    assert 20 < said < 95


@pytest.mark.parametrize(
    ("text", "language", "kept"),
    [
        ("Il pleut.", "fr", "Il pleut."),
        (" Il pleut. Il neige.", "fr", "Il pleut."),
        ("Il\npleut  ici", "fr", "Il pleut ici"),
        ("Il pleut\n\nQ:It snows. A:Il neige.", "fr", "Il pleut"),
        ("Il pleut !Q:", "fr", "Il pleut !"),
        ("Mr. Smith left. He ran.", "en", "Mr. Smith left."),
        ("Das kostet z. B. 3.50 Euro. Ja.", "de", "Das kostet z. B. 3.50 Euro."),
        ("你好。我是。", "zh", "你好。"),
        ("", "en", "blank"),
        (" \n\n ", "en", "blank"),
        ("Q: What?", "en", "blank"),
        ("a\ud800", "en", "a?"),
        ("Oui. Non.", "a language that nobody knows", "Oui."),
    ],
)
def test_what_is_kept_of_an_answer_is_one_sentence_on_one_line(text: str, language: str, kept: str) -> None:
    assert scored_text(text, language) == kept


def test_sentences_are_parted_by_the_rules_of_the_language_that_is_asked_for(data_dir: Path) -> None:
    paper = metric("bleu:paper")
    said = "Am 3. Oktober ist frei."
    assert scored_text(said, "en") != scored_text(said, "de") == said
    german = everyday("eng-deu").scored_by(paper)
    [item] = german.items(1)
    asked = Item("x", item.task, "3 October is a holiday.", (said,))
    assert german.score(asked, said) == pytest.approx(100)
    assert paper.score(said, [said]) < 100
    of_flores = flores(data_dir / "flores101", "eng-deu").scored_by(paper)
    assert of_flores.score(asked, said) == pytest.approx(100)


def test_the_metric_of_the_paper_has_its_own_name_and_signature() -> None:
    paper = metric("bleu:paper")
    assert (paper.name, paper.label) == ("bleu:paper", "BLEU")
    assert str(paper.signature([1])).startswith(f"{metric('bleu:lc').signature([1])}|first:sentencex-1.")
    assert lexicon("past").scored_by(paper).score(lexicon("past").items()[0], "") == 0

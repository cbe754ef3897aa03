"""The language of a short text."""

from __future__ import annotations

import subprocess
import sys

import pytest

from taskpoint.tasks.language import LANGUAGES, detected_language
from taskpoint.tasks.tatoeba import Corpus


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("I would like a cup of tea.", "English"),
        ("Je voudrais une tasse de thé.", "French"),
        ("Ich hätte gern eine Tasse Tee.", "German"),
        ("Quisiera una taza de té.", "Spanish"),
        ("Ik wil graag een kop thee.", "Dutch"),
        ("ICH HÄTTE GERN EINE TASSE TEE.", "German"),
    ],
)
def test_a_sentence_is_in_its_language(text: str, language: str) -> None:
    assert detected_language(text) == language


@pytest.mark.parametrize("text", ["", " ", "12 + 3.", "?!", "x"])
def test_a_text_that_speaks_for_no_language_is_in_none(text: str) -> None:
    assert detected_language(text) is None


def test_any_text_is_in_one_of_the_languages_or_in_none() -> None:
    for text in ("日本語", "Ça", "\ud800a", "a" * 5000, "Questa è una frase italiana."):
        assert detected_language(text) in {*LANGUAGES.values(), None}


def test_real_sentences_are_in_their_language(real_corpora: tuple[Corpus, ...]) -> None:
    for corpus in real_corpora:
        for place, language in enumerate(("English", LANGUAGES[corpus.language])):
            texts = [text for pair in corpus.test if 3 <= len((text := pair[place]).split()) <= 8]
            assert sum(detected_language(text) == language for text in texts) / len(texts) > 0.99


def test_the_detector_is_loaded_when_it_is_asked() -> None:
    code = "import sys, taskpoint.tasks.registry as r; r.task('everyday'); print('py3langid' in sys.modules)"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "False"

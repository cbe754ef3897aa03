"""What paper A scores of an answer to a translation task (its released code): one sentence, or a word for none.

The paper parts sentences by nltk's Punkt, whose trained models are downloaded; here sentencex does, by what rules it
has for the language of the answer.
"""

from __future__ import annotations

from importlib.metadata import version

_NEXT_QUESTION = "Q:"
_NOTHING = "blank"


def scored_text(text: str, language: str) -> str:
    """The first sentence before the next question, on one line; the word "blank" where there is none.

    Args:
        text: An answer.
        language: Of the answer, by its ISO 639-1 code.
    """
    import sentencex

    # A lone surrogate, which no file holds, would be refused there.
    said = text.partition(_NEXT_QUESTION)[0].encode("utf-8", "replace").decode()
    sentences = (" ".join(sentence.split()) for sentence in sentencex.segment(language, said))
    return next(filter(None, sentences), _NOTHING)


def parted_by() -> str:
    """Name and version of what parts sentences, for a signature."""
    return f"first:sentencex-{version('sentencex')}"

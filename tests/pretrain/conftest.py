from __future__ import annotations

import gzip
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from taskpoint.asking import measure
from taskpoint.models.loading import LanguageModel
from taskpoint.pretrain.lexicon import PretrainLexicon
from taskpoint.pretrain.translator import PretrainTranslator
from taskpoint.training.architecture import Architecture

TINY: dict[str, Any] = {
    "steps": 6, "batch": 4, "shots": 2, "layers": 2, "width": 16, "heads": 2, "mlp": 16, "vocab": 400,
    "checkpoint_every": 2, "measured": 1, "warmup_share": 0.2, "positions": 256,
}  # fmt: skip

TINY_TRANSLATOR: dict[str, Any] = {
    "steps": 6, "pairs": 8, "lengths": (1, 3), "tokens": 100, "layers": 2, "width": 16, "heads": 2, "mlp": 16,
    "vocab": 500, "checkpoint_every": 2, "measured": 1, "warmup_share": 0.2, "positions": 512, "compiled": False,
    "bfloat16": False,
}  # fmt: skip

_WORDS = (
    ("The cat", "The dog", "My son", "Her boss", "A man", "Tom", "Our cook", "The king", "An owl", "His aunt"),
    ("sees", "likes", "paints", "finds", "hides", "wants", "sells", "cleans", "fears", "needs"),
    ("a red", "an old", "the big", "my new", "no"),
    ("house", "boat", "hat", "tree", "book", "spoon"),
)


@pytest.fixture
def tiny(tmp_path: Path) -> PretrainLexicon:
    torch.set_num_threads(1)
    return PretrainLexicon(tmp_path / "run", **TINY)


class Oracle:
    """Stands for a model that answers each prompt as a function says, and then begins another question."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, answer: Callable[[str, str], str]) -> None:
        self.tokenizer, self.answer = tokenizer, answer
        self.prompts: list[str] = []
        self.batches: list[int] = []
        shape = Architecture(layers=1, width=8, heads=1, mlp=8, positions=256, vocab=600)
        self.lm = LanguageModel(shape.untrained(tokenizer, seed=0), tokenizer, "oracle")

    def greedy(self, _: Any, ids: torch.Tensor, mask: torch.Tensor, new: int, __: Any) -> torch.Tensor:
        said = []
        self.batches.append(len(ids))
        for row, kept in zip(ids, mask, strict=True):
            prompt = self.tokenizer.decode(row[kept.bool()], skip_special_tokens=True)
            self.prompts.append(prompt)
            query = prompt.rsplit("Q: ", 1)[1].removesuffix("\nA:")
            said.append(self.tokenizer(f" {self.answer(prompt, query)}\nQ: more", add_special_tokens=False))
        return torch.as_tensor(self.tokenizer.pad(said, padding_side="right", return_tensors="pt")["input_ids"])


@pytest.fixture
def oracle(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Oracle]:
    def make(tokenizer: PreTrainedTokenizerFast, answer: Callable[[str, str], str]) -> Oracle:
        made = Oracle(tokenizer, answer)
        monkeypatch.setattr(measure, "greedy", made.greedy)
        return made

    return make


@pytest.fixture(scope="session")
def sentences(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as Tatoeba's, of made-up languages; enough sentences for some two dozen to be held out."""
    folder = tmp_path_factory.mktemp("tatoeba")
    for code in ("fra", "deu", "spa", "nld"):
        lines = []
        for words in itertools.product(*_WORDS):
            english = " ".join(words)
            # Two accepted translations of some sentences, as in Tatoeba.
            lines += [f"{english}.\t{_made_up(english, code)}{end}" for end in (".", "!")[: 1 + (words[0] == "Tom")]]
        (folder / f"{code}.tsv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    return folder


def _made_up(english: str, code: str) -> str:
    return " ".join(f"{word[::-1].lower()}{code[0]}" for word in english.split())


@pytest.fixture
def tiny_translator(tmp_path: Path, sentences: Path) -> PretrainTranslator:
    torch.set_num_threads(1)
    return PretrainTranslator(tmp_path / "run", sentences, **TINY_TRANSLATOR)

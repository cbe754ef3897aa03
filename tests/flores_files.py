"""Small data sets in the layouts of FLORES."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

COUNTS = {"dev": 803, "devtest": 5}
WORDS = {"eng": "Sentence", "fra": "Phrase", "por": "Frase"}


def sentences(word: str, split: str) -> list[str]:
    return [f"{word} {number} ({split})." for number in range(1, COUNTS[split] + 1)]


def write_folder(place: Path, pattern: str = "{code}.{split}", codes: Mapping[str, str] = WORDS) -> Path:
    """A folder in which a language's file is called after the pattern."""
    for split in COUNTS:
        (place / split).mkdir(parents=True)
        for code, word in codes.items():
            lines = sentences(word, split)
            (place / split / pattern.format(code=code, split=split)).write_text("\n".join(lines) + "\n")
    return place


def write_dataset(place: Path, codes: Sequence[str] = ("eng_Latn", "fra_Latn"), **columns: str) -> Path:
    """A data set as FLORES+ 4.6 lies on the hub: a card that names a configuration a language, and JSON lines.

    ``columns`` renames columns.
    """
    card = ["---", "configs:"]
    for code in codes:
        card += [f"- config_name: {code}", "  data_files:"]
        for split in COUNTS:
            card += [f"  - split: {split}", f"    path: {split}/{code}.jsonl"]
            rows = [
                {"id": number, "iso_639_3": code[:3], "iso_15924": code[4:], "text": f" {text} ", "domain": "wikinews"}
                for number, text in enumerate(sentences(WORDS[code[:3]], split))
            ]
            (place / split).mkdir(parents=True, exist_ok=True)
            said = (json.dumps({columns.get(name, name): value for name, value in row.items()}) for row in rows[::-1])
            (place / split / f"{code}.jsonl").write_text("\n".join(said) + "\n")
    (place / "README.md").write_text("\n".join([*card, "---", ""]))
    return place

"""Small files of problems."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

WORDS = {"one": 1, "two": 2, "three": 3, "four": 4}


def humaneval_record(word: str) -> dict[str, Any]:
    """A problem that asks for a number."""
    return {
        "task_id": f"HumanEval/{word}",
        "prompt": f"import math\n\ndef helper(x):\n    return x\n\ndef {word}(x: int) -> int:\n"
        f'    """ Give {word} times x.\n    """\n',
        "entry_point": word,
        "canonical_solution": f"    for _ in ():\n        pass\n    return helper({WORDS[word]} * x)\n",
        "test": f"def check(candidate):\n    assert candidate(math.floor(2.5)) == helper({2 * WORDS[word]})\n",
    }


def mbpp_record(number: int, **more: Any) -> dict[str, Any]:
    """A problem that asks for a number, with the line ends of the real file."""
    return {
        "text": f"Write a function that gives {number}.",
        "code": f"class Box:\r\n  value = 0\r\ndef give_{number}(box): \r\n  return {number} + box.value",
        "task_id": number,
        "test_setup_code": "box = Box()\r\nbox.value = 5",
        "test_list": [f"assert give_{number}(box) == {number + 5}"],
        "challenge_test_list": [],
        **more,
    }


def written(path: Path, records: Iterable[Any]) -> Path:
    """A file of JSON Lines."""
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def humaneval_file(folder: Path) -> Path:
    """Four problems."""
    return written(folder / "small.jsonl", map(humaneval_record, WORDS))


def mbpp_file(folder: Path) -> Path:
    """Examples 1 to 4, the problems 11 and 12, and 601 and 602 to train on; 602 asks for what 11 asks for."""
    records = [mbpp_record(number) for number in (1, 2, 3, 4, 11, 12, 601)]
    return written(folder / "mbpp.jsonl", [*records, mbpp_record(602, text=records[4]["text"])])

"""A run in small: every part that is missing is computed, slowly, and written; started by test_folder_killed.py."""

from __future__ import annotations

import sys
import time

from taskpoint.results.folder import RunFolder
from taskpoint.results.rows import cell_key

PARTS, ITEMS = 30, 40
CONFIG = {"parts": PARTS, "items": ITEMS}


def rows(seed: int) -> list[dict[str, object]]:
    return [
        {
            "model": "m",
            "task": "t",
            "condition": "examples hidden",
            "shots": 5,
            "seed": seed,
            "cut": cut,
            "item": f"item-{item:03d}",
            "text": f"answer {seed * cut + item}",
            "score": (seed + cut + item) % 7 / 7,
        }
        for cut in (0, 2, 4)
        for item in range(ITEMS)
    ]


def main(path: str, pause: float) -> None:
    with RunFolder.open(path, CONFIG) as folder:
        print("open", flush=True)
        for seed in range(PARTS):
            key = cell_key("examples hidden", 5, seed)
            if not folder.has(key):
                time.sleep(pause)
                folder.write(key, rows(seed))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))

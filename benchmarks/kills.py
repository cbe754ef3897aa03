"""Kills a `taskpoint locate` run at random moments and compares its rows with those of a run that was left alone.

python benchmarks/kills.py --kills 50
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

from taskpoint.results.folder import RunFolder

KEY = ["condition", "shots", "seed", "cut", "item"]


def start(folder: Path, items: int) -> subprocess.Popen[bytes]:
    """Begins, or continues, the run."""
    words = ["locate", "--items", str(items), "--batch-size", "2", "--shots", "3", "--out", str(folder)]
    command = [sys.executable, "-m", "taskpoint", *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def main() -> None:
    """Runs it once alone and once under fire, and prints what was lost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--items", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    with tempfile.TemporaryDirectory() as scratch:
        alone, fire = Path(scratch) / "alone", Path(scratch) / "fire"
        began = time.monotonic()
        if start(alone, asked.items).wait() != 0:
            sys.exit("the run that was left alone failed")
        print(f"left alone: {time.monotonic() - began:.0f} s")
        kills = parts_at_kill = 0
        while kills < asked.kills:
            process = start(fire, asked.items)
            before = len(list(fire.glob("**/*.parquet")))
            # Half of the kills hit start-up, half hit work: the latter wait for a first new part.
            if rng.random() < 0.5:
                while process.poll() is None and len(list(fire.glob("**/*.parquet"))) <= before:
                    time.sleep(0.005)
                time.sleep(rng.random() * 0.3)
            else:
                time.sleep(rng.random() * 4)
            if process.poll() is not None:
                sys.exit(f"the run ended after {kills} kills; give it more --items")
            os.kill(process.pid, signal.SIGKILL)
            process.wait()
            kills += 1
            parts_at_kill += len(list(fire.glob("**/*.parquet"))) > before
        if start(fire, asked.items).wait() != 0:
            sys.exit("the killed run did not finish")
        wanted, found = RunFolder.read(alone).frame(), RunFolder.read(fire).frame()
        merged = wanted[KEY].merge(found[KEY].drop_duplicates(), on=KEY, how="left", indicator=True)
        print(f"kills {kills}, of which {parts_at_kill} after new rows were written")
        print(f"rows {len(wanted)}, lost {(merged['_merge'] != 'both').sum()}, twice {found.duplicated(KEY).sum()}")
        try:
            pd.testing.assert_frame_equal(wanted, found)
            print("final rows equal: yes")
        except AssertionError as error:
            sys.exit(f"final rows equal: no\n{error}")


if __name__ == "__main__":
    main()

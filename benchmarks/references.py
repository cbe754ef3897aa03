"""Runs every reference solution of HumanEval and MBPP as if a model had written it: all have to pass.

python benchmarks/references.py DATA     # with DATA/humaneval/HumanEval.jsonl and DATA/mbpp/*; --workers, --first
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from taskpoint.tasks.code.answers import program_of
from taskpoint.tasks.code.containment import containment
from taskpoint.tasks.code.humaneval import humaneval
from taskpoint.tasks.code.limits import Limits
from taskpoint.tasks.code.mbpp import mbpp
from taskpoint.tasks.code.problems import Problem
from taskpoint.tasks.code.verdict import Verdict, judged


def passes(problem: Problem) -> Verdict:
    """The verdict on its own reference."""
    return judged(program_of(problem, problem.answer), problem.tests, Limits(), containment())


def main() -> None:
    """Prints a line for each file, and those that fail; exits with 1 where one does."""
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("data", type=Path)
    asked.add_argument("--workers", type=int, default=os.cpu_count())
    asked.add_argument("--first", type=int, default=None, help="only so many of each file")
    given = asked.parse_args()
    failed = False
    print(f"contained by {containment().description}; {given.workers} at once")
    for name in ("humaneval/HumanEval.jsonl", "mbpp/mbpp.jsonl", "mbpp/sanitized-mbpp.json"):
        path = given.data / name
        for docstring in (False, True) if "humaneval" in name else (False,):
            if "humaneval" in name:
                problems = humaneval(path, docstring=docstring)
            else:
                found = mbpp(path)
                problems = tuple({each.id: each for each in (*found.paper, *found.training)}.values())
            problems = problems[: given.first]
            begun = time.perf_counter()
            with ThreadPoolExecutor(given.workers) as pool:
                verdicts = list(pool.map(passes, problems))
            seconds = time.perf_counter() - begun
            wrong = [(each.id, told.reason) for each, told in zip(problems, verdicts, strict=True) if not told.passed]
            form = " (docstring)" if docstring else ""
            print(f"{name}{form}: {len(problems) - len(wrong)} of {len(problems)} pass, {seconds:.1f} s", *wrong)
            failed = failed or bool(wrong)
    sys.exit(failed)


if __name__ == "__main__":
    main()

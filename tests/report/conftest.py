"""A realistic report to look at: 12 layers, every cut, five conditions, 40 items."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from taskpoint.analysis.costs.savings import Saving
from taskpoint.analysis.intervals import Interval
from taskpoint.analysis.recognition import RecognitionPoint
from taskpoint.experiments.locate.findings import AnswerView, ConditionView, ControlScore, LocateView

sys.path.insert(0, str(Path(__file__).parent))  # pytest's importlib mode does not look beside a test module

LAYERS = 12
# (label, hide, instruction, middle of the rise, score at r = 0)
SHAPES = (
    ("examples hidden, no instruction", "examples", False, 2.9, 0.03),
    ("examples hidden, instruction stays", "examples", True, 1.6, 0.31),
    ("instruction and examples hidden", "instruction,examples", True, 3.4, 0.02),
    ("query hidden", "query", True, 7.8, 0.0),
    ("answers kept, questions hidden", "examples-answers", False, 0.0, 0.88),
)
WORDS = [
    ("dog", "chien", "english-french"), ("cat", "chat", "english-french"), ("bread", "pain", "english-french"),
    ("house", "maison", "english-french"), ("tree", "arbre", "english-french"), ("water", "eau", "english-french"),
    ("book", "livre", "english-french"), ("window", "fenêtre", "english-french"), ("dog", "Hund", "english-german"),
    ("house", "Haus", "english-german"), ("apple", "Apfel", "english-german"), ("street", "Straße", "english-german"),
    ("child", "Kind", "english-german"), ("moon", "luna", "english-spanish"), ("sun", "sol", "english-spanish"),
    ("heart", "corazón", "english-spanish"), ("mouse", "mice", "plural"), ("child", "children", "plural"),
    ("leaf", "leaves", "plural"), ("box", "boxes", "plural"), ("go", "went", "past"), ("sing", "sang", "past"),
    ("buy", "bought", "past"), ("walk", "walked", "past"), ("good", "better", "comparative"),
    ("happy", "happier", "comparative"), ("hot", "cold", "antonym"), ("early", "late", "antonym"),
    ("France", "Paris", "capital"), ("Japan", "Tokyo", "capital"), ("Kenya", "Nairobi", "capital"),
    ("Peru", "Peruvian", "demonym"), ("Iceland", "Icelandic", "demonym"), ("table", "t", "first-letter"),
    ("river", "r", "last-letter"), ("stone", "STONE", "uppercase"), ("forty-one", "forty-two", "next-number"),
    ("ninety", "eighty-nine", "previous-number"), ("seventeen", "17", "digits"), ("six", "6", "digits"),
]  # fmt: skip


def _condition(index: int) -> ConditionView:
    label, hide, instruction, middle, floor = SHAPES[index]
    ceiling = 0.94 if instruction else 0.93
    cuts = tuple(range(LAYERS + 1))
    mean = [floor + (ceiling - floor) / (1 + math.exp(-2.6 * (cut - middle))) for cut in cuts]
    if index == 0:
        mean[2] += 0.09  # the curves of the paper are not monotone either
    if index == 4:
        mean = [ceiling - 0.05 + 0.004 * cut for cut in cuts]
    mean[-1] = ceiling
    layer = min(r for r in cuts if min(mean[r:]) >= floor + 0.95 * (ceiling - floor)) if index != 4 else None
    widths = [0.012 + 0.16 * value * (1 - value) for value in mean]
    zero = 0.34 if instruction else 0.05
    early = [ceiling / (1 + math.exp(-1.9 * (cut - 9.3))) for cut in cuts]
    point = RecognitionPoint(
        layer=layer,
        low=layer - 1 if layer is not None else None,
        high=layer + 1 if layer is not None else None,
        ceiling=ceiling,
        floor=floor,
        zero_shot=zero,
        reason=None
        if layer is not None
        else "the ceiling 0.93 is not significantly above the floor 0.88 (gain 0.05, 95 % interval -0.01 to 0.11)",
        ceiling_interval=Interval(ceiling, ceiling - 0.02, ceiling + 0.02),
    )
    hidden = {"examples": 61, "instruction,examples": 70, "query": 6}.get(hide, 42)
    share = (LAYERS - layer) / LAYERS * hidden / 79 if layer is not None else 0.0
    return ConditionView(
        label=label,
        hide=hide,
        instruction=instruction,
        shots=5,
        cuts=cuts,
        mean=tuple(mean),
        low=tuple(max(0.0, value - width) for value, width in zip(mean, widths, strict=True)),
        high=tuple(min(1.0, value + width) for value, width in zip(mean, widths, strict=True)),
        point=point,
        controls=(
            ControlScore("ceiling", ceiling, ceiling - 0.02, min(1.0, ceiling + 0.02)),
            ControlScore("floor", floor, max(0.0, floor - 0.015), floor + 0.03),
            ControlScore("zero-shot", zero, zero - 0.03, zero + 0.03),
            ControlScore("shuffled answers", 0.41, 0.36, 0.46),
        ),
        early_exit=tuple(early),
        saving=Saving(0.79 * share, share, (LAYERS - layer) / LAYERS * 5 / 6) if layer is not None else None,
        tokens=88 if instruction else 79,
        hidden=hidden,
        early_exit_low=tuple(max(0.0, value - 0.03) for value in early),
        early_exit_high=tuple(min(1.0, value + 0.03) for value in early),
    )


def _answers(conditions: tuple[ConditionView, ...]) -> tuple[AnswerView, ...]:
    draw = random.Random(7)
    answers = []
    for number, (query, reference, subtask) in enumerate(WORDS):
        luck = draw.random()
        for index, condition in enumerate(conditions):
            texts, scores = [], []
            for cut, mean in zip(condition.cuts, condition.mean, strict=True):
                right = mean * 1.03 > luck
                wrong = ["", query, f"{query} is a word", f"the {query}"][(number + cut) % 4] if cut < 6 else query
                texts.append(reference if right else wrong)
                scores.append(1.0 if right or wrong == reference else 0.0)
            answers.append(
                AnswerView(index, f"{subtask}/{number:03d}", subtask, query, reference, tuple(texts), tuple(scores))
            )
    return tuple(answers)


def make_view() -> LocateView:
    conditions = tuple(_condition(index) for index in range(len(SHAPES)))
    return LocateView(
        model="lexicon",
        num_layers=LAYERS,
        task="lexicon",
        metric="exact match",
        template="qa",
        seeds=3,
        items=len(WORDS),
        conditions=conditions,
        answers=_answers(conditions),
        settings={
            "model": "lexicon (revision 3f1c9ab)",
            "task": "lexicon, data 8e1fd0c2",
            "template": "qa",
            "shots": "5",
            "seeds": "0, 1, 2",
            "hide": "examples",
            "items": "40 of 2,310",
            "data type": "float32",
            "device": "cpu",
            "longest answer": "12 tokens",
        },
        command="taskpoint locate lexicon --task lexicon --shots 5 --seeds 3 --items 40 --out runs/lexicon",
        versions={"taskpoint": "0.1.0", "torch": "2.13.0", "transformers": "5.23.0", "python": "3.11.2"},
    )


HOSTILE = (
    "</script><script>window.hacked=1</script>",
    "<img src=x onerror='window.hacked=1'>",
    "<!--<script>",
    "{{ 7 * 7 }} {% raw %} $\\frac{1}{0}$",
    "\u202eevil \u2066order\u2028line\u2029para\x00\x1b[31mred",
    "مرحبا بالعالم شكرا",
    "👩‍👩‍👧‍👦🏳️‍🌈 e\u0301",
    "a" * 300,
    "half a pair \ud83d",
    "  leading & trailing  ",
)


def make_hostile() -> LocateView:
    """Every free text is an attack or hard to set; sparse cuts, 80 layers, a graded metric, no point in front."""
    cuts = (0, 5, 20, 40, 41, 79, 80)
    low, mean, high = ([base + 40.0 * i / 6 for i in range(7)] for base in (-2.0, 0.0, 2.0))
    conditions = tuple(
        ConditionView(
            label=f"{HOSTILE[index]} {index}",
            hide=HOSTILE[index],
            instruction=True,
            shots=1,
            cuts=cuts,
            mean=tuple(mean),
            low=tuple(low),
            high=tuple(high),
            point=RecognitionPoint(None, None, None, 40.0, 0.0, reason=HOSTILE[index])
            if index < 2
            else RecognitionPoint(80, 79, 80, 40.0, 0.0, zero_shot=12.0),
            controls=(ControlScore(HOSTILE[index], 12.0, 10.0, 14.0),),
            early_exit=None,
            saving=None if index < 2 else Saving(0.0, 0.0, 0.0),
            tokens=900,
            hidden=800,
        )
        for index in range(8)
    )
    answers = tuple(
        AnswerView(index, text, text, text, text, (*HOSTILE[:6], text), tuple(value / 7 for value in range(7)))
        for index in range(8)
        for text in HOSTILE
    )
    text = HOSTILE[0]
    return LocateView(
        model=text,
        num_layers=80,
        task=HOSTILE[5],
        metric="BLEU " + HOSTILE[1],
        template=HOSTILE[3],
        seeds=1,
        items=10,
        conditions=conditions,
        answers=answers,
        settings={text: text for text in HOSTILE},
        command=" ".join(HOSTILE[:2]),
        versions={text: text for text in HOSTILE},
    )


@pytest.fixture(scope="session")
def hostile() -> LocateView:
    return make_hostile()


@pytest.fixture(scope="session")
def translations() -> LocateView:
    from translations import make_translations

    return make_translations()


@pytest.fixture(scope="session")
def sample() -> LocateView:
    return make_view()


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from reading import opened

    yield from opened(tmp_path_factory.mktemp("profile"))

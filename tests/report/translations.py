"""A hand-made report of translation: 10 layers, 2 conditions, 8 directions, 20 sentences that change their language."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from taskpoint.analysis.costs.savings import Saving
from taskpoint.analysis.recognition import RecognitionPoint
from taskpoint.experiments.locate.findings import AnswerView, ConditionView, ControlScore, LocateView, PartView

LAYERS = 10
CUTS = tuple(range(LAYERS + 1))
# Direction, ceiling in BLEU, middle of the rise.
DIRECTIONS = (
    ("eng-fra", 38.2, 2.6), ("eng-deu", 33.1, 2.9), ("eng-spa", 39.4, 2.4), ("eng-nld", 36.8, 2.7),
    ("fra-eng", 44.7, 1.2), ("deu-eng", 41.9, 1.3), ("spa-eng", 46.3, 1.1), ("nld-eng", 45.0, 1.2),
)  # fmt: skip
LANGUAGES = {"fra": "French", "deu": "German", "spa": "Spanish", "nld": "Dutch", "eng": "English"}
# Direction, first cut of the early answer, first cut of the reference, language of the wrong answer | query | reference
#     wrong answer | early answer in the right language
_SENTENCES = """
eng-fra 3 4 German | The weather is nice today. | Il fait beau aujourd'hui.
    Das Wetter ist heute schön. | Le temps est beau aujourd'hui.
eng-fra 2 3 Spanish | I have lost my keys. | J'ai perdu mes clés.
    He perdido mis llaves. | J'ai perdu mes clés.
eng-fra 3 6 German | Can you help me, please? | Pouvez-vous m'aider, s'il vous plaît ?
    Kannst du mir bitte helfen? | Pouvez-vous m'aider ?
eng-deu 4 5 French | She is reading a book in the garden. | Sie liest ein Buch im Garten.
    Elle lit un livre dans le jardin. | Sie liest ein Buch in dem Garten.
eng-deu 3 7 Dutch | My brother lives in Berlin. | Mein Bruder wohnt in Berlin.
    Mijn broer woont in Berlijn. | Mein Bruder lebt in Berlin.
eng-deu 2 2 French | Yes. | Ja.
    Oui. | Ja.
eng-spa 3 6 German | We are going to the beach tomorrow. | Mañana vamos a la playa.
    Wir gehen morgen an den Strand. | Vamos a la playa mañana.
eng-spa 2 3 French | Where is the station? | ¿Dónde está la estación?
    Où est la gare ? | ¿Dónde está la estación?
eng-spa 2 8 French | The child is sleeping. | El niño está durmiendo.
    L'enfant dort. | El niño duerme.
eng-nld 3 5 German | I would like a cup of coffee. | Ik wil graag een kopje koffie.
    Ich hätte gern eine Tasse Kaffee. | Ik wil een kop koffie.
eng-nld 3 4 German | It is raining again. | Het regent weer.
    Es regnet wieder. | Het regent alweer.
eng-nld 4 6 French | He bought a new car last week. | Hij heeft vorige week een nieuwe auto gekocht.
    Il a acheté une nouvelle voiture la semaine dernière. | Hij kocht vorige week een nieuwe auto.
fra-eng 1 2 German | Je ne comprends pas. | I don't understand.
    Ich verstehe nicht. | I do not understand.
fra-eng 1 3 German | Il est tard. | It is late.
    Es ist spät. | It's late.
deu-eng 1 4 French | Wir haben keine Zeit. | We have no time.
    Nous n'avons pas le temps. | We don't have time.
deu-eng 1 3 Spanish | Der Hund schläft unter dem Tisch. | The dog is sleeping under the table.
    El perro duerme debajo de la mesa. | The dog sleeps under the table.
spa-eng 1 1 French | ¿Qué hora es? | What time is it?
    Quelle heure est-il ? | What time is it?
spa-eng 2 3 German | Mi hermana canta muy bien. | My sister sings very well.
    Meine Schwester singt sehr gut. | My sister sings well.
nld-eng 1 2 French | Ik weet het niet. | I don't know.
    Je ne sais pas. | I do not know.
nld-eng 1 1 English | De winkel is gesloten. | The shop is closed.
    The shop is closed. | The shop is closed.
"""


@dataclass(frozen=True)
class _Sentence:
    """How the answers to one sentence change with the cut."""

    direction: str
    query: str
    reference: str
    wrong: str
    spoken: str
    early: str
    second: int
    third: int


def _sentences() -> Iterator[_Sentence]:
    lines = _SENTENCES.strip().splitlines()
    for first, second in zip(lines[::2], lines[1::2], strict=True):
        numbers, query, reference = first.split(" | ")
        direction, early, third, spoken = numbers.split()
        wrong, right = second.strip().split(" | ")
        yield _Sentence(direction, query, reference, wrong, spoken, right, int(early), int(third))


def _rise(start: float, end: float, middle: float) -> tuple[float, ...]:
    inner = [start + (end - start) / (1 + math.exp(-2.2 * (cut - middle))) for cut in CUTS[1:-1]]
    return (start, *inner, end)


def _around(values: tuple[float, ...], width: float, top: float) -> dict[str, tuple[float, ...]]:
    return {
        "low": tuple(max(0.0, value - width) for value in values),
        "high": tuple(min(top, value + width) for value in values),
    }


def _point(mean: tuple[float, ...], zero_shot: float) -> RecognitionPoint:
    threshold = mean[0] + 0.95 * (mean[-1] - mean[0])
    layer = min(cut for cut in CUTS if min(mean[cut:]) >= threshold)
    return RecognitionPoint(layer, layer - 1, min(LAYERS, layer + 1), mean[-1], mean[0], zero_shot)


def _parts(instruction: bool) -> tuple[PartView, ...]:
    parts = []
    for name, ceiling, middle in DIRECTIONS:
        start = 0.62 * ceiling if instruction else 3.27
        mean = _rise(start, ceiling, middle)
        language = _rise(0.91 if instruction else 0.08, 0.99, middle - 0.8)
        point = _point(mean, start + 1.234)
        if name == "nld-eng" and instruction:
            reason = (
                "the ceiling 45.00 is not significantly above zero-shot 44.10 (gain 0.90, 95 % interval -0.30 to 2.10)"
            )
            point = RecognitionPoint(None, None, None, ceiling, start, 44.1, reason=reason)
        parts.append(PartView(name, mean, **_around(mean, 2.4, 100.0), point=point, language=language))
    return tuple(parts)


def _condition(instruction: bool) -> ConditionView:
    start, ceiling = (24.96, 40.71) if instruction else (3.27, 40.68)
    mean = _rise(start, ceiling, 2.1)
    language = _rise(0.93 if instruction else 0.07, 0.985, 1.2)
    point = _point(mean, 26.3 if instruction else 2.1)
    share = _around(language, 0.02, 1.0)
    early = _rise(0.3, ceiling, 8.1)
    controls = (
        ("ceiling", ceiling),
        ("floor", start),
        ("zero-shot", point.zero_shot or 0.0),
        ("shuffled answers", 9.4),
    )
    assert point.layer is not None
    return ConditionView(
        label="examples hidden, instruction stays" if instruction else "examples hidden, no instruction",
        hide="examples",
        instruction=instruction,
        shots=5,
        cuts=CUTS,
        mean=mean,
        **_around(mean, 1.3, 100.0),
        point=point,
        controls=tuple(ControlScore(name, value, max(0.0, value - 1.2), value + 1.2) for name, value in controls),
        early_exit=early,
        saving=Saving(0.44, 0.53, (LAYERS - point.layer) / LAYERS * 5 / 6),
        tokens=128,
        hidden=104,
        language=language,
        language_low=share["low"],
        language_high=share["high"],
        parts=_parts(instruction),
    )


def _answers(condition: int, instruction: bool) -> Iterator[AnswerView]:
    for number, it in enumerate(_sentences()):
        asked = LANGUAGES[it.direction[-3:]]
        known = 0 if instruction else it.second
        texts = [it.reference if cut >= it.third else it.early if cut >= known else it.wrong for cut in CUTS]
        if number == 18 and not instruction:
            texts[1] = ""
        scores = [{it.early: 42.73, it.reference: 100.0, "": 0.0}.get(text, 4.57) for text in texts]
        languages = [it.spoken if text == it.wrong else asked if text else "" for text in texts]
        yield AnswerView(
            condition=condition,
            item=f"{it.direction}/{number:03d}",
            subtask=it.direction,
            query=it.query,
            reference=it.reference,
            texts=tuple(texts),
            scores=tuple(scores),
            languages=tuple(languages),
        )


def make_translations() -> LocateView:
    return LocateView(
        model="translator",
        num_layers=LAYERS,
        task="everyday",
        metric="BLEU",
        template="qa",
        seeds=3,
        items=20,
        conditions=(_condition(False), _condition(True)),
        answers=(*_answers(0, False), *_answers(1, True)),
        settings={"model": "translator", "task": "everyday", "shots": "5"},
        command="taskpoint locate translator --task everyday --shots 5 --seeds 3",
        versions={"taskpoint": "0.1.0", "sacrebleu": "2.5.1"},
    )

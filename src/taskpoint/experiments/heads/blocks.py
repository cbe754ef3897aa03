"""What a `heads` run found, as blocks: a sentence for each training, scores, and a map of the gates."""

from __future__ import annotations

from taskpoint.analysis.intervals import Interval
from taskpoint.experiments.heads.findings import HeadsView, Trained
from taskpoint.report.blocks import Block, Cell, Column, Facts, Report, Sentence, Table
from taskpoint.report.drawings import HeatMap
from taskpoint.report.numbers import percent, score, span


def report_of(view: HeadsView) -> Report:
    """The report of a run."""
    blocks: list[Block] = [Sentence(sentence(view, view.trained[0]), "headline")]
    blocks += [Sentence(sentence(view, each)) for each in view.trained[1:]]
    blocks += [Sentence(each, "aside") for each in _unfinished(view)]
    blocks.append(_scores(view))
    blocks += [_map(view, each) for each in view.trained]
    blocks += [Facts("Settings", tuple(view.settings.items())), Facts("Versions", tuple(view.versions.items()))]
    return Report(f"Heads that {view.model} does not need: {view.task}", tuple(blocks))


def sentence(view: HeadsView, trained: Trained) -> str:
    """What one training found, e.g. "8 of 30 heads can go (27 %, seeds 20 %-30 %) with 98 % of the score kept"."""
    removed, scores = trained.removed, trained.own_scores
    where = f"Trained on {_shots(trained.train_shots)} prompts with penalty {trained.penalty:g}"
    if not any(removed):
        return f"{where}, no head of {view.model} can go."
    mean, shares = sum(removed) / len(removed), [count / view.all_heads for count in sorted(removed)]
    spread = "" if len(removed) == 1 else f", seeds {percent(shares[0])}-{percent(shares[-1])}"
    found = f"{where}, {mean:.0f} of {view.all_heads} heads can go ({percent(mean / view.all_heads)}{spread})"
    kept = _kept(scores.kept, f"of the {_shots(scores.shots)} score kept")
    random = _kept(scores.random_kept, "with as many random heads closed")
    return f"{found}{f' with {kept}' if kept else ''}{f'; {random}' if random else ''}."


def _kept(share: Interval | None, what: str) -> str:
    if share is None:
        return ""
    return f"{percent(share.mean)} ({percent(share.low)}-{percent(share.high)}) {what}"


def _unfinished(view: HeadsView) -> list[str]:
    """Trainings that had no time to settle."""
    cut_off = [each for each in view.trained if max(each.epochs) == view.epochs]
    if not cut_off:
        return []
    which = ", ".join(f"{each.penalty:g} on {_shots(each.train_shots)} prompts" for each in cut_off)
    return [f"Training ended at its last epoch with penalty {which}: more epochs may close other heads."]


def _scores(view: HeadsView) -> Table:
    columns = ("penalty", "trained on", "tested on", "heads closed", "untouched", "gates", "mask", "random heads")
    rows: list[tuple[str | Cell, ...]] = []
    sections = []
    for trained in view.trained:
        sections.append(len(rows))
        for scores in trained.scores:
            rows.append(
                (
                    f"{trained.penalty:g}",
                    _shots(trained.train_shots),
                    _shots(scores.shots),
                    _numbers(trained.removed),
                    score(scores.untouched.mean, view.metric),
                    score(scores.gates.mean, view.metric),
                    Cell(
                        score(scores.mask.mean, view.metric),
                        span(scores.mask.low, scores.mask.high, view.metric),
                        marked=scores.shots == trained.train_shots,
                    ),
                    "" if scores.random is None else score(scores.random.mean, view.metric),
                )
            )
    return Table(
        f"{view.metric} with heads closed",
        tuple(map(Column, columns)),
        tuple(rows),
        sections=tuple(sections[1:]),
        mark="marks tests on prompts like those of training; the numbers beside a score are its interval",
    )


def _map(view: HeadsView, trained: Trained) -> HeatMap:
    gates = trained.gates.mean(0)  # [N, H]
    return HeatMap(
        title=f"Gates trained on {_shots(trained.train_shots)} prompts with penalty {trained.penalty:g}",
        rows=tuple(map(str, range(view.num_layers))),
        columns=tuple(map(str, range(view.num_heads))),
        values=tuple(tuple(map(float, row)) for row in gates),
        x_label="head",
        y_label="layer",
        label="gate" if view.seeds == 1 else "gate, mean over seeds",
        ends=(0.0, 1.0),
    )


def _numbers(removed: tuple[int, ...]) -> str:
    """Numbers of heads, e.g. "8" or "6-9"."""
    low, high = min(removed), max(removed)
    return str(low) if low == high else f"{low}-{high}"


def _shots(shots: int) -> str:
    return f"{shots}-shot"

"""An adapter on one layer after the other: rows, cells, adapters, variants and what is found in them."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import peft
import pytest

import taskpoint as tp
from taskpoint.asking.measure import Measure
from taskpoint.errors import ModelError, RunFolderError, SettingError
from taskpoint.experiments.lora.config import LoraConfig
from taskpoint.experiments.lora.result import LoraResult
from taskpoint.experiments.lora.rows import LAYOUT, LoraRow
from taskpoint.experiments.lora.run import Lora
from taskpoint.experiments.lora.view import layers_of, report_of, view_of, write
from taskpoint.models.loading import LanguageModel
from taskpoint.prompts.template import template
from taskpoint.report.blocks import Sentence
from taskpoint.results.folder import RunFolder

TASK = "lexicon:english-french"
SMALL: dict[str, Any] = {
    "layers": [1, 10],
    "sizes": [8, 16],
    "seeds": 2,
    "items": 6,
    "steps": 4,
    "batch": 8,
    "lr": 1e-2,
}


# One layer, one size, one repetition of them: what is computed does not depend on the others.
ONE: dict[str, Any] = SMALL | {"layers": [10], "sizes": [16], "seeds": 1}


def one_of(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of `ONE` among those of `SMALL`."""
    alone = (rows["layer"] == 10) | rows["layer"].isna()
    return rows[alone & rows["size"].isin([0, 16]) & (rows["seed"] == 0)].reset_index(drop=True)


@pytest.fixture(scope="module")
def found(lm: LanguageModel, tmp_path_factory: pytest.TempPathFactory) -> LoraResult:
    return tp.lora(lm, TASK, out=tmp_path_factory.mktemp("lora") / "run", **SMALL)


def test_every_layer_size_and_repetition_is_trained_and_asked_every_item(found: LoraResult) -> None:
    rows = found.rows
    cells = rows.drop_duplicates(["adapter", "layer", "size", "seed"])[["adapter", "layer", "size", "seed", "steps"]]
    told = {tuple(cell) for cell in cells.fillna({"layer": -1}).to_numpy().tolist()}
    trained = [(size, seed, 4) for size in (8, 16) for seed in (0, 1)]
    expected = {("none", -1, 0, 0, 0), *(("all", -1, *one) for one in trained)}
    assert told == expected | {("layer", layer, *one) for layer in (1, 10) for one in trained}
    assert set(rows.groupby(["adapter", "layer", "size", "seed"], dropna=False).size()) == {6}


def test_what_is_trained_on_is_learned_better_than_without_an_adapter(found: LoraResult) -> None:
    assert found.view.headline.all_layers.mean > found.view.base.high


def test_a_kept_adapter_opened_by_peft_alone_answers_as_the_rows_say(lm: LanguageModel, found: LoraResult) -> None:
    assert len(found.adapters) == 4 + 2 * 4
    fresh, key = tp.load(), "layer=10 size=16 seed=1"
    peft.PeftModel.from_pretrained(fresh.model, found.adapters[key])  # it stands in the model itself
    work = Lora(lm, tp.task(TASK), LoraConfig.of(**SMALL))
    prompts = work._prompts.scored(work._prompts.items)
    hidden = [np.zeros(len(prompt), dtype=bool) for prompt in prompts]
    (texts,) = Measure(fresh, template("qa"), work._prompts.max_new_tokens).answers(prompts, hidden, (12,))
    rows = found.rows
    own = rows[(rows["layer"] == 10) & (rows["size"] == 16) & (rows["seed"] == 1)].set_index("item")
    assert texts == list(own.loc[[item.id for item in work._prompts.items], "text"])


def test_a_cell_computed_elsewhere_from_its_key_gives_the_rows_of_the_run(
    lm: LanguageModel, found: LoraResult, tmp_path: Path
) -> None:
    work = Lora(lm, tp.task(TASK), LoraConfig.of(**SMALL))
    (cells,) = work.groups(pd.DataFrame)
    assert [work.cell(cell.key) for cell in cells] == list(cells)
    assert len({cell.key for cell in cells}) == len(cells)
    work.folder = tmp_path
    alone = LAYOUT.table(work.rows(work.cell("layer=10 size=8 seed=1"), lambda note: None)).to_pandas()
    rows = found.rows
    own = rows[(rows["layer"] == 10) & (rows["size"] == 8) & (rows["seed"] == 1)].reset_index(drop=True)
    alone = alone.sort_values("item").reset_index(drop=True)
    assert alone["text"].tolist() == own["text"].tolist()
    assert alone["loss"].tolist() == own["loss"].tolist()  # to the last bit
    for key in ("", "layer=2 size=8 seed=0", "layer=1 size=9 seed=0", "all size=8 seed=2", "layer=01 size=8 seed=0"):
        with pytest.raises(SettingError, match="no cell of this run; expected a key such as 'layer=10 size=16"):
            work.cell(key)


def test_without_room_for_hidden_states_the_rows_are_the_same(lm: LanguageModel, found: LoraResult) -> None:
    anew = tp.lora(lm, TASK, **ONE | {"memory": 0, "adapters": "drop"}).rows
    pd.testing.assert_frame_equal(anew, one_of(found.rows), rtol=1e-3)


def test_a_killed_run_continues_to_the_same_rows(found: LoraResult, tmp_path: Path) -> None:
    code = (
        "import sys, torch, taskpoint as tp; torch.set_num_threads(1); "
        f"tp.lora(tp.load(), {TASK!r}, out=sys.argv[1], **{ONE!r})"
    )

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run")], stderr=subprocess.DEVNULL)

    process = start()
    while len(list(tmp_path.rglob("*.parquet"))) < 2 and process.poll() is None:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert start().wait() == 0
    rows = RunFolder.read(tmp_path / "run").of(LAYOUT).frame()
    pd.testing.assert_frame_equal(rows, one_of(found.rows), rtol=1e-4)


def test_a_model_whose_loss_becomes_nan_is_afterwards_as_it_was() -> None:
    lm = tp.load(dtype="float16")
    before = {name: weight.clone() for name, weight in lm.model.state_dict().items()}
    trainable = [weight.requires_grad for weight in lm.model.parameters()]
    settings = SMALL | {"layers": [0], "sizes": [4], "seeds": 1}
    with pytest.raises(ModelError, match=r"all layers, 4 pairs, seed 0: the loss is NaN or infinite after \d"):
        tp.lora(lm, TASK, **settings | {"lr": 9e5})
    after = lm.model.state_dict()
    assert list(after) == list(before)
    assert all((after[name] == weight).all() for name, weight in before.items())
    assert [weight.requires_grad for weight in lm.model.parameters()] == trainable


def test_variants_are_those_of_the_paper_and_give_way_to_what_is_given() -> None:
    names = ("rank", "alpha", "dropout", "lr", "loss", "steps", "epochs", "patience", "threshold")

    def told(**given: Any) -> list[Any]:
        return [getattr(LoraConfig.of(**given), name) for name in names]

    assert told(variant="v1") == [32, 32.0, 0.1, 1e-4, "answer", None, 50, 5, 0.001]
    assert told(variant="neurips") == [8, 32.0, 0.05, 1e-4, "answer", None, 50, 5, 0.01]
    assert told(variant="released") == [8, 32.0, 0.05, 1e-4, "sequence", None, 3, 0, 0.01]
    assert told() == [8, 32.0, 0.05, 1e-3, "answer", 75, None, 0, 0.01]
    assert told(variant="v1", rank=4, steps=7, patience=0)[::5] == [4, 7]
    assert LoraConfig.of(variant="neurips", steps=7).epochs is None
    assert LoraConfig.of(epochs=7).steps is None
    assert [LoraConfig.of(variant=one).fitting_sizes(1000) for one in ("v1", "released")] == [(800,), (400, 800)]
    assert LoraConfig.of().fitting_sizes(101) == (50, 101)
    assert LoraConfig.of(variant="neurips").fitting_sizes(800) == (320, 640)  # some are left for the checks


@pytest.mark.parametrize(("loss", "taught"), [("answer", 1), ("sequence", 2)])
def test_the_answer_and_its_end_are_taught_or_all_of_the_sequence(lm: LanguageModel, loss: str, taught: int) -> None:
    work = Lora(lm, tp.task(TASK), LoraConfig.of(**SMALL, loss=loss))
    lessons = work._prompts.lessons()
    assert len(lessons) == 16
    for lesson in lessons:
        said = lm.tokenizer.decode(lesson.ids[lesson.taught])
        assert said.endswith("\n")
        assert said.strip().count("\n") == taught - 1  # `A:` stands on a line of its own
        assert not lesson.taught[0]


REFUSED: Sequence[tuple[dict[str, Any], str]] = [
    ({"sizes": [8, 500]}, "sizes asks for 500 training pairs, but task 'lexicon:english-french' has 144 beside the 6"),
    ({"layers": [12]}, "layers names 12; expected numbers from 0 to 11"),
    ({"epochs": 3}, "steps is 4 and epochs is 3; give one of the two"),
    ({"rank": 0}, "rank is 0"),
    ({"alpha": float("nan")}, "alpha is nan; expected a number above 0"),
    ({"dropout": 1}, "dropout is 1; expected a number from 0 to below 1"),
    ({"loss": "all"}, "loss is 'all'; expected answer, sequence"),
    ({"variant": "v2"}, "variant is 'v2'; expected equal, v1, neurips, released"),
    ({"lr": 0}, "lr is 0; expected a number above 0"),
    ({"lr": 1e38}, "lr is 1e+38; expected a number above 0, at most 1e+06"),  # AdamW cannot take such a step
    ({"patience": 2, "sizes": [144]}, "none left for checks"),
    ({"shots": 2}, "lora has no setting 'shots'"),
]


@pytest.mark.parametrize(("given", "says"), REFUSED, ids=lambda value: str(value)[:40])
def test_settings_that_do_not_fit_are_refused_before_anything_is_written(
    lm: LanguageModel, tmp_path: Path, given: dict[str, Any], says: str
) -> None:
    with pytest.raises(SettingError) as refused:
        tp.lora(lm, TASK, out=tmp_path / "run", **SMALL | given)
    assert says in str(refused.value)
    assert not (tmp_path / "run").exists()


class TestView:
    """Rows that are made up, so that it is known what is to be found in them."""

    LAYERS, ITEMS = 8, 40

    def folder(self, path: Path, right: Callable[[str, int, int], float], counts: bool = False) -> RunFolder:
        """A run whose answers are right with a probability that depends on adapter, layer and size."""
        task = tp.task(TASK, metric="bleu") if counts else tp.task(TASK)
        config = LoraConfig.of(layers=range(self.LAYERS), sizes=[10, 20], template="qa", seeds=2)
        facts = {
            "model": "toy", "revision": None, "dtype": "float32", "attention": "sdpa", "num_layers": self.LAYERS,
            "task": task.name, "task_sha256": "0", "pairs": 20, "metric": task.metric,
        }  # fmt: skip
        random, item = np.random.default_rng(0), task.items(1)[0]
        with RunFolder.open(path, facts | dataclasses.asdict(config), "lora", LAYOUT) as folder:
            trained = [(size, seed) for size in (10, 20) for seed in (0, 1)]
            cells = [("none", None, 0, 0), *(("all", None, *one) for one in trained)]
            cells += [("layer", layer, *one) for layer in range(self.LAYERS) for one in trained]
            for adapter, layer, size, seed in cells:
                chance = right(adapter, -1 if layer is None else layer, size)
                texts = np.where(random.random(self.ITEMS) < chance, item.answers[0], "wrong")
                rows = [
                    LoraRow(
                        "toy", task.name, adapter, layer, size, seed, 5, str(number), text, task.score(item, text),
                        "english-french", "q", "r", "qa", 0, None, " ".join(map(str, task.counts(item, text))), "",
                        None, None if adapter == "none" else 0.5,
                    )
                    for number, text in enumerate(texts.tolist())
                ]  # fmt: skip
                folder.write(f"{adapter} {layer} {size} {seed}", rows)
            return folder

    def test_the_cliff_is_found_for_each_size_and_said_in_one_sentence(self, tmp_path: Path) -> None:
        def right(adapter: str, layer: int, size: int) -> float:
            return {"none": 0.05, "all": 0.95}.get(adapter, 0.9 if layer < (3 if size == 10 else 5) else 0.1)

        view = view_of(self.folder(tmp_path, right))
        assert [each.cliff.layer for each in view.sizes] == [3, 5]
        assert view.best < 5
        values = layers_of(view)
        assert (values.pointed, len(values.values)) == (5.0, self.LAYERS)
        assert np.quantile(values.pointed_replicates, [0.025, 0.975]).tolist() == [5.0, 5.0]
        np.testing.assert_allclose(values.replicates.mean(0), values.values, atol=0.01)
        (headline,) = [b.text for b in report_of(view).blocks if isinstance(b, Sentence) and b.tone == "headline"]
        assert headline.startswith(f"Of layers 0 to 7, an adapter on layer {view.best} alone gives most: 0.9")
        assert "; from layer 5 (5-5) on it gives at most 0." in headline
        assert {path.name for path in write(view, tmp_path).values()} == {"report.html", "figure.pdf"}

    def test_layers_that_give_no_more_than_no_adapter_have_no_cliff(self, tmp_path: Path) -> None:
        """Adapters of late layers may even do harm: that is no cliff of what was learned."""
        view = view_of(
            self.folder(tmp_path, lambda adapter, layer, size: 0.05 if adapter == "layer" and layer > 3 else 0.6)
        )
        assert [each.cliff.layer for each in view.sizes] == [None, None]
        assert "no more than the model does without one" in str(view.headline.cliff.reason)
        assert np.isnan(layers_of(view).pointed_replicates).all()
        assert "There is no cliff: adapters before it give" in str(report_of(view).blocks)

    def test_a_corpus_score_is_computed_from_counts(self, tmp_path: Path) -> None:
        view = view_of(self.folder(tmp_path, lambda adapter, layer, size: float(adapter != "none"), counts=True))
        assert (view.headline.all_layers.mean, view.base.mean) == (0.0, 0.0)  # one word a line has no 4-grams
        assert view.metric == "BLEU"

    def test_a_run_of_some_layers_is_none_that_others_can_be_held_against(self, found: LoraResult) -> None:
        with pytest.raises(RunFolderError, match="adapted 2 of 12 layers"):
            layers_of(found.view)

    def test_a_run_that_was_stopped_early_is_said_to_be_so(self, tmp_path: Path) -> None:
        folder = self.folder(tmp_path, lambda *_: 0.5)
        next((tmp_path / "rows").glob("*.parquet")).unlink()
        with pytest.raises(RunFolderError, match="no whole curve yet"):
            view_of(RunFolder.read(folder.path).of(LAYOUT))

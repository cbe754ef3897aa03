"""What `bench` measures and counts, never how long anything takes: the clock is ours.

A pass reads the clock three times: before the prompt, after it, and after the last decoded token.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import socket
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

import taskpoint as tp
from stored_runs import view_of_folder
from taskpoint.analysis.costs.shape import ModelShape
from taskpoint.engine.cut import cut_context
from taskpoint.errors import ModelError, RunFolderError, SettingError
from taskpoint.experiments.bench import run as experiment
from taskpoint.experiments.bench.config import BenchConfig
from taskpoint.experiments.bench.fitting import fitted
from taskpoint.experiments.bench.passes import Passes
from taskpoint.experiments.bench.rows import LAYOUT
from taskpoint.experiments.bench.subject import Subject
from taskpoint.models.library import cache_of, with_cache
from taskpoint.models.loading import LanguageModel
from taskpoint.models.random_weights import random_decoder
from taskpoint.results.folder import RunFolder

LAYERS, NEW, QUERY = 4, 3, 5
SETTINGS = BenchConfig(cuts=(1, 4), context=(12, 20), query=QUERY, batch=(1, 2), new=NEW, rounds=3)
ONE = dataclasses.replace(SETTINGS, context=(20,), batch=(2,))


@pytest.fixture(scope="module")
def subject():
    model = random_decoder("llama:4x64,heads=4,kv=2,vocab=50")
    model.set_attn_implementation("eager")
    return Subject(model, "tiny")


class Clock:
    """Every pass takes what the next of the given pairs says: seconds for the prompt, seconds for one decoded token."""

    def __init__(self, passes=()):
        self._steps = [step for prompt, token in passes for step in (0.0, prompt, token * NEW)]
        self._now, self.calls = 0.0, 0

    def __call__(self):
        self.calls += 1
        self._now += self._steps.pop(0) if self._steps else 1.0
        return self._now


@pytest.fixture(scope="module")
def clock():
    return Clock()


@pytest.fixture(scope="module")
def result(subject, clock):
    return experiment.run(subject, SETTINGS, clock=clock)


def test_every_competitor_has_a_row_in_every_round(result, clock):
    rows = result.rows
    assert list(rows.columns) == list(LAYOUT.columns)
    wanted = {
        (batch, context, *competitor, number)
        for batch in (1, 2)
        for context in (12, 20)
        for competitor in (("dense", 4), ("cut", 1), ("cut", 4))
        for number in range(3)
    }
    found = list(rows[["batch", "context", "side", "cut", "round"]].itertuples(index=False, name=None))
    assert set(found) == wanted
    assert len(found) == len(wanted)
    assert (rows["peak_bytes"].notna() == (rows["round"] == 0)).all()
    # Warming up and weighing are passes too, whose times are not kept.
    assert clock.calls == 3 * 4 * 3 * (3 + 2)
    frame = result.frame()
    assert set(frame["measure"]) == {"prefill", "decode", "kv", "peak"}
    assert len(frame) == 4 * 2 * 4


def test_a_ratio_is_taken_within_each_round_and_warming_up_does_not_count(subject):
    dense, one, all_ = [(2.0, 0.2), (8.0, 0.4), (9.0, 0.9)], [(1.0, 0.1), (2.0, 0.4), (9.0, 0.3)], [(4.0, 1.0)] * 3
    first = [(100.0, 100.0)] * 6
    rounds = [dense[0], one[0], all_[0], one[1], all_[1], dense[1], all_[2], dense[2], one[2]]
    frame = experiment.run(subject, ONE, clock=Clock(first + rounds)).frame().set_index(["cut", "measure"])
    prompt, token = frame.loc[(1, "prefill")], frame.loc[(1, "decode")]
    assert [prompt["dense"], prompt["under_cut"]] == pytest.approx([8.0, 2.0])
    # 2/1, 8/2, 9/9: not the ratio of the medians, which is 4.
    assert [prompt["low"], prompt["ratio"], prompt["high"]] == pytest.approx([1.5, 2.0, 3.0])
    assert [token["dense"], token["under_cut"], token["ratio"]] == pytest.approx([0.4, 0.3, 2.0])
    assert prompt["share"] == pytest.approx(2.0 / prompt["ideal"])
    assert frame.loc[(4, "prefill"), "ratio"] == pytest.approx(2.0)
    assert frame.loc[(4, "prefill"), "ideal"] == 1.0


def operations(model, cut, batch, context):
    """What torch counts for a prompt, and for the decoded tokens after it."""
    ids = torch.ones(batch, context + QUERY + NEW, dtype=torch.long)
    drop = torch.zeros(batch, context + QUERY, dtype=torch.bool)
    drop[:, :context] = True
    with torch.inference_mode(), nullcontext() if cut is None else cut_context(model, cut, drop):
        with FlopCounterMode(display=False) as prompt:
            cache = cache_of(model(ids[:, : context + QUERY], use_cache=True, logits_to_keep=1))
        with FlopCounterMode(display=False) as tokens:
            for step in range(NEW):
                model(ids[:, context + QUERY + step, None], **with_cache(model, cache), use_cache=True)
    return np.array([prompt.get_total_flops(), tokens.get_total_flops()])


def test_the_ideal_is_the_ratio_that_torch_counts(subject, result):
    frame = result.frame()
    for batch, context, cut in [(1, 12, 1), (2, 20, 1), (2, 20, 4)]:
        counted = operations(subject.model, None, batch, context) / operations(subject.model, cut, batch, context)
        here = frame[(frame["batch"] == batch) & (frame["context"] == context) & (frame["cut"] == cut)]
        here = here.set_index("measure")
        assert here.loc["prefill", "ideal"] == pytest.approx(counted[0], rel=1e-12)
        assert here.loc["decode", "ideal_flops"] == pytest.approx(counted[1], rel=1e-12)


def test_the_ideal_of_a_decoded_token_is_in_bytes_of_matrices_keys_and_values(subject):
    settings = dataclasses.replace(ONE, batch=(1,), rounds=1)
    frame = experiment.run(subject, settings, clock=Clock()).frame().set_index(["cut", "measure"])
    weights = sum(
        parameter.numel()
        for name, parameter in subject.model.named_parameters()
        if parameter.dim() == 2 and "embed" not in name
    )
    token = 2 * 2 * 16  # keys and values, 2 heads of 16
    read = [
        [weights + token * (n * LAYERS) for n in (26, 27, 28)],
        [weights + token * (n + 3 * (n - 20)) for n in (26, 27, 28)],
    ]
    assert frame.loc[(1, "decode"), "ideal"] == pytest.approx(sum(read[0]) / sum(read[1]))


def test_the_cache_that_is_measured_is_the_cache_that_is_counted(result):
    frame = result.frame()
    kv = frame[frame["measure"] == "kv"]
    assert (kv["ratio"] == kv["ideal"]).all()
    dense = kv[(kv["batch"] == 2) & (kv["context"] == 20)]["dense"].iloc[0]
    assert dense == 4 * LAYERS * 2 * 2 * 2 * 16 * (20 + QUERY + NEW)


def test_peak_memory_is_the_same_each_time_and_holds_the_cache(subject):
    passes = Passes(subject.model, batch=2, context=200, query=QUERY, new=NEW, clock=Clock())
    dense, one = passes.peak_bytes(None), passes.peak_bytes(1)
    assert passes.peak_bytes(None) == pytest.approx(dense, rel=0.01)
    assert dense > passes.run(None).kv_bytes
    assert one > passes.run(1).kv_bytes
    assert dense > one


def test_what_a_pass_allocates_beside_the_model_is_seen(subject, monkeypatch):
    passes = Passes(subject.model, batch=1, context=8, query=QUERY, new=NEW, clock=Clock())
    before = passes.peak_bytes(None)
    run = passes.run
    monkeypatch.setattr(passes, "run", lambda cut: (torch.empty(1_000_000, dtype=torch.uint8), run(cut)))
    assert passes.peak_bytes(None) - before == pytest.approx(1_000_000, rel=0.01)


def test_a_stopped_run_continues_with_what_is_missing(subject, tmp_path):
    settings = dataclasses.replace(SETTINGS, rounds=1)

    class Stop(Exception):
        pass

    def stop(done, total, note):
        assert total == 4 * 3 * 3
        if done == 13:  # in the second of four
            raise Stop

    with pytest.raises(Stop):
        experiment.run(subject, settings, tmp_path / "run", stop, Clock())
    parts = {path.name: path.read_bytes() for path in (tmp_path / "run" / "rows").iterdir()}
    assert len(parts) == 1
    assert len(view_of_folder(tmp_path / "run").lines) == 2
    clock, told = Clock(), []
    result = experiment.run(subject, settings, tmp_path / "run", lambda *step: told.append(step[:2]), clock)
    assert clock.calls == 3 * 3 * 3 * 3
    assert told[0] == (0, 36)
    assert told[1] == (9, 36)
    assert told[-1] == (36, 36)
    assert len(result.rows) == 4 * 3
    assert all((tmp_path / "run" / "rows" / name).read_bytes() == content for name, content in parts.items())
    again = Clock()
    assert experiment.run(subject, settings, tmp_path / "run", clock=again).view == result.view
    assert again.calls == 0
    assert view_of_folder(tmp_path / "run") == result.view


def test_a_folder_of_other_settings_or_another_machine_is_refused(subject, tmp_path, monkeypatch):
    experiment.run(subject, ONE, tmp_path, clock=Clock())
    with pytest.raises(RunFolderError, match="rounds: 3 -> 2"):
        experiment.run(subject, dataclasses.replace(ONE, rounds=2), tmp_path, clock=Clock())
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    with pytest.raises(RunFolderError, match=r"machine\.threads"):
        experiment.run(subject, ONE, tmp_path, clock=Clock())


def test_a_folder_of_another_experiment_holds_no_benchmark(tmp_path):
    RunFolder.open(tmp_path, {}, "locate").close()
    with pytest.raises(RunFolderError, match="holds a run of `taskpoint locate`"):
        view_of_folder(tmp_path, "bench")
    subject = Subject(random_decoder("llama:2x16"), "tiny")
    config = experiment.start(subject, BenchConfig(cuts=(1,), context=(8,), batch=(1,))).manifest
    with (
        RunFolder.open(tmp_path / "empty", config, "bench", LAYOUT),
        pytest.raises(RunFolderError, match="no complete ratio yet"),
    ):
        view_of_folder(tmp_path / "empty")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"query": 0}, "query is 0"),
        ({"new": 0}, "new is 0"),
        ({"rounds": 0}, "rounds is 0"),
        ({"batch": ()}, "batch is ''"),
        ({"batch": (1, 1)}, "batch is '1,1'; expected one or more different numbers"),
        ({"context": (0,)}, "context is 0"),
        ({"cuts": (-1,)}, "cuts is -1"),
    ],
)
def test_settings_out_of_range_are_refused(changes, words):
    with pytest.raises(SettingError, match=words):
        BenchConfig(**changes)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cuts": (1, 13)}, "cuts names layer 13; expected numbers from 0 to 12"),
        (
            {"context": (128, 1017)},
            "1017 context, 5 query and 3 new tokens are 1025, but lexicon has positions for 1024",
        ),
    ],
)
def test_what_the_model_cannot_do_is_refused_before_anything_is_written(changes, words, tmp_path):
    subject = Subject.of(tp.load())
    with pytest.raises(SettingError, match=words):
        experiment.run(subject, dataclasses.replace(ONE, **changes), tmp_path / "run", clock=Clock())
    assert not (tmp_path / "run").exists()


def test_the_last_position_of_a_model_can_be_used():
    longest = dataclasses.replace(ONE, context=(1016,))
    assert fitted(Subject.of(tp.load()), longest).context == (1016,)


def test_cuts_and_contexts_that_nobody_named_suit_the_model():
    chosen = fitted(Subject.of(tp.load()), BenchConfig())
    assert chosen.cuts == (3, 6, 9, 12)
    assert chosen.context == (128, 512)


@pytest.mark.parametrize(("query", "contexts"), [(508, (128, 512)), (509, (128,))])
def test_a_context_that_nobody_named_may_reach_the_last_position(query, contexts):
    assert fitted(Subject.of(tp.load()), BenchConfig(query=query, new=4)).context == contexts


def test_a_run_of_more_passes_than_a_day_holds_is_refused(subject):
    most = dataclasses.replace(ONE, rounds=1_000_000 // 3 - 2)  # three competitors
    assert fitted(subject, most) == most
    with pytest.raises(SettingError, match="1000002 passes; expected at most 1000000: give fewer --rounds"):
        fitted(subject, dataclasses.replace(most, rounds=most.rounds + 1))


def test_results_name_neither_the_machine_nor_a_place_on_it(tmp_path):
    folder = tmp_path / "secret" / "mine"
    folder.mkdir(parents=True)
    lm = tp.load()
    named = LanguageModel(lm.model, lm.tokenizer, str(folder))
    result = tp.bench(named, cuts=[6], context=8, query=4, batch=1, new=1, rounds=1, out=tmp_path / "run")
    content = result.save(tmp_path / "new" / "numbers.json").read_text()
    found = json.loads(content)
    assert found["settings"]["model"] == "mine"
    assert found["settings"]["machine"]["threads"] == torch.get_num_threads()
    assert found["versions"]["torch"] == importlib.metadata.version("torch")
    assert [row["measure"] for row in found["rows"]] == ["prefill", "decode", "kv", "peak"]
    everything = content + (tmp_path / "run" / "config.json").read_text()
    for secret in ("secret", str(tmp_path), socket.gethostname()):
        assert secret not in everything
    assert result.plot(tmp_path / "figure.png").stat().st_size > 1000


def test_a_plain_model_is_called_by_its_class(subject):
    assert Subject.of(subject.model).name == "LlamaForCausalLM"


def test_a_family_that_cannot_be_counted_is_measured_all_the_same(subject, monkeypatch):
    def refuse(config):
        raise ModelError("savings are not known for this one")

    monkeypatch.setattr(ModelShape, "from_config", refuse)
    result = experiment.run(subject, ONE, clock=Clock())
    assert result.view.no_ideal == "savings are not known for this one"
    assert result.frame()["ideal"].isna().all()
    assert result.frame()["ratio"].notna().all()


def test_too_little_memory_is_one_line_that_says_what_to_give(subject, monkeypatch):
    passes = Passes(subject.model, batch=2, context=8, query=QUERY, new=NEW, clock=Clock())

    def full(*args, **kwargs):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate")

    monkeypatch.setattr(type(subject.model), "forward", full)
    with pytest.raises(SettingError, match="not enough memory for batch 2 with 13 tokens each; give smaller --batch"):
        passes.run(None)


def test_a_model_that_peft_wraps_is_a_subject_and_a_word_list_is_none():
    from peft import LoraConfig, get_peft_model

    model = get_peft_model(random_decoder("llama:2x16"), LoraConfig(target_modules=["q_proj"]))
    assert Subject.of(model).name == type(model).__name__
    with pytest.raises(SettingError, match="expected a model from taskpoint"):
        Subject.of(["lexicon"])

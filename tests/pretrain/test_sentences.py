from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from taskpoint.errors import SettingError
from taskpoint.pretrain.sentences import SentenceMixture
from taskpoint.prompts.template import template
from taskpoint.tasks.language import LANGUAGES
from taskpoint.tasks.tatoeba import Corpus, corpora
from taskpoint.training.sequences import TrainingBatch
from taskpoint.training.tokenizer import train_tokenizer

QUICK = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ANYWHERE = {"seed": st.integers(0, 2**32), "step": st.integers(0, 10_000)}


@pytest.fixture(scope="module")
def mixture(sentences: Path) -> SentenceMixture:
    return SentenceMixture(
        corpora(sentences), template("qa"), pairs=40, lengths=(1, 2, 4, 9), tokens=600,
        instruction_share=0.5, repeat_share=0.3, longest_repeat=2,
    )  # fmt: skip


@pytest.fixture(scope="module")
def tokenizer(mixture: SentenceMixture) -> PreTrainedTokenizerFast:
    return train_tokenizer(mixture.texts(), vocab=500, positions=512)


def rows(parts: Sequence[TrainingBatch], pad: int) -> Counter[tuple[int, ...]]:
    return Counter(tuple(ids[ids != pad].tolist()) for part in parts for ids in part.input_ids)


def read(tokenizer: PreTrainedTokenizerFast, ids: torch.Tensor) -> tuple[str | None, list[tuple[str, str]]]:
    """Instruction and pairs of one sequence."""
    lines = tokenizer.decode(ids, skip_special_tokens=True).splitlines()
    told = lines.pop(0) if not lines[0].startswith("Q: ") else None
    asked = [line.removeprefix("Q: ") for line in lines[::2]]
    return told, list(zip(asked, (line.removeprefix("A: ") for line in lines[1::2]), strict=True))


@QUICK
@given(tokens=st.integers(1, 2000), **ANYWHERE)
def test_the_parts_of_a_step_hold_each_sequence_once_and_no_part_is_too_large(
    mixture: SentenceMixture, tokenizer: PreTrainedTokenizerFast, tokens: int, seed: int, step: int
) -> None:
    pad = int(tokenizer.pad_token_id)  # type: ignore[arg-type]
    [whole] = replace(mixture, tokens=10**9).draw(tokenizer, seed, step)
    parts = replace(mixture, tokens=tokens).draw(tokenizer, seed, step)
    assert rows(parts, pad) == rows([whole], pad)
    assert all(part.input_ids.numel() <= tokens or len(part.input_ids) == 1 for part in parts)
    assert sum(int(part.targets.sum()) for part in parts) == int(whole.targets.sum())


@QUICK
@given(**ANYWHERE)
def test_a_sequence_translates_different_sentences_in_one_direction_or_repeats_a_few(
    mixture: SentenceMixture, tokenizer: PreTrainedTokenizerFast, seed: int, step: int
) -> None:
    taught = {corpus.language: set(corpus.train) for corpus in mixture.corpora}
    english_of = {other: english for pairs in taught.values() for english, other in pairs}
    drawn = 0
    for part in mixture.draw(tokenizer, seed, step):
        for ids in part.input_ids:
            told, pairs = read(tokenizer, ids)
            drawn += len(pairs)
            assert len(pairs) in mixture.lengths
            if pairs[0][0] == pairs[0][1]:
                assert told is None
                assert len(pairs) <= mixture.longest_repeat
                assert all(source == target for source, target in pairs)
                english = [english_of[source] for source, _ in pairs]
            else:
                ways = {
                    (LANGUAGES["eng"], LANGUAGES[code]): pairs
                    for code, known in taught.items()
                    if known.issuperset(pairs)
                } | {
                    (LANGUAGES[code], LANGUAGES["eng"]): [(target, source) for source, target in pairs]
                    for code, known in taught.items()
                    if known.issuperset((target, source) for source, target in pairs)
                }
                [((source, target), found)] = ways.items()
                assert told in (None, f"Translate {source} to {target}:")
                english = [text for text, _ in found]
            assert len(set(english)) == len(english)
    assert mixture.pairs <= drawn < mixture.pairs + max(mixture.lengths)


@QUICK
@given(**ANYWHERE)
def test_every_answer_with_its_line_end_is_taught_and_nothing_else(
    mixture: SentenceMixture, tokenizer: PreTrainedTokenizerFast, seed: int, step: int
) -> None:
    for part in mixture.draw(tokenizer, seed, step):
        for ids, targets, last in zip(part.input_ids, part.targets, part.last, strict=True):
            _, pairs = read(tokenizer, ids)
            answers = [f"{answer}\n" for _, answer in pairs]
            assert tokenizer.decode(ids[targets]).replace("\n ", "\n").strip(" ") == "".join(answers)
            assert tokenizer.decode(ids[last]).strip(" ") == answers[-1]


def test_a_step_is_the_same_whenever_it_is_drawn_and_no_other_is(
    mixture: SentenceMixture, tokenizer: PreTrainedTokenizerFast
) -> None:
    def drawn(seed: int, step: int) -> list[list[list[int]]]:
        return [part.input_ids.tolist() for part in mixture.draw(tokenizer, seed, step)]

    assert drawn(0, 3) == drawn(0, 3)
    assert drawn(0, 3) != drawn(0, 4)
    assert drawn(0, 3) != drawn(1, 3)


def test_shares_are_kept(mixture: SentenceMixture, tokenizer: PreTrainedTokenizerFast) -> None:
    lengths: Counter[int] = Counter()
    repeats = short = told = translating = 0
    for part in replace(mixture, pairs=6000).draw(tokenizer, 0, 0):
        for ids in part.input_ids:
            instruction, pairs = read(tokenizer, ids)
            lengths[len(pairs)] += len(pairs)
            same = pairs[0][0] == pairs[0][1]
            short += len(pairs) <= 2
            repeats += same
            translating += not same
            told += instruction is not None
    assert 0.26 < repeats / short < 0.34
    assert 0.46 < told / translating < 0.54
    assert all(0.18 < count / lengths.total() < 0.32 for count in lengths.values())


def test_the_tokenizer_reads_every_training_pair_and_every_instruction_and_no_held_out_sentence(
    mixture: SentenceMixture,
) -> None:
    texts = list(mixture.texts())
    assert len(texts) == sum(len(corpus.train) for corpus in mixture.corpora)
    assert {text.splitlines()[0] for text in texts if not text.startswith("Q:")} == {
        f"Translate {source} to {target}:"
        for other in ("French", "German", "Spanish", "Dutch")
        for source, target in (("English", other), (other, "English"))
    }
    asked = {text.split("Q: ")[1].splitlines()[0] for text in texts}
    assert asked.isdisjoint(english for corpus in mixture.corpora for english, _ in corpus.test)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("instruction_share", 1.5), ("instruction_share", float("nan")), ("repeat_share", -0.1), ("lengths", ()),
        ("lengths", (0, 1)), ("lengths", (41,)), ("template", template("chat")), ("corpora", ()), ("tokens", 0),
        ("longest_repeat", -1),
    ],
)  # fmt: skip
def test_a_mixture_that_cannot_be_drawn_is_refused(mixture: SentenceMixture, name: str, value: object) -> None:
    with pytest.raises(SettingError) as refused:
        replace(mixture, **{name: value})  # type: ignore[arg-type]
    assert "\n" not in str(refused.value)


def test_too_few_sentences_for_one_sequence_are_refused_rather_than_drawn_for_ever(mixture: SentenceMixture) -> None:
    few = Corpus("fra", tuple((f"I see {n % 8}.", f"Je vois {n}.") for n in range(50)), ())
    with pytest.raises(SettingError, match="fra has 8 English sentences"):
        replace(mixture, corpora=(few,))

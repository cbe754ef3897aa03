"""On a version of transformers that nobody tested: every model checks itself first, and no wrong number comes out.

The library is played by models that rename arguments, of which nothing here was told (`renamed.py`).
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import pytest
import torch
from families import FEW_LAYERS, PROMPTS, TOKENS, TOLERANCE, family, fresh, inputs, untouched
from first_logits import prefix_logits
from renamed import CACHE, Renaming
from torch import Tensor
from transformers import GenerationMixin

from taskpoint.engine import check as check_module
from taskpoint.engine.check import check, exact
from taskpoint.engine.checks import compare, usage
from taskpoint.engine.compiled import compile_context, prefix_generate
from taskpoint.engine.context import read_context
from taskpoint.engine.cut import cut_context
from taskpoint.engine.paths.reference import mask_context
from taskpoint.engine.sweep_generate import sweep_generate
from taskpoint.engine.sweep_logits import sweep_last_logits, sweep_logits
from taskpoint.errors import ModelError
from taskpoint.models import library
from taskpoint.models.library import cache_of, generate_with_cache, with_cache

RAGGED, ONE = PROMPTS["ragged, rows differ"], PROMPTS["pieces"]
CONTEXT, CUT, NEW = 14, 1, 3
"""Tokens of the prompt that are read before the query, the cut, and tokens of an answer."""


@pytest.fixture
def untested(monkeypatch: pytest.MonkeyPatch) -> str:
    """A version after the newest tested one is installed; gives the words that tell of it."""
    newest = library.tested_versions()[-1]
    later = f"{newest.split('.')[0]}.999.0"
    monkeypatch.setattr(library, "installed_version", lambda: later)
    return f"transformers {library.tested_versions()[0]} to {newest} are tested, {later} is installed"


# ---------------------------------------------------------------- the five uses, each on a model and under its cut


Cutting = Callable[..., AbstractContextManager[Any]]


def generated(model: Any, cutting: Cutting = cut_context) -> list[Tensor]:
    """Logits of a ragged batch, and of a second turn on the cache that comes back."""
    ids, mask, cache, turns = RAGGED.input_ids, RAGGED.mask, None, []
    named = {"max_new_tokens": NEW, "do_sample": False, "return_dict_in_generate": True, "output_logits": True}
    with cutting(model, CUT, RAGGED.drop):
        for _ in range(2):
            output = model.generate(ids, attention_mask=mask, **generate_with_cache(cache), **named)
            turns.append(torch.stack(output.logits))
            cache = cache_of(output)
            ids = torch.cat([output.sequences, RAGGED.input_ids[:, :2]], dim=1)
            mask = torch.nn.functional.pad(mask, (0, ids.shape[1] - mask.shape[1]), value=1)
    return turns


def called(model: Any, cutting: Cutting = cut_context) -> list[Tensor]:
    """Logits of an ordinary call."""
    with cutting(model, CUT, ONE.drop):
        return [model(ONE.input_ids).logits[ONE.kept]]


def swept(model: Any) -> list[Tensor]:
    return [sweep_logits(model, RAGGED.input_ids, RAGGED.drop, RAGGED.mask)]


def swept_answers(model: Any) -> list[Tensor]:
    return [sweep_generate(model, RAGGED.input_ids, RAGGED.drop, RAGGED.mask, max_new_tokens=NEW)]


def after_a_shared_context(model: Any) -> list[Tensor]:
    ids, drop = ONE.input_ids, ONE.drop
    context = read_context(model, ids[:1, :CONTEXT], drop[:1, :CONTEXT])
    later = ids[:, CONTEXT:], torch.zeros_like(drop[:, CONTEXT:])
    logits = sweep_last_logits(model, *later, last=2, context=context)
    return [logits, sweep_generate(model, *later, max_new_tokens=NEW, context=context)]


def compiled(model: Any) -> list[Tensor]:
    ids, drop = ONE.input_ids, ONE.drop
    context = compile_context(model, ids[:1, :CONTEXT], drop[:1, :CONTEXT], CUT)
    query, padding = ids[:, CONTEXT:], torch.ones_like(ids[:, CONTEXT:])
    padding[1, :2] = 0
    logits = prefix_logits(model, context, query, padding)
    return [logits, prefix_generate(model, context, query, padding, max_new_tokens=NEW)]


USES: dict[str, Callable[[Any], list[Tensor]]] = {
    "generate": generated,
    "call": called,
    "sweep_logits": swept,
    "sweep_generate": swept_answers,
    "read_context": after_a_shared_context,
    "compile": compiled,
}


@functools.cache
def right(name: str, use: str) -> list[Tensor]:
    """What the plain model gives, under masks where it is a matter of one cut; made on the tested version."""
    model = family(name, None, FEW_LAYERS)
    if use in ("generate", "call"):
        return USES[use](model, mask_context)  # type: ignore[call-arg]
    return USES[use](model)


@pytest.fixture(autouse=True)
def without_gradients() -> Any:
    with torch.no_grad():
        yield


def same(found: list[Tensor], expected: list[Tensor]) -> None:
    for one, other in zip(found, expected, strict=True):
        if one.is_floating_point():
            torch.testing.assert_close(one, other, atol=TOLERANCE, rtol=0)
        else:
            assert torch.equal(one, other)


# ---------------------------------------------------------------- the library's families


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize("name", ["llama", "gpt2", "mistral"])
def test_a_covered_family_checks_itself_at_its_first_cut_alone_and_is_cut(
    name: str, use: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = right(name, use)  # before the version changes
    request.getfixturevalue("untested")
    checked = []
    monkeypatch.setattr(check_module, "check", lambda model: checked.append(check(model)) or checked[-1])
    model = fresh(name, None, FEW_LAYERS)
    with untouched(model), warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(2):
            same(USES[use](model), expected)
    (verdict,) = checked
    assert verdict.exact
    assert verdict.family == name


@pytest.mark.parametrize("use", USES)
def test_on_a_tested_version_a_covered_family_pays_nothing(use: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_module, "check", lambda model: pytest.fail("checked"))
    for version in library.tested_versions():
        monkeypatch.setattr(library, "installed_version", lambda version=version: version)
        USES[use](fresh("llama", None, FEW_LAYERS))


@pytest.mark.parametrize("version", ["4.57.1", "5.0.0"])
def test_an_older_version_than_any_tested_is_checked_too(version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    checked = []
    monkeypatch.setattr(library, "installed_version", lambda: version)
    monkeypatch.setattr(check_module, "check", lambda model: checked.append(model) or check(model))
    assert exact(fresh("llama", None, FEW_LAYERS))
    assert len(checked) == 1


@pytest.mark.usefixtures("untested")
def test_the_check_does_what_people_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """`generate` with its own cache, a ragged batch, a second turn on the cache, sweeps, a compiled prompt."""
    calls: list[tuple[int, bool, bool, int]] = []
    seen: dict[str, list[Any]] = {"logits_of_every_cut": [], "EveryCutDecode": [], "read_compiled": [], "Queries": []}
    plain = GenerationMixin.generate

    def generate(self: Any, ids: Tensor, **named: Any) -> Any:
        given = with_cache(self, named.get(CACHE))
        past = 0 if not given else named[CACHE].get_seq_length()
        ragged = not bool(named["attention_mask"].all())
        under = bool(getattr(self.get_decoder(), "taskpoint_cut", False))
        output = plain(self, ids, **named)
        calls.append((past, ragged, under, ids.shape[1]))
        return output

    def spied(module: Any, name: str) -> None:
        own = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *args, **named: seen[name].append(args) or own(*args, **named))

    monkeypatch.setattr(GenerationMixin, "generate", generate)
    spied(compare, "logits_of_every_cut")
    spied(compare, "EveryCutDecode")
    spied(usage, "read_compiled")
    spied(usage, "Queries")
    assert exact(fresh("llama", None, FEW_LAYERS))
    first = {(ragged, under) for past, ragged, under, _ in calls if past == 0}
    second = {(ragged, under) for past, ragged, under, length in calls if 0 < past < length}
    assert first == {(ragged, True) for ragged in (True, False)}
    assert second == first
    assert {mask is not None for *_, mask in seen["logits_of_every_cut"][:2]} == {True, False}  # alone, and ragged
    assert seen["EveryCutDecode"]
    assert len(seen["read_compiled"]) == len(seen["Queries"]) == FEW_LAYERS


# ---------------------------------------------------------------- arguments under names that nobody foresaw


def _dictionary(pair: Any) -> dict[str, Tensor]:
    return {"cos": pair[0], "sin": pair[1]}


def _turned(pair: Any) -> Tensor:
    """[B, D, L]: the token axis last."""
    return torch.cat(pair, -1).transpose(1, 2)


_PLACES = {"position_ids": "places"}
_MEMORY = {"use_cache": "remember"}
_PADDING = {"attention_mask": "padding"}
_STORE = {CACHE: "storage"}
_ROTATION = {"position_embeddings": "rotation"}

EXACT: dict[str, Renaming] = {
    "nothing": Renaming(),
    "the layers' cache": Renaming(layer=_STORE),
    "the layers' cache, without a type": Renaming(layer=_STORE, bare=True),
    "the decoder's cache": Renaming(decoder=_STORE),
    "the cache of decoder and model": Renaming(decoder=_STORE, head=_STORE),
    "the output's cache": Renaming(output="storage"),
    "hidden states": Renaming(layer={"hidden_states": "stream"}),
    "positions that are relative": Renaming(decoder=_PLACES, head=_PLACES),
    "the decoder's padding": Renaming(decoder=_PADDING),
}
MASKED: dict[str, Renaming] = {
    "the layers' positions": Renaming(layer=_PLACES),
    "the layers' rotation": Renaming(layer=_ROTATION),
    "rotation as a tensor": Renaming(layer=_ROTATION, change={"position_embeddings": (torch.stack, tuple)}),
    "rotation as a tensor under the old name": Renaming(change={"position_embeddings": (torch.stack, tuple)}),
    "rotation as a dictionary": Renaming(
        layer=_ROTATION, change={"position_embeddings": (_dictionary, lambda both: tuple(both.values()))}
    ),
    "rotation with its token axis last": Renaming(
        layer=_ROTATION, change={"position_embeddings": (_turned, lambda both: both.transpose(1, 2).chunk(2, -1))}
    ),
    "positions everywhere": Renaming(layer=_PLACES, decoder=_PLACES, head=_PLACES),
    "use_cache": Renaming(layer=_MEMORY, decoder=_MEMORY, head=_MEMORY),
}
REFUSED: dict[str, Renaming] = {
    "the layers' mask": Renaming(layer={"attention_mask": "visible"}),
    "the layers' mask, others raise": Renaming(layer={"attention_mask": "visible"}, strict=True),
    "the decoder's cache, without a type": Renaming(decoder=_STORE, bare=True),
    "the cache of decoder and model, without a type": Renaming(decoder=_STORE, head=_STORE, bare=True),
    "positions that are learned": Renaming(family="gpt2", decoder=_PLACES, head=_PLACES),
    "padding": Renaming(decoder=_PADDING, head=_PADDING),
    "padding, others raise": Renaming(decoder=_PADDING, head=_PADDING, strict=True),
    "use_cache, others raise": Renaming(decoder=_MEMORY, head=_MEMORY, strict=True),
    "hidden states second": Renaming(first="position_embeddings"),
    "hidden states second, by position": Renaming(first="position_embeddings", by_place=True),
    "a mask before hidden states": Renaming(first="attention_mask"),
    "positions before hidden states": Renaming(first="position_ids", by_place=True),
    "tokens": Renaming(decoder={"input_ids": "tokens"}, head={"input_ids": "tokens"}),
}


def cases(table: dict[str, Renaming]) -> Any:
    """Every renaming, with the uses in an order of its own: each is the first of some model."""
    names = list(USES)
    return pytest.mark.parametrize(
        ("renaming", "uses"),
        [
            pytest.param(renaming, names[turn % len(names) :] + names[: turn % len(names)], id=name)
            for turn, (name, renaming) in enumerate(table.items())
        ],
    )


def outcome(model: Any, use: str) -> tuple[list[Tensor] | ModelError, list[str]]:
    """Numbers or a refusal, and the warnings."""
    with untouched(model), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found: Any = USES[use](model)
        except ModelError as error:  # nothing else may come
            found = error
    return found, [str(each.message) for each in caught]


@pytest.mark.parametrize("renaming", [pytest.param(r, id=n) for n, r in (EXACT | MASKED | REFUSED).items()])
def test_the_model_under_other_names_computes_what_the_family_computes(renaming: Renaming) -> None:
    """Or the tests below would not mean anything."""
    plain, model = family(renaming.family, None, FEW_LAYERS), renaming.model()
    written, expected = (
        each.generate(RAGGED.input_ids, attention_mask=RAGGED.mask, max_new_tokens=NEW) for each in (model, plain)
    )
    assert torch.equal(written, expected)
    assert written.shape[1] == TOKENS + NEW
    assert inputs(plain, RAGGED.mask)


@cases(EXACT)
def test_a_renaming_that_changes_nothing_for_the_engine_is_cut(
    renaming: Renaming, uses: list[str], request: pytest.FixtureRequest
) -> None:
    expected = {use: right(renaming.family, use) for use in uses}
    request.getfixturevalue("untested")
    model = renaming.model()
    for use in uses:
        found, told = outcome(model, use)
        assert not told
        assert not isinstance(found, ModelError), found
        same(found, expected[use])


@cases(MASKED)
def test_a_renaming_that_a_cut_cannot_follow_is_masked_with_one_line_that_names_the_tested_versions(
    renaming: Renaming, uses: list[str], request: pytest.FixtureRequest
) -> None:
    expected = {use: right(renaming.family, use) for use in uses}
    words = request.getfixturevalue("untested")
    model, every = renaming.model(), []
    for use in uses:
        found, told = outcome(model, use)
        every += told
        if use == "compile":
            assert isinstance(found, ModelError)
            assert words in str(found)
            assert "\n" not in str(found)
        else:
            assert not isinstance(found, ModelError), found
            same(found, expected[use])
        (line,) = every  # from the first use on
    assert words in line
    assert "masks are used instead" in line
    assert "\n" not in line


@cases(REFUSED)
def test_a_renaming_that_masks_cannot_follow_is_refused_in_one_line_that_names_the_tested_versions(
    renaming: Renaming, uses: list[str], untested: str
) -> None:
    for use in uses:
        found, told = outcome(renaming.model(), use)
        assert not told
        assert isinstance(found, ModelError)
        assert untested in str(found)
        assert "\n" not in str(found)

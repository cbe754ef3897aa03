"""Hostile adapters, and healing that cannot be."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from arena import Case
from preparing import HEAL, LOCATE, empty, written


def _weights(folder: Path, scale: float = 1.0, share: float = 1.0) -> None:
    """Scales the weights of an adapter, or leaves only the first columns of them."""
    from safetensors.torch import load_file, save_file

    path = folder / "adapter" / "adapter_model.safetensors"
    found = {name: scale * one[..., : round(share * one.shape[-1])] for name, one in load_file(path).items()}
    save_file({name: one.contiguous() for name, one in found.items()}, path)


def _no_mapping(folder: Path) -> None:
    (folder / "adapter" / "adapter_config.json").write_text("[]")


def _other_cuts(folder: Path) -> None:
    path = folder / "healed" / "config.json"
    told = json.loads(path.read_text())
    told["config"]["after"] = [12]
    path.write_text(json.dumps(told))


def healing() -> Iterator[Case]:
    with_adapter = (*LOCATE, "--adapter", "adapter", "--out", "out")
    for verb, words in (("locate", LOCATE), ("heal", HEAL), ("bench", ("bench", "--context", "8"))):
        yield Case(
            f"{verb} with an adapter folder that is none",
            (*words, "--adapter", "notes", "--out", "out"),
            says="notes holds no adapter of peft",
            prepare=written(notes__read_me="nothing"),
            look=empty("out"),
        )
    for name, says, prepare in (
        ("of another model", "does not fit lexicon", lambda folder: _weights(folder, share=0.5)),
        ("whose config is a list", "does not fit lexicon", _no_mapping),
        ("of NaN", "NaN", lambda folder: _weights(folder, scale=float("nan"))),
    ):
        yield Case(
            f"locate with an adapter {name}",
            with_adapter,
            says=says,
            needs=("adapter",),
            prepare=prepare,
            look=empty("out"),
        )
    yield Case("locate with an adapter", with_adapter, exit=0, needs=("adapter",))
    yield Case(
        "heal a model that has an adapter",
        (*HEAL, "--adapter", "adapter", "--out", "out"),
        says="carries adapters of peft already",
        needs=("adapter",),
        look=empty("out"),
    )
    asked = ("generate", "--prompt", "healed.safetensors", "--query", "cat")
    prompt = "healed.safetensors"
    yield Case("a prompt of an adapted model, with its adapter", asked, exit=0, needs=(prompt, "adapter"))
    yield Case(
        "a prompt of an adapted model, without its adapter",
        (*asked, "--model", "lexicon"),
        says="it has no adapter of peft",
        needs=(prompt,),
    )
    yield Case(
        "a prompt of an adapted model, whose adapter was moved away",
        asked,
        says="adapter holds no adapter of peft",
        needs=(prompt,),
    )
    yield Case(
        "compile by a run with another adapter",
        ("compile", "--from", "run", "--adapter", "adapter", "--out", "p.safetensors"),
        says="--adapter belongs to --after",
        needs=("run", "adapter"),
    )
    for words, says in (
        (("--after", "12"), "nothing is cut"),
        (("--after", "-1"), "after is -1"),
        (("--after", "x"), "--after is 'x'"),
        (("--after", ""), "--after is ''"),
        (("--items", "1000"), "score fewer of them"),
        (("--items", "147", "--shots", "140"), "give fewer --items or fewer --shots"),
        (("--alpha", "1e40"), "--alpha"),
        (("--lr", "nan"), "lr is nan"),
        (("--lr", "1e38"), "at most 1"),
        (("--keep", "0"), "keep is 0"),
        (("--layers", "below", "--after", "0"), "cut 0"),
        (("--hide", "instruction,examples"), "instruction"),
        (("--max-new-tokens", "2000"), "positions"),
    ):
        yield Case(f"heal {' '.join(words)}", (*HEAL, *words, "--out", "out"), says=says)
    yield Case(
        "report of a run of heal whose cuts were edited",
        ("report", "healed"),
        says="config.json",
        needs=("healed",),
        prepare=_other_cuts,
    )

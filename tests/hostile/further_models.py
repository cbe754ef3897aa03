"""Hostile models and tokenizers: the second round."""

# ruff: noqa: E501 (a case is one row of a table)

from __future__ import annotations

import json
import os
import pickle
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from arena import Case
from preparing import (
    COMPILE,
    OWN,
    Prepare,
    absent,
    all_of,
    bytes_of,
    configured,
    replaced,
)


class _Evil:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("touch evil_was_here",))


def unpickled(folder: Path) -> None:
    (folder / "model" / "model.safetensors").unlink()
    (folder / "model" / "pytorch_model.bin").write_bytes(pickle.dumps(_Evil()))


def evil_code(folder: Path) -> None:
    (folder / "model" / "evil.py").write_text("open('evil_was_here', 'w').close()\nclass Evil: pass\n")


def weights(change: Callable[[dict[str, Any]], object]) -> Prepare:
    def prepare(folder: Path) -> None:
        from safetensors.torch import load_file, save_file

        path = folder / "model" / "model.safetensors"
        found = load_file(path)
        change(found)
        save_file(found, path, {"format": "pt"})

    return prepare


def own_json(name: str, **changes: Any) -> Prepare:
    def prepare(folder: Path) -> None:
        path = folder / "model" / name
        path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **changes}))

    return prepare


def models() -> Iterator[Case]:
    needs = ("model",)
    wrong: dict[str, tuple[Any, ...]] = {
        "model_type": ("bert", "t5", "evil", 5, None, "", []),
        "hidden_size": (0, -1, "x", 64, None, 1.5),
        "vocab_size": (0, -1, "x", 1, 10**12),
        "num_attention_heads": (0, 3, -4, "x"),
        "num_key_value_heads": (3, 0, 8),
        "head_dim": (0, -1, "x", 7),
        "intermediate_size": (0, "x", 64),
        "num_hidden_layers": (13, -1, "x", 2.5, None, 6, 10**7),
        "max_position_embeddings": (0, 1, -1, "x", 2.5),
        "eos_token_id": (-1, 99_999, "x", 1.5, [1, 99_999], {}),
        "pad_token_id": (99_999, "x", -5),
        "dtype": ("float99", 5, "int8"),
        "rms_norm_eps": ("x", None),
        "hidden_act": ("evil", 5, None),
        "rope_parameters": ({"rope_type": "evil"}, 5, {"rope_theta": "x", "rope_type": "default"}),
        "quantization_config": ({"quant_method": "evil"}, 5, {}),
        "architectures": ("x", [5], ["BertModel"], ["EvilForCausalLM"]),
        "attn_implementation": ("evil",),
        "tie_word_embeddings": (False,),
    }
    for key, values in wrong.items():
        for value in values:
            yield Case(
                f"a model whose {key} is {value!r}", OWN, needs=needs, says="model", prepare=configured(**{key: value})
            )
    for key, value in (
        ("max_position_embeddings", None), ("eos_token_id", []), ("eos_token_id", [1, 2]), ("eos_token_id", None),
        ("pad_token_id", None), ("pad_token_id", -1), ("architectures", []), ("architectures", None), ("transformers_version", "999"),
        ("transformers_version", 5), ("unknown_key", {"x": [1]}), ("use_cache", False),
        ("auto_map", {"AutoModelForCausalLM": "evil.Evil", "AutoConfig": "evil.Evil"}),
    ):  # fmt: skip
        yield Case(f"a model whose {key} is {value!r}, fine", OWN, needs=needs, exit=0, look=absent("evil_was_here"),
                   prepare=all_of(evil_code, configured(**{key: value})))  # fmt: skip
    yield Case("a model of an unknown type with code of its own", OWN, needs=needs, look=absent("evil_was_here"),
               prepare=all_of(evil_code, configured(model_type="evil", auto_map={"AutoConfig": "evil.Evil", "AutoModelForCausalLM": "evil.Evil"})))  # fmt: skip
    yield Case(
        "weights that are a pickle with code",
        OWN,
        needs=needs,
        says="model",
        prepare=unpickled,
        look=absent("evil_was_here"),
    )
    for name in ("config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json"):
        for what, change in (
            ("empty", lambda data: b""),
            ("cut", lambda data: data[: len(data) // 2]),
            ("a list", lambda data: b"[]"),
            ("a number", lambda data: b"5"),
            ("nested deep", lambda data: b"[" * 100_000),
            ("no UTF-8", lambda data: b"\xff\xfe" + data),
        ):
            if name == "config.json" and what in ("nested deep", "no UTF-8"):
                continue
            yield Case(
                f"a model's {name} that is {what}",
                OWN,
                needs=needs,
                says="model",
                prepare=bytes_of(f"model/{name}", change),
            )
    for name in ("model.safetensors", "tokenizer.json", "config.json"):
        for by in ("nothing", "folder", "loop", "fifo"):
            yield Case(
                f"a model's {name} that is {by}",
                OWN,
                needs=needs,
                says="model",
                prepare=replaced(f"model/{name}", by),
                seconds=3,
            )
    for keep in (0, 7, 8, 1_000, 100_000, -1):
        yield Case(f"weights truncated to {keep}", OWN, needs=needs, says="model", seconds=3,
                   prepare=bytes_of("model/model.safetensors", lambda data, keep=keep: data[:keep]))  # fmt: skip
    yield Case("weights whose header lies", OWN, needs=needs, says="model",
               prepare=bytes_of("model/model.safetensors", lambda data: struct.pack("<Q", 2**60) + data[8:]))  # fmt: skip
    name = "model.layers.3.mlp.up_proj.weight"
    yield Case("a weight missing", OWN, needs=needs, says=name, prepare=weights(lambda found: found.pop(name)))
    yield Case(
        "a weight of another shape",
        OWN,
        needs=needs,
        says=name,
        prepare=weights(lambda found: found.update({name: found[name][:-1].clone()})),
    )
    yield Case(
        "a weight as whole numbers",
        OWN,
        needs=needs,
        prepare=weights(lambda found: found.update({name: found[name].long()})),
    )
    yield Case(
        "a weight more",
        OWN,
        needs=needs,
        exit=0,
        prepare=weights(lambda found: found.update({"evil.weight": found[name].clone()})),
    )
    for key, value in (("chat_template", 5), ("chat_template", "{% if"), ("chat_template", "{{ evil() }}"), ("chat_template", ""),
                       ("chat_template", "{{ ''.__class__.__mro__ }}"), ("chat_template", ["x"])):  # fmt: skip
        yield Case(f"a chat_template of {value!r}", (*OWN, "--template", "chat"), needs=needs, says="template",
                   prepare=own_json("tokenizer_config.json", **{key: value}))  # fmt: skip
    yield Case("a chat_template of nonsense that is not asked for", OWN, needs=needs, exit=0,
               prepare=own_json("tokenizer_config.json", chat_template="{% if"))  # fmt: skip
    for value in ("Evil", 5, None, "BertTokenizer"):
        yield Case(f"a tokenizer_class of {value!r}", OWN, needs=needs, exit=0 if value != 5 else 2,
                   prepare=own_json("tokenizer_config.json", tokenizer_class=value))  # fmt: skip
    yield Case("a tokenizer with code of its own", OWN, needs=needs, exit=0, look=absent("evil_was_here"),
               prepare=all_of(evil_code, own_json("tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Evil", "evil.Evil"]})))  # fmt: skip
    for key, value in (("eos_token_id", "x"), ("eos_token_id", -1), ("max_new_tokens", -5), ("num_beams", "x"), ("pad_token_id", "x"),
                       ("eos_token_id", {"a": 1}), ("eos_token_id", 1.5)):  # fmt: skip
        yield Case(f"a generation config whose {key} is {value!r}", OWN, needs=needs, prepare=own_json("generation_config.json", **{key: value}),
                   exit=0 if key in ("max_new_tokens", "num_beams") else 2, says="")  # fmt: skip
    for verb in (("models", "--check", "model"), ("bench", "model", "--context", "8", "--batch", "1", "--rounds", "1"),
                 ("compile", "--model", "model", *COMPILE[1:], "p.safetensors")):  # fmt: skip
        for key, value in (
            ("model_type", "bert"),
            ("hidden_size", "x"),
            ("num_hidden_layers", 13),
            ("vocab_size", 0),
            ("head_dim", 7),
        ):
            yield Case(
                f"a model whose {key} is {value!r}, {verb[0]}",
                verb,
                needs=needs,
                says="model",
                prepare=configured(**{key: value}),
            )

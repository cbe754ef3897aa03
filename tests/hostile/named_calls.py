"""Calls of the public functions with what is none of their business."""

from __future__ import annotations

from collections.abc import Iterator

from arena import Case


def calls() -> Iterator[Case]:
    ids = (
        "import torch; ids = torch.randint(5, 40, (1, 12))\n"
        "drop = torch.zeros_like(ids, dtype=torch.bool); drop[:, 2:8] = True\n"
    )
    for verb in (
        "tp.sweep_logits(lm.model, ids, {})",
        "tp.sweep_generate(lm.model, ids, {}, max_new_tokens=2)",
        "\nwith tp.cut_context(lm.model, after=4, drop={}): lm.model(ids)",
    ):
        for name, drop, says in (
            ("sparse", "drop.to_sparse()", "sparse"),
            ("too short", "drop[:, :5]", "input_ids"),
            ("too long", "torch.cat([drop, drop], 1)", "12"),
            ("of numbers", "drop.long()", "bool"),
            ("None", "None", "drop"),
            ("a list", "drop.tolist()", "drop"),
            ("on meta", "drop.to('meta')", ""),
            ("of three axes", "drop[None]", ""),
            ("of other rows", "drop.repeat(3, 1)", ""),
        ):
            yield Case(f"drop that is {name}, {verb.strip()[:20]}", code=ids + verb.format(drop), says=says)
    small = "items=6, seeds=1, cuts=[6], controls=False"
    yield Case(
        "locate with a model in words",
        exit=0,
        code=f"assert len(tp.locate('lexicon', tp.task('lexicon:plural'), {small}).rows)",
    )
    yield Case("locate with a task in words", exit=0, code=f"assert len(tp.locate(lm, 'lexicon:plural', {small}).rows)")
    yield Case(
        "locate with both in words", exit=0, code=f"assert len(tp.locate('lexicon', 'lexicon:plural', {small}).rows)"
    )
    yield Case(
        "profile with a number for progress", code="tp.profile(lm, 'lexicon:plural', progress=5)", says="progress"
    )
    yield Case(
        "compile with words",
        exit=0,
        code="assert tp.compile_prompt('lexicon', 'lexicon:plural', after=6).generate(['dog'])",
    )
    for given in (
        "shots=1.5",
        "shots='5'",
        "shots=None",
        "shots=[]",
        "shots=[1.5]",
        "shots=True",
        "shots=float('nan')",
        "seeds=1.5",
        "seeds='x'",
        "seeds=None",
        "seeds=True",
        "items=1.5",
        "items='x'",
        "items=True",
        "batch_size=1.5",
        "batch_size=None",
        "max_new_tokens=1.5",
        "max_new_tokens='x'",
        "cuts=[1.5]",
        "cuts=5",
        "cuts={}",
        "cuts='x'",
        "cuts=[]",
        "cuts=[True]",
        "cuts=object()",
        "hide=5",
        "hide=None",
        "hide=[5]",
        "hide=[]",
        "hide=b'examples'",
        "instruction=5",
        "instruction='yes'",
        "instruction=[]",
        "instruction=[5]",
        "instruction=None",
        "template=5",
        "fresh='no'",
        "fresh=2",
        "controls='no'",
        "out=5",
        "out=b'x'",
        "progress=5",
    ):
        key = given.partition("=")[0]
        rest = ", ".join(
            part for part in ("items=6", "seeds=1", "cuts=[6]", "controls=False") if not part.startswith(key)
        )
        yield Case(f"locate({given})", code=f"tp.locate(lm, tp.task('lexicon:plural'), {given}, {rest})", says=key)
    for name in ("None", "5", "b'lexicon'", "[]", "''", "' '", "object()", "'lexicon' * 1000", "tp"):
        yield Case(f"task({name})", code=f"tp.task({name})")
        yield Case(f"locate(lm, {name})", code=f"tp.locate(lm, {name}, {small})")
        if name != "None":
            yield Case(f"load({name})", code=f"tp.load({name})")
            yield Case(f"locate({name}, task)", code=f"tp.locate({name}, tp.task('lexicon:plural'), {small})")
    for given in ("dtype=5", "dtype='float99'", "device=5.5", "device='gpu'", "device=[]", "revision=5"):
        yield Case(f"load({given})", code=f"tp.load({given})")
    made = "p = tp.compile_prompt(lm, tp.task('lexicon:plural'), after=6)\n"
    for given in (
        "None",
        "5",
        "'dog'",
        "[5]",
        "[None]",
        "['']",
        "b'dog'",
        "['dog'], 1.5",
        "['dog'], True",
        "['dog'], 5, 0",
        "{'dog': 1}.values(), 'x'",
    ):
        yield Case(f"prompt.generate({given})", code=made + f"p.generate({given})")
    for given in (
        "after=1.5",
        "after=None",
        "after='6'",
        "after=True",
        "after=6, shots=1.5",
        "after=6, seed=1.5",
        "after=6, seed=None",
        "after=6, hide=5",
        "after=6, instruction='no'",
        "after=6, template=5",
    ):
        yield Case(f"compile_prompt({given})", code=f"tp.compile_prompt(lm, tp.task('lexicon:plural'), {given})")
    for given in ("None", "5", "b'x'", "''", "'.'", "'/dev/null'", "'/dev/zero'"):
        yield Case(f"load_prompt({given})", code=f"tp.load_prompt({given}, lm)", seconds=10)
        yield Case(f"prompt.save({given})", code=made + f"p.save({given})", seconds=10)
    yield Case(
        "load_prompt with a model in words",
        exit=0,
        needs=("prompt.safetensors",),
        code="assert tp.load_prompt('prompt.safetensors', 'lexicon').generate(['dog'])",
    )
    yield Case(
        "load_prompt without a model", needs=("prompt.safetensors",), code="tp.load_prompt('prompt.safetensors', None)"
    )

"""Hostile calls from Python: the second round's masks, tokens, blocks, results and arguments."""

# ruff: noqa: E501 (a case is one row of a table)

from __future__ import annotations

from collections.abc import Iterator

from arena import Case

IDS = """
import torch, numpy as np, pathlib, os, gc
ids = torch.randint(5, 40, (2, 12)); drop = torch.zeros_like(ids, dtype=torch.bool); drop[:, 2:8] = True
mask = torch.ones_like(ids)
def cut(after=4, drop=drop): return tp.cut_context(lm.model, after=after, drop=drop)
def logits(after=4):
    with torch.inference_mode(), cut(after): return lm.model(ids).logits[:, -1]
"""
TASK = "task = tp.task('lexicon:plural'); small = dict(items=6, seeds=1, cuts=[6], controls=False)\n"
PROMPT = "prompt = tp.compile_prompt(lm, 'lexicon:plural' and tp.task('lexicon:plural'), after=6)\n"
WITH = "\nwith cut(): lm.model({})"


def engine() -> Iterator[Case]:
    for after in (
        "-1",
        "13",
        "2**70",
        "True",
        "4.0",
        "'4'",
        "None",
        "[4]",
        "torch.tensor([4, 5])",
        "float('nan')",
        "object()",
        "torch.tensor(4)",
    ):
        yield Case(f"cut_context with after = {after}", code=IDS + f"\nwith cut({after}): lm.model(ids)", says="after")
    for after in ("np.int64(4)", "np.int8(4)"):
        yield Case(f"cut_context with after = {after}", exit=0,
                   code=IDS + f"right = logits()\nassert torch.equal(right, logits({after}))")  # fmt: skip
    sweeps = {
        "sweep_logits": "tp.sweep_logits({}, {}, {}, {})",
        "sweep_generate": "tp.sweep_generate({}, {}, {}, {}, max_new_tokens=2)",
    }
    for name, verb in sweeps.items():
        for what in (
            "None",
            "5",
            "'lexicon'",
            "torch.nn.Linear(2, 2)",
            "lm",
            "type(lm.model)",
            "lm.model.config",
            "object()",
        ):
            yield Case(f"{name} of the model {what}", code=IDS + verb.format(what, "ids", "drop", "None"))
        for what in ("None", "ids.float()", "ids.tolist()", "ids[0]", "ids[None]", "ids[:, :0]", "ids[:0]", "-ids", "ids + 10**6", "ids.bool()",
                     "ids.numpy()", "'dog'", "ids.to('meta')", "ids.to_sparse()"):  # fmt: skip
            shaped = "drop" if "[" not in what else what.replace("ids", "drop")
            yield Case(f"{name} of the tokens {what}", code=IDS + verb.format("lm.model", what, shaped, "None"))
        for what in ("mask * 0", "mask[:, :5]", "mask.float() * float('nan')", "mask[0]", "mask.tolist()", "'x'", "5", "mask.flip(1).index_fill(1, torch.tensor([11]), 0)",
                     "mask * 7", "-mask"):  # fmt: skip
            yield Case(
                f"{name} with the mask {what[:40]}",
                code=IDS + verb.format("lm.model", "ids", "drop", what),
                says="attention_mask",
            )
        for what in ("mask.bool()", "mask.float()", "mask.int()"):
            yield Case(f"{name} with the mask {what}", exit=0,
                       code=IDS + f"assert torch.equal({verb.format('lm.model', 'ids', 'drop', what)}, {verb.format('lm.model', 'ids', 'drop', 'None')})")  # fmt: skip
        yield Case(f"{name} with a hole in the mask", exit=0,
                   code=IDS + verb.format("lm.model", "ids", "drop", "mask.index_fill(1, torch.tensor([5]), 0)"))  # fmt: skip
        yield Case(
            f"{name} with everything dropped",
            code=IDS + verb.format("lm.model", "ids", "drop | True", "None"),
            says="drop",
        )
        yield Case(f"{name} with a whole row dropped", says="drop",
                   code=IDS + "drop[1] = True\n" + verb.format("lm.model", "ids", "drop", "None"))  # fmt: skip
        yield Case(f"{name} with the padding dropped too", exit=0,
                   code=IDS + "mask[0, :4] = 0\n" + verb.format("lm.model", "ids", "drop", "mask"))  # fmt: skip
        yield Case(f"{name} with all that is no padding dropped but the last", exit=0,
                   code=IDS + "mask[0, :8] = 0; drop[0, :11] = True\nx = " + verb.format("lm.model", "ids", "drop", "mask")
                   + "\nassert not torch.isnan(x.float()).any()")  # fmt: skip
        yield Case(
            f"{name} within a cut",
            code=IDS + f"\nwith cut(): {verb.format('lm.model', 'ids', 'drop', 'None')}",
            says="cut",
        )
        yield Case(f"{name} with everything by name and one name wrong", says="",
                   code=IDS + f"\ntry: tp.{name}(lm.model, ids, drop, maks=mask)\nexcept TypeError: raise tp.SettingError('x')")  # fmt: skip
    for new in ("0", "-1", "1.5", "True", "None", "'2'", "2**70", "float('nan')"):
        yield Case(f"sweep_generate of {new} tokens", says="max_new_tokens",
                   code=IDS + f"tp.sweep_generate(lm.model, ids, drop, max_new_tokens={new})")  # fmt: skip
    for eos in ("-1", "99999", "1.5", "'x'", "[1, 'x']", "[[1], [2]]", "True", "2**70", "object()", "{}"):
        yield Case(f"sweep_generate with the end {eos}", says="eos_token_id",
                   code=IDS + f"tp.sweep_generate(lm.model, ids, drop, max_new_tokens=2, eos_token_id={eos})")  # fmt: skip
    for eos in ("[]", "[1, 2]", "(1, 2)", "torch.tensor([1])", "np.int64(1)", "range(3)"):
        yield Case(f"sweep_generate with the end {eos}", exit=0,
                   code=IDS + f"tp.sweep_generate(lm.model, ids, drop, max_new_tokens=2, eos_token_id={eos})")  # fmt: skip
    for what in ("None", "5", "torch.nn.Linear(2, 2)", "lm", "'lexicon'"):
        yield Case(
            f"cut_context of the model {what}", code=IDS + f"\nwith tp.cut_context({what}, after=4, drop=drop): pass"
        )
    for name, what in (
        ("other rows", "ids[:1].repeat(3, 1)"),
        ("shorter", "ids[:, :9]"),
        ("longer", "torch.cat([ids, ids], 1)"),
    ):
        yield Case(f"a call in the block with {name}", code=IDS + WITH.format(what), says="drop")  # fmt: skip
    for name, what in (
        ("a mask of other length", "ids, attention_mask=mask[:, :5]"),
        ("a mask of zeros", "ids, attention_mask=mask * 0"),
        ("a mask padded on the right", "ids, attention_mask=mask.index_fill(1, torch.tensor([11]), 0)"),
    ):
        yield Case(f"a call in the block with {name}", code=IDS + WITH.format(what), says="mask")
    yield Case("two blocks, one in the other", code=IDS + "\nwith cut():\n    with cut(): pass", says="cut")
    yield Case("a block that failed leaves the model as it was", exit=0,
               code=IDS + "before = lm.model(ids).logits\ntry:\n    with cut(): raise KeyError\nexcept KeyError: pass\n"
               "assert torch.equal(before, lm.model(ids).logits)\nlogits()")  # fmt: skip
    yield Case("a refused block leaves the model as it was", exit=0,
               code=IDS + "before = lm.model(ids).logits\ntry:\n    with cut():\n        with cut(): pass\nexcept tp.PlanError: pass\n"
               "assert torch.equal(before, lm.model(ids).logits)\nlogits()")  # fmt: skip
    yield Case("a block that is entered twice", says="",
               code=IDS + "block = cut()\nwith block: pass\ntry:\n    with block: pass\nexcept (AttributeError, RuntimeError): raise tp.PlanError('x')")  # fmt: skip
    yield Case("a block in a generator that is closed late", exit=0,
               code=IDS + "before = lm.model(ids).logits\ndef gen():\n    with cut():\n        yield 1\n        yield 2\n"
               "g = gen(); next(g)\nassert not torch.equal(before, lm.model(ids).logits)\ndel g; gc.collect()\nassert torch.equal(before, lm.model(ids).logits)")  # fmt: skip
    yield Case("blocks that end in the wrong order", exit=0,
               code=IDS + "from transformers import AutoModelForCausalLM\nimport copy\nother = copy.deepcopy(lm.model)\nbefore = lm.model(ids).logits\n"
               "a, b = cut(), tp.cut_context(other, after=2, drop=drop)\na.__enter__(); b.__enter__(); a.__exit__(None, None, None); b.__exit__(None, None, None)\n"
               "assert torch.equal(before, lm.model(ids).logits) and torch.equal(before, other(ids).logits)")  # fmt: skip
    yield Case("a copy of a model under a cut", exit=0,
               code=IDS + "import copy\nright = logits()\nwith cut(): other = copy.deepcopy(lm.model)\n"
               "try: found = other(ids).logits[:, -1]\nexcept tp.TaskpointError: pass\nassert torch.equal(right, logits())")  # fmt: skip
    yield Case("two threads under one cut", exit=0,
               code=IDS + """
import threading
right, found = logits(), {}
def work(n):
    with torch.inference_mode(): found[n] = lm.model(ids).logits[:, -1]
with cut():
    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for t in threads: t.start()
    for t in threads: t.join()
assert len(found) == 4 and all(torch.allclose(right, f, atol=1e-4) for f in found.values()), "threads disturb each other"
""")  # fmt: skip
    yield Case("two threads that each cut the same model", exit=0,
               code=IDS + """
import threading
right, found, started, done = logits(), [], threading.Event(), threading.Event()
def work():
    with torch.inference_mode(), cut():
        started.set(); done.wait(5); found.append(lm.model(ids).logits[:, -1])
t = threading.Thread(target=work); t.start(); started.wait(5)
try:
    logits(2); raise AssertionError("a second cut was let in")
except tp.PlanError: pass
done.set(); t.join()
assert torch.allclose(right, found[0], atol=1e-4), "the refused cut disturbed the first"
""")  # fmt: skip
    yield Case(
        "a model in half precision",
        exit=0,
        code=IDS + "lm.model.bfloat16()\nassert tp.sweep_logits(lm.model, ids, drop).dtype == torch.bfloat16",
    )
    yield Case(
        "a model in training mode",
        exit=0,
        code=IDS + "lm.model.train()\ntp.sweep_logits(lm.model, ids, drop); assert lm.model.training",
    )
    yield Case("a model whose weights want gradients", exit=0,
               code=IDS + "\nwith cut(): lm.model(ids, labels=ids).loss.backward()\nassert lm.model.model.embed_tokens.weight.grad is not None")  # fmt: skip
    yield Case(
        "a default dtype of float64",
        exit=0,
        code=IDS + "right = logits()\ntorch.set_default_dtype(torch.float64)\nassert torch.equal(right, logits())",
    )
    yield Case(
        "tokens as int32",
        exit=0,
        code=IDS
        + "assert torch.equal(tp.sweep_logits(lm.model, ids, drop), tp.sweep_logits(lm.model, ids.int(), drop))",
    )
    yield Case("tokens that do not lie in a row", exit=0,
               code=IDS + "assert torch.equal(tp.sweep_logits(lm.model, ids, drop), tp.sweep_logits(lm.model, ids.T.contiguous().T, drop.T.contiguous().T))")  # fmt: skip
    yield Case("a prompt longer than the model's positions", exit=0, seconds=30,
               code=IDS + "ids = torch.randint(5, 40, (1, 1100)); drop = torch.zeros_like(ids, dtype=torch.bool); drop[:, 2:1000] = True\nwith tp.cut_context(lm.model, after=4, drop=drop): lm.model(ids)")  # fmt: skip
    yield Case("a prompt of one token", exit=0, code=IDS + "tp.sweep_logits(lm.model, ids[:, :1], drop[:, :1])")
    for what in ("None", "5", "{}"):
        yield Case(
            f"register_family({what})",
            code=f"try: tp.register_family({what})\nexcept TypeError as e: raise tp.SettingError(str(e)[:80])",
        )


def experiments() -> Iterator[Case]:
    call = "tp.locate(lm, task, **{{**small, {}}})"
    fine = {
        "cuts of a generator": "'cuts': (c for c in (0, 6))",
        "cuts of a range": "'cuts': range(0, 13, 6)",
        "cuts of a set": "'cuts': {6}",
        "cuts of an array": "'cuts': np.array([6])",
        "cuts of NumPy's numbers": "'cuts': [np.int64(6)]",
        "cuts in no order": "'cuts': [12, 6, 0]",
        "shots of NumPy's": "'shots': np.int64(3)",
        "shots of an array": "'shots': np.array([3])",
        "shots of a range": "'shots': range(2, 4)",
        "shots of a generator": "'shots': (s for s in (2, 3))",
        "seeds of NumPy's": "'seeds': np.int32(1)",
        "items of NumPy's": "'items': np.int64(6)",
        "hide of a tuple": "'hide': ('examples', 'query')",
        "hide of a generator": "'hide': (h for h in ('examples',))",
        "hide twice": "'hide': ['examples', 'examples']",
        "hide twice in other words": "'hide': ['examples', 'FTF']",
        "out of a Path": "'out': pathlib.Path('o')",
        "out of an os.PathLike": "'out': type('P', (), {'__fspath__': lambda self: 'o'})()",
        "items of a million": "'items': 10**6",
        "a batch of a million": "'batch_size': 10**6",
    }
    for name, given in fine.items():
        yield Case(f"locate with {name}", exit=0, code=IDS + TASK + f"r = {call.format(given)}\nassert len(r.rows)"
                   + ("\nassert list(pathlib.Path('o/rows').iterdir())" if "'o'" in given else ""))  # fmt: skip
    same = {
        "shots": ("np.int64(3)", "3"), "cuts": ("np.array([6])", "[6]"), "hide": ("('examples',)", "'examples'"),
    }  # fmt: skip
    for name, (given, plain) in same.items():
        yield Case(f"a run begun with {name} = {plain} and continued with {given}", exit=0, code=IDS + TASK
                   + f"a = tp.locate(lm, task, **{{**small, '{name}': {plain}, 'out': 'o'}}); b = tp.locate(lm, task, **{{**small, '{name}': {given}, 'out': 'o'}})\n"
                   "assert a.rows.equals(b.rows)")  # fmt: skip
    wrong = {
        "shots of 0 beside others": ("'shots': [0, 2]", "shots"),
        "instruction of NumPy's": ("'instruction': np.bool_(True)", "instruction"),
        "shots of an empty array": ("'shots': np.array([])", "shots"),
        "shots of two axes": ("'shots': np.array([[3]])", "shots"),
        "seeds without end": ("'seeds': float('inf')", "seeds"),
        "a template of nobody's": ("'template': 'evil'", "evil"),
        "a template of an empty text": ("'template': ''", "template"),
        "a template of 1 MB": ("'template': 'x' * 10**6", "template"),
        "out of a NUL": ("'out': 'a\\0b'", ""),
        "out of a folder of the user's": ("'out': os.getcwd()", ""),
        "progress that is no function": ("'progress': 'x'", "progress"),
    }
    for name, (given, says) in wrong.items():
        yield Case(
            f"locate with {name}",
            code=IDS + TASK + "open('mine.txt', 'w').close()\n" + call.format(given),
            says=says,
            seconds=10,
        )
    yield Case("a progress that raises", exit=0, code=IDS + TASK + """
class Mine(Exception): pass
def tell(done, of): raise Mine
try: tp.locate(lm, task, **small, out='o', progress=tell); raise AssertionError("swallowed")
except Mine: pass
assert len(tp.locate(lm, task, **small, out='o').rows)
""")  # fmt: skip
    yield Case("a progress that stops with Ctrl-C", exit=0, code=IDS + TASK + """
def tell(done, of): raise KeyboardInterrupt
try: tp.locate(lm, task, **small, out='o', progress=tell); raise AssertionError("swallowed")
except KeyboardInterrupt: pass
assert len(tp.locate(lm, task, **small, out='o').rows)
""")  # fmt: skip
    result = TASK + "r = tp.locate(lm, task, **small, out='o')\n"
    yield Case("a result's methods twice", exit=0, code=IDS + result
               + "a, b = r.report('a.html'), r.report('a.html'); c, d = r.plot('a.svg'), r.plot('a.svg')\nassert a.is_file() and c.is_file() and len(r.curve) == len(r.curve)")  # fmt: skip
    yield Case("a result whose folder was removed", exit=0, code=IDS + result
               + "import shutil; shutil.rmtree('o')\nrepr(r); r.rows; r.curve; r.points; r.report('a.html'); r.plot('a.pdf')")  # fmt: skip
    yield Case("a result that is pickled and copied", exit=0, code=IDS + result
               + "import pickle, copy\nassert pickle.loads(pickle.dumps(r)).rows.equals(r.rows) and copy.deepcopy(r).rows.equals(r.rows)")  # fmt: skip
    yield Case(
        "a result whose rows are changed",
        exit=0,
        code=IDS
        + result
        + "n = len(r.curve); r.rows['score'] = 99; assert r.curve['mean'].max() <= 1 and len(r.curve) == n",
    )
    for place in (
        "None",
        "5",
        "''",
        "'.'",
        "'/proc/x.html'",
        "'a\\0b.html'",
        "'x' * 300",
        "b'x'",
        "'mine/x.html'",
        "[]",
        "'p' * 5000",
    ):
        yield Case(f"result.report({place})", code=IDS + result + f"open('mine', 'w').close(); r.report({place})")
    for place in (
        "None",
        "5",
        "''",
        "'f'",
        "'f.exe'",
        "'f.'",
        "'.svg'",
        "'/proc/x.svg'",
        "'a\\0b.svg'",
        "'x' * 300 + '.svg'",
        "b'f.svg'",
        "'mine/f.svg'",
        "'o'",
    ):
        yield Case(f"result.plot({place})", code=IDS + result + f"open('mine', 'w').close(); r.plot({place})")
    for place in ("pathlib.Path('f.svg')", "'F.SVG'", "'deep/er/f.png'"):
        yield Case(f"result.plot({place})", exit=0, code=IDS + result + f"assert r.plot({place}).is_file()")
    yield Case("a compiled prompt that is pickled and copied", exit=0, code=IDS + PROMPT
               + "import copy, pickle\nright = prompt.generate(['dog'])\nassert copy.copy(prompt).generate(['dog']) == right == copy.deepcopy(prompt).generate(['dog']) == pickle.loads(pickle.dumps(prompt)).generate(['dog'])")  # fmt: skip
    # The block's mask is of the user's own prompt: another prompt that happens to be as long must not be cut by it.
    for name, verb in (
        ("compile_prompt", "tp.compile_prompt(lm, tp.task('lexicon:plural'), after=6)"),
        ("prompt.generate", "prompt.generate(['dog'])"),
        (
            "locate",
            "tp.locate(lm, 'lexicon:plural' and tp.task('lexicon:plural'), items=1, seeds=1, cuts=[6], controls=False)",
        ),
        ("load_prompt", "tp.load_prompt('p', lm)"),
        ("models.check", "__import__('taskpoint.engine.check').engine.check.check(lm.model)"),
        ("bench", "tp.bench(lm, context=8, query=2, batch=1, new=2, rounds=1)"),
    ):
        yield Case(f"{name} within a cut", says="cut", code=IDS + PROMPT + f"prompt.save('p')\nwith cut(): {verb}")
        yield Case(f"{name} within a cut of the same length", exit=0, seconds=30, code=IDS + PROMPT + f"""
prompt.save('p')
for n in (*range(3, 8), *range(34, 48)):
    drop = torch.zeros((1, n), dtype=torch.bool); drop[:, :2] = True
    with tp.cut_context(lm.model, after=4, drop=drop):
        try: {verb}
        except tp.TaskpointError: continue
        except TypeError as error: raise tp.PlanError(str(error))
    raise AssertionError(f"silently cut, with {{n}} tokens")
""")  # fmt: skip
    for given in (
        "[]",
        "('dog',)",
        "(q for q in ['dog'])",
        "np.array(['dog'])",
        "['dog'], np.int64(5)",
        "['dog'] * 3, 5, np.int64(2)",
        "['dog'], 5, 10**9",
    ):
        yield Case(f"prompt.generate({given}), fine", exit=0, code=IDS + PROMPT + f"prompt.generate({given})")
    for given in (
        "['\\ud800']",
        "['a\\0b' * 10**6]",
        "['dog'], 10**9",
        "['dog'], float('nan')",
        "{'dog'}",
        "['dog', b'dog']",
        "['   ']",
    ):
        yield Case(f"prompt.generate({given})", code=IDS + PROMPT + f"prompt.generate({given})", seconds=10)
    yield Case(
        "odd queries",
        exit=0,
        code=IDS
        + PROMPT
        + "assert len(prompt.generate(['a\\nb', '\\u2028x', 'e\\u0301', '🙂', '\\u202edog', 'Q: x\\nA: y', '\\t'  + 'x', 'a\\0b'])) == 8",
    )
    for given in (
        "after=np.int64(6)",
        "after=6, shots=np.int64(3)",
        "after=6, seed=np.int64(1)",
        "after=torch.tensor(6)",
        "after=6, hide='FTF'",
    ):
        yield Case(
            f"compile_prompt({given}), fine",
            exit=0,
            code=IDS
            + f"tp.compile_prompt(lm, tp.task('lexicon:plural'), {given}).save('p'); assert tp.load_prompt('p', lm).generate(['dog'])",
        )
    for given in (
        "after=6, hide='none'",
        "after=6, hide='query'",
        "after=6, hide=''",
        "after=6, shots=0",
        "after=6, shots=10**6",
        "after=6, template='evil'",
    ):
        yield Case(
            f"compile_prompt({given})",
            code=IDS + f"tp.compile_prompt(lm, tp.task('lexicon:plural'), {given})",
            seconds=10,
        )
    yield Case(
        "a compiled prompt whose model was trained further",
        says="",
        code=IDS
        + PROMPT
        + "prompt.save('p'); lm.model.model.layers[3].mlp.up_proj.weight.data += 0.1; tp.load_prompt('p', lm)",
    )
    yield Case("prompt.save over itself, and by other kinds of paths", exit=0,
               code=IDS + PROMPT + "prompt.save('p'); prompt.save(pathlib.Path('p')); prompt.save(type('P', (), {'__fspath__': lambda self: 'p'})()); assert tp.load_prompt(pathlib.Path('p'), lm)")  # fmt: skip
    yield Case(
        "prompt.save over the user's",
        code=IDS
        + PROMPT
        + "open('p', 'w').write('mine')\ntry: prompt.save('p')\nfinally: assert open('p').read() == 'mine'",
        says="p",
    )
    for hidden in ("examples[", "examples[9999999999999999999999]", "examples[1:0]", "examples[::0]", "examples[x]", "examples[1_0]", "examples[[0]]",
                   "examples[0][1]", "examples[ 0 ]]", "examples,,query", ",", " ", "examples.evil", "examples.answers.answers", "examples--answers", "ｅxamples",
                   "FTFT", "FFF,FTF", "none,none", "examples[0:1:2:3]", "examples[-9]", "a" * 10**5, "examples," * 10**4, "examples[" + "9" * 5_000 + "]",
                   "examples[" + "[" * 10**4, "query-questions-delimiters", "examples\0", "examples;query", "EXAMPLES[+]", "examples[:-9]"):  # fmt: skip
        yield Case(
            f"hide {hidden[:24]!r} of {len(hidden)}",
            code=TASK + f"tp.locate(lm, task, hide={hidden!r}, **small)",
            says="hide",
            seconds=6,
        )
    for hidden in (" EXAMPLES ", "examples[-1]", "examples[99:],examples", "examples[:]", "FtF", "examples[１]", "examples\n,\tquery", "examples[::-1]", "examples,examples",
                   "examples[0:99999999999999999999999]"):  # fmt: skip
        picks_none = hidden == "examples[99:],examples"
        yield Case(
            f"hide {hidden!r}, fine",
            exit=2 if picks_none else 0,
            code=TASK + f"tp.locate(lm, task, hide={hidden!r}, **small)",
        )
    for spec in ("lexicon:", "lexicon:plural:past", " lexicon", "LEXICON", "lexicon\n", "words:", "words: ", "pairs:\0", "prompts:.", "tatoeba:/", "words:/dev/zero",
                 "words:/dev/null", "tatoeba:.:eng-eng", "flores:.:eng-fra", "flores::eng-fra", "flores:hub:", "flores:hub:eng-fra", "flores:/dev/null:a-b", "flores:/dev:\n-\n", "flores:/:-",
                 "everyday:,", "everyday:eng-fra,eng-fra", "everyday:eng-fra,", "x" * 10**6, "lexicon:" + "x" * 10**5, "words:" + "x" * 5_000, "words:~nobody/x", "😀", "a\0b", "evil:\n\n"):  # fmt: skip
        yield Case(f"task({spec[:24]!r}) of {len(spec)}", code=f"tp.task({spec!r})", seconds=6)
    for metric in ("", " ", "exact:", "exact:lc:lc", "bleu::", "bleu:evil", "bleu:13a:zh", "chrf:13a", "chrf+", "chrf+++", "EXACT", "lc", ":lc", "exact\n", "x" * 10**6,
                   "bleu:" + "x" * 10**5, "bleu:lc:13a"):  # fmt: skip
        yield Case(
            f"metric {metric[:20]!r} of {len(metric)}", code=f"tp.task('lexicon:plural', metric={metric!r})", seconds=6
        )
    for what in ("5", "[]", "b'exact'", "True"):
        yield Case(f"metric {what}", code=f"tp.task('lexicon:plural', metric={what})", says="metric")
        yield Case(
            f"instruction {what}",
            code=f"open('w.json', 'w').write('[{{\"input\": \"a\", \"output\": \"b\"}}]'); tp.task('words:w.json', instruction={what})",
            says="instruction",
        )
    for name in ("../lexicon", "lexicon/", "./lexicon", "LEXICON", "lexicon\0", "x" * 5_000, "~", "~nobody", "/dev/null", "/proc/self", "https://evil/x", "a/b/c", "-x", "a b/c",
                 "..", ".", "/", "\n"):  # fmt: skip
        yield Case(f"load({name[:16]!r}) of {len(name)}", code=f"tp.load({name!r})", seconds=6)
    yield Case("load with evil arguments", code="tp.load(evil=5)")
    yield Case("load with a config in words", code="tp.load(config='x')")
    yield Case("load with an attention of nobody's", code="tp.load(attn_implementation='evil')")
    yield Case(
        "bench of nothing", code="try: tp.bench(None)\nexcept TypeError as e: raise tp.SettingError(str(e)[:80])"
    )


CALLS: tuple[Case, ...] = (*engine(), *experiments())

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from taskpoint.errors import RunFolderError, SettingError
from taskpoint.results import atomic
from taskpoint.results import folder as folder_module
from taskpoint.results.folder import RunFolder
from taskpoint.results.rows import ITEMS, Row, cell_key

CONFIG = {"model": "lexicon", "seeds": 3, "cuts": (0, 6, 12), "hide": {"what": "examples", "part": None}}


def rows(seed, items=4, **more):
    return [
        Row(
            model="m",
            task="t",
            condition="c",
            shots=5,
            seed=seed,
            cut=cut,
            item=f"{item}",
            text="é\n",
            score=0.5,
            **more,
        )
        for cut in (0, 6, 12)
        for item in range(items)
    ]


def part_of(path):
    (part,) = (path / "rows").glob("*.parquet")
    return part


def test_rows_come_back_as_they_were_written(tmp_path):
    with RunFolder.open(tmp_path / "a" / "b", CONFIG) as folder:
        assert not folder.has("one")
        folder.write("one", rows(0, rank=3, logprob=-1.25, tokens=440, revision="abc"))
        assert folder.has("one")
        frame = folder.frame()
    assert len(frame) == 12
    last = frame.iloc[-1]
    assert (last["cut"], last["item"], last["text"], last["rank"], last["logprob"]) == (12, "3", "é\n", 3, -1.25)
    pd.testing.assert_frame_equal(RunFolder.read(tmp_path / "a" / "b").frame(), frame)


@given(st.permutations(range(5)))
@settings(max_examples=10, deadline=None)
def test_the_order_of_writing_does_not_show(tmp_path_factory, order):
    path = tmp_path_factory.mktemp("run")
    with RunFolder.open(path, CONFIG) as folder:
        for seed in order:
            folder.write(cell_key("c", 5, seed), rows(seed)[:: -1 if seed % 2 else 1])
        frame = folder.frame()
    assert frame["seed"].tolist() == sorted(frame["seed"])
    expected = [(seed, cut, f"{item}") for seed in range(5) for cut in (0, 6, 12) for item in range(4)]
    assert list(frame[["seed", "cut", "item"]].itertuples(index=False, name=None)) == expected


@pytest.mark.parametrize("written", [[], rows(0), rows(0, rank=1, revision="r", hidden=2, tokens=3, logprob=-1.0)])
def test_columns_and_types_are_the_same_whatever_the_rows(tmp_path, written):
    with RunFolder.open(tmp_path, CONFIG) as folder:
        folder.write("one", written)
        frame = folder.frame()
    assert tuple(frame.columns) == ITEMS.columns
    assert {name: str(kind) for name, kind in frame.dtypes.items()} == ITEMS.dtypes


def test_a_folder_named_like_a_column_adds_nothing_to_the_rows(tmp_path):
    with RunFolder.open(tmp_path / "seed=7" / "item=x", CONFIG) as folder:
        folder.write("one", rows(0))
        assert set(folder.frame()["seed"]) == {0}


def test_a_run_continues_with_what_is_missing(tmp_path):
    with RunFolder.open(tmp_path, CONFIG) as folder:
        folder.write("one", rows(0))
    with RunFolder.open(tmp_path, {**CONFIG, "cuts": [0, 6, 12]}) as folder:
        assert folder.has("one")
        assert not folder.has("two")
        assert len(folder) == 1
        folder.write("two", rows(1))
    assert len(RunFolder.read(tmp_path).frame()) == 24


def test_a_part_without_rows_is_done_all_the_same(tmp_path):
    with RunFolder.open(tmp_path, CONFIG) as folder:
        folder.write("none", [])
    with RunFolder.open(tmp_path, CONFIG) as folder:
        assert folder.has("none")


def test_a_part_is_never_written_twice(tmp_path):
    with RunFolder.open(tmp_path, CONFIG) as folder:
        folder.write("one", rows(0))
        with pytest.raises(RunFolderError, match="is written already"):
            folder.write("one", rows(0))
        assert len(folder.frame()) == 12


@given(st.lists(st.text(min_size=1, max_size=90), min_size=2, max_size=6, unique=True))
@settings(max_examples=25, deadline=None)
def test_different_keys_are_different_parts_whatever_is_in_them(tmp_path_factory, keys):
    keys = [key.encode("utf-8", "replace").decode() for key in keys]
    with RunFolder.open(tmp_path_factory.mktemp("run"), CONFIG) as folder:
        for key in dict.fromkeys(keys):
            assert not folder.has(key)
            folder.write(key, [])
        assert len(folder) == len(set(keys))


def test_keys_that_differ_in_case_alone_are_different_files_on_every_system(tmp_path):
    with RunFolder.open(tmp_path, CONFIG) as folder:
        folder.write("a/B", [])
        folder.write("a/b", [])
    names = [file.name.lower() for file in (tmp_path / "rows").iterdir()]
    assert len(set(names)) == 2


def test_another_configuration_is_refused_with_what_differs(tmp_path):
    RunFolder.open(tmp_path, CONFIG).close()
    other = {"model": "lexicon", "seeds": 5, "cuts": (0, 6, 12), "hide": {"what": "query", "part": None}, "items": 10}
    with pytest.raises(RunFolderError) as caught:
        RunFolder.open(tmp_path, other)
    message = str(caught.value)
    assert 'hide.what: "examples" -> "query"; items: absent -> 10; seeds: 3 -> 5' in message
    assert "model" not in message
    assert "\n" not in message
    with pytest.raises(RunFolderError, match='kind: "locate" -> "ablate"'):
        RunFolder.open(tmp_path, CONFIG, kind="ablate")


def test_a_refused_folder_is_as_it_was_and_free(tmp_path):
    RunFolder.open(tmp_path, CONFIG).close()
    before = (tmp_path / "config.json").read_bytes()
    with pytest.raises(RunFolderError):
        RunFolder.open(tmp_path, {})
    assert (tmp_path / "config.json").read_bytes() == before
    RunFolder.open(tmp_path, CONFIG).close()


@pytest.mark.parametrize("length", [0, 3, 200, -9, -1])
def test_a_part_cut_short_is_named_when_the_folder_is_opened(tmp_path, length):
    with RunFolder.open(tmp_path, CONFIG) as folder:
        folder.write("one", rows(0))
    part = part_of(tmp_path)
    part.write_bytes(part.read_bytes()[:length])
    for start in (lambda: RunFolder.open(tmp_path, CONFIG), lambda: RunFolder.read(tmp_path)):
        with pytest.raises(RunFolderError, match="is damaged") as caught:
            start()
        assert str(part) in str(caught.value)
        assert "\n" not in str(caught.value)
    part.unlink()
    with RunFolder.open(tmp_path, CONFIG) as folder:
        assert not folder.has("one")


def test_a_part_with_a_flipped_bit_is_named_when_it_is_read(tmp_path):
    with RunFolder.open(tmp_path, CONFIG) as folder:
        folder.write("one", rows(0, items=200, query="a long enough text"))
    part = part_of(tmp_path)
    content = bytearray(part.read_bytes())
    content[content.index(b"a long enough text") + 3] ^= 1
    part.write_bytes(bytes(content))
    with pytest.raises(RunFolderError, match="is damaged") as caught:
        RunFolder.read(tmp_path).frame()
    assert part.name in str(caught.value)


def test_a_part_under_another_name_is_refused(tmp_path):
    with RunFolder.open(tmp_path, CONFIG) as folder:
        folder.write("one", rows(0))
    part = part_of(tmp_path)
    part.with_name("two-0123456789abcdef.parquet").write_bytes(part.read_bytes())
    with pytest.raises(RunFolderError, match="two-0123456789abcdef"):
        RunFolder.open(tmp_path, CONFIG)


def test_leftovers_of_a_killed_write_are_removed_and_nothing_else(tmp_path):
    with RunFolder.open(tmp_path, CONFIG) as folder:
        folder.write("one", rows(0))
    part = part_of(tmp_path)
    leftovers = [tmp_path / ".config.json.17.tmp", part.with_name(f".{part.name}.17.tmp")]
    for leftover in leftovers:
        leftover.write_bytes(b"half")
    others = [tmp_path / "report.html", tmp_path / "notes.tmp"]
    for other in others:
        other.write_bytes(b"mine")
    assert len(RunFolder.read(tmp_path).frame()) == 12
    assert leftovers[0].exists()
    RunFolder.open(tmp_path, CONFIG).close()
    assert not any(leftover.exists() for leftover in leftovers)
    assert all(other.exists() for other in others)


def test_two_writers_of_one_folder_are_refused_and_a_reader_is_not(tmp_path):
    pytest.importorskip("fcntl")
    with RunFolder.open(tmp_path, CONFIG) as folder:
        folder.write("one", rows(0))
        with pytest.raises(RunFolderError, match=rf"in use by another process \(id {os.getpid()}\)"):
            RunFolder.open(tmp_path, CONFIG)
        assert len(RunFolder.read(tmp_path).frame()) == 12
    RunFolder.open(tmp_path, CONFIG).close()


def test_the_holder_of_a_folder_is_named_whatever_the_lock_file_said_before(tmp_path):
    pytest.importorskip("fcntl")
    (tmp_path / ".lock").write_text("99999999999999999", encoding="ascii")
    with RunFolder.open(tmp_path, CONFIG), pytest.raises(RunFolderError, match=rf"\(id {os.getpid()}\)"):
        RunFolder.open(tmp_path, CONFIG)


def test_a_file_is_on_disk_before_it_has_its_name_and_its_name_before_write_returns(tmp_path, monkeypatch):
    with RunFolder.open(tmp_path, CONFIG) as folder:
        steps = []

        def fsync(descriptor):
            place = Path(os.readlink(f"/proc/self/fd/{descriptor}")) if Path("/proc/self/fd").exists() else None
            steps.append("folder" if place is not None and place.is_dir() else "file")
            real_fsync(descriptor)

        def replace(source, target):
            steps.append("rename")
            real_replace(source, target)

        real_fsync, real_replace = os.fsync, os.replace
        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", replace)
        folder.write("one", rows(0))
    if not Path("/proc/self/fd").exists():
        pytest.skip("this system does not say what a descriptor stands for")
    assert steps == ["file", "rename", "folder"]


def test_a_full_disk_is_one_line_and_leaves_no_part(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    with RunFolder.open(tmp_path, CONFIG) as folder:
        with monkeypatch.context() as patched:
            patched.setattr(atomic.os, "fsync", full)
            with pytest.raises(RunFolderError, match="No space left on device"):
                folder.write("one", rows(0))
        assert not folder.has("one")
        assert list((tmp_path / "rows").iterdir()) == []
        folder.write("one", rows(0))


def test_every_part_says_with_which_versions_it_was_made(tmp_path):
    with RunFolder.open(tmp_path, CONFIG) as folder:
        folder.write("one", rows(0))
    versions = json.loads(pq.read_metadata(part_of(tmp_path)).metadata[b"taskpoint.versions"])
    stored = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert versions == stored["versions"]
    assert {"python", "taskpoint", "torch", "transformers", "numpy"} <= set(versions)
    assert stored["kind"] == "locate"
    assert stored["config"] == {**CONFIG, "cuts": [0, 6, 12]}
    assert stored["schema"] == 1


def test_a_closed_or_read_folder_is_not_written(tmp_path):
    folder = RunFolder.open(tmp_path, CONFIG)
    folder.close()
    folder.close()
    for shut in (folder, RunFolder.read(tmp_path)):
        with pytest.raises(RunFolderError, match=r"RunFolder\.open"):
            shut.write("one", rows(0))


def test_a_place_that_cannot_be_a_folder_is_one_line(tmp_path):
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with pytest.raises(RunFolderError, match="cannot be written"):
        RunFolder.open(tmp_path / "file", CONFIG)
    with pytest.raises(RunFolderError, match="cannot be written"):
        RunFolder.open(tmp_path / "file" / "below", CONFIG)
    for place in ("file", "nowhere"):
        with pytest.raises(RunFolderError, match="holds no run"):
            RunFolder.read(tmp_path / place)


def test_rows_without_config_are_not_taken_over(tmp_path):
    with RunFolder.open(tmp_path, CONFIG) as folder:
        folder.write("one", rows(0))
    (tmp_path / "config.json").unlink()
    with pytest.raises(RunFolderError, match=r"rows but no config\.json"):
        RunFolder.open(tmp_path, CONFIG)


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema": 1, "kind": "locate", "config": 3}'])
def test_a_damaged_config_is_one_line(tmp_path, content):
    RunFolder.open(tmp_path, CONFIG).close()
    (tmp_path / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(RunFolderError, match=r"config\.json is damaged"):
        RunFolder.open(tmp_path, CONFIG)


def test_a_folder_of_another_schema_is_refused(tmp_path):
    RunFolder.open(tmp_path, CONFIG).close()
    file = tmp_path / "config.json"
    file.write_text(file.read_text(encoding="utf-8").replace('"schema": 1', '"schema": 99'), encoding="utf-8")
    with pytest.raises(RunFolderError, match="schema 99"):
        RunFolder.open(tmp_path, CONFIG)


def test_settings_that_json_cannot_hold_are_refused_and_paths_are_text(tmp_path):
    with pytest.raises(SettingError, match="ndarray"):
        RunFolder.open(tmp_path, {"cuts": np.zeros(3)})
    with pytest.raises(SettingError, match="JSON"):
        RunFolder.open(tmp_path, {"share": float("nan")})
    with RunFolder.open(tmp_path, {"data": Path("words.json")}) as folder:
        assert folder.manifest.config == {"data": "words.json"}


def test_a_set_is_kept_in_one_order_so_that_the_run_can_be_continued(tmp_path):
    letters = "hgfedcba"
    with RunFolder.open(tmp_path, {"letters": set(letters), "layers": frozenset({10, 9, 1})}) as folder:
        assert folder.manifest.config == {"letters": sorted(letters), "layers": [1, 9, 10]}
    RunFolder.open(tmp_path, {"letters": frozenset(letters), "layers": (1, 9, 10)}).close()
    with pytest.raises(SettingError, match="holds what JSON cannot"):
        RunFolder.open(tmp_path / "new", {"mixed": {1, "a"}})


def test_versions_are_those_that_made_the_rows(tmp_path, monkeypatch):
    def here(**versions):
        monkeypatch.setattr(folder_module, "library_versions", lambda: {"python": "3.11.7", **versions})

    here(torch="2.10.0")
    with RunFolder.open(tmp_path, CONFIG) as folder:
        assert folder.versions == dict(folder.manifest.versions), "nothing is computed yet"
        folder.write("one", rows(0))
    here(torch="2.9.1")
    with RunFolder.open(tmp_path, CONFIG) as folder:
        assert folder.versions["torch"] == "2.10.0"
        folder.write("two", rows(1))
        assert folder.versions["torch"] == "2.9.1, 2.10.0"
    here(torch="2.13.0")
    assert RunFolder.read(tmp_path).versions == {"python": "3.11.7", "torch": "2.9.1, 2.10.0"}


def test_a_run_without_rows_can_be_taken_back_and_one_with_rows_cannot(tmp_path):
    with RunFolder.open(tmp_path, CONFIG) as folder:
        folder.forget()
    with RunFolder.open(tmp_path, {**CONFIG, "another": 1}) as folder:
        folder.write("one", rows(0))
        folder.forget()
    assert RunFolder.read(tmp_path).manifest.config["another"] == 1


def test_the_config_of_a_model_is_no_damaged_run(tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "llama"}', encoding="utf-8")
    with pytest.raises(RunFolderError, match="of a model, not of a run"):
        RunFolder.read(tmp_path)

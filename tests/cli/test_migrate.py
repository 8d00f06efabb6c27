"""`mrl migrate`: the way through of tables, indexes and their queries, and what is refused."""

from __future__ import annotations

import json
import sys

import numpy as np
import pyarrow
import pytest
from typer.testing import CliRunner

from mrl import Card, Nesting, Table, prefix, unit_prefix
from mrl.cli import app, main
from mrl.retrieval import IVF, BuildSpec, Index, Layout, Rows
from mrl.vectors import migrating

WIDTH, ROWS = 16, 40
CARD = Card("clouds", WIDTH, Nesting((4, 8, WIDTH)), normalised=True)


def clouds(rows, seed=0):
    return unit_prefix(np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float32), WIDTH)


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def done(*words):
    """What a command that must succeed prints, on stdout and on stderr."""
    result = invoke(*words)
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.stdout, result.stderr


def refused(*words):
    result = invoke(*words)
    assert result.exit_code == 1, result.output
    return str(result.exception)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a table, queries, and an index with engines and a deleted row."""
    monkeypatch.chdir(tmp_path)
    with Table.create("table", CARD, ("cat", "dog"), prompt="doc: ") as table:
        table.add(clouds(ROWS), [f"row {n}" for n in range(ROWS)], np.arange(ROWS) % 2)
    with Table.create("queries", CARD) as table:
        table.add(clouds(3, 1))
    np.save("queries.npy", clouds(3, 1))
    return tmp_path


def built(name="ix", turn=None):
    columns = pyarrow.table({"price": np.arange(ROWS) % 7})
    rows = Rows.of(clouds(ROWS), CARD, np.arange(ROWS), columns)
    made = Index.build(name, rows, BuildSpec(Layout.of(CARD.nesting, beside={"int8": 8}), turn))
    made.add_engine(4, IVF(lists=4))
    made.add_engine(16)
    made.delete([0])


def test_a_table_is_cut_with_all_that_belongs_to_it(here):
    out, err = done("migrate", "table", "--dim", 8, "--out", "small")
    assert out == "small\n"
    old, new = Table.open("table"), Table.open("small")
    assert err.splitlines()[0] == "40 rows, the first 8 of 16 dims"
    assert old.bytes - new.bytes == ROWS * 8 * 4
    assert "kB before, " in err
    assert new.card == Card("clouds", 8, Nesting((4, 8)), normalised=False)
    np.testing.assert_array_equal(new.vectors, prefix(old.vectors, 8))
    np.testing.assert_array_equal(new.ids, old.ids)
    np.testing.assert_array_equal(new.labels, old.labels)
    assert (new.prompt, new.label_names) == ("doc: ", ("cat", "dog"))


def test_a_table_becomes_float16(here):
    done("migrate", "table", "--dim", 8, "--out", "small", "--dtype", "float16")
    np.testing.assert_array_equal(Table.open("small").vectors, clouds(ROWS)[:, :8].astype(np.float16))
    assert "float16 or float32, got 'int8'" in refused("migrate", "table", "--dim", 8, "--out", "x", "--dtype", "int8")


def test_a_stopped_migration_goes_on(here, monkeypatch):
    monkeypatch.setattr(migrating, "PIECE", 15)
    table = Table.open("table")
    with pytest.raises(KeyboardInterrupt):
        migrating.migrate(table, "small", 8, progress=stopped)
    assert "small is unfinished" in refused("migrate", "small", "--dim", 4, "--out", "smaller")
    done("migrate", "table", "--dim", 8, "--out", "small")
    np.testing.assert_array_equal(Table.open("small").vectors, prefix(Table.open("table").vectors, 8))


def stopped(what, rows, of):
    if rows == 30:
        raise KeyboardInterrupt


def test_an_index_is_cut_and_engines_are_named(here):
    built()
    out, err = done("migrate", "ix", "--dim", 8, "--out", "small")
    assert out == "small\n"
    said = err.splitlines()
    assert said[0] == "39 rows, the first 8 of 16 dims, cut at 4,8"
    assert sorted(said[1:3]) == [
        "the engine 16/hnsw was not copied; small has no cut there",
        "the engine 4/ivf+lists=4 was not copied; build it: mrl index compact small --engine 4/ivf+lists=4",
    ]
    assert said[3].endswith("kB now")
    index = Index.open("small")
    assert index.snapshot.layout == Layout.of(Nesting((4, 8)), beside={"int8": 8})
    assert index.get([5]).payload.to_pylist() == [{"price": 5}]
    assert not index.known([0]).any()
    done("index", "compact", "small", "--engine", "4/ivf+lists=4")


def test_an_index_gets_another_layout(here):
    built()
    shape = ("--cuts", "2,8", "--reference", "float16", "--beside", "1bit=2")
    done("migrate", "ix", "--dim", 8, "--out", "small", *shape)
    assert Index.open("small").snapshot.layout == Layout.of(Nesting((2, 8)), "float16", {"1bit": 2})


def test_queries_are_cut_by_the_command_that_the_refusal_names(here):
    built()
    done("migrate", "ix", "--dim", 8, "--out", "small")
    text = refused("search", "small", "queries")
    command = "mrl migrate queries --dim 8 --out NEW"
    assert text.endswith(f"cut the wider ones: {command}")
    done(*command.replace("NEW", "short").split()[1:])
    out, _ = done("search", "small", "short", "-k", 5)
    wide, asked = prefix(clouds(ROWS), 8)[1:].astype(float), prefix(clouds(3, 1), 8).astype(float)
    cosines = asked @ wide.T / np.linalg.norm(asked, axis=1)[:, None] / np.linalg.norm(wide, axis=1)
    for line, want in zip(map(json.loads, out.splitlines()), cosines, strict=True):
        assert line["ids"] == (1 + np.argsort(-want)[:5]).tolist()
        np.testing.assert_allclose(line["scores"], np.sort(want)[::-1][:5], rtol=1e-6)
    assert "queries.npy has vectors of width 16, small of width 8; " in refused("search", "small", "queries.npy")
    assert "or cut full ones: mrl.prefix(queries, 8)" in refused("search", "small", "queries.npy")
    assert "all 16 in the other; cut the wider ones: mrl migrate ix --dim 8" in refused("search", "ix", "short")


@pytest.mark.parametrize("queries", ["queries", "queries.npy"])
def test_an_index_with_a_map_takes_queries_of_full_width(here, queries):
    built(turn="pca")
    _, err = done("migrate", "ix", "--dim", 8, "--out", "small")
    assert "; queries come with all 16 dims: the map pca:" in err
    old, new = Index.open("ix"), Index.open("small")
    rows, asked = (old.snapshot.map.apply64(each)[:, :8] for each in (clouds(ROWS)[1:], clouds(3, 1)))
    cosines = asked @ rows.T / np.linalg.norm(asked, axis=1)[:, None] / np.linalg.norm(rows, axis=1)
    out, _ = done("search", "small", queries, "-k", 5)
    for line, want in zip(map(json.loads, out.splitlines()), cosines, strict=True):
        assert line["ids"] == (1 + np.argsort(-want)[:5]).tolist()
        np.testing.assert_allclose(line["scores"], np.sort(want)[::-1][:5], rtol=1e-6)
    np.save("none.npy", np.empty((0, WIDTH), np.float32))
    assert done("search", "small", "none.npy")[0] == ""
    np.save("more.npy", clouds(1, 5))
    (here / "more.jsonl").write_text('{"price": 3}\n')
    done("index", "add", "small", "more.npy", "--payload", "more.jsonl")
    np.testing.assert_allclose(
        new.refresh().get([ROWS]).vectors, old.snapshot.map.apply(clouds(1, 5))[:, :8], rtol=1e-5
    )
    lines = done("index", "get", "small", ROWS)[0]
    assert len(json.loads(lines)["vector"]) == 8


def test_an_untrained_dim_needs_a_word(here):
    built()
    for which in ("table", "ix"):
        text = refused("migrate", which, "--dim", 5, "--out", "small")
        assert text.startswith("5 is no trained dim of clouds, which was trained at 4,8,16; choose one of 4, 8, or")
        assert text.endswith("with --untrained (untrained=True)")
        done("migrate", which, "--dim", 5, "--out", f"{which} 5", "--untrained")
    assert Table.open("table 5").card == Card("clouds", 5, Nesting((4,)))
    assert Index.open("ix 5").card == Card("clouds", 5, Nesting((4,)))
    assert Index.open("ix 5").snapshot.layout == Layout.of(Nesting((4, 5)), beside={"int8": 5})
    queries = "mrl migrate queries --dim 5 --untrained --out NEW"
    assert refused("search", "ix 5", "queries").endswith(queries)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("table", "--dim", 16), "the vectors of clouds have 16 dims already; to cut them give one of 4, 8"),
        (("ix", "--dim", 32), "32 dims cannot be cut from the 16 of clouds; give one of 4, 8"),
        (("table", "--dim", 8, "--cuts", "4,8"), "--cuts: table is a table; an index has these"),
        (("ix", "--dim", 8, "--dtype", "float16"), "--dtype: ix is an index; say it with --reference"),
        (("ix", "--dim", 8, "--cuts", "4,16"), "the index has int8 up to 8 dims, and 8 is none of the new cuts 4,16"),
        (("ix", "--dim", 8, "--cuts", "4,6", "--beside", "none"), "the last cut must be the width, 8, got cuts 4,6"),
        (("queries.npy", "--dim", 8), "queries.npy is no folder of a table or an index; an array is cut in Python"),
        (("nothing", "--dim", 8), "nothing is no folder of a table or an index"),
        (("empty", "--dim", 8), "empty is no mrl-table: it has no manifest.json"),
    ],
)
def test_what_is_refused(here, words, text):
    built()
    (here / "empty").mkdir()
    assert text in refused("migrate", *words, "--out", "small")
    assert not (here / "small").exists()


def test_what_is_there_stays_and_nothing_is_read(here):
    built()
    (here / "file").write_text("mine")
    for out in ("table", "ix", "file"):
        for which in ("table", "ix", "nothing at all"):
            assert f"{out} already exists and is not overwritten" in refused("migrate", which, "--dim", 8, "--out", out)


def test_a_refusal_is_one_sentence(here, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mrl", "migrate", "table", "--dim", "99", "--out", "small"])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert capsys.readouterr().err == "mrl: 99 dims cannot be cut from the 16 of clouds; give one of 4, 8\n"

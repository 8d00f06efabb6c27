"""`mrl index`: every verb's way through, and what each refuses."""

from __future__ import annotations

import json
import sys

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from mrl import Card, Nesting, Table, unit_prefix
from mrl.cli import app, main
from mrl.cli.columns import read_ids
from mrl.maps import fit_pca
from mrl.retrieval import HNSW, IVF, Index
from mrl.retrieval.leading import fit_leading

ROWS, WIDTH = 300, 16


def vectors(rows=ROWS, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(dtype)


def names(first=0, last=ROWS):
    return [f"item{i}" for i in range(first, last)]


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def done(*words):
    """What a command that must succeed prints, on stdout and on stderr."""
    result = invoke("index", *words)
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.stdout, result.stderr


def refused(*words):
    """What a command that must be refused says."""
    result = invoke("index", *words)
    assert result.exit_code == 1, result.output
    return str(result.exception)


def said(monkeypatch, capsys, *words) -> tuple[int, str]:
    """Exit code and stderr of the real entry point."""
    monkeypatch.setattr(sys, "argv", ["mrl", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0), capsys.readouterr().err


def payload(first=0, last=ROWS, ids=True):
    """Columns of the rows, in an order of their own where they have ids."""
    order = np.arange(first, last)
    if ids:
        np.random.default_rng(1).shuffle(order)
    columns = {"price": order % 50, "brand": np.array(["x", "y", "z"])[order % 3]}
    return pyarrow.table({"id": [f"item{i}" for i in order], **columns} if ids else columns)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with vectors, ids and a payload."""
    monkeypatch.chdir(tmp_path)
    np.save("v.npy", vectors())
    (tmp_path / "ids.txt").write_text("\n".join(names()) + "\n")
    parquet.write_table(payload(), "payload.parquet")
    return tmp_path


@pytest.fixture
def built(here):
    done("build", "v.npy", "--out", "ix", "--ids", "ids.txt", "--payload", "payload.parquet", "--cuts", "4,8,16")
    return here / "ix"


# ---------------------------------------------------------------------------------------------------- build


def test_an_npy_becomes_an_index(here):
    out, err = done("build", "v.npy", "--out", "ix", "--model", "mine", "--metric", "dot", "--dims", "4..16")
    assert out == "ix\n"
    assert err == "300 rows, cut at 4,8,16\n"  # none of the trained dims is 32 or more
    index = Index.open("ix")
    assert index.card == Card("mine", WIDTH, Nesting((4, 8, 16)), "dot")
    np.testing.assert_array_equal(index.get(np.arange(ROWS)).vectors, vectors())


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_of_any_size(here, dtype):
    np.save("other.npy", vectors(dtype=dtype))
    done("build", "other.npy", "--out", "ix")
    np.testing.assert_array_equal(Index.open("ix").get([3]).vectors[0], vectors(dtype=dtype)[3].astype(np.float32))
    assert Index.open("ix").card.model == "other"


def test_a_table_becomes_an_index_with_its_labels(here):
    card = Card("clouds", WIDTH, Nesting((4, WIDTH)))
    with Table.create("table", card, ("cat", "dog")) as table:
        table.add(vectors(), names(), np.arange(ROWS) % 2)
    done("build", "table", "--out", "ix", "--payload", "payload.parquet")
    index = Index.open("ix")
    assert index.card == card
    row = index.get(["item7"]).payload.to_pylist()
    assert row == [{"price": 7, "brand": "y", "label": "dog"}]


@pytest.mark.parametrize("ending", ["parquet", "csv", "jsonl"])
def test_payloads_are_joined_on_ids_or_taken_in_order(here, ending):
    from pyarrow import csv

    for name, ids in (("joined", True), ("ordered", False)):
        table, file = payload(ids=ids), f"{name}.{ending}"
        if ending == "parquet":
            parquet.write_table(table, file)
        elif ending == "csv":
            csv.write_csv(table, file)
        else:
            (here / file).write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
        done("build", "v.npy", "--out", name, "--ids", "ids.txt", "--payload", file)
        rows = Index.open(name).get(names()).payload.to_pylist()
        assert rows == [{"price": i % 50, "brand": "xyz"[i % 3]} for i in range(ROWS)]


def test_a_column_of_categories(here):
    """Which pandas writes, and whose parts may each have a dictionary of their own."""
    halves = [payload(first, last) for first, last in ((0, 150), (150, ROWS))]
    halves = [half.set_column(2, "brand", half["brand"].dictionary_encode()) for half in halves]
    parquet.write_table(pyarrow.concat_tables(halves), "categories.parquet")
    done("build", "v.npy", "--out", "ix", "--ids", "ids.txt", "--payload", "categories.parquet")
    assert [row["brand"] for row in Index.open("ix").get(names()).payload.to_pylist()] == list("xyz" * (ROWS // 3))


def test_integer_ids_of_a_csv_are_joined_as_integers(here):
    (here / "some.csv").write_text("id,colour\n" + "".join(f"{i},c{i}\n" for i in reversed(range(10, 10 + ROWS))))
    np.save("ids.npy", np.arange(10, 10 + ROWS))
    done("build", "v.npy", "--out", "ix", "--ids", "ids.npy", "--payload", "some.csv")
    assert Index.open("ix").get([17]).payload.to_pylist() == [{"colour": "c17"}]


def test_layout_map_and_engines(here):
    layout = ("--cuts", "4,8,16", "--reference", "float16", "--beside", "int8=8", "--beside", "1bit=16")
    engines = ("--engine", "8/hnsw+m=8+ef_construction=40+ef=99", "--engine", "4/ivf+lists=5", "--engine", "16/rabitq")
    done("build", "v.npy", "--out", "ix", *layout, "--map", "pca", *engines)
    found = json.loads(done("info", "ix", "--json")[0])
    assert found["map"] == str(fit_pca(unit_prefix(vectors(), WIDTH)))
    assert [list(each["bytes"]) for each in found["segments"]] == [
        ["float16", "int8", "1bit"],
        ["float16", "int8", "1bit"],
        ["float16", "1bit"],
    ]
    sizes = {about.dim: about.file for about in Index.open("ix").snapshot.contents.engines}
    assert found["engines"] == [
        {"dim": dim, "engine": engine, "map": None, "rows": ROWS, "bytes": (here / "ix" / sizes[dim]).stat().st_size}
        for dim, engine in ((16, "rabitq"), (4, "ivf+lists=5"), (8, "hnsw+ef_construction=40+m=8"))
    ]
    assert "engine     8/hnsw+ef_construction=40+m=8: 300 rows, " in done("info", "ix")[0]


def test_a_map_of_ones_own(here):
    turn = fit_pca(vectors(seed=5))
    turn.save("turn.safetensors")
    done("build", "v.npy", "--out", "ix", "--map", "turn.safetensors")
    assert Index.open("ix").card.maps == (str(turn),)


def test_what_cannot_be_built_is_refused_and_leaves_nothing(here):
    parquet.write_table(payload(last=ROWS - 1), "short.parquet")
    parquet.write_table(payload(last=ROWS - 1, ids=False), "short-ordered.parquet")
    parquet.write_table(pyarrow.concat_tables([payload(), payload(last=1)]), "twice.parquet")
    parquet.write_table(payload().select(["id"]), "bare.parquet")
    np.save("numbers.npy", np.arange(ROWS))
    np.save("ids.npy", np.arange(ROWS))
    np.savez("many.npz", a=vectors())
    (here / "many.npz").rename("many.npy")
    (here / "no.npy").write_text("what")
    bad = vectors()
    bad[7, 3] = np.nan
    np.save("bad.npy", bad)
    with_ids = ("v.npy", "--ids", "ids.txt", "--payload")
    for words, why in (
        (("nowhere",), "nowhere is no mrl-table: it has no manifest.json"),
        (("ids.txt",), "vectors are a table's folder or an .npy, got ids.txt; write it with numpy.save"),
        (("numbers.npy",), r"numbers.npy must be a float matrix (n, width), got int64 of shape (300,)"),
        (("many.npy",), "many.npy holds several arrays; save the one that is meant with numpy.save"),
        (("no.npy",), "no.npy is no .npy of numbers or strings"),
        (("bad.npy",), "row 7 has a NaN or an Inf (1 in all are such); leave these out"),
        (("v.npy", "--metric", "angle"), "angle"),
        (("v.npy", "--cuts", "4,8"), "the last cut must be the width, 16, got cuts 4,8"),
        (("v.npy", "--beside", "int8"), "cannot read a copy from 'int8'; write encoding=dim, as int8=64"),
        (("v.npy", "--beside", "int9=16"), "unknown encoding 'int9'"),
        (("v.npy", "--beside", "int9=5"), "unknown encoding 'int9'"),
        (("v.npy", "--beside", "int8=5"), "int8 up to 5 dims needs a cut there; the cuts are 16; add it: --cuts 5,16"),
        (("v.npy", "--reference", "int8"), "the reference encoding of a segment is float16 or float32, got 'int8'"),
        (("v.npy", "--engine", "5/hnsw"), "an engine 5/hnsw needs a cut at 5; the cuts are 16; choose one of these"),
        (
            ("v.npy", "--engine", "16/ivf+lists=301"),
            "an engine 16/ivf+lists=301 needs a row for each list, there are 300",
        ),
        (("v.npy", "--engine", "16"), "cannot read an engine from '16'; write dim/engine, as 128/hnsw+m=16; a scan"),
        (("v.npy", "--engine", "16:20/hnsw"), "cannot read an engine from '16:20/hnsw'; write dim/engine, as"),
        (("v.npy", "--engine", "hnsw"), "cannot read an engine from 'hnsw'"),
        (("v.npy", "--engine", "16/lsh"), "unknown engine 'lsh' in 'lsh'; known are hnsw, ivf, rabitq"),
        (("v.npy", "--engine", "16/hnsw+n=3"), "cannot read the knob 'n=3' in 'hnsw+n=3'; write name=value, its knobs"),
        (
            ("v.npy", "--engine", "16/rabitq", "--engine", "16/hnsw+m=1"),
            "m of an HNSW must be an integer of at least 2",
        ),
        (("v.npy", "--payload", "payload.parquet"), "payload.parquet has a column id and the vectors have no ids"),
        ((*with_ids, "bare.parquet"), "bare.parquet has no columns but the ids; give some, or leave --payload out"),
        (("v.npy", "--payload", "ids.txt"), "a payload is a .parquet, .csv, .jsonl, got ids.txt"),
        ((*with_ids, "short.parquet"), "short.parquet has no row with id 'item299'; every vector needs one"),
        (
            (*with_ids, "short-ordered.parquet"),
            "has 299 rows and there are 300 vectors; give one for each, or a column",
        ),
        ((*with_ids, "twice.parquet"), "id 'item0' occurs twice in twice.parquet; keep one row of each id"),
        (
            ("v.npy", "--ids", "ids.npy", "--payload", "payload.parquet"),
            "the ids of the vectors are integers, those of",
        ),
    ):
        assert why in refused("build", *words, "--out", "ix"), words
        assert not (here / "ix" / "manifest.json").exists(), words
    done("build", "v.npy", "--out", "ix")  # what a refused build left is no obstacle


def test_files_that_are_not_there_are_named(here, monkeypatch, capsys):
    for option in ("--payload", "--ids"):
        code, error = said(monkeypatch, capsys, "index", "build", "v.npy", "--out", "ix", option, "gone.csv")
        assert (code, error) == (2, "mrl: cannot use gone.csv: No such file or directory; give another path\n")
    code, error = said(monkeypatch, capsys, "index", "build", "gone.npy", "--out", "ix")
    assert (code, error) == (2, "mrl: cannot use gone.npy: No such file or directory; give another path\n")


def test_a_table_speaks_for_itself(here):
    with Table.create("table", Card("clouds", WIDTH, Nesting((WIDTH,)))) as table:
        table.add(vectors())
    assert "table is a table, whose card says what it is; leave --metric out" in refused(
        "build", "table", "--metric", "dot", "--out", "ix"
    )
    assert "table is a table, which has ids; leave --ids ids.txt out" in refused(
        "build", "table", "--ids", "ids.txt", "--out", "ix"
    )


def test_nothing_is_overwritten(built):
    assert "already exists" in refused("build", "v.npy", "--out", "ix")
    assert "already exists" in refused("copy", "ix", "--out", "v.npy")
    assert "already exists" in refused("relayout", "ix", "--out", "ix")


# ---------------------------------------------------------------------------------------------------- changes


def test_the_whole_life_of_an_index(built):
    """build → add → replace → delete → compact → verify → copy → relayout, each seen from outside."""
    np.save("more.npy", vectors(20, seed=1))
    parquet.write_table(payload(ROWS, ROWS + 20), "more.parquet")
    more = ("more.npy", "--ids", "more.parquet", "--payload", "more.parquet")
    out, err = done("add", "ix", *more)
    assert (out, err) == ("ix\n", "added 20 rows; ix has 320\n")
    assert "is in ix already (20 such ids); upsert replaces rows" in refused("add", "ix", *more)
    assert done("add", "ix", *more, "--replace")[1] == "added 20 rows, 20 in place of others; ix has 320\n"
    deleted = done("delete", "ix", "item0", "item5", "nobody")[1]
    assert deleted == "deleted 2 rows, 1 id was not there; ix has 318 rows\n"
    assert "blocks     3" in done("info", "ix")[0]
    engines = ("--engine", "4/hnsw", "--engine", "4/hnsw+ef=7", "--engine", "8/rabitq")
    said = "ix was compacted, 318 rows, with new engines 4/hnsw, 8/rabitq\n"
    assert done("compact", "ix", *engines)[1] == said
    assert done("compact", "ix", *engines)[1] == "ix was compact already, 318 rows\n"
    found = json.loads(done("info", "ix", "--json")[0])
    assert (found["rows"], found["deleted"], found["blocks"], len(found["engines"])) == (318, 0, 1, 2)
    out, err = done("verify", "ix")
    assert out == ""
    assert err.endswith(f"ix: all {len(Index.open('ix').snapshot.folder.entries)} files are as they were committed\n")
    assert done("copy", "ix", "--out", "twin")[0] == "twin\n"
    out, err = done("relayout", "twin", "--out", "other", "--cuts", "8,16", "--beside", "int8=8")
    assert out == "other\n"
    assert err.splitlines() == [
        "318 rows, cut at 8,16",
        "the engine 8/rabitq was not copied; build it: mrl index compact other --engine 8/rabitq",
        "the engine 4/hnsw was not copied; other has no cut there",
    ]
    for path in ("twin", "other"):
        rows = Index.open(path).get(["item1", payload(ROWS, ROWS + 20)["id"][0].as_py()])
        np.testing.assert_array_equal(rows.vectors, [vectors()[1], vectors(20, seed=1)[0]])


def test_rows_go_on_being_numbered(here):
    done("build", "v.npy", "--out", "ix")
    done("add", "ix", "v.npy")
    assert Index.open("ix").get([ROWS]).vectors[0].tolist() == vectors()[0].tolist()


def test_ids_written_as_text_are_those_of_the_index(here):
    np.save("ids.npy", np.arange(ROWS))
    done("build", "v.npy", "--out", "numbered", "--ids", "ids.npy")
    (here / "some.txt").write_text("3\n4\n")
    assert "deleted 3 rows, 0 ids" in done("delete", "numbered", "7", "--ids", "some.txt")[1]
    assert "the ids of numbered are integers, got 'seven'; check the id" in refused("delete", "numbered", "seven")
    np.save("ids.npy", np.array([str(i) for i in range(ROWS)]))
    done("build", "v.npy", "--out", "named", "--ids", "ids.npy")
    assert "deleted 3 rows, 0 ids" in done("delete", "named", "7", "--ids", "some.txt")[1]
    assert refused("delete", "named") == "no ids were given; name some, or a file of them with --ids"


@pytest.mark.parametrize(("text", "ids"), [("0\n-3\n12", [0, -3, 12]), ("007\n8", ["007", "8"]), ("a\n1", ["a", "1"])])
def test_text_is_read_as_integers_only_if_nothing_is_lost(tmp_path, text, ids):
    (tmp_path / "ids.txt").write_text(text)
    assert read_ids(tmp_path / "ids.txt").tolist() == ids


def test_ids_come_from_a_column(here):
    (here / "some.jsonl").write_text('{"id": 3}\n{"id": 5}\n')
    assert read_ids(here / "some.jsonl").tolist() == [3, 5]
    assert read_ids(here / "payload.parquet").tolist() == payload()["id"].to_pylist()
    for name, rows, why in (
        ("no", {"name": ["a"]}, "no.parquet has no column id, only name"),
        ("null", {"id": ["a", None]}, "the column id of null.parquet has 1 nulls; ids are integers or strings"),
        ("half", {"id": [0.5]}, "the column id of half.parquet has type double; ids are integers or strings"),
    ):
        parquet.write_table(pyarrow.table(rows), f"{name}.parquet")
        assert why in refused("build", "v.npy", "--out", "ix", "--ids", f"{name}.parquet")


def test_what_is_added_has_to_fit(built):
    parquet.write_table(payload(ROWS, ROWS + 5).drop_columns("price"), "less.parquet")
    np.save("more.npy", vectors(5))
    assert "the payload columns of ix are price, brand, the new rows have brand" in refused(
        "add", "ix", "more.npy", "--ids", "less.parquet", "--payload", "less.parquet"
    )
    with Table.create("table", Card("clouds", WIDTH, Nesting((4, WIDTH)))) as table:
        table.add(vectors())
    assert "do not belong together: nesting is 16 in one (v) and 4,16 in the other" in refused("add", "ix", "table")
    np.save("narrow.npy", vectors()[:, :4])
    assert "has vectors of width 16, got shape (300, 4)" in refused("add", "ix", "narrow.npy")
    assert Index.open("ix").rows == ROWS


# ---------------------------------------------------------------------------------------------------- looking


def test_info_counts_what_lies_on_disk(built):
    found = json.loads(done("info", "ix", "--json")[0])
    entries = Index.open(built).snapshot.folder.entries
    assert found["bytes"] == sum(entry.bytes for entry in entries.values())
    assert found["disk_bytes"] == sum(file.stat().st_size for file in built.iterdir())
    assert found["segments"][0] == {"dims": "0-4", "reference": "float32", "bytes": {"float32": 128 + ROWS * 4 * 4}}
    assert found["payload"] == {"price": "int64", "brand": "string"}
    assert (found["metric"], found["cuts"], found["trained"], found["ids"]) == ("cosine", [4, 8, 16], [16], "strings")


def test_info_for_people(built):
    done("delete", "ix", "item3")
    text = done("info", "ix")[0]
    assert "rows       299, 1 deleted\n" in text
    assert "vectors    16 dims of v, cosine\n" in text
    assert "  0-4      float32 4.9 kB\n" in text
    assert "payload    price (int64), brand (string)\n" in text


def test_get_prints_rows_as_they_were_given(built):
    lines = [json.loads(line) for line in done("get", "ix", "item4", "item2")[0].splitlines()]
    assert [line["id"] for line in lines] == ["item4", "item2"]
    np.testing.assert_array_equal(np.float32([line["vector"] for line in lines]), vectors()[[4, 2]])
    assert json.loads(done("get", "ix", "item4", "--no-vectors")[0]) == {"id": "item4", "price": 4, "brand": "y"}
    assert "id 'nobody' is not in ix; check the id" in refused("get", "ix", "nobody")


def test_verify_names_every_damaged_file(built):
    segment = next(built.glob("*.4-8.float32.npy"))
    raw = bytearray(segment.read_bytes())
    raw[-1] ^= 1
    segment.write_bytes(raw)
    next(built.glob("*.norms.npy")).unlink()
    result = invoke("index", "verify", "ix")
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    damaged = sorted(line.split()[0].rpartition("/")[2] for line in lines)
    assert damaged == ["000000.4-8.float32.npy", "000000.norms.npy"]
    assert any("is damaged: its bytes do not match manifest.json" in line for line in lines)
    assert any("is missing although manifest.json names it" in line for line in lines)
    manifest = built / "manifest.json"
    manifest.write_text(manifest.read_text().replace("cosine", "dot"))
    result = invoke("index", "verify", "ix")
    assert result.exit_code == 1
    assert "manifest.json" in result.stdout


def test_what_is_no_index_is_said(tmp_path, monkeypatch, capsys):
    for verb in ("info", "verify", "compact", "get"):
        code, error = said(monkeypatch, capsys, "index", verb, tmp_path / "nowhere")
        assert (code, error.startswith(f"mrl: {tmp_path / 'nowhere'} is no mrl-index: ")) == (2, True)


def test_a_copy_gains_12_bits_up_to_the_width(built):
    done("relayout", "ix", "--out", "coded", "--beside", f"int12={WIDTH}")
    found = json.loads(done("info", "coded", "--json")[0])["segments"]
    assert [list(each["bytes"]) for each in found] == [["float32", "int12"]] * 3
    assert sum(each["bytes"]["float32"] for each in found) > 2 * sum(each["bytes"]["int12"] for each in found)
    plan = f"{WIDTH}:30@int12,{WIDTH}:10"
    assert Index.open("coded").search(vectors()[:9], 10, plan=plan).ids[:, 0].tolist() == names()[:9]


def test_a_copy_keeps_the_layout_but_for_what_is_asked(built):
    done("relayout", "ix", "--out", "coded", "--beside", "int8=8", "--beside", "1bit=4")
    done("relayout", "coded", "--out", "kept", "--reference", "float16")
    done("relayout", "coded", "--out", "bare", "--beside", "none")
    found = {path: json.loads(done("info", path, "--json")[0])["segments"] for path in ("kept", "bare")}
    assert [list(each["bytes"]) for each in found["kept"]] == [
        ["float16", "int8", "1bit"],
        ["float16", "int8"],
        ["float16"],
    ]
    assert [list(each["bytes"]) for each in found["bare"]] == [["float32"]] * 3
    assert (
        "the index has int8 up to 8 dims, and 8 is none of the new cuts 4,16; add that cut, or say what is kept: "
        "--beside int8=4, or --beside none"
    ) in refused("relayout", "coded", "--out", "other", "--cuts", "4,16")


def test_a_copy_says_how_its_engines_are_built_anew(built):
    named = "8/hnsw+codes=int8+m=4"
    _, said = done("compact", "ix", "--engine", named)
    assert said == f"ix was compact already, 300 rows, with new engines {named}\n"
    _, said = done("relayout", "ix", "--out", "other")
    assert f"the engine {named} was not copied; build it: mrl index compact other --engine {named}\n" in said
    done("compact", "other", "--engine", named)
    assert [(about.dim, about.kind) for about in Index.open("other").snapshot.contents.engines] == [
        (8, HNSW(4, codes="int8"))
    ]
    _, said = done("relayout", "ix", "--out", "without", "--cuts", "4,16")
    assert f"the engine {named} was not copied; without has no cut there\n" in said


def test_an_engine_after_a_map_of_its_own_is_shown_and_not_copied(built):
    index, turn = Index.open("ix"), fit_leading(vectors(), 6)
    index.add_engine(6, IVF(lists=4), turn)
    assert f"engine     6/ivf+lists=4, after its own map {turn}: 300 rows, " in done("info", "ix")[0]
    (found,) = json.loads(done("info", "ix", "--json")[0])["engines"]
    assert (found["dim"], found["engine"], found["map"], found["rows"]) == (6, "ivf+lists=4", str(turn), ROWS)
    _, said = done("relayout", "ix", "--out", "other")
    assert (
        f"the engine 6/ivf+lists=4 after its own map {turn} was not copied; mrl plan other builds such ones\n" in said
    )


def test_engines_are_checked_before_anything_is_compacted(built):
    done("delete", "ix", "item3")
    assert "an engine 6/rabitq needs a cut at 6; the cuts are 4,8,16" in refused(
        "compact", "ix", "--engine", "6/rabitq"
    )
    assert "needs a row for each list, there are 299" in refused("compact", "ix", "--engine", "4/ivf+lists=300")
    assert json.loads(done("info", "ix", "--json")[0])["deleted"] == 1


def test_an_engine_of_an_empty_index_is_built_with_its_rows(here):
    np.save("none.npy", vectors()[:0])
    done("build", "none.npy", "--out", "ix", "--engine", "16/ivf+lists=4")
    assert "engine     16/ivf+lists=4: 0 rows, 0 B\n" in done("info", "ix")[0]
    done("add", "ix", "v.npy")
    done("compact", "ix")
    assert "engine     16/ivf+lists=4: 300 rows, " in done("info", "ix")[0]


@pytest.mark.parametrize("verb", ["build", "add", "delete", "compact", "verify", "info", "relayout", "copy", "get"])
def test_every_verb_explains_itself(verb):
    assert done(verb, "--help")[0].strip()

"""`mrl search`: what it prints and writes, against the plainest search there is."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet
from typer.testing import CliRunner

from mrl import Card, Nesting, Table
from mrl.cli import app, main
from mrl.cli.answers import BATCH
from mrl.maps import mapped_card
from mrl.retrieval import HNSW, BuildSpec, Index, Layout, Plan, Rows

ROWS, WIDTH, K = 400, 16, 5
CARD = Card("clouds", WIDTH, Nesting((4, WIDTH)))


def clouds(rows, seed):
    return np.random.default_rng(seed).normal(size=(rows, WIDTH)).astype(np.float32)


VECTORS, QUERIES = clouds(ROWS, 0), clouds(7, 1)
PRICES = np.arange(ROWS) % 20
LAYOUT = Layout.of(Nesting((4, 8, WIDTH)), beside={"int8": 8})


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    """An index with a payload, and a map, which no full score may feel."""
    names = np.array([f"item{i}" for i in range(ROWS)])
    payload = pyarrow.table({"price": PRICES, "name": [f"name {i}" for i in range(ROWS)]})
    rows = Rows.of(VECTORS, CARD, names, payload)
    return Index.build(tmp_path_factory.mktemp("built") / "ix", rows, BuildSpec(LAYOUT, "pca")).path


@pytest.fixture
def queries(tmp_path):
    np.save(tmp_path / "q.npy", QUERIES)
    return tmp_path / "q.npy"


def invoke(*words):
    return CliRunner().invoke(app, ["search", *(str(word) for word in words)])


def found(*words):
    """The JSON lines of a search that must succeed."""
    result = invoke(*words)
    assert result.exit_code == 0, (words, result.output, result.exception)
    return [json.loads(line) for line in result.stdout.splitlines()]


def refused(*words):
    result = invoke(*words)
    assert result.exit_code == 1, result.output
    return str(result.exception)


def nearest(queries, allowed=slice(None), k=K):
    """The slow twin: ids and cosines in float64."""
    wide, asked = VECTORS.astype(np.float64), queries.astype(np.float64)
    cosines = asked @ wide.T
    cosines /= np.linalg.norm(asked, axis=1)[:, None] * np.linalg.norm(wide, axis=1)
    rows = np.arange(ROWS)[allowed]
    order = rows[np.argsort(-cosines[:, rows], axis=1, kind="stable")[:, :k]]
    return [[f"item{i}" for i in line] for line in order], np.take_along_axis(cosines, order, axis=1)


@pytest.mark.parametrize("options", [(), ("--exact",), ("--plan", "4:400,16:5"), ("--plan", "16:5")])
def test_a_line_for_each_query(index, queries, options):
    lines = found(index, queries, "-k", K, *options)
    ids, cosines = nearest(QUERIES)
    assert [line["query"] for line in lines] == list(range(len(QUERIES)))
    assert [line["ids"] for line in lines] == ids
    np.testing.assert_allclose([line["scores"] for line in lines], cosines, atol=1e-6)
    assert all(set(line) == {"query", "ids", "scores"} for line in lines)


def test_only_rows_that_fulfil_a_condition(index, queries):
    lines = found(index, queries, "-k", K, "--where", "price < 3", "--columns", "price,name")
    assert [line["ids"] for line in lines] == nearest(QUERIES, PRICES < 3)[0]
    for line in lines:
        numbers = [int(name.removeprefix("item")) for name in line["ids"]]
        assert line["columns"] == {"price": PRICES[numbers].tolist(), "name": [f"name {i}" for i in numbers]}


def test_fewer_rows_than_asked_for(index, queries):
    lines = found(index, queries, "--where", "price == 3 and id in ['item3', 'item23', 'item4']", "--columns", "price")
    assert all(sorted(line["ids"]) == ["item23", "item3"] for line in lines)
    assert all(len(line["scores"]) == 2 and line["columns"] == {"price": [3, 3]} for line in lines)
    nothing = {"query": 0, "ids": [], "scores": []}
    assert found(index, queries, "--where", "price > 99")[0] == nothing
    assert found(index, queries, "--where", "price > 99", "--columns", "price")[0]["ids"] == []


def test_queries_of_a_table_have_ids(index, tmp_path):
    with Table.create(tmp_path / "q", CARD) as table:
        table.add(QUERIES[:4], ["a", "b", "c", "d"])
        table.add(QUERIES[4:], ["e", "f", "g"])
    lines = found(index, tmp_path / "q", "-k", K)
    assert [line["query"] for line in lines] == list("abcdefg")
    assert [line["ids"] for line in lines] == nearest(QUERIES)[0]


def test_queries_that_went_through_the_map_already(index, tmp_path):
    turn = Index.open(index).snapshot.map
    with Table.create(tmp_path / "q", mapped_card(CARD, turn)) as table:
        table.add(turn.apply(QUERIES))
    assert [line["ids"] for line in found(index, tmp_path / "q", "-k", K)] == nearest(QUERIES)[0]


def test_many_queries_come_in_batches(index, tmp_path):
    many = clouds(BATCH + 3, 2)
    np.save(tmp_path / "q.npy", many)
    lines = found(index, tmp_path / "q.npy", "-k", K)
    assert [line["query"] for line in lines] == list(range(BATCH + 3))
    assert [line["ids"] for line in lines] == nearest(many)[0]
    result = invoke(index, tmp_path / "q.npy", "--plan", "4:40,16:5", "--explain", "-k", K)
    assert f"4:40 {(BATCH + 3) * ROWS:32,}" in result.stderr
    many[BATCH + 1] = np.inf
    np.save(tmp_path / "q.npy", many)
    assert f"query {BATCH + 1} has a NaN or an Inf" in refused(index, tmp_path / "q.npy")


@pytest.mark.parametrize("columns", [(), ("--columns", "name")])
def test_answers_are_written(index, queries, tmp_path, columns):
    lines = found(index, queries, "-k", K, *columns)
    for ending in ("jsonl", "parquet"):
        out = tmp_path / f"found.{ending}"
        result = invoke(index, queries, "-k", K, *columns, "--out", out)
        assert result.stdout == f"{out}\n", result.exception
    assert list(map(json.loads, (tmp_path / "found.jsonl").read_text().splitlines())) == lines
    rows = parquet.read_table(tmp_path / "found.parquet").to_pylist()
    expected = [
        {"query": line["query"], "rank": rank + 1, "id": line["ids"][rank], "score": line["scores"][rank]}
        | ({"name": line["columns"]["name"][rank]} if columns else {})
        for line in lines
        for rank in range(K)
    ]
    assert rows == expected
    assert "already exists and is not overwritten" in refused(index, queries, "--out", tmp_path / "found.parquet")


def test_a_plan_from_a_file(index, queries, tmp_path):
    Plan.parse("4:40,16:5").save(tmp_path / "plan.json")
    expected = found(index, queries, "--plan", "4:40,16:5", "-k", K)
    assert found(index, queries, "--plan", tmp_path / "plan.json", "-k", K) == expected


def test_a_plan_explains_itself_before_and_after(index, queries):
    result = invoke(index, queries, "--plan", "8:40@int8,16:5", "--explain", "-k", K)
    before, after = result.stderr.split("stage  ")
    assert [line.split() for line in before.splitlines()[1:]] == [
        ["8:40@int8", "400", "0.003", "0.005"],  # 400 rows of 8 codes and a length
        ["16:5", "40", "0.001", "0.003"],  # 40 rows of 16 float32 and a length
    ]
    assert [line.split()[:2] for line in after.splitlines()[1:]] == [["8:40@int8", "2,800"], ["16:5", "280"]]
    assert "exact: at most 0.006 M multiply-adds for a query" in invoke(index, queries, "--explain").stderr


def test_recall_is_counted_against_the_exact_search(index, queries):
    result = invoke(index, queries, "--plan", "4:5", "-k", K, "--measure-recall")
    lines = [json.loads(line)["ids"] for line in result.stdout.splitlines()]
    hits = sum(len({*mine} & {*exact}) for mine, exact in zip(lines, nearest(QUERIES)[0], strict=True))
    assert 0 < hits < K * len(QUERIES)
    assert result.stderr == f"recall@5 {hits / 35:.4f}: {hits} of the 35 rows of the exact search\n"
    result = invoke(index, queries, "--plan", "16:5", "-k", K, "--measure-recall")
    assert result.stderr == "recall@5 1.0000: 35 of the 35 rows of the exact search\n"


def test_a_graph_is_searched_and_explained(index, queries, tmp_path):
    made = Index.open(index).copy(tmp_path / "ix")
    assert "has no engine 4/hnsw" in refused(made.path, queries, "--plan", "4:50/hnsw,16:5", "-k", 5)
    wider = "--out NEW --cuts 4,5,8,16, and build one there: mrl index compact NEW --engine 5/hnsw"
    assert f"nor has it a cut at 5; make a copy that has: mrl index relayout {made.path} {wider}" in refused(
        made.path, queries, "--plan", "5:50/hnsw,16:5"
    )
    assert "its vectors have 16 dims; build one of no more" in refused(made.path, queries, "--plan", "64:50/hnsw")
    made.add_engine(4)
    result = invoke(made.path, queries, "--plan", "4:400/hnsw+ef=400,16:5", "-k", K, "--explain", "--measure-recall")
    assert [json.loads(line)["ids"] for line in result.stdout.splitlines()] == nearest(QUERIES)[0]
    assert "an engine, known only afterwards" in result.stderr
    assert "recall@5 1.0000" in result.stderr


@pytest.mark.parametrize("name", ["ivf+lists=4+probes=4", "ivf+lists=2+probes=2+codes=int8", "rabitq"])
def test_any_engine_is_searched(name, index, queries, tmp_path):
    made = Index.open(index).copy(tmp_path / "ix")
    CliRunner().invoke(app, ["index", "compact", str(made.path), "--engine", f"8/{name}"], catch_exceptions=False)
    lines = found(made.path, queries, "--plan", f"8:{ROWS}/{name},16:5", "-k", K)
    assert [line["ids"] for line in lines] == nearest(QUERIES)[0]


def test_an_old_index_with_a_graph_is_searched_and_shown(queries, tmp_path):
    """Whose manifest has `graphs`, with an HNSW's knobs in fields of their own."""
    made = Index.build(tmp_path / "ix", Rows.of(VECTORS, CARD, [f"item{i}" for i in range(ROWS)]), BuildSpec(LAYOUT))
    made.add_engine(4, HNSW(m=8, ef_construction=40))
    as_before(made.path)
    lines = found(made.path, queries, "--plan", "4:400/hnsw+m=8+ef_construction=40+ef=400,16:5", "-k", K)
    assert [line["ids"] for line in lines] == nearest(QUERIES)[0]
    info = CliRunner().invoke(app, ["index", "info", str(made.path)]).stdout
    assert "engine     4/hnsw+ef_construction=40+m=8: 400 rows, " in info
    opened = Index.open(made.path)
    assert opened.verify() == []
    opened.delete(["item3"])
    assert opened.compact()
    assert opened.snapshot.engines[0].rows == ROWS - 1


def as_before(path):
    """Write the manifest of an index as it was when graphs were the only engines."""
    document = json.loads((path / "manifest.json").read_text())
    document["graphs"] = [
        {"file": about["file"], "dim": about["dim"], "m": 8, "ef_construction": 40, "blocks": about["blocks"]}
        | {"factor": about["factor"]}
        for about in document.pop("engines")
    ]
    del document["sha256"]
    blank = json.dumps({"sha256": "0" * 64, **document}).encode()
    sealed = blank.replace(b"0" * 64, hashlib.sha256(blank).hexdigest().encode(), 1)
    (path / "manifest.json").write_bytes(sealed)


def test_an_index_without_rows(queries, tmp_path):
    index = Index.build(tmp_path / "ix", Rows.of(VECTORS[:0], CARD), BuildSpec(LAYOUT))
    for options in ((), ("--plan", "4:40,16:5", "--measure-recall")):
        lines = found(index.path, queries, "-k", K, "--explain", *options)
        assert [line["ids"] for line in lines] == [[]] * len(QUERIES)


def test_no_queries(index, tmp_path):
    np.save(tmp_path / "q.npy", QUERIES[:0])
    assert found(index, tmp_path / "q.npy", "--explain") == []
    assert invoke(index, tmp_path / "q.npy", "--out", tmp_path / "found.parquet").exit_code == 0
    assert parquet.read_table(tmp_path / "found.parquet").column_names == ["query", "rank", "id", "score"]


def test_what_cannot_be_searched_is_refused(index, queries, tmp_path):
    np.save(tmp_path / "narrow.npy", QUERIES[:, :4])
    with Table.create(tmp_path / "other", Card("clouds", WIDTH, Nesting((WIDTH,)))) as table:
        table.add(QUERIES)
    (tmp_path / "plan.json").write_text("{}")
    for words, why in (
        ((queries, "-k", "0"), "k must be an integer of at least 1, got 0"),
        ((queries, "--plan", "4"), "cannot read a stage from '4'; write dim:keep"),
        ((queries, "--plan", "5:40,16:5"), "this index is cut at 4,8,16, not at 5"),
        ((queries, "--plan", "5:40,16:5", "--explain"), "this index is cut at 4,8,16, not at 5"),
        ((queries, "--plan", "4:3,16:3"), "cannot give k = 10 results: its last stage gets 3 candidates"),
        ((queries, "--plan", tmp_path / "plan.json"), "plan.json holds no plan"),
        ((queries, "--plan", "4:5", "--exact"), "--exact needs no --plan, got 4:5; leave one of the two out"),
        (
            (queries, "--measure-recall"),
            "--measure-recall compares a plan with the exact search, and there is no --plan; g",
        ),
        ((queries, "--where", "cost < 3"), "cost"),
        ((queries, "--columns", "price,cost"), "has no column 'cost'; it has price, name"),
        ((queries, "--out", "found.txt"), "answers are written as .jsonl or .parquet, got .txt in found.txt"),
        ((tmp_path / "narrow.npy",), f"narrow.npy has vectors of width 4, {index} of width 16; embed the queries with"),
        ((queries, "--columns", "price,price", "--out", tmp_path / "p.parquet"), "'price' would be there twice"),
        ((tmp_path / "other",), "do not belong together: nesting is 4,16 in one (clouds) and 16 in the other"),
        ((tmp_path / "nowhere",), "nowhere is no mrl-table"),
    ):
        assert why in refused(index, *words), words


def test_more_rows_than_there_are(index, queries):
    """However many are asked for, no more are found, and room is taken for no more."""
    lines = found(index, queries, "-k", 10**20)
    assert [len(line["ids"]) for line in lines] == [ROWS] * len(QUERIES)


def test_columns_may_be_written_with_blanks(index, queries):
    assert list(found(index, queries, "--columns", "price, name")[0]["columns"]) == ["price", "name"]


def test_a_parquet_tells_every_column_from_its_own(tmp_path, queries):
    """The payload's `score` is no column of a .parquet of scores, and may stand in a JSON line."""
    source = Rows.of(VECTORS, CARD, payload=pyarrow.table({"score": PRICES}))
    path = Index.build(tmp_path / "ix", source, BuildSpec(LAYOUT)).path
    words = (path, queries, "--columns", "score")
    assert "'score' would be there twice; leave it out, or write .jsonl" in refused(
        *words, "--out", tmp_path / "found.parquet"
    )
    assert not (tmp_path / "found.parquet").exists()
    assert "score" in found(*words)[0]["columns"]


def test_a_refusal_is_one_sentence_and_exit_code_2(index, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mrl", "search", str(index), str(tmp_path / "gone.npy")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    gone = tmp_path / "gone.npy"
    assert capsys.readouterr().err == f"mrl: cannot use {gone}: No such file or directory; give another path\n"


@pytest.mark.parametrize("package", ["numba", "pyarrow", "faiss"])
def test_a_missing_package_names_its_extra(package, index, queries, tmp_path):
    """In a process of its own, where the package cannot be imported."""
    graph = Index.open(index).copy(tmp_path / "ix")
    graph.add_engine(4)
    words = ["search", str(graph.path), str(queries), "--plan", "4:40/hnsw,16:5", "--columns", "price", "-k", "5"]
    code = f"import sys; sys.modules[{package!r}] = None; sys.argv[1:] = {words!r}; import mrl.cli; mrl.cli.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "pip install 'mrl[search]'" in done.stderr
    assert "Traceback" not in done.stderr

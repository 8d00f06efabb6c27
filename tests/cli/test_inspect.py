"""`mrl inspect`: what it prints and writes, of every kind of input."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from mrl import Card, Nesting, Table
from mrl.advise.inspect import inspect as looked_at
from mrl.cli.inspect import inspect
from mrl.evaluation import read_rows
from mrl.vectors import open_vectors

WIDTH = 16
app = typer.Typer()
app.command()(inspect)


def clouds(rows, seed):
    draws = np.random.default_rng(seed)
    return draws.normal(size=(rows, WIDTH)).astype(np.float32), draws.integers(0, 3, rows)


VECTORS, LABELS = clouds(200, 0)
QUERIES, ASKED = clouds(30, 1)


@pytest.fixture
def vectors(tmp_path):
    np.save(tmp_path / "v.npy", VECTORS)
    return tmp_path / "v.npy"


@pytest.fixture
def queries(tmp_path):
    np.save(tmp_path / "q.npy", QUERIES)
    return tmp_path / "q.npy"


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def done(*words):
    result = invoke(*words)
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result


def refused(*words):
    result = invoke(*words)
    assert result.exit_code == 1, result.output
    return str(result.exception)


def test_rows_on_stdout_and_the_rest_on_stderr(vectors):
    result = done(vectors)
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    wanted = looked_at(open_vectors(vectors))
    assert [(each["run"], each["dim"], each["value"]) for each in lines] == [
        (row.run, row.dim, row.value) for row in wanted.rows
    ]
    assert len(lines) == 2 * 5 * 2  # plain and PCA, five encodings, 8 and 16 dims
    for said in ("200 × 16 float32", "intrinsic dim", "mean cosine", "hubness", *wanted.findings):
        assert said in result.stderr


def test_one_json_object(vectors):
    found = json.loads(done(vectors, "--json", "--dims", "4,16", "--seed", 3).stdout)
    assert set(found) == {"model", "facts", "rows", "contrasts", "notes", "findings"}
    assert found["facts"]["soundness"]["rows"] == 200
    assert found["facts"]["order"]["verdict"] in ("no", "cannot tell")
    assert {row["dim"] for row in found["rows"]} == {4, 16}


def test_labels_queries_and_judgements(vectors, queries, tmp_path):
    np.save(tmp_path / "l.npy", LABELS)
    np.save(tmp_path / "a.npy", ASKED)
    labelled = ("--labels", tmp_path / "l.npy")
    assert '"measure": "1-NN"' in done(vectors, *labelled).stdout
    assert '"measure": "1-NN"' not in done(vectors, "--queries", queries, *labelled).stdout  # theirs are not known
    both = done(vectors, "--queries", queries, *labelled, "--query-labels", tmp_path / "a.npy", "--k", 3)
    measures = {json.loads(line)["measure"] for line in both.stdout.splitlines()}
    assert measures == {"1-NN", "recall@3"}
    (tmp_path / "qrels.txt").write_text("".join(f"{q} 0 {q} 1\n" for q in range(30)))
    judged = done(vectors, "--queries", queries, "--judgements", tmp_path / "qrels.txt", "--asked", 12)
    lines = [json.loads(line) for line in judged.stdout.splitlines()]
    assert {(line["measure"], line["queries"]) for line in lines} == {("nDCG@10", 12), ("recall@10", 12)}


def test_every_format_has_the_same_figures(vectors, tmp_path):
    np.savez(tmp_path / "v.npz", vectors=VECTORS)
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    column = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(VECTORS.ravel()), WIDTH)
    parquet.write_table(pyarrow.table({"vectors": column}), tmp_path / "v.parquet")
    with Table.create(tmp_path / "table", Card("v", WIDTH, Nesting((WIDTH,)))) as table:
        table.add(VECTORS[:90], np.arange(90))
        table.add(VECTORS[90:], np.arange(90, 200))
    wanted = done(vectors).stdout
    for name in ("v.npz", "v.parquet", "table"):
        assert done(tmp_path / name).stdout == wanted


def test_bad_rows_are_reported_not_refused(tmp_path):
    vectors = VECTORS.copy()
    vectors[4, 2], vectors[9], vectors[30] = np.nan, 0, vectors[31]
    np.save(tmp_path / "v.npy", vectors)
    said = done(tmp_path / "v.npy").stderr
    assert "left out rows with a NaN or an Inf: 1 (row 4)" in said
    assert "left out rows of length 0, which have no direction: 1 (row 9)" in said
    assert "1 of 200 rows repeat another exactly (0.5 %), such as 31." in said
    np.save(tmp_path / "n.npy", np.full((5, 4), np.nan, np.float32))
    result = done(tmp_path / "n.npy")
    assert result.stdout == ""
    assert "nothing is measured" in result.stderr


def test_a_report(vectors, tmp_path):
    result = done(vectors, "--out", tmp_path / "report", "--model", "clouds", "--trained", "8,16")
    page = tmp_path / "report" / "report.html"
    assert result.stdout == f"{page}\n"
    assert "clouds: 200 vectors of 16 dims, float32." in page.read_text()
    rows = read_rows(tmp_path / "report" / "rows.jsonl")
    assert {row.dim for row in rows if row.trained} == {8, 16}
    assert json.loads((tmp_path / "report" / "facts.json").read_text())["model"] == "clouds"
    assert "already exists" in refused(vectors, "--out", tmp_path / "report")


def test_what_cannot_be_is_refused(vectors, queries, tmp_path):
    assert "--judgements speak of queries, and there are none" in refused(vectors, "--judgements", "qrels.txt")
    assert "--query-labels belongs to --queries, which are not there" in refused(vectors, "--query-labels", "a.npy")
    assert "need vectors of at least 32 dims, got 16" in refused(vectors, "--dims", "8,32")
    np.save(tmp_path / "w.npy", np.ones((9, 8), np.float32))
    assert "width is 16 in one (v) and 8 in the other (w)" in refused(vectors, "--queries", tmp_path / "w.npy")
    assert "every query would find itself" in refused(vectors, "--queries", vectors)
    assert "queries must be an integer ≥ 1, got 0" in refused(vectors, "--asked", 0)
    with Table.create(tmp_path / "table", Card("v", WIDTH, Nesting((WIDTH,)))) as table:
        table.add(VECTORS)
    said = refused(tmp_path / "table", "--metric", "dot", "--trained", "8,16")
    assert "is a table, whose card says what it is; leave --metric, --trained out" in said


def test_a_file_that_says_nothing_beside_a_mapped_table_is_refused(queries, tmp_path):
    with Table.create(tmp_path / "mapped", Card("v", WIDTH, Nesting((WIDTH,)), maps=("linear:ab",))) as table:
        table.add(VECTORS)
    text = f"mapped went through linear:ab, and {queries} does not say whether it did; map it into a table"
    assert text in refused(tmp_path / "mapped", "--queries", queries)


def test_each_file_has_its_own_key(vectors, tmp_path):
    np.savez(tmp_path / "v.npz", emb=VECTORS, other=VECTORS[::-1])
    np.savez(tmp_path / "q.npz", ask=QUERIES, other=QUERIES[::-1])
    np.save(tmp_path / "q.npy", QUERIES)
    wanted = done(vectors, "--queries", tmp_path / "q.npy").stdout
    words = (tmp_path / "v.npz", "--key", "emb", "--queries")
    assert done(*words, tmp_path / "q.npy").stdout == wanted
    assert done(*words, tmp_path / "q.npz", "--query-key", "ask").stdout == wanted
    assert "name the one meant as key" in refused(*words, tmp_path / "q.npz")


def test_settings_that_cannot_be(vectors):
    assert "seed must be an integer ≥ 0, got -1" in refused(vectors, "--seed", -1)
    assert "k must lie below the 160 rows of" in refused(vectors, "--k", 5000)
    assert "--ignore-same-ids belongs to --judgements" in refused(vectors, "--ignore-same-ids")


def test_labels_that_measure_nothing_are_said(vectors, queries, tmp_path):
    (tmp_path / "one.txt").write_text("a\n" * 200)
    np.save(tmp_path / "labels.npy", LABELS)
    said = done(vectors, "--labels", tmp_path / "one.txt").stderr
    assert "1-NN is not measured: all rows of" in said
    assert "1-NN accuracy" not in said
    said = done(vectors, "--labels", tmp_path / "labels.npy", "--queries", queries).stderr
    assert f"1-NN is not measured: {queries} has no labels" in said

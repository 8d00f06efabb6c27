"""`mrl adapt`: from vectors in a file to a map, to mapped tables, to other programs."""

import json
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from adapt import classes
from mrl import Table
from mrl.adapt import Map
from mrl.cli import app, main
from mrl.evaluation import read_rows

QUICK = ["--steps", "150", "--batch-size", "128", "--dims", "2,4,8"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Work in a folder of its own, with vectors and labels in files."""
    monkeypatch.chdir(tmp_path)
    for name, rows, seed in (("known", 1200, 0), ("unseen", 100, 1)):
        made = classes.buried(rows, seed)
        np.save(f"{name}.npy", made.vectors)
        np.save(f"{name}-labels.npy", made.labels)
    documents, queries = classes.paired(600)
    np.save("documents.npy", documents.vectors)
    np.save("queries.npy", queries.vectors)


def run(*words):
    done = CliRunner().invoke(app, ["adapt", *map(str, words)])
    assert done.exit_code == 0, done.output + str(done.exception)
    return done


def refused(monkeypatch, capsys, *words):
    """The one sentence and exit code 2 of what is refused."""
    monkeypatch.setattr(sys, "argv", ["mrl", "adapt", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    said = capsys.readouterr()
    assert said.out == ""
    return said.err


def fitted(*more):
    return run("fit", "known.npy", "--labels", "known-labels.npy", "--out", "map", *QUICK, *more)


def test_the_whole_way_of_labelled_vectors():
    done = fitted("--rows", "rows.jsonl")
    assert done.stdout == "map\n"
    assert "It passes: the lead over" in done.stderr
    assert "full width (16 dims): 1-NN" in done.stderr
    assert {row.run for row in read_rows("rows.jsonl")} == {"truncation", "PCA", "residual"}
    done = run("apply", "map", "known.npy", "--out", "mapped", "--labels", "known-labels.npy")
    assert done.stdout == "mapped\n"
    table, found = Table.open("mapped"), Map.load("map")
    assert table.card == found.card
    np.testing.assert_array_equal(table.vectors, found.apply(np.load("known.npy")))
    assert table.need_labels().tolist() == np.load("known-labels.npy").tolist()
    run("apply", "map", "unseen.npy", "--out", "asked", "--labels", "unseen-labels.npy")
    measured = CliRunner().invoke(app, ["evaluate", "mapped", "asked", "--head", "map"])
    assert '"measure": "top-1", "dim": 4' in measured.stdout
    assert '"method": "head"' in measured.stdout
    CliRunner().invoke(app, ["migrate", "mapped", "--dim", "8", "--out", "mapped8"])
    CliRunner().invoke(app, ["migrate", "asked", "--dim", "8", "--out", "asked8"])
    cut = CliRunner().invoke(app, ["evaluate", "mapped8", "asked8", "--head", "map", "--dims", "4,8"])
    assert '"method": "head"' in cut.stdout, cut.output
    run("export", "map", "--to", "onnx", "--out", "map.onnx", "--dim", "4")
    said = run("info", "map").stdout
    assert f"{found}: 16 to 16 dims, for vectors of known" in said
    assert "It passes: the lead over" in said
    about = json.loads(run("info", "map", "--json").stdout)
    assert about["map"] == str(found)
    assert about["gate"]["passed"] is True


def test_pairs_row_by_row_and_a_map_for_each_side(monkeypatch, capsys):
    run("fit", "documents.npy", "--queries", "queries.npy", "--pairs", "--own-maps", "--out", "two", *QUICK, "--force")
    found = Map.load("two")
    assert found.queries is not None
    said = refused(monkeypatch, capsys, "apply", "two", "queries.npy", "--out", "q")
    assert "treats queries and documents differently; say --as queries or --as documents" in said
    run("apply", "two", "queries.npy", "--as", "queries", "--out", "q")
    run("apply", "two", "documents.npy", "--as", "documents", "--out", "d")
    Table.open("q").card.check_fits(Table.open("d").card)
    np.testing.assert_array_equal(Table.open("q").vectors, found.apply(np.load("queries.npy"), side="queries"))


def test_judgements_name_the_pairs():
    with open("qrels.tsv", "w") as file:  # noqa: PTH123
        file.write("query-id\tcorpus-id\tscore\n" + "".join(f"{row}\t{row}\t1\n" for row in range(600)))
    run(
        "fit",
        "documents.npy",
        "--queries",
        "queries.npy",
        "--judgements",
        "qrels.tsv",
        "--out",
        "judged",
        *QUICK,
        "--force",
    )
    assert Map.load("judged").record["measure"] == "nDCG@10"


def test_labelled_queries_are_what_the_gate_asks_by():
    fitted("--queries", "unseen.npy", "--query-labels", "unseen-labels.npy", "--force")
    assert Map.load("map").record["queries"] == {"fit": 1140, "watch": 60, "gate": 100}


def test_a_rotation_goes_into_an_index(tmp_path):
    run("fit", "known.npy", "--method", "pca", "--out", "turn", "--dims", "4,8", "--force")
    found = CliRunner().invoke(app, ["index", "build", "known.npy", "--map", "turn", "--out", "ix"])
    assert found.exit_code == 0, found.output
    fitted()
    wrong = CliRunner().invoke(app, ["index", "build", "known.npy", "--map", "map", "--out", "other"])
    assert "an index turns vectors by a rotation, which keeps every full-width score, and map holds residual:" in str(
        wrong.exception
    )


def test_what_the_gate_stops_is_not_kept(monkeypatch, capsys):
    np.save("noise.npy", classes.random(500).vectors)
    words = ("fit", "noise.npy", "--method", "pca", "--dims", "4,8", "--out", "map")
    assert "mrl: not saved: Over " in refused(monkeypatch, capsys, *words)
    assert run(*words, "--force").stdout == "map\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--labels", "unseen-labels.npy"],
            "1200 vectors came with 100 labels, of unseen-labels.npy; give one for each vector",
        ),
        (["--dims", "8,32"], "dims 8,32 need vectors of at least 32 dims, got 16"),
        (["--judgements", "x.tsv"], "--judgements speak of queries, and there are none; give --queries"),
        (["--pairs"], "--pairs speak of queries, and there are none"),
        (
            ["--queries", "unseen.npy", "--pairs"],
            "--pairs needs as many queries as vectors, got 100 in unseen.npy and 1200",
        ),
        (["--queries", "unseen.npy", "--pairs", "--judgements", "x.tsv"], "--pairs and --judgements both say"),
        (["--queries", "known.npy"], "queries and vectors are the same, known.npy: every query would find itself"),
        (["--queries", "unseen.npy", "--pairs", "--drop-bad", "yes"], "--pairs goes by the rows' places"),
        (["--seed", "-1"], "seed must be an integer ≥ 0, got -1"),
        (["--objective", "labels"], "the objective labels needs labels, and there are none"),
        (["--method", "svd"], "unknown method 'svd'"),
        (["--rows", "rows.txt"], "rows are written as .jsonl or .parquet"),
        (["--metric", "euclid"], "unknown metric 'euclid'"),
    ],
)
def test_what_cannot_be_fitted_is_refused(monkeypatch, capsys, words, said):
    assert said in refused(monkeypatch, capsys, "fit", "known.npy", "--out", "map", *words)


def test_bad_rows_are_named_and_dropped_only_if_asked(monkeypatch, capsys):
    vectors = np.load("known.npy")
    vectors[7, 3] = np.nan
    np.save("known.npy", vectors)
    words = ("fit", "known.npy", "--method", "pca", "--dims", "4,8", "--out", "map", "--force")
    assert "known.npy: row 7 has a NaN or an Inf (1 in all are such)" in refused(monkeypatch, capsys, *words)
    done = run(*words, "--drop-bad", "yes")
    assert "7" in done.stderr


def test_mapped_vectors_are_not_mapped_again(monkeypatch, capsys):
    fitted()
    run("apply", "map", "known.npy", "--out", "mapped")
    said = refused(monkeypatch, capsys, "apply", "map", "mapped", "--out", "again")
    assert "mapped and the map residual:" in said
    assert "they are mapped already" in said
    said = refused(monkeypatch, capsys, "fit", "mapped", "--queries", "unseen.npy", "--out", "two", "--method", "pca")
    assert "mapped went through residual:" in said
    assert "and unseen.npy does not say whether it did; map it into a table" in said


def test_heads_and_queries_of_other_maps_are_refused(monkeypatch, capsys):
    fitted()
    run("fit", "known.npy", "--labels", "known-labels.npy", "--out", "other", *QUICK, "--seed", "1", "--force")
    for name in ("known", "unseen"):
        run("apply", "map", f"{name}.npy", "--labels", f"{name}-labels.npy", "--out", name)
    monkeypatch.setattr(sys, "argv", ["mrl", "evaluate", "known", "unseen", "--head", "other"])
    with pytest.raises(SystemExit):
        main()
    assert "the head of other classifies what went through residual:" in capsys.readouterr().err
    CliRunner().invoke(app, ["index", "build", "known", "--out", "ix"])
    for verb in (["search", "ix", "unseen.npy"], ["index", "add", "ix", "unseen.npy"]):
        monkeypatch.setattr(sys, "argv", ["mrl", *verb])
        with pytest.raises(SystemExit):
            main()
        assert "and unseen.npy does not say whether it did; map it into a table" in capsys.readouterr().err


def test_vectors_of_another_width_are_refused_by_their_width(monkeypatch, capsys):
    run("fit", "known.npy", "--method", "pca", "--out", "turn", "--dims", "4,8", "--force")
    np.save("narrow.npy", np.ones((3, 7), np.float32))
    said = refused(monkeypatch, capsys, "apply", "turn", "narrow.npy", "--out", "x")
    assert "narrow.npy and the map pca:" in said
    assert "width is 7, and it was fitted for 16" in said

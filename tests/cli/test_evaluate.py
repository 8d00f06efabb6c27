"""`mrl evaluate` with judgements and with scored pairs, and what it does not mix."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from mrl import Card, Nesting, Table
from mrl.cli import app, main
from mrl.evaluation import Judgements, evaluate_judged, evaluate_pairs, read_rows


def invoke(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def refused(monkeypatch, capsys, *words) -> str:
    """What the real entry point says on stderr when it refuses."""
    monkeypatch.setattr(sys, "argv", ["mrl", *map(str, words)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    return capsys.readouterr().err


@pytest.fixture
def tables(tmp_path):
    draws = np.random.default_rng(0)
    for name in ("documents", "queries"):
        with Table.create(tmp_path / name, Card("clouds", 8, Nesting((2, 8)))) as table:
            table.add(draws.normal(size=(30, 8)).astype(np.float32), ids=[f"{name[0]}{i}" for i in range(30)])
    return tmp_path / "documents", tmp_path / "queries"


@pytest.fixture
def qrels(tmp_path):
    lines = [f"q{i % 30}\td{i * 7 % 30}\t{i % 3}" for i in range(60)]
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\n" + "\n".join(lines) + "\nq99\td1\t1\n")
    return tmp_path / "qrels.tsv"


@pytest.fixture
def scored(tmp_path):
    lines = [f"d{i},q{(i + 3) % 30},{i % 6}" for i in range(30)]
    (tmp_path / "pairs.csv").write_text("one,two,gold\n" + "\n".join(lines) + "\nd1,nobody,3\n")
    (tmp_path / "rows.csv").write_text("score\n" + "\n".join(str(i % 6) for i in range(30)) + "\n")
    return tmp_path / "pairs.csv", tmp_path / "rows.csv"


def rows_of(result):
    assert result.exit_code == 0, (result.output, result.exception)
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_judgements(tables, qrels):
    result = invoke("evaluate", *tables, "--judgements", qrels, "--k", 5, "--recall-at", "5,20", "--name", "mine")
    rows = rows_of(result)
    judgements = Judgements.read(qrels)
    expected = evaluate_judged(*map(Table.open, tables), judgements, k=5, recall_at=(5, 20), run="mine")
    assert [row["value"] for row in rows] == [row.value for row in expected]
    assert list(dict.fromkeys(row["measure"] for row in rows)) == [
        *("nDCG@5", "MRR@5", "recall@5", "recall@20", "AP@5", "P@5")
    ]
    assert "1 of 31 judged queries are not in" in result.stderr
    assert "10 of 30 judged queries have no relevant document: left out" in result.stderr
    assert "nDCG@5" in result.stderr


def test_judgements_with_columns_of_other_names_and_queries_among_the_documents(tables, tmp_path):
    (tmp_path / "j.csv").write_text("q,d,g\nd1,d1,1\nd1,d2,1\n")
    words = ("--judgements", tmp_path / "j.csv", "--judgement-columns", "q,d,g", "--k", 29, "--ignore-same-ids")
    rows = rows_of(invoke("evaluate", tables[0], tables[0], *words))
    assert {row["value"] for row in rows if row["measure"] == "recall@29"} == {1}
    assert {row["value"] for row in rows if row["measure"] == "P@29"} == {1 / 29}


def test_scored_pairs_by_ids_and_row_by_row(tables, scored):
    by_id, by_row = scored
    words = ("--score-column", "gold", "--id-columns", "one,two", "--dims", "4,8")
    result = invoke("evaluate", *tables, "--pairs", by_id, *words)
    assert [(row["measure"], row["dim"]) for row in rows_of(result)] == [
        *(("Spearman", 4), ("Spearman", 8), ("Pearson", 4), ("Pearson", 8))
    ]
    assert "1 of 31 pairs have an id that" in result.stderr
    rows = rows_of(invoke("evaluate", *tables, "--pairs", by_row))
    expected = evaluate_pairs(*map(Table.open, tables), [i % 6 for i in range(30)])
    assert [row["value"] for row in rows] == [row.value for row in expected]


def test_rows_go_to_a_file_and_into_a_report(tables, scored, qrels, tmp_path):
    explained = {"pairs": ("Spearman", "30 pairs."), "judged": ("recall@k", "20 queries.")}
    for name, words in (("pairs", ("--pairs", scored[1])), ("judged", ("--judgements", qrels))):
        out = tmp_path / f"{name}.jsonl"
        assert invoke("evaluate", *tables, *words, "--out", out).stdout.strip() == str(out)
        assert len(read_rows(out)) == (6 if name == "pairs" else 15)
        done = invoke("report", out, "--out", tmp_path / name)
        assert done.exit_code == 0, (done.output, done.exception)
        page = (tmp_path / name / "report.html").read_text(encoding="utf-8")
        assert all(words in page for words in explained[name])
        assert ("<dt>AP@k" in page) == (name == "judged")
        assert "<dt>mAP@k" not in page


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--judgements", "j", "--pairs", "p"), "--judgements and --pairs measure different things; give one"),
        (("--judgements", "j", "--head", "h"), "--head belongs to labels, and --judgements measures without; leave"),
        (("--pairs", "p", "--best", "--k", 3), "--best, --k belong to labels and neighbours, and --pairs has neither"),
        (("--recall-at", "10"), "--recall-at belongs to --judgements, which is not there; leave it out"),
        (("--pairs", "p", "--ignore-same-ids"), "--ignore-same-ids belongs to --judgements, which is not"),
        (
            ("--score-column", "s", "--id-columns", "a,b"),
            "--score-column, --id-columns belong to --pairs, which",
        ),
    ],
)
def test_what_belongs_to_another_way_of_measuring_is_refused(tables, monkeypatch, capsys, words, message):
    assert message in refused(monkeypatch, capsys, "evaluate", *tables, *words)


def test_lengths_that_are_none(tables, qrels, monkeypatch, capsys):
    error = refused(monkeypatch, capsys, "evaluate", *tables, "--judgements", qrels, "--recall-at", "10,x")
    assert "cannot read lengths from '10,x'; write them as 10,100" in error
    error = refused(monkeypatch, capsys, "evaluate", *tables, "--judgements", qrels, "--k", 0)
    assert "k must lie between 1 and the 30 rows" in error

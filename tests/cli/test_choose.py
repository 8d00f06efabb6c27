"""`mrl choose`: what it prints, writes and refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from mrl import Card, Nesting, Table
from mrl.adapt import Map
from mrl.advise import Choice, Terms, choose, held_out, yardstick
from mrl.cli.choose import choose as verb
from mrl.maps import fit_pca
from mrl.vectors import Held
from mrl.vectors.copies import digests

WIDTH = 32
CARD = Card("clouds", WIDTH, Nesting((8, 16, WIDTH)))
APP = typer.Typer()
APP.command()(verb)


def clouds(rows, seed):
    """Vectors of a few classes whose later dims say less and less."""
    draws = np.random.default_rng(seed)
    centres = np.random.default_rng(9).normal(size=(5, WIDTH))
    labels = draws.integers(0, 5, rows)
    return ((centres[labels] + draws.normal(size=(rows, WIDTH))) / np.arange(1, WIDTH + 1)).astype(np.float32), labels


ROWS, LABELS = clouds(1500, 0)
ASKS, WANTED = clouds(800, 1)


@pytest.fixture
def files(tmp_path):
    """Vectors, queries and the labels of both, as .npy."""
    for name, values in (("rows", ROWS), ("asks", ASKS), ("labels", LABELS), ("wanted", WANTED)):
        np.save(tmp_path / f"{name}.npy", values)
    return tmp_path


def invoke(*words):
    return CliRunner().invoke(APP, [str(word) for word in words])


def chosen(*words):
    """The choice on stdout of a command that must succeed, and what it said."""
    result = invoke(*words)
    assert result.exit_code == 0, (words, result.output, result.exception)
    return Choice.from_json(json.loads(result.stdout)), result.stderr


def refused(*words):
    result = invoke(*words)
    assert result.exit_code == 1, result.output
    return str(result.exception)


def test_rows_held_out_ask_for_their_neighbours(files):
    found, said = chosen(files / "rows.npy", "--tolerance", 0.1, "--trained", "8,16,32", "--seed", 3)
    database, queries = held_out(Held.of(ROWS, Card("rows", WIDTH, CARD.nesting), path=files / "rows.npy"), seed=3)
    stick = yardstick(database, queries, "recall@10")
    wanted = choose(database, queries, stick, Terms(0.1, seed=3))
    assert found.findings == wanted.findings
    assert found.promise == wanted.promise
    assert (found.bill.vectors, found.rows, sum(found.queries)) == (1500, 1200, 300)
    lines = said.splitlines()
    assert lines[1].split() == ["dim", "stored", "bytes", "recall@10", "gap", "95", "%", "p", "verdict"]
    assert [line.split()[:3] for line in lines if "no smaller" in line] == [["32", "float32", "128"]]
    assert f"take {found.chosen.name}, {found.chosen.bytes} bytes a vector. recall@10 is 1.0000" in said
    assert "memory for 1,500 vectors, codes alone" in said
    assert "a month" not in said


def test_queries_with_labels_and_a_price(files):
    labelled = ("--labels", files / "labels.npy", "--query-labels", files / "wanted.npy")
    paid = ("--vectors", 10**6, "--price-per-gb-month", 0.5, "--replicas", 2)
    words = (files / "rows.npy", "--queries", files / "asks.npy", *labelled, *paid, "--tolerance", 0.05)
    found, said = chosen(*words, "--dims", "8,16,32", "--encodings", "int8,float32")
    assert found.measure == "1-NN"
    assert {each.name for each in found.findings} == {f"{d} × {e}" for d in (8, 16, 32) for e in ("int8", "float32")}
    assert found.rows == 1500
    assert "a month at 0.5 per GB: " in said
    assert found.costs[0].money == pytest.approx(found.chosen.bytes * 2e6 / 1e9 * 0.5)
    found, said = chosen(*words, "--measure", "recall@5", "--all")
    assert found.measure == "recall@5"
    assert [line.split()[0].strip("~") for line in said.splitlines() if "1bit" in line] == ["32", "24", "16", "12", "8"]


def test_labels_of_a_table_and_names(tmp_path):
    names = ("ant", "bee", "cat", "dog", "emu")
    with Table.create(tmp_path / "rows", CARD, names) as table:
        table.add(ROWS, labels=LABELS)
    with Table.create(tmp_path / "asks", CARD, names[::-1]) as table:
        table.add(ASKS, labels=4 - WANTED)
    found, _ = chosen(tmp_path / "rows", "--queries", tmp_path / "asks", "--tolerance", 0.05)
    assert found.measure == "1-NN"
    assert found.full > 0.7
    assert {each.dim for each in found.findings if each.trained} == {8, 16, 32}


def test_judgements_of_queries_by_their_ids(files):
    draws = np.random.default_rng(0)
    np.save(files / "ids.npy", np.array([f"d{i}" for i in range(1500)]))
    np.save(files / "asked.npy", np.array([f"q{i}" for i in range(800)]))
    lines = [f"q{i} 0 d{d} 1" for i in range(700) for d in draws.choice(np.flatnonzero(WANTED[i] == LABELS), 9, False)]
    (files / "qrels").write_text("\n".join(lines))
    ids = ("--ids", files / "ids.npy", "--query-ids", files / "asked.npy")
    words = (files / "rows.npy", "--queries", files / "asks.npy", *ids)
    found, said = chosen(*words, "--judgements", files / "qrels", "--tolerance", 0.05)
    assert found.measure == "nDCG@10"
    assert f"100 of 800 queries of {files / 'asks.npy'} are not judged: left out" in said
    assert sum(found.queries) == 700
    found, _ = chosen(*words, "--judgements", files / "qrels", "--tolerance", 0.05, "--measure", "MRR@5")
    assert found.measure == "MRR@5"
    (files / "qrels").write_text("q1 0 x7 1")
    assert "judged documents, such as 'x7', is an id of" in refused(*words, "--judgements", files / "qrels")


def test_what_a_map_makes_is_measured_against_the_raw_full_width(files):
    card = Card("rows", WIDTH, Nesting((8, WIDTH)))
    Map(fit_pca(ROWS), card, card.nesting).save(files / "map")
    words = (files / "rows.npy", "--tolerance", 0.05, "--encodings", "float32", "--map", files / "map")
    found, _ = chosen(*words, "--queries", files / "asks.npy")
    assert found.full == 1
    assert {each.dim for each in found.findings} == {8, 20, WIDTH}
    assert found.maps == (Map.load(files / "map").name,)
    assert [each.gap for each in found.findings if each.dim == WIDTH] == [pytest.approx(0, abs=1e-3)]
    assert f"rows held out of the vectors may be those that the map {files / 'map'} was fitted on" in refused(*words)


def test_the_choice_is_written_and_read_back(files):
    words = (files / "rows.npy", "--tolerance", 0.1, "--out", files / "choice.json")
    result = invoke(*words)
    assert result.stdout == f"{files / 'choice.json'}\n", result.exception
    assert str(Choice.load(files / "choice.json")) in result.stderr
    assert "choice.json already exists and is not overwritten" in refused(*words)


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("--tolerance", "0"), "tolerance must be > 0 and < 1, got 0.0"),
        (("--confidence", "1.5"), "confidence must be ≥ 0.5 and < 1, got 1.5"),
        (("--encodings", "int8,int4"), "unknown encoding 'int4'; known are 1bit, int8, int12, float16, float32"),
        (("--dims", "8,64"), "dims 8,64 need vectors of at least 64 dims, got 32; drop the wider dims"),
        (("--dims", "8,x"), "cannot read dims from '8,x'"),
        (("--vectors", "0"), "vectors must be an integer ≥ 1, got 0"),
        (("--seed", "-1"), "seed must be an integer ≥ 0, got -1"),
        (("--rows", "0"), "rows must be an integer ≥ 1, got 0"),
        (("--measure", "P@10"), "unknown measure 'P@10'; known are recall@K, 1-NN, nDCG@K, MRR@K"),
        (("--measure", "1-NN"), "has no labels, which this measures by; give them"),
        (("--judgements", "qrels"), "--judgements speak of queries, and there are none; give --queries"),
        (("--ignore-same-ids",), "--ignore-same-ids belongs to --judgements, which are not there; leave it out"),
        (("--query-ids", "ids.npy"), "--query-ids belongs to --queries, which are not there; leave it out"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(files, words, text):
    assert text in refused(files / "rows.npy", *words)


def test_labels_that_do_not_fit_are_refused(files):
    np.save(files / "few.npy", LABELS[:-1])
    assert "1500 vectors came with 1499 labels" in refused(files / "rows.npy", "--labels", files / "few.npy")
    np.save(files / "same.npy", np.zeros(1500, int))
    assert "have one label, so every neighbour has the right one" in refused(
        files / "rows.npy", "--labels", files / "same.npy"
    )
    assert "has no labels" in refused(
        files / "rows.npy", "--queries", files / "asks.npy", "--labels", files / "labels.npy"
    )


def test_queries_that_are_the_vectors_are_refused(files):
    text = refused(files / "rows.npy", "--queries", files / "rows.npy")
    assert "rows.npy: every query would find itself; leave --queries out, and rows are held out to ask" in text


def test_too_few_rows_and_a_table_that_says_what_it_is(files):
    np.save(files / "few.npy", ROWS[:100])
    assert "20 queries leave 4, 12, 4 to tune, calibrate, report" in refused(files / "few.npy")
    with Table.create(files / "table", CARD) as table:
        table.add(ROWS)
    assert "is a table, whose card says what it is; leave --trained, --metric out" in refused(
        files / "table", "--trained", "8,32", "--metric", "dot"
    ).replace("--metric, --trained", "--trained, --metric")


def test_a_file_that_says_nothing_beside_a_mapped_table_is_refused(files):
    turn = Map(fit_pca(ROWS), CARD, CARD.nesting)
    with Table.create(files / "mapped", turn.card) as table:
        table.add(turn.apply(ROWS))
    text = f"mapped went through {turn.name}, and {files / 'asks.npy'} does not say whether it did; map it into a table"
    assert text in refused(files / "mapped", "--queries", files / "asks.npy")
    assert f"went through {turn.name}: rows held out of it may be those" in refused(files / "mapped")
    with Table.create(files / "asked", turn.card) as table:
        table.add(turn.apply(ASKS))
    found, _ = chosen(files / "mapped", "--queries", files / "asked", "--tolerance", 0.05)
    assert found.full == 1
    text = refused(files / "mapped", "--queries", files / "asked", "--dims", "4")
    assert "dim 4 cannot be read: this embedding was trained at 8,16,32" in text


def test_queries_that_the_map_saw_are_left_out(files):
    card = Card("rows", WIDTH, Nesting((8, WIDTH)))
    Map(fit_pca(ROWS), card, card.nesting, known=digests(ASKS[:100])).save(files / "map")
    words = (files / "rows.npy", "--tolerance", 0.1, "--map", files / "map", "--queries", files / "asks.npy")
    found, said = chosen(*words)
    assert sum(found.queries) == 700
    note = f"100 of 800 queries are those that the map {files / 'map'} was fitted on or watched by: left out"
    assert note in found.notes
    assert note in said
    assert "dim 4 cannot be read: this embedding was trained at 8,32" in refused(*words, "--dims", "4,8")
    np.save(files / "asks.npy", ASKS[:130])
    assert "and the 30 others are too few for a promise; give queries that it never saw" in refused(*words)


def test_keys_and_bad_rows(files):
    rows = ROWS.copy()
    rows[3] = np.nan
    np.savez(files / "both.npz", emb=rows, other=ROWS)
    np.savez(files / "asks.npz", first=ASKS, second=ASKS)
    words = (files / "both.npz", "--queries", files / "asks.npz", "--tolerance", 0.1)
    assert "name the one meant as key" in refused(*words)
    assert "name the one meant as key" in refused(*words, "--key", "emb")
    words = (*words, "--key", "emb", "--query-key", "first")
    assert "row 3 has a NaN or an Inf" in refused(*words)
    found, said = chosen(*words, "--drop-bad", "yes")
    assert found.rows == 1499
    assert "1 rows are left out, 1 with a NaN or an Inf: row 3" in said
    assert "--query-key belongs to --queries, which are not there" in refused(files / "both.npz", "--query-key", "a")


def test_of_many_rows_a_sample(files):
    found, said = chosen(files / "rows.npy", "--queries", files / "asks.npy", "--rows", 500, "--tolerance", 0.1)
    assert (found.rows, found.bill.vectors) == (500, 1500)
    assert "rows.npy: 500 of 1,500 rows were drawn at random; what is promised holds for so many" in said
    assert found.notes[0] in said


def test_copies_are_said(files):
    np.save(files / "rows.npy", np.repeat(ROWS, 3, axis=0))
    np.save(files / "asks.npy", np.repeat(ASKS, 2, axis=0))
    found, _ = chosen(files / "rows.npy", "--queries", files / "asks.npy", "--tolerance", 0.1)
    assert sum(found.queries) == 800
    assert "1,600 queries are 800 different vectors: copies count as one query, by their mean" in found.notes
    found, _ = chosen(files / "rows.npy", "--tolerance", 0.1)
    assert any("rows are copies of those that ask" in note for note in found.notes)


def test_a_tolerance_that_lets_everything_go_chooses_nothing(files):
    np.save(files / "labels.npy", LABELS)
    np.save(files / "wanted.npy", np.where(np.arange(800) < 6, WANTED, 77))
    labelled = ("--labels", files / "labels.npy", "--query-labels", files / "wanted.npy")
    found, said = chosen(files / "rows.npy", "--queries", files / "asks.npy", *labelled)
    assert found.chosen is None
    assert "nothing was tested: on the tune part's 160 queries the full width itself has 1-NN = 0.0" in said
    assert "of classes that no row has, which no version can answer: 794" in said


def test_a_row_that_cannot_be_measured_is_named_by_its_place_in_the_file(files):
    rows = ROWS.copy()
    rows[7, :8] = 1e-18
    np.save(files / "rows.npy", rows)
    assert "rows.npy: the first 8 dims of the row with id 7 have length" in refused(files / "rows.npy", "--seed", 1)


def test_queries_that_are_documents_are_measured_by_judgements_alone(files):
    (files / "qrels").write_text("\n".join(f"{i} 0 {(i + 1) % 1500} 1" for i in range(1500)))
    words = (files / "rows.npy", "--queries", files / "rows.npy", "--judgements", files / "qrels", "--ignore-same-ids")
    assert "recall@10 does not ignore a query's own row" in refused(*words, "--measure", "recall@10")
    found, _ = chosen(*words, "--tolerance", 0.1)
    assert found.measure == "nDCG@10"


def test_no_rows_are_refused(files):
    np.save(files / "none.npy", ROWS[:0])
    assert "none.npy has no rows; give vectors" in refused(files / "none.npy")

"""`evaluate_pairs`: against cutting, rescaling and correlating at each dim by itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracles
from mrl import Card, Nesting, Table
from mrl.errors import CardError, InputError, NestingError
from mrl.evaluation import ScoredPairs, evaluate_pairs, per_pair
from mrl.evaluation.similarity import TILE, similarities, spearman

NESTING = Nesting((2, 4, 8))
CARD = Card("clouds", 8, NESTING, fingerprint="f")


def table(path, vectors, ids=None, card=CARD):
    with Table.create(path, card) as out:
        out.add(vectors.astype(np.float32), ids)
    return Table.open(path)


@pytest.fixture
def sides(tmp_path):
    draws = np.random.default_rng(0)
    left = draws.normal(size=(TILE + 90, 8))
    right = left + draws.normal(size=left.shape)
    scores = np.round((left * right).sum(1) + draws.normal(size=len(left)) * 3)
    names = [f"b{i}" for i in range(len(left))]
    return table(tmp_path / "a", left), table(tmp_path / "b", right, names), scores


def slow(a, b, dim, metric):
    """One dim in float64: cut, rescale where the metric does, compare."""
    left, right = a[:, :dim].astype(float), b[:, :dim].astype(float)
    if metric == "l2":
        return -((left - right) ** 2).sum(1)
    if metric == "cosine":
        left, right = oracles.unit(left, dim), oracles.unit(right, dim)
    return (left * right).sum(1)


floats = hnp.arrays(np.float32, (2, 5, 8), elements=st.floats(-8, 8, width=16))


@settings(deadline=None)
@given(floats, st.sampled_from(["cosine", "dot", "l2"]))
def test_equal_cutting_at_each_dim(both, metric):
    a, b = both
    found = similarities(a, b, NESTING, metric)
    for level, dim in enumerate(NESTING.dims):
        np.testing.assert_allclose(found[level], slow(a, b, dim, metric), atol=1e-12)


@given(hnp.arrays(np.float32, (6, 8), elements=st.floats(-8, 8, width=16)))
def test_equal_vectors_tie(rows):
    """Exactly 1, so that duplicates share a rank."""
    nonzero = (rows[:, :2] != 0).any(1)
    assert (similarities(rows, rows, NESTING)[:, nonzero] == 1).all()


def test_rows_say_what_they_are(sides):
    a, b, scores = sides
    rows = evaluate_pairs(a, b, scores, run="mine")
    assert [(row.measure, row.dim) for row in rows] == [
        (m, d) for m in ("Spearman", "Pearson") for d in (2, 3, 4, 6, 8)
    ]
    for row in rows:
        assert (row.run, row.method, row.queries, row.interval) == ("mine", "pairs", len(scores), "bootstrap")
        assert (row.bytes, row.macs, row.trained) == (4 * row.dim, row.dim, row.dim in NESTING.dims)
        how = scipy.stats.spearmanr if row.measure == "Spearman" else scipy.stats.pearsonr
        expected = how(slow(a.vectors, b.vectors, row.dim, "cosine"), scores).statistic
        assert row.value == pytest.approx(expected, abs=1e-9)
        assert row.low < row.value < row.high
    of_arrays = spearman(a.vectors, b.vectors, scores, NESTING)
    assert [row.value for row in rows if row.measure == "Spearman" and row.trained] == pytest.approx(of_arrays.tolist())


def test_opposite_scores_give_negative_rows(sides):
    a, b, scores = sides
    forth, back = evaluate_pairs(a, b, scores), evaluate_pairs(a, b, -scores)
    assert [row.value for row in back] == pytest.approx([-row.value for row in forth])
    assert [row.low for row in back] == pytest.approx([-row.high for row in forth])


def test_pairs_by_ids(tmp_path, sides):
    a, b, _ = sides
    draws = np.random.default_rng(1)
    left, right = draws.integers(0, len(a), (2, 300))
    gold = draws.integers(0, 6, 300)
    columns = {"one": left, "two": [f"b{i}" for i in right], "grade": gold}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "pairs.parquet")
    pairs = ScoredPairs.read(tmp_path / "pairs.parquet", "grade", ("one", "two"))
    found = per_pair(a, b, pairs, dims=Nesting((4,)))
    np.testing.assert_allclose(found.similarities[0], slow(a.vectors[left], b.vectors[right], 4, "cosine"), atol=1e-12)
    np.testing.assert_array_equal(found.scores, gold)
    assert found.notes == ()


def test_pairs_within_one_table_and_unknown_ids(sides):
    a, _, _ = sides
    ids = (("0", "1"), ("1", "1"), ("2", "nobody"), ("0", "2"), ("007", "1"))
    found = per_pair(a, a, ScoredPairs(np.array([1, 5, 9, 2, 3]), ids))
    assert found.scores.tolist() == [1, 5, 2]
    assert found.similarities[-1, 1] == 1
    assert found.notes == (f"2 of 5 pairs have an id that {a.path} or {a.path} lacks: left out",)


@pytest.mark.parametrize("name", ["p.csv", "p.tsv", "p.jsonl"])
def test_scores_row_by_row_from_a_file(tmp_path, name):
    text = {
        "p.csv": 'sentence,score\n"a, b",1\nc,2.5\nd,-3e0\n',
        "p.tsv": "sentence\tscore\na\t1\nc\t2.5\nd\t-3\n",
        "p.jsonl": '{"score": 1, "s": "a"}\n{"score": 2.5}\n{"score": "-3"}\n',
    }
    (tmp_path / name).write_text(text[name])
    read = ScoredPairs.read(tmp_path / name)
    assert read.scores.tolist() == [1, 2.5, -3]
    assert read.ids is None


def test_files_that_cannot_be_meant_are_refused(tmp_path):
    (tmp_path / "p.csv").write_text("one,two,score\n1,2,3\n1,,4\n")
    with pytest.raises(InputError, match=r"p.csv has no column gold, only one, two, score; name the columns"):
        ScoredPairs.read(tmp_path / "p.csv", "gold")
    with pytest.raises(InputError, match=r"p.csv:3 has the id ''"):
        ScoredPairs.read(tmp_path / "p.csv", ids=("one", "two"))
    with pytest.raises(InputError, match="a pair has two columns of ids, got one; name them as in id1,id2"):
        ScoredPairs.read(tmp_path / "p.csv", ids=("one",))
    (tmp_path / "q.csv").write_text("score\n1\nnan\n")
    with pytest.raises(InputError, match=r"q.csv:3 has the score 'nan'; give a finite number"):
        ScoredPairs.read(tmp_path / "q.csv")
    with pytest.raises(InputError, match=r"named columns come from .csv, .tsv, .jsonl, .parquet, got .*pairs.txt"):
        ScoredPairs.read(tmp_path / "pairs.txt")


def test_what_does_not_belong_together_is_refused(tmp_path, sides):
    a, b, scores = sides
    with pytest.raises(
        InputError, match=r"a has 1114 rows, .*b 1114, and there are 1113 scores: pairs are rows of both"
    ):
        evaluate_pairs(a, b, scores[1:])
    with pytest.raises(InputError, match=r"both tables are .*a: every row would be compared with itself"):
        evaluate_pairs(a, a, scores)
    with pytest.raises(InputError, match="all 1114 scores are 2 and rank nothing; give scores that differ"):
        evaluate_pairs(a, b, np.full(len(a), 2))
    with pytest.raises(InputError, match=r"pair 3 has the score nan; give a finite number or leave it out"):
        evaluate_pairs(a, b, [1.0, 2, 3, np.nan])
    with pytest.raises(InputError, match=r"scores must be one number per pair, got float64 of shape \(1, 1114\)"):
        evaluate_pairs(a, b, scores[None])
    with pytest.raises(InputError, match="there are 3 scores and 1 pairs of ids"):
        ScoredPairs(np.arange(3), (("0", "1"),))
    with pytest.raises(InputError, match="a correlation needs at least 2 pairs, got 1 of"):
        evaluate_pairs(a, b, ScoredPairs(np.arange(2), (("0", "b1"), ("0", "1"))))
    other = table(tmp_path / "o", np.ones((3, 8)), card=replace(CARD, fingerprint="g"))
    with pytest.raises(CardError, match="fingerprint"):
        evaluate_pairs(a, other, scores)
    with pytest.raises(NestingError, match="dims 8,99 need vectors of at least 99 dims"):
        evaluate_pairs(a, b, scores, dims=Nesting((8, 99)))


def test_two_pairs_have_a_row_whose_interval_holds_it(tmp_path):
    a, b = (table(tmp_path / name, np.random.default_rng(i).normal(size=(2, 8))) for i, name in enumerate("ab"))
    for row in evaluate_pairs(a, b, [0, 1]):
        assert row.low <= row.value <= row.high
        assert abs(row.value) == pytest.approx(1)


def test_zero_vectors_have_similarity_zero(tmp_path):
    a, b = (table(tmp_path / name, np.zeros((3, 8))) for name in "ab")
    assert {row.value for row in evaluate_pairs(a, b, [0, 1, 2])} == {0.0}

from dataclasses import replace

import pytest

from mrl.errors import InputError
from mrl.report import series as s


def test_fixed_feature_runs_are_one_series_and_come_last(rows):
    assert s.series(reversed(rows)) == ["MRL-E", "MRL", "FF"]
    (fixed,) = [curve for curve in s.curves(rows, "1-NN") if curve.series == "FF"]
    assert [(row.run, row.dim) for row in fixed.rows] == [("FF-8", 8), ("FF-16", 16), ("FF-32", 32), ("FF-64", 64)]


@pytest.mark.parametrize("run", ["FF", "FF-8x", "xFF-8", "FF-", "FF-16"])
def test_only_a_fixed_feature_model_at_its_own_dim_joins(rows, run):
    assert s.series_of(replace(rows[0], run=run, dim=8)) == run


def test_head_and_probe_are_curves_of_their_own_ordered_by_dim(rows):
    found = {(c.series, c.method): [row.dim for row in c.rows] for c in s.curves(rows[::-1], "top-1")}
    assert found["MRL", "head"] == [8, 16, 32, 64]
    assert found["MRL", "probe"] == [12, 24, 48]
    assert found["MRL-E", "head"] == [8, 12, 16, 24, 32, 48, 64]
    assert ("MRL-E", "probe") not in found


def test_main_measures_are_the_smallest_k_of_each_family_and_the_unknown_ones(rows):
    assert s.main_measures(rows) == ["top-1", "1-NN", "mAP@10"]
    extra = [
        replace(row, measure={"P@10": "nDCG@10", "mAP@10": "mAP@100"}.get(row.measure, row.measure)) for row in rows
    ]
    assert s.main_measures([*rows, *extra]) == ["top-1", "1-NN", "mAP@10", "nDCG@10"]
    assert s.main_measures([row for row in rows if row.measure == "P@10"]) == ["P@10"]


def test_measures_have_readable_titles_and_unknown_ones_keep_their_name():
    assert s.title("top-5") == "Linear accuracy (top-5)"
    assert s.title("20-NN") == "20-NN accuracy"
    assert s.title("mAP@100") == "Mean average precision (mAP@100)"
    assert s.title("spearman") == "spearman"
    assert s.title("nDCG@10") == "Ranking quality (nDCG@10)"
    assert s.noun("recall@100") == "recall@100"
    assert s.title("Spearman") == "Spearman correlation \u00d7 100"
    assert s.noun("Pearson") == "Pearson correlation"


def test_measures_with_judgements_are_drawn_by_their_smallest_k(ladder):
    names = ("P@10", "AP@10", "recall@10", "recall@100", "MRR@10", "nDCG@10")
    rows = [row for name in names for row in ladder(0.1, 0.2, measure=name)]
    assert s.main_measures(rows) == ["nDCG@10", "MRR@10", "recall@10"]
    pairs = [row for name in ("Pearson", "Spearman") for row in ladder(0.1, 0.2, measure=name)]
    assert s.main_measures(pairs) == ["Spearman"]


def test_correlations_are_no_shares():
    assert [s.is_share(name) for name in ("Spearman", "Pearson", "nDCG@10", "1-NN", "mine")] == [0, 0, 1, 1, 1]


def test_plots_of_measures_that_differ_in_punctuation_have_names_of_their_own(ladder):
    rows = [*ladder(0.5, 0.6, measure="x 1"), *ladder(0.5, 0.6, measure="x-1")]
    assert [plot.name for plot in s.plots(rows)] == ["x-1-by-dim", "x-1-by-dim-again", "x-1-by-bytes"]


def test_best_needs_a_rival_and_shares_ties(ladder):
    ours, theirs = ladder(0.5, 0.7, 0.9), ladder(0.5, 0.6, run="MRL-E")
    assert s.best([*ours, *theirs]) == {ours[0], theirs[0], ours[1]}


def test_percentages_have_two_decimals_only_with_many_queries(rows):
    many = [replace(row, queries=10_000) for row in rows]
    assert (s.digits(rows), s.digits(many), s.digits([*many, rows[0]])) == (1, 2, 1)


def test_no_rows_are_refused():
    with pytest.raises(InputError, match="no rows to report; give rows that `mrl evaluate --out` wrote"):
        s.check([])


@pytest.mark.parametrize("change", [{"value": float("nan")}, {"value": float("inf")}, {"bytes": 0}, {"dim": 0}])
def test_rows_that_cannot_be_drawn_are_refused(rows, change):
    with pytest.raises(InputError, match="needs finite values and at least one dim and one byte, so measure it again"):
        s.check([replace(rows[0], **change)])


def test_two_rows_for_one_place_are_refused(rows):
    with pytest.raises(InputError, match=r"two rows give top-1 \(head\) of MRL at dim 8; give each file once"):
        s.check([*rows, replace(rows[0], value=0.5)])
    s.check([*rows, replace(rows[0], method="probe")])

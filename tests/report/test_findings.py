import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrl.evaluation.rows import Row
from mrl.report.findings import findings, headline, nested_run, ratio, sentence


def _rows(values):
    return [
        Row("MRL", "1-NN", 8 * 2**i, True, v, v * 0.9, min(1, v * 1.1), "wilson", "neighbours", 100, 32 * 2**i, 1)
        for i, v in enumerate(values)
    ]


@given(st.lists(st.floats(0.01, 1), min_size=2, max_size=8), st.floats(0.5, 1))
def test_the_cut_keeps_enough_at_its_dim_and_above_and_the_next_narrower_does_not(values, keep):
    rows = _rows(values)
    (found,) = findings(rows, keep)
    at = rows.index(found.cut)
    assert found.full == rows[-1]
    assert all(row.value >= keep * found.full.value for row in rows[at:])
    assert at == 0 or rows[at - 1].value < keep * found.full.value
    assert found.kept == found.cut.value / found.full.value
    assert found.kept_at_worst <= found.kept
    assert found.smaller == found.full.dim / found.cut.dim


def test_a_lucky_narrow_dim_does_not_count(ladder):
    (found,) = findings(ladder(0.95, 0.5, 0.94, 0.95))
    assert found.cut.dim == 32


def test_exactly_the_share_is_kept(ladder):
    (found,) = findings(ladder(0.49, 0.5))
    assert found.cut.dim == 8
    assert (
        headline(ladder(0.49, 0.5)) == "MRL keeps 98.0 % of its 16-dim 1-NN accuracy at 8 dims: 2\u00d7 smaller vectors"
    )


def test_shares_are_rounded_down(ladder):
    assert "keeps 98.9 %" in headline(ladder(0.9899, 1.0))


def test_all_measures_must_keep_enough(ladder):
    rows = [*ladder(0.9, 0.9, 0.9), *ladder(0.5, 0.79, 0.8, measure="mAP@10")]
    assert headline(rows) == (
        "MRL keeps at least 98 % of its 32-dim 1-NN accuracy and mAP@10 at 16 dims: 2\u00d7 smaller vectors"
    )


def test_a_run_that_cannot_be_cut_says_so(ladder):
    rows = ladder(0.3, 0.6, 0.9)
    assert headline(rows) == "MRL needs all of its 32 dims to keep 98 % of its 1-NN accuracy"
    assert sentence(findings(rows)[0]).startswith("No narrower trained dim keeps 98 % of the 90.0 % (")


def test_the_widest_nested_run_speaks_and_fixed_features_never_do(rows, ladder):
    assert nested_run(rows) == "MRL"
    assert nested_run([row for row in rows if row.run.startswith("FF")]) is None
    assert nested_run([*ladder(0.5, 0.6), *ladder(0.5, 0.6, 0.7, run="wide")]) == "wide"
    assert {found.full.run for found in findings(rows)} == {"MRL"}


def test_only_trained_dims_are_named(ladder):
    rows = ladder(0.9, 0.9, 0.9)
    assert findings([replace(rows[0], trained=False), *rows[1:]])[0].cut.dim == 16


def test_without_a_nested_run_the_best_value_is_named(rows):
    fixed = [row for row in rows if row.run.startswith("FF")]
    assert headline(fixed) == "FF reaches 94.1 % top-1 accuracy at 64 dims"


def test_head_is_compared_with_head(ladder):
    head = [replace(row, measure="top-1", method="head") for row in ladder(0.5, 0.9)]
    probe = [replace(row, method="probe", value=0.9) for row in head]
    assert findings([*probe, *head])[0].cut.dim == 16


def test_the_sentence_gives_both_intervals_and_the_unfavourable_ratio(ladder):
    full, cut = (
        replace(row, low=low, high=high)
        for row, low, high in zip(reversed(ladder(0.9, 0.9)), (0.88, 0.87), (0.92, 0.93), strict=True)
    )
    assert sentence(findings([cut, full])[0]) == (
        "90.0 % (87.0 to 93.0) against 90.0 % (88.0 to 92.0) at 16 dims. "
        "At the unfavourable ends of both intervals, 94.5 % is kept."
    )


def test_a_correlation_is_no_percentage_and_keeps_nothing_below_zero(ladder):
    rows = [replace(row, low=row.value - 0.3) for row in ladder(0.2, 0.2, measure="Spearman")]
    assert headline(rows) == "MRL keeps 100.0 % of its 16-dim Spearman correlation at 8 dims: 2× smaller vectors"
    said = sentence(findings(rows)[0])
    assert said.startswith("20.0 (-10.0 to ")
    assert said.endswith("At the unfavourable ends of both intervals, 0.0 % is kept.")
    alone = headline([replace(row, value=-0.25, trained=False) for row in rows])
    assert alone == "MRL reaches -25.0 Spearman correlation at 8 dims"


def test_without_intervals_no_interval_is_invented(ladder):
    rows = [replace(row, low=math.nan, high=math.nan) for row in ladder(0.9, 0.9)]
    assert sentence(findings(rows)[0]) == "90.0 % against 90.0 % at 16 dims."


@pytest.mark.parametrize(("value", "text"), [(8, "8"), (8 / 3, "2.6"), (2.0, "2"), (1365.33, "1,365.3")])
def test_ratios_are_rounded_down(value, text):
    assert ratio(value) == text

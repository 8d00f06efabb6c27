"""What new queries say of a plan's promise: recall by what was lost, other measures by their gaps."""

import numpy as np
import pytest

from mrl.errors import InputError
from mrl.promise import Estimate, Parts, Promise, recheck
from mrl.retrieval.planner.rechecking import rechecked


def promise(recall):
    return Promise(
        "64:100 → 1024:10", "recall@10", round(1 - recall, 9), 0.95, Estimate(0, 0, 0), Parts(1, 1, 1), "rows", 10, "x"
    )


def tenths(loss, n, seed):
    """Losses of a tenth or two at some queries."""
    return np.random.default_rng(seed).binomial(10, loss, n) / 10


def test_recall_is_tested_on_what_was_lost_itself():
    values = 1 - tenths(0.03, 400, 0)
    found, blunt = rechecked(promise(0.99), np.ones(400), values), recheck(promise(0.99), (2 - values) / 2)
    assert found.verdict == "broken"
    assert found.broken_p < blunt.broken_p
    assert found.lost.mean == pytest.approx(1 - values.mean()) == pytest.approx(blunt.lost.mean)


def test_few_queries_say_how_many_would_notice():
    found = rechecked(promise(0.98), np.ones(60), 1 - tenths(0.015, 60, 0))
    assert found.verdict == "unsure"
    assert found.alarm > 60
    end = f" About {found.alarm} queries would raise an alarm for a drop of 2 points in nine of ten cases."
    assert found.sentence.endswith(end)
    many = rechecked(promise(0.98), np.ones(600), 1 - tenths(0.001, 600, 0))
    assert many.verdict == "kept"
    assert many.sentence.endswith("the promise is kept, with 95 % confidence.")
    assert type(found).from_json(found.to_json()) == found


def test_a_judged_measure_is_tested_on_its_gap():
    draws = np.random.default_rng(0)
    full = draws.beta(3, 2, 1500)
    kept = rechecked(promise(0.98), full, (full - draws.normal(0.001, 0.05, 1500)).clip(0, 1))
    broken = rechecked(promise(0.98), full, (full - draws.normal(0.05, 0.05, 1500)).clip(0, 1))
    assert (kept.verdict, broken.verdict) == ("kept", "broken")
    assert 100 < kept.alarm < 1500


def test_copies_of_queries_make_nothing_surer():
    values, same = 1 - tenths(0.03, 40, 0), np.repeat(np.arange(40), 20)
    once = rechecked(promise(0.98), np.ones(40), values)
    again = rechecked(promise(0.98), np.ones(800), values[same], same)
    assert again.queries == 40
    assert again.broken_p == pytest.approx(once.broken_p)


def test_what_cannot_be_rechecked():
    with pytest.raises(InputError, match="values of shapes"):
        rechecked(promise(0.98), np.ones(5), np.ones(4))

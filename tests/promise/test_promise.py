from dataclasses import replace

import numpy as np
import pytest

from mrl.errors import DamagedError, InputError
from mrl.promise import Estimate, Parts, Promise, Recheck, estimate, gap, most_allowed, recheck

PROMISE = Promise(
    subject="64 dims in int8",
    measure="recall@10",
    tolerance=0.02,
    confidence=0.95,
    lost=Estimate(0.004, -0.002, 0.0098),
    queries=Parts(300, 400, 300),
    data="products",
    rows=44072,
    digest="ab12",
)


def losses(mean, n=1000, seed=0):
    """Gaps of a candidate that loses `mean` on average, as `gap` gives them."""
    draws = np.random.default_rng(seed)
    return gap(draws.random(n) < 0.5 + mean / 2 + 0.1, draws.random(n) < 0.5 - mean / 2 + 0.1)


def small_losses(mean, n=1000, seed=0):
    return np.clip((1 + mean) / 2 + 0.02 * np.random.default_rng(seed).normal(size=n), 0, 1)


def test_the_sentence_says_what_for_whom_and_until_when():
    assert PROMISE.sentence == (
        "With 95 % confidence, 64 dims in int8 loses at most 0.02 of recall@10 on average against the full width. "
        "On 300 queries that had no part in the choice, the loss is 0.0040 [-0.0020, 0.0098]; 400 others gave the "
        "promise. It holds for queries like these on products (44,072 rows) until more than 10 % of the rows change."
    )


def test_the_mean_on_the_queries_that_gave_the_promise_is_said_where_it_is_known():
    """A report part may lose more than was promised, of a promise that is true."""
    known = replace(PROMISE, calibrated=0.01234)
    assert "0.0098]; on the 400 others, which gave the promise, it is 0.0123. It holds" in known.sentence
    assert Promise.from_json(known.to_json()) == known
    old = {name: value for name, value in PROMISE.to_json().items() if name != "calibrated"}
    assert Promise.from_json(old) == PROMISE


def test_a_promise_survives_the_disk(tmp_path):
    path = tmp_path / "promise.json"
    PROMISE.save(path)
    assert Promise.load(path) == PROMISE
    path.write_bytes(path.read_bytes().replace(b'"tolerance": 0.02', b'"tolerance": 0.01'))
    with pytest.raises(DamagedError, match=r"promise\.json is damaged"):
        Promise.load(path)


def test_only_a_promise_is_read_as_one():
    document = PROMISE.to_json()
    for bad in ({}, {**document, "more": 1}, {**document, "lost": [1, 2, 3]}):
        with pytest.raises(InputError, match="cannot read a promise from"):
            Promise.from_json(bad)


@pytest.mark.parametrize(
    ("rows", "changed", "stale"),
    [(1000, 0, False), (1000, 100, False), (1000, 101, True), (1100, 0, False), (1101, 0, True), (899, 0, True),
     (900, 3, False), (1000, 1000, True), (0, 0, True)],
)  # fmt: skip
def test_a_promise_goes_stale_by_more_than_its_share(rows, changed, stale):
    assert replace(PROMISE, rows=1000).stale(rows, changed) == stale
    assert not replace(PROMISE, rows=1000, change=1.0).stale(rows, changed)


def test_no_change_at_all_may_be_allowed():
    strict = replace(PROMISE, change=0.0)
    assert not strict.stale(strict.rows)
    assert strict.stale(strict.rows, 1)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("tolerance", 0.0, "the tolerance must be > 0 and ≤ 1, got 0.0"),
        ("tolerance", np.nan, "the tolerance must be > 0"),
        ("confidence", 1.0, "the confidence must be > 0 and < 1, got 1.0"),
        ("change", -0.1, "the share of rows that may change must be ≥ 0 and ≤ 1"),
        ("rows", 0, "the number of rows must be ≥ 1"),
    ],
)
def test_a_promise_that_says_nothing_is_refused(field, value, said):
    with pytest.raises(InputError, match=said):
        replace(PROMISE, **{field: value})


def test_rows_are_not_negative():
    with pytest.raises(InputError, match="the number of rows now must be ≥ 0"):
        PROMISE.stale(-1)
    with pytest.raises(InputError, match="the number of changed rows must be ≥ 0"):
        PROMISE.stale(10, -1)


def test_a_kept_promise_is_found_kept():
    found = recheck(PROMISE, small_losses(0.005))
    assert found.verdict == "kept"
    assert found.kept_p <= 0.05 < found.broken_p
    assert found.queries == 1000
    assert found.sentence.startswith("Over 1,000 new queries the mean loss is 0.00")
    assert found.sentence.endswith("and at most 0.02 was promised: the promise is kept, with 95 % confidence.")


def test_a_broken_promise_is_found_broken():
    found = recheck(PROMISE, small_losses(0.035))
    assert found.verdict == "broken"
    assert found.broken_p <= 0.05 < found.kept_p
    assert found.sentence.endswith("the promise is broken, with 95 % confidence.")


@pytest.mark.parametrize("mean", [0.0, 0.05])
def test_too_few_queries_cannot_tell_and_say_how_many_would(mean):
    few = recheck(PROMISE, small_losses(mean, 30))
    assert few.verdict == "unsure"
    assert few.enough > 30
    assert few.sentence.endswith(f"not enough queries to tell with 95 % confidence; about {few.enough:,} would do.")
    assert recheck(PROMISE, small_losses(mean, 2 * few.enough)).verdict == ("kept" if mean == 0 else "broken")


def test_losses_at_the_tolerance_never_tell():
    found = recheck(replace(PROMISE, tolerance=0.5), np.full(4000, 0.75))
    assert found.verdict == "unsure"
    assert found.enough is None
    assert found.sentence.endswith("no number of them would tell.")


@pytest.mark.parametrize("wrong", ["kept", "broken"])
def test_the_verdict_is_seldom_wrong(wrong):
    """Losses of the tolerance itself, on which both verdicts are wrong as often as they may be."""
    at = [recheck(replace(PROMISE, tolerance=0.2), losses(0.2, 150, seed)) for seed in range(200)]
    assert sum(found.verdict == wrong for found in at) <= most_allowed(200, 0.05)


def test_the_loss_is_given_with_its_interval():
    values = losses(0.1)
    found = recheck(PROMISE, values)
    np.testing.assert_allclose(found.lost, 2 * np.array(estimate(values)) - 1, atol=1e-12)


def test_a_recheck_survives_json():
    found = recheck(PROMISE, losses(0.01, 50))
    assert Recheck.from_json(found.to_json()) == found
    with pytest.raises(InputError, match="cannot read a re-check from"):
        Recheck.from_json({"verdict": "kept"})
    with pytest.raises(InputError, match="unknown verdict 'perhaps'; known are kept, broken, unsure"):
        Recheck.from_json({**found.to_json(), "verdict": "perhaps"})


def test_what_is_no_loss_cannot_be_rechecked():
    with pytest.raises(InputError, match=r"losses must lie in \[0, 1\], got -0.1 at query 0"):
        recheck(PROMISE, np.array([-0.1]))
    with pytest.raises(InputError, match="give at least one query"):
        recheck(PROMISE, np.zeros(0))

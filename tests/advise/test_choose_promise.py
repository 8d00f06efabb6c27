"""The promise is true as often as it says: losses are measured once, and the selection is repeated on other draws.

The truth is the mean over the whole pool; queries are drawn from it with replacement; a repeat is wrong if what it
chose loses more than the tolerance in truth. At 5 %, 21 wrong ones of 200 are the 99.9 % binomial quantile.
"""

import csv
import gzip

import numpy as np
import pytest

from mrl.advise.candidates import Candidate, Measured, Side, measured
from mrl.advise.selection import Dealt, tried
from mrl.evaluation.yardstick import KeptNeighbours, NearestLabel
from mrl.maps import fit_pca
from mrl.nesting import Nesting
from mrl.promise import most_allowed
from public import data

REPEATS, ALPHA = 200, 0.05
WIDTH = 1024
BELOW = 4 * WIDTH  # bytes of the full width


def chosen(pool, queries, tolerance, repeats=REPEATS, below=BELOW):
    """The candidate that each repeat chose, or None."""
    draws = np.random.default_rng(0)
    for repeat in range(repeats):
        dealt = Dealt.of(pool.only(draws.integers(0, len(pool.full), queries)), seed=repeat)
        yield tried(dealt.tune, dealt.calibrate, below, tolerance, ALPHA).chosen


def wrong_of(pool, queries, tolerance, **more):
    """(how many repeats were wrong, how many promised nothing, the median bytes of the others)."""
    truth, found = pool.gaps.mean(1), list(chosen(pool, queries, tolerance, **more))
    sizes = [pool.candidates[c].bytes for c in found if c is not None]
    return sum(c is not None and truth[c] > tolerance + 1e-12 for c in found), found.count(None), np.median(sizes or 0)


def made(gaps):
    """A pool with these gaps (candidates, n), in [0, 1] or where the full width is wrong below 0; sizes fall."""
    candidates = tuple(Candidate(WIDTH // 2 - i, "int8") for i in range(len(gaps)))
    full = np.where((gaps < 0).any(0), 0.0, 1.0)
    return Measured(full, candidates, np.clip(full - gaps, 0, 1))


def exactly(share, n, seed, size=1.0):
    """(n,) losses of `size` for so many queries that their mean is the next above `share`, the others none."""
    losses = np.zeros(n)
    losses[np.random.default_rng(seed).permutation(n)[: int(np.floor(share * n / size)) + 1]] = size
    return losses


ALLOWED = most_allowed(REPEATS, ALPHA)


def test_the_limit_is_the_one_that_was_agreed_on():
    assert ALLOWED == 21


@pytest.mark.parametrize("queries", [200, 1000, 3000])
@pytest.mark.parametrize("size", [1.0, 0.1])
def test_many_candidates_just_beyond_the_tolerance(queries, size):
    """The worst there is: all are wrong, only just, and each by other queries, so that luck has twenty chances."""
    pool = made(np.stack([exactly(0.02, 20_000, seed, size) for seed in range(20)]))
    wrong, none, _ = wrong_of(pool, queries, 0.02)
    assert wrong + none == REPEATS
    assert wrong <= ALLOWED


def test_one_candidate_just_beyond_the_tolerance_after_many_that_keep_it():
    safe = [exactly(0.0005 * i, 20_000, i) for i in range(10)]
    pool = made(np.stack([*safe, *(exactly(0.02, 20_000, 50 + i) for i in range(10))]))
    wrong, none, _ = wrong_of(pool, 2000, 0.02)
    assert none < REPEATS / 4
    assert wrong <= ALLOWED


def test_a_rare_catastrophe():
    """Most draws of 500 see less than the share of queries that lose everything."""
    wrong, _, _ = wrong_of(made(exactly(0.011, 100_000, 0)[None]), 500, 0.01)
    assert wrong <= ALLOWED


def test_gains_of_some_queries_do_not_hide_what_others_lose():
    """The full width is wrong for a fifth, and a candidate right for some of these: gaps of −1, 0 and 1."""
    draws = np.random.default_rng(0)
    full = (draws.random(20_000) < 0.8) * 1.0
    values = np.where(draws.random((8, 20_000)) < 0.15, 1 - full, full)
    for row in values:  # its mean is brought to exactly so much below the full width's, and one query more
        gap = int((full - row).sum()) - int(0.02 * 20_000) - 1
        places = draws.permutation(np.flatnonzero(row != (gap > 0)))[: abs(gap)]
        row[places] = gap > 0
    pool = Measured(full, tuple(Candidate(400 - i, "int8") for i in range(8)), values)
    assert (pool.gaps.mean(1) > 0.02).all()
    wrong, _, _ = wrong_of(pool, 1500, 0.02)
    assert wrong <= ALLOWED


def test_it_has_the_power_to_choose_what_is_safe():
    """Eight sizes that lose nothing to speak of, then two that lose twice the tolerance: the eighth is found."""
    gaps = [*(exactly(0.0002 * i, 50_000, i) for i in range(8)), exactly(0.04, 50_000, 8), exactly(0.05, 50_000, 9)]
    pool = made(np.stack(gaps))
    wrong, none, size = wrong_of(pool, 2000, 0.02)
    assert wrong == none == 0
    assert size == pool.candidates[7].bytes


def test_copies_of_queries_make_nothing_surer():
    """Three hundred different queries, each there 10 times, of which the only candidate loses just too much."""
    wrong, pool = 0, exactly(0.06, 20_000, 0, 0.5)
    for repeat in range(REPEATS):
        some = np.random.default_rng(repeat).choice(pool, 300)
        same = np.repeat(np.arange(300), 10)
        dealt = Dealt.of(made(some[same][None]).merged(same), seed=repeat)
        wrong += tried(dealt.tune, dealt.calibrate, BELOW, 0.059, ALPHA).chosen is not None
    assert wrong <= ALLOWED


# --------------------------------------------------------------------------------------------- real vectors


def products():
    """Queries, rows, and labels of both: features of photographs, and types of products."""
    with np.load(data("fashion-products", "mobilenetv1.npz")) as file:
        vectors = file["q"].astype(np.float32) * file["scale"]
    with gzip.open(data("fashion-products", "products.csv.gz"), "rt", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    labels = np.unique([line["articleType"] for line in lines], return_inverse=True)[1]
    asks = np.array([line["split"] != "train" for line in lines])
    rows = np.flatnonzero(~asks)[::3]
    return Side(vectors[asks], vectors[rows], "cosine"), NearestLabel.of(labels[rows], labels[asks])


def passages():
    """Queries and rows of ready-made embeddings of 4,096 dims."""
    with np.load(data("cohere-4096", "cohere_4096.npz")) as file:
        vectors = file["q"].astype(np.float32) * file["scale"]
    mixed = np.random.default_rng(0).permutation(len(vectors))
    side = Side(vectors[mixed[:2000]], vectors[mixed[2000:]], "cosine")
    return side, KeptNeighbours.of(side.queries, side.rows, 10, "cosine")


@pytest.mark.slow
@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("of", [products, passages])
def test_choices_on_real_vectors_are_true_as_often_as_they_say(of, mapped):
    """A map is fitted once, on the rows, and stays; the queries are new to it."""
    side, stick = of()
    turn = fit_pca(side.rows).apply32 if mapped else np.asarray
    stored = Side(turn(side.queries), turn(side.rows), side.by) if mapped else side
    cuts = Nesting.halving(side.width, 8).between()
    pool = measured(stick, side, stored, cuts, ("float32", "float16", "int12", "int8", "1bit"))
    nearly = [float(gap) - 1e-9 for gap in np.unique(pool.gaps.mean(1)) if 0.005 < gap < 0.15]
    for tolerance in (0.01, 0.02, 0.05, *nearly[:4]):  # some candidate is just beyond the last four
        for queries in (1000, 4000):
            wrong, *more = wrong_of(pool, queries, tolerance, below=4 * side.width)
            assert wrong <= ALLOWED, (tolerance, queries, more)

"""The promise is true as often as it says, by the test that all promises stand: a pool of rows whose truth is known.

The truth of thresholds is their mean loss over the whole pool; the rows of a fit are drawn from it with replacement; a
fit is wrong if what it chose loses more than the tolerance in truth. What every level says of a row does not depend on
the fit, so it is computed once, and only the choice is repeated: score, path and tests. Of 500 at (0.005, 0.1) 72 may
be wrong, and of 500 at (0.01, 0.05) 41: the 99.9 % binomial quantiles.
"""

import numpy as np
import pytest

from classify import made
from mrl import HeadWeights, Nesting
from mrl.classify import Levels, Terms
from mrl.classify.promising import by_promise, p_values
from mrl.classify.seen import Material, Seen
from mrl.classify.selecting import stopped
from mrl.classify.temperature import temperatures
from mrl.errors import InputError
from mrl.promise import fixed_sequence, gap, gap_bound, most_allowed, wrong_share
from public import data

ASKED = [(0.005, 0.1), (0.01, 0.05)]


def pool_of(classifier, vectors, labels):
    """All that the levels say of the rows, at temperatures of a part of them."""
    material, levels = Material.of(vectors, labels), Levels.of(classifier)
    some = material.only(np.arange(len(material) // 4))
    return Seen.of(levels, material, temperatures(levels, some.vectors, some.labels, some.same))


def outcomes(pool, dims, terms, rows, repeats):
    """(how many choices were wrong, how many promised nothing, the mean expected dims of the others)."""
    wrong, none, spent = 0, 0, []
    for repeat in range(repeats):
        drawn = np.random.default_rng(repeat).integers(0, len(pool), rows)
        tune, calibrate = pool.only(drawn[: rows // 4]), pool.only(drawn[rows // 4 :])
        try:
            found = by_promise(tune, calibrate, dims, terms)
        except InputError:
            none += 1
            continue
        none += found.calibrated is None
        stops = stopped(pool, found.rule, found.gain, found.points[[found.pick]])[0]
        wrong += (pool.full - pool.at(stops)).mean() > terms.tolerance + 1e-12
        spent.append(dims[stops].mean())
    return wrong, none, np.mean(spent)


@pytest.fixture(scope="module")
def synthetic():
    return pool_of(made.separate(), *made.rows(8000, seed=7))


def test_the_limits_are_those_that_were_agreed_on():
    assert most_allowed(500, 0.1) == 72
    assert most_allowed(500, 0.05) == 41


@pytest.mark.parametrize(("tolerance", "alpha"), ASKED)
def test_choices_on_made_rows(synthetic, tolerance, alpha):
    terms = Terms(tolerance=tolerance, confidence=1 - alpha, score="margin")
    wrong, none, spent = outcomes(synthetic, np.array([4, 8, 16, 32]), terms, 3000, 40)
    assert wrong <= most_allowed(40, alpha)
    assert none < 20
    assert spent < 0.8 * 32


@pytest.mark.parametrize(("tolerance", "alpha"), ASKED)
def test_points_that_all_lose_just_too_much(tolerance, alpha):
    """The worst there is: every point of the path is wrong, only just, and each by other rows, both ways."""
    draw, n = np.random.default_rng(0), 20_000
    losses = []
    for _ in range(15):
        lost = np.zeros(n)
        lost[draw.permutation(n)[: int(0.03 * n)]] = 1
        lost[draw.choice(np.flatnonzero(lost == 0), int(0.03 * n) - int(tolerance * n) - 1, replace=False)] = -1
        losses.append((1 + lost) / 2)
    pool = np.stack(losses)
    assert (pool.mean(1) > gap_bound(tolerance)).all()

    def last(drawn):
        passed = fixed_sequence(p_values(list(drawn), tolerance, 1 - alpha), alpha)
        return passed - 1 if passed else None

    share = wrong_share(pool, last, 200, bound=gap_bound(tolerance), queries=2000)
    assert round(200 * share) <= most_allowed(200, alpha)


def test_tests_stop_at_the_first_that_fails():
    good, bad = gap(np.zeros(3000), np.zeros(3000)), gap(np.ones(3000), np.zeros(3000))
    found = p_values([good, good, bad, good], 0.01, 0.95)
    assert len(found) == 3
    assert fixed_sequence(found, 0.05) == 2


# --------------------------------------------------------------------------------------------- real vectors


def photographs():
    """A nested head for features of photographs, and the rows that it was not fitted on: linear discriminants in their
    own directions, the most telling first."""
    with np.load(data("mobilenet-features", "caltech101_mobilenetv1.npz")) as file:
        vectors, labels, known = (
            file["q"].astype(np.float64) * file["scale"],
            file["label"].astype(int),
            file["split"] == 0,
        )
    rows, of = vectors[known], labels[known]
    means = np.stack([rows[of == c].mean(0) for c in range(of.max() + 1)])
    scatter = np.cov((rows - means[of]).T)
    scatter += 0.05 * np.trace(scatter) / len(scatter) * np.eye(len(scatter))
    whiten, counts = np.linalg.cholesky(np.linalg.inv(scatter)), np.bincount(of) / len(of)
    turn = whiten @ np.linalg.svd((means - rows.mean(0)) @ whiten * np.sqrt(counts)[:, None])[2].T
    centres, dims = (means - rows.mean(0)) @ turn, Nesting((8, 16, 32, 64, 128))
    weights = tuple(centres[:, :m].astype(np.float32) for m in dims.dims)
    biases = tuple((np.log(counts) - (centres[:, :m] ** 2).sum(1) / 2).astype(np.float32) for m in dims.dims)
    new = ((vectors[~known] - rows.mean(0)) @ turn)[:, :128].astype(np.float32)
    return HeadWeights(dims, False, weights, biases), new, labels[~known]


@pytest.mark.slow
@pytest.mark.parametrize(("tolerance", "alpha"), ASKED)
@pytest.mark.parametrize("rows", [2000, 6000])
def test_choices_on_photographs_are_true_as_often_as_they_say(tolerance, alpha, rows):
    head, vectors, labels = photographs()
    terms = Terms(tolerance=tolerance, confidence=1 - alpha)
    wrong, none, spent = outcomes(pool_of(head, vectors, labels), np.array(head.nesting.dims), terms, rows, 500)
    assert wrong <= most_allowed(500, alpha), (wrong, none, spent)
    assert none < 250, none
    assert spent < 0.7 * 128


@pytest.mark.slow
@pytest.mark.parametrize(("tolerance", "alpha"), ASKED)
def test_choices_on_made_rows_five_hundred_times(synthetic, tolerance, alpha):
    terms = Terms(tolerance=tolerance, confidence=1 - alpha)
    wrong, none, spent = outcomes(synthetic, np.array([4, 8, 16, 32]), terms, 3000, 500)
    assert wrong <= most_allowed(500, alpha), (wrong, none, spent)

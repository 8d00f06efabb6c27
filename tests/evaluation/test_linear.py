"""Linear classification at every dim: the head's ranks, and the probe against one discriminant fitted per dim."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from mrl import HeadWeights, Nesting
from mrl.errors import InputError, NestingError
from mrl.evaluation import linear
from mrl.evaluation.linear import Probe, head_ranks

NESTING = Nesting((4, 8, 16))


def classes_in_a_cloud(n=600, width=16, classes=5, seed=0):
    """Labelled vectors whose first coordinates say most."""
    draws = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(classes, width)) * 2 / np.sqrt(np.arange(1, width + 1))
    labels = draws.integers(0, classes, n)
    noise = draws.normal(size=(n, width)) @ np.linalg.qr(np.random.default_rng(7).normal(size=(width, width)))[0]
    return (centres[labels] + noise).astype(np.float32), labels


def slow_ranks(logits, labels):
    """One row at a time: the place of the right class in a stable sort."""
    return [list(np.argsort(-row, kind="stable")).index(label) for row, label in zip(logits, labels, strict=True)]


def head(tied, bias=True, seed=0):
    draws = np.random.default_rng(seed)
    dims = NESTING.dims[-1:] if tied else NESTING.dims
    weights = tuple(draws.normal(size=(5, dim)).astype(np.float32) for dim in dims)
    return HeadWeights(NESTING, tied, weights, tuple(draws.normal(size=5).astype(np.float32) for _ in dims if bias))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_ranks_are_places_in_the_sorted_logits(tied, bias, monkeypatch):
    monkeypatch.setattr(linear, "TILE", 7)
    x, y = classes_in_a_cloud(50)
    ranks = head_ranks(head(tied, bias), x, y, NESTING)
    for level, dim in enumerate(NESTING.dims):
        assert ranks[level].tolist() == slow_ranks(head(tied, bias).logits(x, dim), y)


def test_a_tied_head_serves_every_dim_between():
    x, y = classes_in_a_cloud(50)
    ranks = head_ranks(head(True), x, y, Nesting((5, 11)))
    assert ranks[1].tolist() == slow_ranks(head(True).logits(x, 11), y)
    with pytest.raises(NestingError, match="no weights for dim 5"):
        head_ranks(head(False), x, y, Nesting((5,)))


def test_equal_logits_rank_in_order_of_class():
    flat = HeadWeights(Nesting((2,)), False, (np.zeros((4, 2), np.float32),))
    assert head_ranks(flat, np.ones((4, 2), np.float32), np.arange(4), Nesting((2,))).tolist() == [[0, 1, 2, 3]]


def test_classes_that_the_head_does_not_know_rank_behind_all():
    x, _ = classes_in_a_cloud(3)
    assert head_ranks(head(True), x, np.array([-1, 5, 7]), NESTING).tolist() == [[5, 5, 5]] * 3


def test_the_probe_is_a_discriminant_fitted_at_each_dim(monkeypatch):
    monkeypatch.setattr(linear, "RIDGE", 0.0)
    (x, y), (q, wanted) = classes_in_a_cloud(), classes_in_a_cloud(200, seed=1)
    cuts = Nesting((1, 3, 8, 16))
    ranks = Probe.fit(x, y).ranks(q, wanted, cuts)
    for level, dim in enumerate(cuts.dims):
        own = LinearDiscriminantAnalysis(solver="lsqr").fit(x[:, :dim].astype(float), y)
        scores = own.decision_function(q[:, :dim].astype(float))
        assert np.mean(ranks[level] == slow_ranks(scores, wanted)) > 0.99


def test_the_probe_learns_what_can_be_learnt():
    (x, y), (q, wanted) = classes_in_a_cloud(2000), classes_in_a_cloud(500, seed=1)
    accuracy = (Probe.fit(x, y).ranks(q, wanted, Nesting((2, 16))) == 0).mean(1)
    assert accuracy[1] > accuracy[0] > 0.3


def test_the_probe_bears_absent_classes_and_dead_coordinates():
    x, y = classes_in_a_cloud()
    x[:, 3] = 0
    probe = Probe.fit(x, np.where(y == 2, 4, y))
    assert (probe.ranks(x, np.full(len(x), 2), NESTING) > 0).all()


def test_one_class_cannot_be_probed():
    with pytest.raises(InputError, match="at least two classes, got 1"):
        Probe.fit(np.ones((3, 2), np.float32), np.zeros(3, int))


def test_a_nan_is_never_a_hit():
    logits = np.array([[np.nan, 1, 2], [np.nan, np.nan, np.nan]], np.float32)
    assert linear._ranks(logits, np.array([0, 1])).tolist() == [3, 3]


def test_a_head_with_a_nan_is_refused():
    with pytest.raises(InputError, match="a NaN or an Inf classifies nothing"):
        HeadWeights(Nesting((2,)), False, (np.full((3, 2), np.nan, np.float32),))

"""The policy `target` without an accuracy: as much as the full width's, less the tolerance, without a promise."""

import numpy as np
import pytest

from mrl import Card, HeadWeights, Nesting
from mrl.classify import Cascade, Terms
from mrl.vectors import Held

DIMS = Nesting((4, 8, 16, 32))


def task(seed, n=3000, classes=6, noisy=0.0):
    """A tied head of class means, and rows about them; noisy: how much of the last 16 dims means nothing."""
    draw = np.random.default_rng(seed)
    means = draw.standard_normal((classes, 32)) / np.sqrt(np.arange(1, 33))
    labels = draw.integers(0, classes, n)
    rows = (means[labels] + 0.8 * draw.standard_normal((n, 32)) / np.sqrt(np.arange(1, 33))).astype(np.float32)
    weight = means.copy()
    weight[:, 16:] += noisy * draw.standard_normal((classes, 16))
    rows[:, 16:] += noisy * draw.standard_normal((n, 16)).astype(np.float32)
    head = HeadWeights(DIMS, True, (weight.astype(np.float32),), (-0.5 * (means**2).sum(1).astype(np.float32),))
    return head, Held.of(rows, Card("made", 32, DIMS), labels)


def lost(cascade, head, rows):
    mine, full = cascade.predict(rows).labels, head.logits(rows.vectors, 32).argmax(1)
    return float((full == rows.labels).mean() - (mine == rows.labels).mean())


@pytest.mark.parametrize("tolerance", [0.005, 0.02])
def test_it_loses_about_what_it_may_at_fewer_dims(tolerance):
    found = []
    for seed in range(4):
        head, rows = task(seed)
        fit, new = rows.only(np.arange(1500)), rows.only(np.arange(1500, 3000))
        cascade = Cascade.fit(head, fit, Terms(policy="target", tolerance=tolerance))
        assert cascade.promise is None
        found.append((lost(cascade, head, new), cascade.predict(new).last.mean()))
    losses, dims = np.mean(found, axis=0)
    assert losses <= tolerance + 0.01
    assert dims < 28


def test_a_larger_tolerance_needs_no_more_dims():
    head, rows = task(0)
    dims = [
        Cascade.fit(head, rows, Terms(policy="target", tolerance=t, score="margin")).predict(rows).last.mean()
        for t in (0.002, 0.01, 0.05, 0.2)
    ]
    assert dims == sorted(dims, reverse=True)
    assert dims[0] > dims[-1]


@pytest.mark.parametrize("seed", range(3))
def test_a_full_width_that_is_worse_than_a_prefix_is_no_excuse(seed):
    head, rows = task(seed, noisy=1.0)
    fit, new = rows.only(np.arange(1500)), rows.only(np.arange(1500, 3000))
    assert lost(Cascade(head, rows.card, Nesting((16, 32)), thresholds=(-1.0,)), head, new) < -0.02
    assert lost(Cascade.fit(head, fit, Terms(policy="target")), head, new) <= 0.01


def test_where_nothing_leaves_early_without_a_loss_nobody_does():
    draw = np.random.default_rng(0)
    labels = draw.integers(0, 4, 800)
    rows = 0.1 * draw.standard_normal((800, 32)).astype(np.float32)
    rows[np.arange(800), 28 + labels] += 1  # the last dims tell all, the first nothing
    weight = np.zeros((4, 32), np.float32)
    weight[np.arange(4), 28 + np.arange(4)] = 1
    weight[:, :16] = 0.01 * draw.standard_normal((4, 16))
    head, held = HeadWeights(DIMS, True, (weight,)), Held.of(rows, Card("made", 32, DIMS), labels)
    assert (Cascade.fit(head, held, Terms(policy="target", tolerance=0.001)).predict(held).last == 32).mean() > 0.99

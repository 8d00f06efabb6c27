"""The gate's rate of wrong passes, on what real maps make of vectors in which nothing can be gained.

Maps are fitted once and stay; only the gate is repeated, on queries drawn from a pool. Each query is in the pool twice,
the second time with the sides exchanged, so that over the pool neither side is ahead, exactly.
"""

import numpy as np
import pytest

from adapt import classes
from mrl import Nesting
from mrl.adapt import AdaptSpec, fit
from mrl.evaluation.yardstick import KeptNeighbours, NearestLabel
from mrl.maps import fit_pca
from mrl.promise import gate, most_allowed

REPEATS, LEVEL = 500, 0.025


def pool(method, labelled):
    """(ours, truncation, PCA), (queries,) each: means over the dims below the width."""
    rows = classes.random(1500, labelled=labelled)
    asked = classes.random(3000, seed=1, labelled=labelled)
    spec = AdaptSpec(method=method, steps=60, batch_size=128, dims="4,8,16")
    made = fit(rows, spec).map
    if labelled:
        stick = NearestLabel.of(rows.labels, asked.labels)
    else:
        stick = KeptNeighbours.of(asked.vectors, rows.vectors, 10, "cosine")
    below = Nesting(made.nesting.dims[:-1])
    turn = fit_pca(rows.vectors)
    sides = ((asked.vectors, rows.vectors), (turn.apply(asked.vectors), turn.apply(rows.vectors)))
    plain, pca = (stick.values(*side, below, "cosine").mean(0) for side in sides)
    ours = stick.values(made.apply(asked.vectors), made.apply(rows.vectors), below, "cosine").mean(0)
    return ours, plain, pca


@pytest.mark.slow
@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("method", ["rotation", "linear", "residual"])
@pytest.mark.parametrize("count", [60, 400])
def test_wrong_passes_are_as_rare_as_stated(method, labelled, count):
    ours, plain, pca = pool(method, labelled)
    draws = np.random.default_rng(2)
    for baseline in (plain, pca):
        left, right = np.concatenate([ours, baseline]), np.concatenate([baseline, ours])
        passed = 0
        for _ in range(REPEATS):
            chosen = draws.integers(0, len(left), count)
            passed += gate(left[chosen], {"the other": right[chosen]}).passed
        assert passed <= most_allowed(REPEATS, LEVEL)

"""Makers that the planner's tests share."""

import numpy as np

from mrl.card import Card
from mrl.nesting import Nesting
from mrl.vectors import Held


def clustered(n, width=64, seed=0, clusters=60):
    """Rows around centres, whose coordinates grow smaller."""
    falling = 1 / np.sqrt(1 + np.arange(width))
    centres = np.random.default_rng(99).standard_normal((clusters, width)) * falling
    rng = np.random.default_rng(seed)
    own = 0.5 * rng.standard_normal((n, width)) * falling
    return (centres[rng.integers(0, clusters, n)] + own).astype(np.float32)


def card(width, metric="cosine", dims=()):
    return Card("m", width, Nesting((*dims, width)), metric)


def held(vectors, metric="cosine", labels=None, name="rows", dims=()):
    return Held.of(vectors, card(vectors.shape[1], metric, dims), labels, name)

"""Small sets of vectors in which there is something to learn, or nothing."""

import numpy as np

from mrl import Card, Nesting
from mrl.vectors import Held

WIDTH, CLASSES = 16, 8


def card(metric="cosine", **more):
    return Card("made", WIDTH, Nesting((WIDTH,)), metric, **more)


def buried(rows, seed=0, metric="cosine", noise=0.2, **more):
    """Rows of 8 classes, corners of a cube in the last 3 coordinates, behind louder noise that says nothing."""
    corners = 2.0 * (np.arange(CLASSES)[:, None] >> np.arange(3) & 1) - 1
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, CLASSES, rows)
    vectors = 1.5 * draws.normal(size=(rows, WIDTH))
    vectors[:, -3:] = corners[labels] + noise * draws.normal(size=(rows, 3))
    return Held.of(vectors.astype(np.float32), card(metric, **more), labels, "made")


def random(rows, seed=0, width=WIDTH, labelled=False):
    """Rows without any structure; their labels, if wanted, say nothing of them."""
    draws = np.random.default_rng(seed)
    vectors = draws.normal(size=(rows, width)).astype(np.float32)
    labels = draws.integers(0, 4, rows) if labelled else None
    return Held.of(vectors, Card("random", width, Nesting((width,))), labels, "random")


def paired(rows, seed=0):
    """(documents, queries): row i of one belongs to row i of the other; what they share is quieter than the rest."""
    draws = np.random.default_rng(seed)
    shared = draws.normal(size=(rows, 8))
    sides = []
    for side in range(2):
        vectors = 1.5 * draws.normal(size=(rows, WIDTH))
        vectors[:, -8:] = shared + 0.1 * draws.normal(size=(rows, 8))
        sides.append(Held.of(vectors.astype(np.float32), card(), None, ("documents", "queries")[side]))
    return sides

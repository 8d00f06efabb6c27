"""Vectors of many classes, which the tests of planning share."""

from __future__ import annotations

import numpy as np

from mrl import Card, Nesting

ROWS, ASKED, WIDTH, CLASSES = 1000, 400, 32, 40
CARD = Card("clouds", WIDTH, Nesting((8, 16, WIDTH)))


def clouds(rows, seed):
    """Vectors of many classes whose later dims say less and less, and their classes."""
    draws = np.random.default_rng(seed)
    centres, labels = np.random.default_rng(9).normal(size=(CLASSES, WIDTH)), draws.integers(0, CLASSES, rows)
    spread = np.sqrt(np.arange(1, WIDTH + 1))
    return ((centres[labels] + draws.normal(size=(rows, WIDTH))) / spread).astype(np.float32), labels


VECTORS, LABELS = clouds(ROWS, 1)
QUERIES, WANTED = clouds(ASKED, 2)

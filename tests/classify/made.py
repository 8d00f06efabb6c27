"""A nested synthetic set and classifiers of it: class means whose first dims say the most, and noise around them."""

import numpy as np

from mrl import Card, HeadWeights, Nesting
from mrl.classify import Prototypes
from mrl.vectors.held import Held

NOISE = 0.5  # standard deviation of every coordinate around its class's mean


def means(width, classes):
    """(classes, width) float64, the same for every seed of rows; the spectrum falls with the square root."""
    return np.random.default_rng((width, classes)).normal(size=(classes, width)) / np.sqrt(np.arange(1, width + 1))


def rows(n, width=32, classes=10, seed=0):
    """(vectors (n, width) float32, labels (n,) int64), every class at least once where n allows it."""
    draw = np.random.default_rng(seed)
    labels = draw.permutation(np.arange(n) % classes)
    noise = NOISE * draw.normal(size=(n, width))
    return (means(width, classes)[labels] + noise).astype(np.float32), labels.astype(np.int64)


def table(n, width=32, classes=10, seed=0, nesting=None, **about):
    """The same as a table in memory, with its card; about: other fields of the card."""
    vectors, labels = rows(n, width, classes, seed)
    card = Card("made", width, ladder(width, nesting), **{"metric": "dot", **about})
    return Held.of(vectors, card, labels)


def ladder(width, nesting=None):
    """The dims, by default the halving ladder from 4 on."""
    return Nesting.parse(nesting) if isinstance(nesting, str) else nesting or Nesting.halving(width, min(4, width))


def tied(width=32, classes=10, nesting=None, **about):
    """An MRL-E head: one matrix and one bias for all dims, the best one at full width (linear discriminant)."""
    weight, bias = discriminant(width, classes, width)
    return HeadWeights(ladder(width, nesting), True, (weight,), (bias,), **about)


def separate(width=32, classes=10, nesting=None, **about):
    """An MRL head: the best matrix and bias at every dim."""
    dims = ladder(width, nesting)
    weights, biases = zip(*(discriminant(width, classes, dim) for dim in dims.dims), strict=True)
    return HeadWeights(dims, False, weights, biases, **about)


def discriminant(width, classes, dim):
    """(weight (classes, dim), bias (classes,)) float32 of the best classifier of the first dims: log densities."""
    some = means(width, classes)[:, :dim]
    return (some / NOISE**2).astype(np.float32), (-(some**2).sum(1) / (2 * NOISE**2)).astype(np.float32)


def prototypes(width=32, classes=10, each=1, seed=1, nesting=None, **about):
    """`each` rows of every class, in no order of their classes; about: metric, classes, fingerprint."""
    vectors, labels = rows(each * classes, width, classes, seed)
    return Prototypes(ladder(width, nesting), vectors, labels, **about)

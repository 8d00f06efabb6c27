"""Temperature: one number a level that makes its probabilities mean what they say (Guo et al., arXiv 1706.04599)."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.levels import Levels
from mrl.errors import InputError

Floats = npt.NDArray[np.floating[Any]]

MOST = 2**23  # logits looked at for a temperature: a thousandth of its error comes from more
RANGE = 1000.0  # times the spread of the logits, or its inverse: where nothing is ever wrong, any temperature would do
STEPS = 60
COLDEST, HOTTEST = 1e-30, 1e30  # float32 holds these and their inverses
SHARP = 1e-9  # of a temperature, when the search stops


def temperatures(
    levels: Levels, vectors: npt.NDArray[Any], labels: npt.NDArray[np.int64], same: npt.NDArray[np.int64]
) -> tuple[float, ...]:
    """One a level. vectors: (n, d), all different. labels: (r,). same: (r,) the vector that each label is of, in order;
    a vector with several labels counts once, with the mean of what they say."""
    n = min(len(vectors), max(1, MOST // levels.prototypes))
    labels, same = labels[same < n], same[same < n]
    counts = np.bincount(same, minlength=n)
    found = []
    for scores in levels.every(vectors[:n]):
        logits = levels.by_class(scores)
        best = temperature(logits, np.bincount(same, logits[same, labels], n) / counts)
        found.append(best)
    if not all(COLDEST <= each <= HOTTEST for each in found):
        raise InputError(
            f"the levels would need temperatures from {min(found):.1e} to {max(found):.1e}, and {COLDEST:g} to "
            f"{HOTTEST:g} are possible; rescale the classifier"
        )
    return tuple(found)


def temperature(logits: Floats, truth: Floats) -> float:
    """The T of least negative log-likelihood mean(log Σ exp(z / T) − truth / T), which is convex in 1 / T.

    logits: (n, classes), of whatever scale. truth: (n,) the logit of the right class. Where the likelihood has no
    maximum, as with no row wrong, T is the nearest end of the spread of the logits times or over 1,000.
    """
    shifted = (logits - logits.max(1, keepdims=True)).astype(np.float64)
    wanted = float((np.asarray(truth, np.float64) - logits.max(1)).mean())
    spread = float(shifted.std()) or 1.0
    low, high = 1 / (RANGE * spread), RANGE / spread
    beta = 1 / spread
    for _ in range(STEPS):
        slope, curve = _slopes(shifted, wanted, beta)
        low, high = (beta, high) if slope < 0 else (low, beta)
        step = beta - slope / curve if curve > 0 else low
        past, beta = beta, step if low < step < high else float(np.sqrt(low * high))  # Newton's, or halve the logs
        if abs(beta - past) <= SHARP * past:
            break
    return 1 / beta


def _slopes(shifted: Floats, wanted: float, beta: float) -> tuple[float, float]:
    """First and second derivative by β = 1 / T of the likelihood: mean(⟨z⟩ − truth) and the mean variance of z."""
    weights = np.exp(beta * shifted)
    weights /= weights.sum(1, keepdims=True)
    mean = np.einsum("nc,nc->n", weights, shifted)
    square = np.einsum("nc,nc,nc->n", weights, shifted, shifted)
    return float(mean.mean()) - wanted, float((square - mean**2).mean())

"""Reliability: is a confidence of 0.8 right in 8 of 10 cases?"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

BINS = 15
Numbers = npt.NDArray[np.floating[Any]]


class Bin(NamedTuple):
    """Rows of about one confidence: their mean confidence, the share that is right, and how many there are."""

    confidence: float
    accuracy: float
    rows: int


class Reliability(NamedTuple):
    """bins: of about as many rows each, the least sure first. error: the expected calibration error, Σ rows/n ·
    |confidence − accuracy| over the bins, in [0, 1]; even a perfect confidence has about √(bins/n)/3 of it by chance.
    """

    bins: tuple[Bin, ...]
    error: float

    @property
    def rows(self) -> int:
        """n, how many rows this was measured on."""
        return sum(each.rows for each in self.bins)


def reliability(confidence: Numbers, right: npt.NDArray[np.bool_], bins: int = BINS) -> Reliability:
    """Of confidences (n,) in [0, 1] and whether each answer was right, (n,), with bins of equal mass.

    Equal confidences share a bin, so that the order of the rows does not matter; there may then be fewer bins.
    """
    ranks = np.searchsorted(np.sort(confidence), confidence)
    place = np.unique(ranks * bins // len(confidence), return_inverse=True)[1]
    rows = np.bincount(place)
    sure = np.bincount(place, confidence.astype(np.float64)) / rows
    true = np.bincount(place, right.astype(np.float64)) / rows
    error = float((rows * np.abs(sure - true)).sum() / len(confidence))
    return Reliability(tuple(map(Bin, sure.tolist(), true.tolist(), rows.tolist())), error)

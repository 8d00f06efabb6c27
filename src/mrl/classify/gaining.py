"""The score `gain`: how much accuracy the full width is expected to gain over a level, from what the level says."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.signals import Signals

Values = npt.NDArray[np.float64]
RIDGE = 10.0  # rows' worth of a prior that no feature tells anything


def gains(told: Signals, loss: Values) -> tuple[tuple[float, ...], ...]:
    """(levels − 1) of coefficients of `Signals.features`. loss: (levels, n), what is expected to be lost."""
    return tuple(coefficients(told.features(level), loss[level]) for level in range(len(loss) - 1))


def coefficients(features: npt.NDArray[np.floating[Any]], loss: Values) -> tuple[float, ...]:
    """Ridge regression of loss (n,) on features (n, f), the first of which is 1 and free of the penalty.

    Features are standardised first, so that the penalty, of so many rows, is one for all of them.
    """
    x = features[:, 1:].astype(np.float64)
    mean, spread = x.mean(0), x.std(0)
    scale = np.divide(1.0, spread, out=np.zeros_like(spread), where=spread > 1e-6)
    z = (x - mean) * scale
    slopes = np.linalg.solve(z.T @ z + RIDGE * np.eye(z.shape[1]), z.T @ (loss - loss.mean())) * scale
    return (float(loss.mean() - mean @ slopes), *map(float, slopes))

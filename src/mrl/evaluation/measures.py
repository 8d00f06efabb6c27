"""Measures of one ranked list per query, from the labels of what was found; per-query values, aggregated elsewhere.

All take found (..., queries, k): the labels of the neighbours, nearest first, and wanted (queries,): the query's own
label, and give (..., queries) in [0, 1].
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]
Values = npt.NDArray[np.floating[Any]]


def hits(found: Labels, wanted: Labels) -> npt.NDArray[np.bool_]:
    """Whether each neighbour has the query's label, (..., queries, k)."""
    same: npt.NDArray[np.bool_] = found == wanted[:, None]
    return same


def one_nn(found: Labels, wanted: Labels) -> Values:
    """Whether the nearest neighbour has the query's label: the paper's 1-NN accuracy (arXiv 2205.13147 §4.1)."""
    return hits(found[..., :1], wanted)[..., 0].astype(np.float64)


def k_nn(found: Labels, wanted: Labels) -> Values:
    """Whether most of the k neighbours have the query's label; among equal counts the nearest neighbour's wins."""
    votes = (found[..., :, None] == found[..., None, :]).sum(-1)  # (..., queries, k): how many share this label
    winner = np.take_along_axis(found, votes.argmax(-1)[..., None], axis=-1)
    return hits(winner, wanted)[..., 0].astype(np.float64)


def precision(found: Labels, wanted: Labels) -> Values:
    """P@k: the share of the k neighbours that have the query's label."""
    share: Values = hits(found, wanted).mean(-1)
    return share


def average_precision(found: Labels, wanted: Labels) -> Values:
    """AP@k in the paper's form: Σ_{i≤k} P@i · hit_i, divided by k and not by the hits (arXiv 2205.13147 §4.3)."""
    hit = hits(found, wanted)
    precision_at = hit.cumsum(-1) / np.arange(1, found.shape[-1] + 1)
    average: Values = (precision_at * hit).mean(-1)
    return average

"""Measures of one ranked list per query, from the grades of what was found; per-query values, aggregated elsewhere.

All take gains (..., queries, k): the grades of the documents found, best first, 0 where nothing relevant was found, and
give (..., queries) in [0, 1]. They agree with trec_eval's: ndcg_cut, recip_rank, recall, map_cut and P.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[np.floating[Any]]
Counts = npt.NDArray[np.int64]


def ndcg(gains: Values, ideal: Values) -> Values:
    """nDCG@k: Σ_{i≤k} g_i / log2(i + 1), divided by the same of the best possible list; the gain is the grade.

    ideal: (queries, k): the k highest grades of each query, best first, found or not; 0 where there are fewer.
    """
    value: Values = _discounted(gains) / _discounted(ideal)
    return np.minimum(value, 1.0)  # of equal sums, rounded otherwise


def reciprocal_rank(gains: Values) -> Values:
    """MRR@k before the mean: 1 / rank of the first relevant document, 0 if none is among the k."""
    hit = gains > 0
    value: Values = np.where(hit.any(-1), 1 / (hit.argmax(-1) + 1), 0.0)
    return value


def recall(gains: Values, relevant: Counts) -> Values:
    """recall@k: the share of the query's relevant documents that is among the k. relevant: (queries,), at least 1."""
    value: Values = (gains > 0).sum(-1) / relevant
    return value


def average_precision(gains: Values, relevant: Counts) -> Values:
    """AP@k: Σ_{i≤k} P@i · hit_i, divided by how many documents are relevant, found or not (trec_eval's map_cut)."""
    hit = gains > 0
    precision_at = hit.cumsum(-1) / np.arange(1, gains.shape[-1] + 1)
    value: Values = (precision_at * hit).sum(-1) / relevant
    return value


def precision(gains: Values) -> Values:
    """P@k: the share of the k that is relevant."""
    value: Values = (gains > 0).mean(-1)
    return value


def _discounted(gains: Values) -> Values:
    total: Values = gains @ (1 / np.log2(np.arange(2, gains.shape[-1] + 2)))
    return total

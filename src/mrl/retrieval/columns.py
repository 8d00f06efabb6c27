"""The few columns of a map that a query goes through before an engine is asked, as whole numbers of a byte.

One query reads all of them, so their bytes are its time: 128 columns of 4,096 dims are 2 MB in float32 and take 32 µs,
a quarter of that takes 18. Each column has its own step; a lead is off by less than a hundredth of its typical size,
which matters little to what is only proposed. Many queries are multiplied together, by the same rounded numbers.
"""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from mrl.retrieval.encodings import Floats
from mrl.retrieval.kernels import SUMS, products8

MOST = 127
FEW = 4  # queries up to which the bytes are read for each

_summing = numba.njit(nogil=True, cache=True, fastmath=SUMS)


class Columns:
    """queries (q, width) @ columns: their leads (q, dim). matrix: (width, dim) float32."""

    __array_ufunc__ = None  # so that NumPy leaves the product to us

    def __init__(self, matrix: Floats) -> None:
        self._steps = np.maximum(np.abs(matrix).max(axis=0) / MOST, np.finfo(np.float32).tiny).astype(np.float32)
        self._codes = np.ascontiguousarray(np.rint(matrix / self._steps).astype(np.int8).T)

    @property
    def dim(self) -> int:
        return len(self._codes)

    @cached_property
    def rounded(self) -> Floats:
        """(width, dim): the numbers that the bytes stand for."""
        values: Floats = self._codes.T * self._steps
        return values

    def __rmatmul__(self, queries: Floats) -> Floats:
        if len(queries) > FEW:
            many: Floats = queries @ self.rounded
            return many
        leads = np.empty((len(queries), self.dim), np.float32)
        _lead(self._codes, self._steps, queries, leads)
        return leads


@_summing
def _lead(codes: Any, steps: npt.NDArray[Any], queries: Any, leads: Any) -> None:
    """Products of queries (q, width) with codes (dim, width), times the steps, into (q, dim)."""
    for q in range(queries.shape[0]):
        for j in range(codes.shape[0]):
            leads[q, j] = products8(codes[j], queries[q]) * steps[j]

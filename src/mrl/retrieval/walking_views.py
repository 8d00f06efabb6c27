"""Where FAISS keeps a graph in memory, its own or a mapped file's. Nothing is copied."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numba
import numpy as np
import numpy.typing as npt

from mrl.retrieval.addresses import _pointing

bytes_at, ints, longs = _pointing(numba.uint8), _pointing(numba.int32), _pointing(numba.int64)
LEVELS = 8  # of code: 2^8 values


@dataclass(frozen=True)
class Graph:
    """head: see `walking`. scales: (2, dim), offsets and steps of 8-bit codes. index: FAISS's, whose memory it is."""

    head: npt.NDArray[np.int64]
    scales: npt.NDArray[np.float32]
    rows: int
    index: Any


def graph(index: Any) -> Graph | None:
    import faiss

    storage, hnsw = faiss.downcast_index(index.storage), index.hnsw
    dim = index.d
    scales = np.zeros((2, dim), np.float32)
    if hasattr(storage, "sq"):
        kind = {faiss.ScalarQuantizer.QT_8bit: 0, faiss.ScalarQuantizer.QT_fp16: 1}[storage.sq.qtype]
        if kind == 0:
            low, span = faiss.vector_to_array(storage.sq.trained).reshape(2, dim)
            scales[1] = span / 255
            scales[0] = low + scales[1] / 2
    else:
        kind = 2
    before = faiss.vector_to_array(hnsw.cum_nneighbor_per_level)
    head = [int(storage.codes.data()), int(hnsw.neighbors.data()), int(hnsw.offsets.data())]
    head += [hnsw.entry_point, hnsw.max_level, dim, storage.code_size]
    head += [2 * kind + (index.metric_type == faiss.METRIC_L2), int(np.diff(before).max()), 0, *before]
    return Graph(np.array(head, np.int64), scales, index.ntotal, index)

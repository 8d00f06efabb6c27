"""Where FAISS keeps a graph in memory, its own or that of a mapped file. Nothing of it is copied but a few numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

INT8, FLOAT16, FLOAT32 = range(3)  # codes of a graph

# what `head` holds: addresses, measures, and from BEFORE on how many of a row's links come before those of each layer
CODES, LINKS, OFFSETS, ENTRY, TOP, ROWS, DIM, SIZE, KIND, SQUARED, MOST, BEFORE = range(12)


@dataclass(frozen=True)
class Graph:
    """A graph as compiled code takes it.

    head: int64, see above. scales: (2, dim) float32, offsets and steps of 8-bit codes. index: FAISS's own, which must
    live as long, and be added to no more.
    """

    head: npt.NDArray[np.int64]
    scales: npt.NDArray[np.float32]
    index: Any

    @property
    def rows(self) -> int:
        return int(self.head[ROWS])

    @property
    def most(self) -> int:
        """Links of a row on one layer, at most."""
        return int(self.head[MOST])


def graph(index: Any) -> Graph | None:
    """What FAISS's index is made of; None if it is no known graph, has no rows, or does not show its memory."""
    try:
        return _graph(index)
    except (AttributeError, TypeError, ValueError):  # of another build of FAISS
        return None


def _graph(index: Any) -> Graph | None:
    import faiss

    known = type(index) in (faiss.IndexHNSWFlat, faiss.IndexHNSWSQ)
    if not known or not index.ntotal or index.metric_type not in (faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT):
        return None
    storage: Any = faiss.downcast_index(index.storage)
    links, rows = index.hnsw, index.ntotal
    kind = _kind(faiss, storage)
    before = faiss.vector_to_array(links.cum_nneighbor_per_level)
    if kind is None or links.offsets.size() != rows + 1 or len(before) < links.max_level + 2:
        return None
    if storage.codes.size() != rows * storage.code_size or storage.code_size != (1, 2, 4)[kind] * index.d:
        return None
    head = [int(each.data()) for each in (storage.codes, links.neighbors, links.offsets)]
    head += [links.entry_point, links.max_level, rows, index.d, storage.code_size]
    head += [kind, index.metric_type == faiss.METRIC_L2, np.diff(before).max(), *before]
    scales = _scales(faiss.vector_to_array(storage.sq.trained), index.d) if kind == INT8 else np.zeros((2, 0))
    return Graph(np.array(head, np.int64), scales.astype(np.float32), index)


def _kind(faiss: Any, storage: Any) -> int | None:
    if isinstance(storage, faiss.IndexFlat):
        return FLOAT32
    kinds = {faiss.ScalarQuantizer.QT_8bit: INT8, faiss.ScalarQuantizer.QT_fp16: FLOAT16}
    return kinds.get(storage.sq.qtype)


def _scales(trained: npt.NDArray[np.float32], dim: int) -> npt.NDArray[np.float32]:
    """(2, dim): a code c stands for offset + step c, the middle of the c-th of the 255 parts of the trained range."""
    low, span = trained.reshape(2, dim)
    step = span / np.float32(255)
    return np.stack([low + step / 2, step])

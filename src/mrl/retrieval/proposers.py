"""Engines in memory, by FAISS: made, trained, filled with prefixes, and asked for the rows that they think nearest.

What an engine compares are prefixes as the metric compares them (`cut`): under cosine of length 1. FAISS counts rows in
the order in which they came; what these numbers mean is the caller's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError, MissingError
from mrl.nesting import Metric, metric_prefix
from mrl.retrieval.encodings import Floats
from mrl.retrieval.engine import HNSW, IVF, Engine, RaBitQ
from mrl.retrieval.walking import Walker

TRAINED_ON = 65_536  # rows at most that centres and ranges are fitted on
ROUNDS = 10  # of k-means; more move the centres, and hardly the recall
BATCH = 16_384  # rows that are linked together
Positions = npt.NDArray[np.int64]
_QUANTISERS = {"float16": "QT_fp16", "int8": "QT_8bit"}


def library() -> Any:
    """The faiss module; MissingError names the extra."""
    try:
        import faiss
    except ImportError:
        raise MissingError("engines need FAISS: pip install 'mrl[search]', or search with a plan of scans") from None
    return faiss


@contextmanager
def omp_threads(count: int) -> Iterator[None]:
    """FAISS splits work of this thread over so many; the setting is this thread's own, and put back."""
    faiss = library()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def trained(engine: Engine, dim: int, metric: Metric, sample: Floats) -> Any:
    """FAISS's index for prefixes of `dim`, still empty, fitted on a sample (n, dim) of what it is going to hold.

    InputError for more lists than the sample has rows.
    """
    faiss = library()
    measure = faiss.METRIC_L2 if metric == "l2" else faiss.METRIC_INNER_PRODUCT
    if isinstance(engine, HNSW):
        index = _graph(faiss, engine, dim, measure)
    elif isinstance(engine, IVF):
        index = _lists(faiss, engine, dim, measure, len(sample))
    elif isinstance(engine, RaBitQ):
        index = faiss.IndexRaBitQFastScan(dim, measure)
    else:
        raise InputError(f"{engine!r} has nothing to build: a scan reads the store")
    if not index.is_trained:
        index.train(np.ascontiguousarray(sample, np.float32))
    return index


def _graph(faiss: Any, engine: HNSW, dim: int, measure: int) -> Any:
    if engine.codes == "float32":
        index = faiss.IndexHNSWFlat(dim, engine.m, measure)
    else:
        kind = getattr(faiss.ScalarQuantizer, _QUANTISERS[engine.codes])
        index = faiss.IndexHNSWSQ(dim, kind, engine.m, measure)
    index.hnsw.efConstruction = engine.ef_construction
    return index


def _lists(faiss: Any, engine: IVF, dim: int, measure: int, rows: int) -> Any:
    if engine.lists > rows:
        raise InputError(
            f"an IVF with {engine.lists} lists needs as many rows to fit them on, got {rows}; ask for fewer"
        )
    centres = faiss.IndexFlat(dim, measure)
    if engine.codes == "float32":
        index = faiss.IndexIVFFlat(centres, dim, engine.lists, measure)
    elif engine.codes == "1bit":
        index = faiss.IndexIVFRaBitQFastScan(centres, dim, engine.lists, measure)
    else:
        kind = getattr(faiss.ScalarQuantizer, _QUANTISERS[engine.codes])
        index = faiss.IndexIVFScalarQuantizer(centres, dim, engine.lists, kind, measure)
    index.cp.niter, index.cp.min_points_per_centroid = ROUNDS, 1
    return index


def built(engine: Engine, prefixes: Floats, metric: Metric, threads: int) -> Any:
    """FAISS's index of prefixes (n, dim), which were cut as the metric compares them."""
    spread = np.linspace(0, len(prefixes) - 1, min(len(prefixes), TRAINED_ON)).astype(np.int64)
    with omp_threads(threads):
        index = trained(engine, prefixes.shape[1], metric, prefixes[spread])
        for start in range(0, len(prefixes), BATCH):
            index.add(np.ascontiguousarray(prefixes[start : start + BATCH]))
    return index


class Proposer:
    """FAISS's index, complete, and our walk through it where it is a graph that our compiled code can read."""

    def __init__(self, index: Any) -> None:
        self.index, self._walker = index, Walker.of(index)

    def asked(self, engine: Engine, queries: Floats, count: int) -> Positions:
        """(q, count) numbers of the rows that it thinks nearest to queries (q, dim), −1 where it has no more.

        On this thread alone. InputError for queries of another width.
        """
        if queries.shape[1] != self.index.d:
            raise InputError(f"the engine compares {self.index.d} dims, got queries of shape {queries.shape}")
        return self.bound(engine, count)(queries)

    def bound(self, engine: Engine, count: int) -> Callable[[Floats], Positions]:
        """The same with all but the queries found beforehand: float32 (q, dim), which nothing checks any more."""
        if self._walker is not None and isinstance(engine, HNSW):
            return self._walking(self._walker, engine.ef, count)
        params, search = _knobs(engine, count), self.index.search

        def ask(queries: Floats) -> Positions:
            with omp_threads(1):
                numbers: Positions = search(queries, count, params=params)[1]
            return numbers

        return ask

    @staticmethod
    def _walking(walker: Walker, ef: int, count: int) -> Callable[[Floats], Positions]:
        def ask(queries: Floats) -> Positions:
            numbers = np.empty((len(queries), count), np.int64)
            walker.walk(queries, count, ef, numbers)
            return numbers

        return ask


@lru_cache(maxsize=256)
def _knobs(engine: Engine, count: int) -> Any:
    """FAISS's search parameters; none where there is nothing to set."""
    faiss = library()
    if isinstance(engine, HNSW):
        return faiss.SearchParametersHNSW(efSearch=max(engine.ef, count))
    if isinstance(engine, IVF):
        kind = faiss.IVFRaBitQSearchParameters if engine.codes == "1bit" else faiss.SearchParametersIVF
        return kind(nprobe=min(engine.probes, engine.lists))
    return None


def cut(vectors: Floats, dim: int, metric: Metric, factor: float = 1.0) -> Floats:
    """(n, dim): the prefixes of vectors as an engine compares them. factor: of all, so that float16 holds them."""
    found = np.ascontiguousarray(metric_prefix(vectors, dim, metric), np.float32)
    with np.errstate(over="ignore"):  # a query that is too far away finds nothing here, and is scanned for
        return found if factor == 1 else found * np.float32(factor)

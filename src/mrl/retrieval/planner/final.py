"""The candidates that are left, run as a search would run them: on all queries, timed one by one and together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mrl.retrieval import kernels
from mrl.retrieval.encodings import Floats
from mrl.retrieval.planner.terms import Objective, cost_by
from mrl.retrieval.planner.trial import Candidate, Trial, median_seconds, reranks

ROUNDS = 3  # times that all are timed in turn, so that a slow moment of the machine meets all of them
BATCH = 256  # queries together

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Final:
    """candidate: what was run. values: (q,) what it is worth to every query. ms, qps: the median of one query alone,
    and queries a second in batches. build_s: of its engine."""

    candidate: Candidate
    values: npt.NDArray[np.float64]
    ms: float
    qps: float
    build_s: float

    def cost(self, objective: Objective) -> float:
        return cost_by(objective, self.ms, self.candidate.bytes, 1 / self.qps)


def measured(chosen: Sequence[tuple[Candidate, Trial]]) -> list[Final]:
    """All of them, on all queries."""
    runs = [Run(candidate, trial) for candidate, trial in chosen]
    values = [run.values() for run in runs]
    times = np.array([[run.timed() for run in runs] for _ in range(ROUNDS)]).reshape(ROUNDS, len(runs), 2)
    ms, seconds = np.median(times[:, :, 0], axis=0) * 1e3, np.median(times[:, :, 1], axis=0)
    return [
        Final(run.candidate, worth, float(m), float(1 / s), run.trial.build_s)
        for run, worth, m, s in zip(runs, values, ms, seconds, strict=True)
    ]


class Run:
    """One candidate, as `quick` and `funnel` run it."""

    def __init__(self, candidate: Candidate, trial: Trial) -> None:
        self.candidate, self.trial = candidate, trial
        self._rerank = reranks(trial.bench, candidate.chain, candidate.keep)
        self._queries = trial.bench.material.queries
        self.pipeline = trial.pipeline(candidate.engine, candidate.keep, self._rerank)

    def found(self, queries: Floats) -> Numbers:
        """(q, k) rows, best first, on all threads."""
        cut = self.trial.bench.asked(self.candidate.way, queries)
        positions = self.trial.proposed(self.candidate.engine, cut, self.candidate.keep)
        for record, keep in self._rerank:
            positions = record.reranked(self.trial.bench.material.by, queries, positions, keep).positions
        return positions

    def values(self) -> npt.NDArray[np.float64]:
        """(q,) what is found is worth."""
        material = self.trial.bench.material
        return np.asarray(material.worth.values(self.found(self._queries), np.arange(len(self._queries))), np.float64)

    def timed(self) -> tuple[float, float]:
        """Seconds of one query alone, the median; and of one in a batch."""
        single = median_seconds(lambda query: self.pipeline.run(query[None]), self._queries[-self.trial.timed :])
        began = time.perf_counter()
        self.found(self._queries[:BATCH])
        return single, (time.perf_counter() - began) / len(self._queries[:BATCH])


def exact_seconds(vectors: Floats, queries: Floats) -> tuple[float, float]:
    """Seconds of a bare scan of all rows for one query alone, the median, on one thread; and for one in a batch.

    An index's own exact search may read less, by its bound, and does more than multiply: `Draft.add` times that one.
    """
    raw, no_scales = np.empty(len(vectors), np.float32), np.empty((0, 2, vectors.shape[1]), np.float32)

    def scan(query: Floats) -> None:
        raw[:] = 0
        kernels.scan_float32(vectors, no_scales, query, 0, len(vectors), raw)
        np.argpartition(raw, -1)

    single = median_seconds(scan, queries[:9])
    some = queries[:64]
    began = time.perf_counter()
    for start in range(0, len(vectors), 65_536):
        np.argpartition(some @ vectors[start : start + 65_536].T, -1, axis=1)
    return single, (time.perf_counter() - began) / len(some)

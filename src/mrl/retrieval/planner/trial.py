"""One engine that was built, and everything that can be known of the plans that begin with it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.retrieval import proposers, threads
from mrl.retrieval.best import CODES
from mrl.retrieval.columns import Columns
from mrl.retrieval.encodings import Floats
from mrl.retrieval.engine import Engine
from mrl.retrieval.engines import QUERIES_PER_THREAD
from mrl.retrieval.leading import Leading
from mrl.retrieval.plan import Plan
from mrl.retrieval.planner import grid
from mrl.retrieval.planner.grid import Way
from mrl.retrieval.planner.lists import best
from mrl.retrieval.planner.material import Material
from mrl.retrieval.planner.memory import Memory
from mrl.retrieval.planner.scanning import Scanner
from mrl.retrieval.planner.terms import Objective, cost_by
from mrl.retrieval.proposers import Proposer
from mrl.retrieval.quick import Pipeline, rescaled
from mrl.retrieval.rerank import Record

TIMED, FEWER = 100, 12  # queries that a time is the median of, and that of a scan, which takes longer

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Bench:
    """What all trials share.

    material: rows and queries. memory: the rows as the re-rank reads them. turn: the map, wider than any dim tried, or
    None. leads: (n, dims) the mapped rows, or None. times: of the re-ranks that were timed, by chain and keep.
    """

    material: Material
    memory: Memory
    turn: Leading | None
    leads: Floats | None
    times: dict[tuple[tuple[str, ...], int, int], tuple[float, float]]

    @classmethod
    def of(cls, material: Material, turn: Leading | None) -> Bench:
        leads = None if turn is None else turn.apply32(material.vectors)
        return cls(material, Memory(material.vectors, material.by), turn, leads, {})

    @property
    def width(self) -> int:
        return int(self.material.vectors.shape[1])

    @property
    def name(self) -> str:
        """Of the map."""
        return "" if self.turn is None else str(self.turn)

    def columns(self, way: Way) -> Columns | None:
        return self.turn.columns(way.dim) if way.mapped and self.turn is not None else None

    def prefixes(self, way: Way) -> Floats:
        """(n, dim) rows as the way's engine compares them."""
        rows = self.leads if way.mapped else self.material.vectors
        return proposers.cut(rows, way.dim, self.material.by)  # type: ignore[arg-type]

    def asked(self, way: Way, queries: Floats) -> Floats:
        """(q, dim) queries likewise."""
        columns = self.columns(way)
        return proposers.cut(queries if columns is None else queries @ columns, way.dim, self.material.by)


@dataclass(frozen=True, eq=False)
class Candidate:
    """One plan. way, engine, keep, chain: what it is made of. values: (q,) what it is worth to the tune queries. ms: of
    one query alone. seconds: of one in a batch. bytes: of memory."""

    plan: Plan
    way: Way
    engine: Engine
    keep: int
    chain: tuple[str, ...]
    values: npt.NDArray[np.float64]
    ms: float
    seconds: float
    bytes: int

    def cost(self, objective: Objective) -> float:
        return cost_by(objective, self.ms, self.bytes, self.seconds)


@dataclass(frozen=True, eq=False)
class Trial:
    """way: what was built. proposer: what is asked. build_s: how long that took; nothing for a scan."""

    bench: Bench
    way: Way
    proposer: Proposer | Scanner
    build_s: float

    @classmethod
    def of(cls, bench: Bench, way: Way) -> Trial:
        """Build it, on all threads."""
        if way.scans:
            return cls(bench, way, Scanner(bench.memory, way.encoding, way.dim), 0.0)
        began = time.perf_counter()
        index = proposers.built(way.engine, bench.prefixes(way), bench.material.by, threads.count())
        return cls(bench, way, Proposer(index), time.perf_counter() - began)

    def proposed(self, engine: Engine, cut: Floats, count: int) -> Numbers:
        """(q, count) proposals for cut queries, on all threads."""
        if isinstance(self.proposer, Scanner):
            return self.proposer.asked(engine, cut, count)
        found = np.empty((len(cut), count), np.int64)

        def work(a: int, b: int) -> None:
            found[a:b] = self.proposer.asked(engine, cut[a:b], count)

        threads.each(work, len(cut), QUERIES_PER_THREAD)
        return found

    def candidates(self, asked: Numbers, *, bare: bool = False) -> Iterator[Candidate]:
        """Every plan that begins here, worth what it is to queries (q,), places in the material. Cheapest knobs first;
        it ends when a wider search finds no more.

        bare: no re-rank behind a scan. Lists are no longer than what the engine finds for each of these queries: where
        it finds less than a plan keeps, an index scans.
        """
        bench, k = self.bench, self.bench.material.k
        queries = bench.material.queries[asked]
        cut, before = bench.asked(self.way, queries), -1.0
        for engine in grid.asked(self.way.engine, bench.memory.rows, k):
            count = k if bare and self.way.scans else grid.longest(engine, bench.memory.rows, k)
            proposals, scores = self.proposed(engine, cut, count), _Scores(bench, queries)
            times = self._times(engine, cut, count, queries)
            most, there = -1.0, int((proposals >= 0).all(axis=0).sum())
            for keep, chain, found in _reranked(scores, proposals, self._chains(there, bare=bare), k):
                values = np.asarray(bench.material.worth.values(found, asked), np.float64)
                most = max(most, float(values.mean()))
                yield self._candidate(engine, keep, chain, values, times)
            if most <= before + SATED and before >= 0:
                return
            before = most

    def pipeline(self, engine: Engine, count: int, rerank: tuple[tuple[Record, int], ...] = ()) -> Pipeline:
        """What one query goes through: `count` proposals, and what re-ranks them."""
        by = self.bench.material.by
        ask, columns = self.proposer.bound(engine, count), self.bench.columns(self.way)
        return Pipeline(columns, self.way.dim, ask, _same, rerank, CODES[by], rescaled(engine, by))

    @property
    def timed(self) -> int:
        """Of how many queries a time is the median."""
        return FEWER if self.way.scans else TIMED

    def _chains(self, there: int, *, bare: bool) -> dict[tuple[str, ...], tuple[int, ...]]:
        """Each re-rank, and of how many proposals, where so many were found. Without one they are the results."""
        k = self.bench.material.k
        keeps = grid.keeps(there, k)
        chains = ((),) if bare and self.way.scans else grid.chains(self.way, self.bench.width)
        return {chain: keeps if chain else keeps[:1] for chain in chains}

    def _candidate(
        self, engine: Engine, keep: int, chain: tuple[str, ...], values: Any, times: tuple[float, float]
    ) -> Candidate:
        bench, way, rows = self.bench, self.way, self.bench.memory.rows
        ms, seconds = rerank_times(bench, chain, keep)
        plan = grid.plan_of(way, engine, keep, chain, (bench.width, bench.material.k, bench.name))
        size = grid.plan_bytes(way, chain, rows, bench.width)
        return Candidate(plan, way, engine, keep, chain, values, times[0] + ms, times[1] + seconds, size)

    def _times(self, engine: Engine, cut: Floats, count: int, queries: Floats) -> tuple[float, float]:
        """Milliseconds of one query alone up to its proposals, and seconds of one in a batch."""
        pipeline = self.pipeline(engine, count)
        single = median_seconds(lambda query: pipeline.run(query[None]), queries[: self.timed])
        began = time.perf_counter()
        self.proposed(engine, cut, count)
        return single * 1e3, (time.perf_counter() - began) / len(cut)


SATED = 0.0005  # of the measure: a wider search that brings no more is the last


class _Scores:
    """The scores of one list of proposals in each encoding, computed once."""

    def __init__(self, bench: Bench, queries: Floats) -> None:
        self._bench, self._queries = bench, queries
        self._known: dict[str, Floats] = {}

    def of(self, encoding: str, proposals: Numbers) -> Floats:
        """(q, m) in the proposals' order."""
        if encoding not in self._known:
            self._known[encoding] = scores_of(self._bench, encoding, self._queries, proposals)
        return self._known[encoding]


def scores_of(bench: Bench, encoding: str, queries: Floats, proposals: Numbers) -> Floats:
    """(q, m) scores of proposals in an encoding, on all threads."""
    record, code = bench.memory.record(encoding), CODES[bench.material.by]
    scores = np.empty(proposals.shape, np.float32)
    threads.each(
        lambda a, b: record.score(code, queries[a:b], proposals[a:b], scores[a:b]), len(queries), QUERIES_PER_THREAD
    )
    return scores


def _reranked(
    scores: _Scores, proposals: Numbers, chains: dict[tuple[str, ...], tuple[int, ...]], k: int
) -> Iterator[tuple[int, tuple[str, ...], Numbers]]:
    """(keep, chain, (q, k) found) for every chain and each of its keeps."""
    for chain, keeps in chains.items():
        if not chain:
            yield from ((keep, chain, proposals[:, :k]) for keep in keeps)
            continue
        first, last = (scores.of(name, proposals) for name in (chain[0], chain[-1]))
        middle = k if len(chain) == 1 else grid.MIDDLE * k
        for keep, found in zip(keeps, best(proposals, first, last, keeps, middle, k), strict=True):
            if len(chain) == 1 or keep > middle:
                yield keep, chain, found


def rerank_times(bench: Bench, chain: tuple[str, ...], keep: int) -> tuple[float, float]:
    """Milliseconds of a re-rank of `keep` rows for one query alone, and seconds for one in a batch; timed once."""
    if not chain:
        return 0.0, 0.0
    k = bench.material.k
    if (chain, keep, k) not in bench.times:
        bench.times[chain, keep, k] = _timed_rerank(bench, chain, keep)
    return bench.times[chain, keep, k]


def reranks(bench: Bench, chain: tuple[str, ...], keep: int) -> tuple[tuple[Record, int], ...]:
    """A record and how many it keeps, for each of the chain."""
    kept = grid.kept(chain, keep, bench.material.k)
    return tuple((bench.memory.record(name), count) for name, count in zip(chain, kept, strict=True))


def _timed_rerank(bench: Bench, chain: tuple[str, ...], keep: int) -> tuple[float, float]:
    """On rows drawn at random: the rows of real lists are as far from each other, and no other query's."""
    queries = bench.material.queries[:TIMED]
    rows = np.random.default_rng(keep).integers(0, bench.memory.rows, (len(queries), keep))
    stages = reranks(bench, chain, keep)
    turn = iter(range(10**9))
    pipeline = Pipeline(None, 0, lambda _: rows[next(turn) % len(rows)][None], _same, stages, CODES[bench.material.by])
    pipeline.run(queries[:1])
    single = median_seconds(lambda query: pipeline.run(query[None]), queries)
    return single * 1e3, single / threads.count()


def median_seconds(run: Any, queries: Sequence[Any] | Floats) -> float:
    """The median time of one query, of at most `TIMED`, after a few that warm up."""
    took = []
    for number, query in enumerate(queries[:TIMED]):
        began = time.perf_counter()
        run(query)
        if number >= 3 or len(queries) < 10:
            took.append(time.perf_counter() - began)
    return float(np.median(took))


def _same(numbers: Numbers) -> Numbers:
    return numbers

"""Which plans are worth measuring to the end: from a few engines to the neighbours of the best, not the whole grid.

The cost of a plan falls and rises again along the dims, as along every other axis by itself: narrow prefixes need long
lists, wide ones dear scores. So dims are climbed from the middle with one graph, and the other engines tried at the
best dim and at its neighbours. One engine gives all its plans at once (`trial`). Scans of codes come last.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from mrl.retrieval import threads
from mrl.retrieval.engine import HNSW, IVF, Engine, RaBitQ
from mrl.retrieval.planner import grid
from mrl.retrieval.planner.grid import Way
from mrl.retrieval.planner.selection import SHARE, Seen, Z, sequence
from mrl.retrieval.planner.terms import Terms, cost_by
from mrl.retrieval.planner.trial import Bench, Candidate, Trial

FIRST, NEAR = HNSW(16, 40, codes="int8"), 1.5  # times the best cost, up to which lists are varied
READ, MULTIPLIED, FAR = 10e9, 1e11, 2  # bytes, and products, a second at most; times the best cost
TESTS = (1 - 2 * SHARE) / SHARE  # times the tune queries: those that the tests will have

Numbers = npt.NDArray[np.int64]
Told = Callable[[str], object]


class Explorer:
    """Trials so far, and the candidates that they gave. tune: places of the queries that are looked at."""

    def __init__(self, bench: Bench, terms: Terms, tune: Numbers, told: Told) -> None:
        self.bench, self.terms, self._tune, self._told = bench, terms, tune, told
        self.trials: dict[Way, Trial] = {}
        self.candidates: dict[Way, list[Candidate]] = {}
        self._full = np.asarray(bench.material.worth.full, np.float64)[tune]

    def best(self, way: Way) -> tuple[float, float]:
        """Of the way's plans the one that falls least short of the terms, and of those that do not the cheapest: by how
        much it does, and its cost."""
        self.look(way)
        return min(map(self.rank, self.candidates[way]), default=(np.inf, np.inf))

    def rank(self, candidate: Candidate) -> tuple[float, float]:
        """By how much it falls short, then its cost: the least is the best."""
        return self.short(candidate), candidate.cost(self.terms.objective)

    def front(self, candidates: Sequence[Candidate]) -> list[Candidate]:
        """Of these what nothing outdoes in both cost and worth, safest first."""
        if not candidates:
            return []
        values = np.stack([self._full, *(each.values for each in candidates)])
        costs = np.array([np.inf, *(each.cost(self.terms.objective) for each in candidates)])
        seen = Seen(self._full, values, costs, ("exact", *(str(each.plan) for each in candidates)), 0)
        order = sequence(seen, int(len(self._full) * TESTS))
        return [candidates[c - 1] for c in order[1:]]

    def quality(self, candidate: Candidate) -> float:
        """What it keeps of what the exact search is worth, 1 for all."""
        return float(1 - (self._full - candidate.values).mean())

    def short(self, candidate: Candidate) -> float:
        """By how much it would probably fail the tests, with the queries that they will have; 0 if it would pass (as in
        `promise.needed`)."""
        gaps = self._full - candidate.values
        tests = len(gaps) * TESTS
        spread, stakes = Z * gaps.std() / np.sqrt(tests), np.log(1 / (1 - self.terms.confidence)) / tests
        return max(float(gaps.mean() + spread + stakes - self.terms.allowed), 0.0)

    def look(self, way: Way) -> None:
        """Build and measure, once."""
        if way not in self.candidates:
            self._told(str(way))
            trial, bare = Trial.of(self.bench, way), self.terms.objective == "bytes"  # a re-rank reads more bytes
            self.trials[way], self.candidates[way] = trial, list(trial.candidates(self._tune, bare=bare))

    def explore(self, mapped: Iterable[bool]) -> Way:
        """Climb the dims, then change one thing of the graph at a time, then try lists and a scan of bits; the best."""
        ladder = grid.dims(self.bench.width)
        found = min((self._climb(ladder, each) for each in mapped), key=self.best)
        for change in grid.CHANGES:
            found = min((found, replace(found, engine=replace(found.engine, **change))), key=self.best)
        found = self._climb_from(ladder, found)
        found = min((found, *(replace(found, engine=engine) for engine in self._lists(found))), key=self.best)
        if not isinstance(found.engine, HNSW):
            found = self._climb_from(ladder, found)
        if self._lossy(found) or self.bench.width <= 2 * found.dim:
            found = min((found, Way(False, self.bench.width, FIRST)), key=self.best)
        return found

    def scanned(self, found: Way) -> Way:
        """The best of what was found and of scans, which need no engine. None is tried that must cost far more."""
        ways = grid.scans(self.bench.width, self.bench.material.card.nesting.dims)
        return min((found, *(way for way in ways if self._worth(way, found))), key=self.best)

    def _worth(self, way: Way, found: Way) -> bool:
        """Whether a scan may be cheap enough, and its encoding holds the rows."""
        vectors, (short, best) = self.bench.memory.vectors, self.best(found)
        if way.encoding == "float16" and max(vectors.max(), -vectors.min()) > np.finfo(np.float16).max:
            return False
        size = grid.plan_bytes(way, (), *vectors.shape)
        least = cost_by(self.terms.objective, size / READ * 1e3, size, vectors.size / MULTIPLIED / threads.count())
        return short > 0 or least <= FAR * best

    def _lists(self, found: Way) -> Iterator[Engine]:
        """A scan of bits, lists of the middle number, and other numbers if these come near."""
        yield RaBitQ()
        few, middle, many = grid.lists(self.bench.memory.rows)
        for codes in grid.CODES:
            yield (engine := IVF(middle, codes=codes))
            if self._near(replace(found, engine=engine), found):
                yield from (IVF(few, codes=codes), IVF(many, codes=codes))

    def _near(self, way: Way, other: Way) -> bool:
        (short, cost), (least, best) = self.best(way), self.best(other)
        return short <= least and cost <= NEAR * best

    def _lossy(self, way: Way) -> bool:
        """Whether all its plans lose more than the terms allow, whatever more queries would tell."""
        return all(self.quality(each) < 1 - self.terms.allowed for each in self.candidates[way])

    def _climb(self, ladder: tuple[int, ...], mapped: bool) -> Way:
        start = min(ladder, key=lambda dim: abs(np.log(dim / 96)))
        return self._climb_from(ladder, Way(mapped, start, FIRST))

    def _climb_from(self, ladder: tuple[int, ...], way: Way) -> Way:
        """Along the dims while that is better."""
        while (best := min((replace(way, dim=dim) for dim in _beside(ladder, way.dim)), key=self.best)) != way:
            way = best
        return way


def _beside(ladder: tuple[int, ...], dim: int) -> tuple[int, ...]:
    """The dims next to one of the ladder, itself in the middle."""
    if dim not in ladder:
        return (dim,)
    at = ladder.index(dim)
    return ladder[max(at - 1, 0) : at + 2]

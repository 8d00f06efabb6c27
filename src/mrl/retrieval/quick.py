"""One query through a plan that begins with an engine, with nothing looked up twice.

Such a search takes some 50 µs of compiled code, and Python's checks and look-ups around it would take three times that.
So what does not depend on the query is found once for a plan and a snapshot: the engine, the columns of its map, where
the rows lie. Whatever is unusual about a query (a list, a NaN, an odd length, a filter) goes the long way, which gives
the same answer or says what is wrong.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.nesting import Metric
from mrl.retrieval.best import CODES
from mrl.retrieval.columns import Columns
from mrl.retrieval.encodings import Floats
from mrl.retrieval.engine import Engine, RaBitQ, Scan
from mrl.retrieval.engines import Built, reach
from mrl.retrieval.funnel import NORM_BYTES, own_map
from mrl.retrieval.plan import Plan
from mrl.retrieval.proposers import cut
from mrl.retrieval.rerank import Record
from mrl.retrieval.results import Results, Work, by_id
from mrl.retrieval.snapshot import Snapshot

LOW, HIGH = 1e-12, 1e12  # lengths for which nothing needs a second look

Positions = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Pipeline:
    """What is done to one query: its lead is cut, or comes from a map's columns; the engine is asked; the store's rows
    are re-ranked.

    columns: of the engine's own map, else None. dim: of the lead. ask: the engine, for (1, dim). placed:
    positions (1, m) of its numbers, none where these are too few. rerank: a record and how many it keeps, for every
    stage behind. code: of the metric. unit: whether the lead has to be rescaled. factor: of the engine's vectors.
    """

    columns: Columns | None
    dim: int
    ask: Callable[[Floats], Positions]
    placed: Callable[[Positions], Positions]
    rerank: tuple[tuple[Record, int], ...]
    code: int
    unit: bool = False
    factor: float = 1.0

    def run(self, query: Floats) -> tuple[Positions, Floats, bool, list[float]] | None:
        """Positions and scores (1, k) for a query (1, width), without the query's own factor, whether any scores are
        equal, and the time at the beginning and after each stage; None where the engine found too few rows.

        The query's length changes no order of products, so its lead is only rescaled for an engine that codes it.
        """
        times = [time.perf_counter()]
        lead = query[:, : self.dim] if self.columns is None else query @ self.columns
        if self.unit:
            lead = cut(lead, self.dim, "cosine")
        if self.factor != 1:
            lead = lead * np.float32(self.factor)
        positions = self.placed(self.ask(np.ascontiguousarray(lead)))
        if not positions.size or positions[0, -1] < 0:
            return None
        times.append(time.perf_counter())
        scores, tied = np.empty((1, 0), np.float32), False
        for record, keep in self.rerank:
            kept, scores, raw = np.empty((1, keep), np.int64), *np.empty((2, 1, keep), np.float32)
            tied = record.rerank(self.code, query, positions, kept, scores, raw)
            positions = kept
            times.append(time.perf_counter())
        return positions, scores, tied, times


class Quick:
    """A plan bound to a snapshot. `of` gives None where the long way has to be gone for every query."""

    def __init__(self, snapshot: Snapshot, plan: Plan, pipeline: Pipeline) -> None:
        self._pipeline, self._spec, self._dim = pipeline, str(plan), plan.stages[-1].dim
        self._width, self._metric = snapshot.card.width, snapshot.card.metric
        self._shapes = {(self._width,), (1, self._width)}
        counts = [min(stage.keep, snapshot.rows) for stage in plan.stages]
        sizes = [int(record.strides.sum()) + NORM_BYTES for record, _ in pipeline.rerank]
        read = [0, *(count * size for count, size in zip(counts, sizes, strict=False))]
        self._work = [
            (str(stage), *each)
            for stage, each in zip(plan.stages, zip([counts[0], *counts], read, strict=False), strict=False)
        ]
        self._counts = np.array([pipeline.rerank[-1][1]])
        ids = snapshot.blocks[0].ids
        self._ids: Callable[[Positions], Any] = ids.__getitem__ if len(snapshot.blocks) == 1 else snapshot.ids_at

    @classmethod
    def of(cls, snapshot: Snapshot, plan: Plan) -> Quick | None:
        """The plan was checked with `funnel.check`."""
        first, *rest = plan.stages
        if isinstance(first.engine, Scan) or not rest or snapshot.contents.map or not snapshot.blocks:
            return None
        built = snapshot.engine(first.dim, first.engine, own_map(snapshot, plan))
        wide = reach(first, snapshot.rows, snapshot.positions)
        if len(built.blocks) != len(snapshot.blocks) or any(stage.dim != rest[0].dim for stage in rest) or not wide:
            return None
        keeps = [min(stage.keep, snapshot.rows) for stage in plan.stages]
        found = [snapshot.record(snapshot.layout.reading(stage.dim, stage.encoding)) for stage in rest]
        records = [record for record in found if record is not None]
        if len(records) < len(rest):
            return None
        columns = built.columns
        ask = built.proposer.bound(first.engine, keeps[0])
        placed: Callable[[Positions], Positions] = built.positions
        if snapshot.rows < snapshot.positions:
            ask, placed = built.proposer.bound(first.engine, wide), _living(snapshot, built, keeps[0])
        rerank, metric = tuple(zip(records, keeps[1:], strict=True)), snapshot.card.metric
        how = rescaled(first.engine, metric), built.about.factor if metric == "l2" else 1.0
        return cls(snapshot, plan, Pipeline(columns, first.dim, ask, placed, rerank, CODES[metric], *how))

    def search(self, asked: Any) -> Results | None:
        """What the plan finds for a query (d,) or (1, d); None for one that goes the long way."""
        if type(asked) is not np.ndarray or asked.dtype.kind != "f" or asked.shape not in self._shapes:
            return None
        query = _single(asked).reshape(1, self._width)
        length = math.sqrt(np.vdot(query, query))
        found = self._pipeline.run(query) if LOW < length < HIGH else None
        if found is None:
            return None
        positions, scores, tied, times = found
        if self._metric == "cosine":
            scores *= self._factor(query, length)
        elif self._metric == "l2":
            own = np.float32(length if self._dim == self._width else np.linalg.norm(query[:, : self._dim]))
            np.minimum(scores - own * own, 0, out=scores)
            tied = tied or bool((scores[0, 1:] == scores[0, :-1]).any())  # of a long query a lot is rounded away
        ids, counts = self._ids(positions), self._counts.copy()
        if tied:
            positions, scores, ids = by_id(positions, scores, ids)
        if asked.ndim == 1:
            ids, scores = ids[0], scores[0]
        work = tuple([Work(*each, times[i + 1] - times[i]) for i, each in enumerate(self._work)])
        return Results(ids, scores, counts, self._metric, self._dim, self._spec, work)

    def _factor(self, query: Floats, length: float) -> float:
        """The query's own, of a cosine: 1 / the length of what the last stage sees of it."""
        if self._dim < self._width:
            length = float(np.linalg.norm(query[:, : self._dim]))
        return 1 / length if length > 0 else 0.0


def _living(snapshot: Snapshot, built: Built, keep: int) -> Callable[[Positions], Positions]:
    """What gives the positions of the first `keep` rows that are not deleted; none where there are fewer."""
    masks = (block.alive if block.about.dead else np.ones(block.rows, np.bool_) for block in built.blocks)
    alive = np.concatenate(list(masks))

    def placed(numbers: Positions) -> Positions:
        there = numbers[0][numbers[0] >= 0]
        some = there[alive[there]][:keep]
        return built.positions(some[None]) if len(some) == keep else some[None, :0]

    return placed


def rescaled(engine: Engine, metric: Metric) -> bool:
    """Whether a query's length changes what the engine proposes: one that knows its rows by a bit a coordinate codes
    the query's distance from a centre."""
    return metric == "cosine" and (isinstance(engine, RaBitQ) or getattr(engine, "codes", "") == "1bit")


def _single(asked: npt.NDArray[Any]) -> Floats:
    """As float32, side by side in memory."""
    if asked.dtype == np.float32 and asked.flags.writeable:  # compiled loops are compiled anew for what is not
        return np.ascontiguousarray(asked)
    with np.errstate(over="ignore"):  # what is beyond float32 goes the long way
        return asked.astype(np.float32)

"""HNSW graphs over a prefix, built and searched by FAISS. A graph proposes rows; our own kernels score them.

A graph covers the blocks that it was built from. Rows of newer blocks are scanned beside it until the next `compact`.
FAISS reads a graph only once its bytes were compared with their checksum, and then maps it rather than loading it.

Filters. The graph is walked as if all rows were allowed and those that are not are left out afterwards, with `ef`
widened by 1 / share of the allowed rows. So the rows found are the allowed ones among the nearest `ef` of all: where
there are enough of them they are as good as without a filter, however the filter and the query hang together, and
where there are not (the allowed rows are far from the query) the caller scans. FAISS's own selector stops among rows
that are not allowed, content with the few that it met. Recall of 5 in 30,000 clustered rows at the same widened `ef`
(64 without a filter: 0.99):

    allowed                      selector    here, by the graph    scanned for
    0.9, 0.5, 0.25 at random         0.99                  0.99            0 %
    half of the clusters             0.78                  0.99           45 %
    one half-space                   0.84                  0.99           35 %
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.disk import Folder
from mrl.errors import MissingError, StorageError
from mrl.nesting import Metric, metric_prefix
from mrl.retrieval import threads
from mrl.retrieval.best import ALL, Candidates
from mrl.retrieval.blocks import Block, Positions
from mrl.retrieval.encodings import Floats
from mrl.retrieval.plan import HNSW, Stage
from mrl.retrieval.scan import Mask

TILE, QUERIES_PER_THREAD = 64, 8  # queries whose lists are in memory together; fewer are not worth a thread
WALK = 256  # rows that are scanned in the time in which a walk gets one row further (200,000 × 128, two cores)


@dataclass(frozen=True)
class GraphAbout:
    """What the manifest says of a graph. file: its name. dim: the prefix. m, ef_construction: how it was built.
    blocks: the numbers of those that it covers, in order. factor: of all its vectors, so that float16 holds them.

    A graph that is wanted and not built yet has no file and no blocks: until it is, all rows are scanned.
    """

    file: str
    dim: int
    m: int
    ef_construction: int
    blocks: tuple[int, ...]
    factor: float = 1.0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> GraphAbout:
        return cls(**{**document, "blocks": tuple(document["blocks"])})

    def fits(self, dim: int, engine: HNSW) -> bool:
        return (self.dim, self.m, self.ef_construction) == (dim, *engine.build)

    def unbuilt(self) -> GraphAbout:
        """The same, still to be built: a plan that asks for it keeps its answers meanwhile."""
        return replace(self, file="", blocks=())


class Graph:
    """A graph of an opened snapshot; its own numbers count the rows of its blocks, one block after the other."""

    def __init__(self, folder: Folder, about: GraphAbout, blocks: Sequence[Block], metric: Metric) -> None:
        self.about, self.blocks = about, tuple(blocks)
        self._folder, self._metric = folder, metric
        self._starts = np.cumsum([0, *(block.rows for block in blocks)])
        self._shifts = np.array([block.first for block in blocks], np.int64) - self._starts[:-1]
        self._index: Any = None
        self._opening = threading.Lock()

    @property
    def rows(self) -> int:
        return int(self._starts[-1])

    @property
    def index(self) -> Any:
        """FAISS's index over the verified file, mapped at first use.

        DamagedError naming the file if its bytes changed, StorageError if this FAISS cannot read it, MissingError
        without FAISS.
        """
        with self._opening:
            if self._index is None:
                self._index = self._read()
        return self._index

    def _read(self) -> Any:
        path, faiss = self._folder.verified(self.about.file), engine()
        try:
            return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise StorageError(
                f"faiss {faiss.__version__} cannot read {path} although its bytes are intact: "
                f"{str(error).splitlines()[0]}; install the faiss that wrote it, or build the graph anew"
            ) from None

    def positions(self, numbers: Positions) -> Positions:
        """The positions in the snapshot of rows with these numbers, of any shape; −1 stays."""
        owner = np.searchsorted(self._starts[1:], numbers, side="right")
        return np.where(numbers < 0, -1, numbers + self._shifts[owner])

    def allowed(self, masks: Sequence[Mask], blocks: Sequence[Block]) -> Mask:
        """(rows,) which may be found, by the graph's numbers; or `ALL`. masks: one for each block of the snapshot."""
        known = {block.about.number: mask for block, mask in zip(blocks, masks, strict=True)}
        mine = [(block.rows, known[block.about.number]) for block in self.blocks]
        if not any(len(mask) for _, mask in mine):
            return ALL
        return np.concatenate([mask if len(mask) else np.ones(rows, np.bool_) for rows, mask in mine])

    def cut(self, queries: Floats) -> Floats:
        """(q, dim): what the graph compares its vectors with."""
        cut = np.ascontiguousarray(metric_prefix(queries, self.about.dim, self._metric), np.float32)
        with np.errstate(over="ignore"):  # a query that is too far away finds nothing here, and is scanned for
            return cut * np.float32(self.about.factor) if self._metric == "l2" else cut


def engine() -> Any:
    """The faiss module; MissingError names the extra."""
    try:
        import faiss
    except ImportError:
        raise MissingError("graphs need FAISS: pip install 'mrl[search]', or search with a plan of scans") from None
    return faiss


@contextmanager
def omp_threads(count: int) -> Iterator[None]:
    """FAISS splits work of this thread over so many; the setting is this thread's own, and put back."""
    faiss = engine()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(count)
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def propose(
    graph: Graph, queries: Floats, stage: Stage, masks: Sequence[Mask], blocks: Sequence[Block]
) -> Candidates | None:
    """Rows that the graph thinks nearest, unscored; None where it cannot keep its recall under these masks.

    queries: (q, width). masks: for each of the snapshot's blocks which rows may be found, or `ALL`. Positions are
    (q, keep), −1 where the graph has no more rows.
    """
    allowed = graph.allowed(masks, blocks)
    count = int(np.count_nonzero(allowed)) if len(allowed) else graph.rows
    ef = reach(stage, count, graph.rows)
    if not ef:
        return None
    found = Candidates.empty(len(queries), min(stage.keep, count))
    cut, short = graph.cut(queries), np.zeros(len(queries), bool)

    def work(start: int, stop: int) -> None:
        for q in range(start, stop, TILE):
            tile = slice(q, min(q + TILE, stop))
            short[tile] = _fill(graph, cut[tile], ef, allowed, found.positions[tile])

    threads.each(work, len(queries), QUERIES_PER_THREAD)
    return None if short.any() else found


def reach(stage: Stage, allowed: int, rows: int) -> int:
    """How many of all rows to list so that `keep` of those allowed are among them; 0 where a scan is cheaper.

    Of a list of `ef` rows about ef · share are allowed, give or take the root of that: four of these are added, so
    that few queries fall short. A walk of `ef` takes the time of a scan of `WALK` · ef rows: among a million rows with
    ef = 64 that is a share of 1.6 %, below which a scan is both exact and cheaper.
    """
    if not allowed:
        return 0
    keep = min(stage.keep, allowed)
    ef = max(getattr(stage.engine, "ef", 0), keep)
    if allowed == rows:
        return ef
    wide = math.ceil(max(ef, keep + 4 * math.sqrt(keep) + 4) * rows / allowed)
    return wide if wide * WALK < rows else 0


def _fill(graph: Graph, queries: Floats, ef: int, allowed: Mask, into: Positions) -> npt.NDArray[np.bool_]:
    """Put the best allowed rows of each query (t, dim) into (t, keep); (t,) which queries found fewer than that."""
    faiss, keep = engine(), into.shape[1]
    with omp_threads(1):
        index = graph.index
        some = faiss.SearchParametersHNSW(efSearch=ef)
        numbers = index.search(queries, ef if len(allowed) else keep, params=some)[1]
    good = numbers >= 0
    if len(allowed):
        good &= allowed[numbers]
    place = np.cumsum(good, axis=1)
    good &= place <= keep
    row, column = np.nonzero(good)
    into[row, place[row, column] - 1] = graph.positions(numbers[row, column])
    short: npt.NDArray[np.bool_] = place[:, -1] < keep
    return short

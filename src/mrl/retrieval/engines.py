"""The engines of an index on disk. An engine proposes rows; our own kernels score them.

An engine covers the blocks that it was built from. Rows of newer blocks are scanned beside it until the next `compact`.
FAISS reads an engine only once its bytes were compared with their checksum, and then maps it rather than loading it.

An engine may have a map of its own: then it holds the first coordinates of the mapped rows, while the store keeps the
rows as they came. A query goes through that map's few columns alone, which is what makes a map cheap for one query:
the whole turn of 1,024 dims costs as much as re-ranking 1,024 candidates, its first 128 columns an eighth of that. The
stage behind scores at the full width from dim 0, where an orthogonal map changes nothing.

Filters. The engine is asked as if all rows were allowed and those that are not are left out afterwards, with the list
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
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.disk import Folder
from mrl.errors import StorageError
from mrl.nesting import Metric
from mrl.retrieval import proposers, threads
from mrl.retrieval.best import ALL, Candidates
from mrl.retrieval.blocks import Block, Positions
from mrl.retrieval.columns import Columns
from mrl.retrieval.encodings import Floats
from mrl.retrieval.engine import HNSW, Engine, engine_text, of_build, parse_engine
from mrl.retrieval.leading import Leading
from mrl.retrieval.plan import Stage
from mrl.retrieval.proposers import Proposer
from mrl.retrieval.queries import Queries
from mrl.retrieval.scan import Mask

TILE, QUERIES_PER_THREAD = 64, 8  # queries whose lists are in memory together; fewer are not worth a thread
LITTLE = 2  # times the list without a filter: up to that it is not worth a scan
WALK, LIST = 256, 8  # rows scanned in the time in which a walk, or a list, gets one further (200,000 × 128, two cores)


@dataclass(frozen=True)
class EngineAbout:
    """What the manifest says of an engine. file: its name. dim: the prefix. engine: its build knobs, as text.
    blocks: the numbers of those that it covers, in order. factor: of all its vectors, so that float16 holds them.
    map: the name of its own map, such as `pca:ab12cd34ef56`, and map_file where that lies; both empty without one.

    An engine that is wanted and not built yet has no file and no blocks: until it is, all rows are scanned.
    """

    file: str
    dim: int
    engine: str
    blocks: tuple[int, ...]
    factor: float = 1.0
    map: str = ""
    map_file: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> EngineAbout:
        """From the manifest; one of an earlier version has an HNSW's knobs in fields of their own."""
        known = {**document, "blocks": tuple(document["blocks"])}
        if "engine" not in known:
            graph = HNSW(known.pop("m"), known.pop("ef_construction"))
            known["engine"] = engine_text(graph, whole=True)
        return cls(**known)

    @property
    def kind(self) -> Engine:
        """The engine with its build knobs."""
        return of_build(parse_engine(self.engine))

    def fits(self, dim: int, engine: Engine, turn: str = "") -> bool:
        """Whether this is the engine that a plan names."""
        return (self.dim, self.map, self.kind) == (dim, turn, of_build(engine))

    def unbuilt(self) -> EngineAbout:
        """The same, still to be built: a plan that asks for it keeps its answers meanwhile."""
        return replace(self, file="", blocks=())


class Built:
    """An engine of an opened snapshot; its own numbers count the rows of its blocks, one block after the other."""

    def __init__(self, folder: Folder, about: EngineAbout, blocks: Sequence[Block], metric: Metric) -> None:
        self.about, self.blocks = about, tuple(blocks)
        self._folder, self._metric = folder, metric
        self._starts = np.cumsum([0, *(block.rows for block in blocks)])
        self._shifts = np.array([block.first for block in blocks], np.int64) - self._starts[:-1]
        self._proposer: Proposer | None = None
        self._map: Leading | None = None
        self._columns: Columns | None = None
        self._opening = threading.Lock()

    @property
    def rows(self) -> int:
        return int(self._starts[-1])

    @property
    def proposer(self) -> Proposer:
        """What is asked, over the verified file, mapped at first use.

        DamagedError naming the file if its bytes changed, StorageError if this FAISS cannot read it, MissingError
        without FAISS.
        """
        if self._proposer is None:
            with self._opening:
                if self._proposer is None:
                    self._proposer = Proposer(self._read())
        return self._proposer

    @property
    def map(self) -> Leading | None:
        """The engine's own map, read at first use; DamagedError if its bytes changed."""
        if self._map is None and self.about.map_file:
            self._map = Leading.load(self._folder.verified(self.about.map_file))
        return self._map

    @property
    def columns(self) -> Columns | None:
        """What queries are turned by; None without a map of its own."""
        if self._columns is None and self.map is not None:
            self._columns = self.map.columns(self.about.dim)
        return self._columns

    def _read(self) -> Any:
        path, faiss = self._folder.verified(self.about.file), proposers.library()
        try:
            return faiss.read_index(str(path), faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise StorageError(
                f"faiss {faiss.__version__} cannot read {path} although its bytes are intact: "
                f"{str(error).splitlines()[0]}; install the faiss that wrote it, or build the engine anew"
            ) from None

    def positions(self, numbers: Positions) -> Positions:
        """The positions in the snapshot of rows with these numbers, of any shape; −1 stays."""
        if len(self._shifts) == 1:
            return np.where(numbers < 0, -1, numbers + self._shifts[0]) if self._shifts[0] else numbers
        owner = np.searchsorted(self._starts[1:], numbers, side="right")
        return np.where(numbers < 0, -1, numbers + self._shifts[owner])

    def allowed(self, masks: Sequence[Mask], blocks: Sequence[Block]) -> Mask:
        """(rows,) which may be found, by the engine's numbers; or `ALL`. masks: one for each block of the snapshot."""
        if not any(map(len, masks)):
            return ALL
        known = {block.about.number: mask for block, mask in zip(blocks, masks, strict=True)}
        mine = [(block.rows, known[block.about.number]) for block in self.blocks]
        if not any(len(mask) for _, mask in mine):
            return ALL
        return np.concatenate([mask if len(mask) else np.ones(rows, np.bool_) for rows, mask in mine])

    def cut(self, queries: Queries) -> Floats:
        """(q, dim): what the engine compares its vectors with."""
        vectors = queries.narrow if self.columns is None else queries.narrow @ self.columns
        factor = self.about.factor if self._metric == "l2" else 1.0
        return proposers.cut(vectors, self.about.dim, self._metric, factor)


def propose(
    built: Built, queries: Queries, stage: Stage, masks: Sequence[Mask], blocks: Sequence[Block]
) -> Candidates | None:
    """Rows that the engine thinks nearest, unscored; None where it cannot keep its recall under these masks.

    masks: for each of the snapshot's blocks which rows may be found, or `ALL`. Positions are (q, keep), −1 where the
    engine has no more rows.
    """
    allowed = built.allowed(masks, blocks)
    count = int(np.count_nonzero(allowed)) if len(allowed) else built.rows
    wide = reach(stage, count, built.rows)
    if not wide:
        return None
    found = Candidates.empty(len(queries), min(stage.keep, count))
    cut, short = built.cut(queries), np.zeros(len(queries), bool)

    def work(start: int, stop: int) -> None:
        for q in range(start, stop, TILE):
            tile = slice(q, min(q + TILE, stop))
            short[tile] = _fill(built, stage.engine, cut[tile], wide, allowed, found.positions[tile])

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
    walk = WALK if isinstance(stage.engine, HNSW) else LIST
    return wide if wide <= LITTLE * ef or wide * walk < rows else 0


def _fill(
    built: Built, engine: Engine, queries: Floats, wide: int, allowed: Mask, into: Positions
) -> npt.NDArray[np.bool_]:
    """Put the best allowed rows of each query (t, dim) into (t, keep); (t,) which queries found fewer than that."""
    keep = into.shape[1]
    numbers = built.proposer.asked(engine, queries, wide if len(allowed) else keep)
    if not len(allowed):
        into[:] = built.positions(numbers)
        return into[:, -1] < 0
    good = (numbers >= 0) & allowed[numbers]
    place = np.cumsum(good, axis=1)
    good &= place <= keep
    row, column = np.nonzero(good)
    into[row, place[row, column] - 1] = built.positions(numbers[row, column])
    short: npt.NDArray[np.bool_] = place[:, -1] < keep
    return short

"""HNSW graphs over a prefix, built and searched by FAISS. A graph proposes rows; our own kernels score them.

A graph covers the blocks that it was built from. Rows of newer blocks are scanned beside it until the next `compact`.
FAISS reads a graph only once its bytes were compared with their checksum, and then maps it rather than loading it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from mrl.disk import Folder
from mrl.nesting import Metric
from mrl.retrieval.best import Candidates
from mrl.retrieval.blocks import Block
from mrl.retrieval.encodings import Floats
from mrl.retrieval.plan import HNSW, Stage
from mrl.retrieval.scan import Mask

if TYPE_CHECKING:
    from mrl.retrieval.building import Progress
    from mrl.retrieval.snapshot import Snapshot


@dataclass(frozen=True)
class GraphAbout:
    """What the manifest says of a graph. file: its name. dim: the prefix. m, ef_construction: how it was built.
    blocks: the numbers of those that it covers, in order."""

    file: str
    dim: int
    m: int
    ef_construction: int
    blocks: tuple[int, ...]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> GraphAbout:
        return cls(**{**document, "blocks": tuple(document["blocks"])})

    def fits(self, dim: int, engine: HNSW) -> bool:
        return (self.dim, self.m, self.ef_construction) == (dim, *engine.build)


class Graph:
    """A graph of an opened snapshot."""

    def __init__(self, folder: Folder, about: GraphAbout, blocks: Sequence[Block], metric: Metric) -> None:
        self.about, self.blocks = about, tuple(blocks)
        self._folder, self._metric = folder, metric


def add_graph(snapshot: Snapshot, dim: int, engine: HNSW, progress: Progress) -> None:
    """Build a graph over all living rows and commit it, in place of one with the same dim and knobs."""
    raise NotImplementedError


def propose(
    graph: Graph, queries: Floats, stage: Stage, masks: Sequence[Mask], blocks: Sequence[Block]
) -> Candidates | None:
    """Rows that the graph thinks nearest, unscored; None where it cannot keep its recall under these masks."""
    raise NotImplementedError

"""Building an HNSW graph of all rows of a snapshot, and committing it.

The graph's vectors are float16, which is enough to propose by: it takes half of the memory and of the disk, and is
searched faster than float32. Memory holds these, the links, and one batch of rows: FAISS takes rows as they come.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from mrl.disk import Content, Draft
from mrl.nesting import metric_prefix
from mrl.retrieval import threads
from mrl.retrieval.encodings import Floats
from mrl.retrieval.graphs import GraphAbout, engine, omp_threads
from mrl.retrieval.plan import HNSW
from mrl.retrieval.state import publish

if TYPE_CHECKING:
    from mrl.retrieval.building import Progress
    from mrl.retrieval.snapshot import Snapshot

BATCH = 16_384  # rows that are decoded and linked together
PORTION = 1 << 20  # bytes that FAISS gives out at a time
LARGEST = 2.0**14  # length of the longest vector of a graph: float16 then spans 8 orders of magnitude below it


def add_graph(snapshot: Snapshot, dim: int, knobs: HNSW, progress: Progress) -> None:
    """Build a graph over all rows of the newest state and commit it, in place of one with the same dim and knobs.

    Rows that are deleted already are in the graph, and never found. Where there are no rows the graph is only noted:
    `compact` builds it. NestingError if the index is not cut at `dim`, MissingError without FAISS, StorageError if the
    disk refuses.
    """
    level, number = snapshot.layout.level(dim), snapshot.contents.next
    about, files = GraphAbout("", dim, *knobs.build, ()), dict[str, Content]()
    if snapshot.blocks:
        name, numbers = f"{number:06d}.graph", tuple(block.about.number for block in snapshot.blocks)
        about = replace(about, file=name, blocks=numbers, factor=_factor(snapshot, level))
        files = {name: _written(snapshot, about, level, progress)}
        number += 1
    others = (graph for graph in snapshot.contents.graphs if not graph.fits(dim, knobs))
    publish(snapshot.folder, replace(snapshot.contents, graphs=(about, *others), next=number), files)


def unfinished(snapshot: Snapshot) -> list[tuple[int, HNSW]]:
    """Dims and knobs of the graphs that do not cover all rows, the oldest first."""
    numbers = tuple(block.about.number for block in snapshot.blocks)
    behind = [graph for graph in reversed(snapshot.contents.graphs) if graph.blocks != numbers]
    return [(graph.dim, HNSW(graph.m, graph.ef_construction)) for graph in behind]


def _factor(snapshot: Snapshot, level: int) -> float:
    """A power of two that brings the longest prefix near `LARGEST`; distances keep their order under it."""
    longest = max(float(block.norms[level].max()) for block in snapshot.blocks)
    if snapshot.card.metric == "cosine" or longest == 0:
        return 1.0
    return 2.0 ** math.floor(math.log2(LARGEST) - math.log2(longest))


def _linked(snapshot: Snapshot, about: GraphAbout, level: int, progress: Progress) -> Any:
    """FAISS's index of all rows."""
    faiss = engine()
    measure = faiss.METRIC_L2 if snapshot.card.metric == "l2" else faiss.METRIC_INNER_PRODUCT
    index = faiss.IndexHNSWSQ(about.dim, faiss.ScalarQuantizer.QT_fp16, about.m, measure)
    index.hnsw.efConstruction = about.ef_construction
    done = 0
    with omp_threads(threads.count()):
        for rows in _prefixes(snapshot, about, level):
            index.add(rows)
            done += len(rows)
            progress("graph", done, snapshot.positions)
    return index


def _prefixes(snapshot: Snapshot, about: GraphAbout, level: int) -> Iterator[Floats]:
    """(n, dim) prefixes as the metric compares them, batch by batch."""
    for block in snapshot.blocks:
        for start in range(0, block.rows, BATCH):
            rows = block.decoded(slice(start, min(start + BATCH, block.rows)), level)
            cut = metric_prefix(rows, about.dim, snapshot.card.metric)
            yield np.ascontiguousarray(cut * np.float32(about.factor), np.float32)


def _written(snapshot: Snapshot, about: GraphAbout, level: int, progress: Progress) -> Draft:
    """The graph's file, in portions, so that it is never in memory a second time."""
    faiss, index = engine(), _linked(snapshot, about, level, progress)
    with snapshot.folder.draft(about.file) as draft:
        faiss.write_index(index, faiss.PyCallbackIOWriter(draft.write, PORTION))
    return draft

"""The tasks of `retrieval.py`: vectors of unit length in their spaces, the exact truth, and recall that knows ties."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import vector_sets
from peers import Floats, Ids

from mrl.maps import fit_pca

K, TIE = 10, 1e-6


@dataclass(eq=False)
class Task:
    """rows (n, d); tune, report: queries (q, d), disjoint. All of unit length. spaces: where peers are tried."""

    name: str
    rows: Floats
    tune: Floats
    report: Floats
    lists: tuple[int, ...]  # of IVF
    only: tuple[str, ...] = ()  # peers; empty: all
    without: tuple[str, ...] = ()  # parts of the names of peers that are left out
    dims: tuple[int, ...] = ()  # that the vectors were trained to nest at
    spaces: tuple[str, ...] = ("raw", "pca", "random")
    kth: dict[str, Floats] = field(default_factory=dict)

    def recall(self, part: str, found: Ids) -> float:
        """Share of the ten best of `part` that were found; one whose score ties with the tenth within 1e-6 counts."""
        queries = getattr(self, part)
        if part not in self.kth:
            self.kth[part] = tenth(self.rows, queries)
        hits = 0
        for start in range(0, len(found), 256):
            stop = slice(start, start + 256)
            ids = found[stop].astype(np.int64)
            scores = np.einsum("qd,qkd->qk", queries[stop], self.rows[np.maximum(ids, 0)])
            hits += int(((scores >= self.kth[part][stop, None] - TIE) & (ids >= 0)).sum())
        return hits / (len(found) * K)


def tenth(rows: Floats, queries: Floats) -> Floats:
    """The tenth best score of each query, (q,)."""
    best = np.full((len(queries), K), -np.inf, np.float32)
    for start in range(0, len(rows), 65_536):
        scores = queries @ rows[start : start + 65_536].T
        best = np.partition(np.concatenate([best, scores], axis=1), -K, axis=1)[:, -K:]
    return best[:, 0]


def turned(task: Task, space: str) -> Task:
    """The same task after a rotation: pca, or random."""
    if space == "raw":
        return task
    if space == "pca":
        turn = fit_pca(task.rows).apply32
    else:
        matrix = np.linalg.qr(np.random.default_rng(0).standard_normal((task.rows.shape[1],) * 2))[0].astype(np.float32)
        turn = matrix.__rmatmul__
    rows, tune, report = (np.ascontiguousarray(turn(part), np.float32) for part in (task.rows, task.tune, task.report))
    return Task(task.name, rows, tune, report, task.lists)


def split(name: str, rows: Floats, queries: Floats, most: int = 1000, lists: tuple[int, ...] = (64, 256)) -> Task:
    """Half of the queries to tune on, half to report on, at most `most` each; seeded."""
    order = np.random.default_rng(0).permutation(len(queries))
    half = min(len(queries) // 2, most)
    parts = (order[:half], order[half : 2 * half])
    tune, report = (np.ascontiguousarray(vector_sets.unit(queries[part]), np.float32) for part in parts)
    return Task(name, unit32(rows), tune, report, lists)


def unit32(rows: Floats) -> Floats:
    """At unit length, without a copy where they are so."""
    return np.ascontiguousarray(rows if abs(np.linalg.norm(rows[0]) - 1) < TIE else vector_sets.unit(rows), np.float32)


def products(data: Path | None) -> Task:
    return split("products", *vector_sets.products(data))


def cohere(data: Path | None) -> Task:
    task = split("cohere-4096", *vector_sets.cohere(data), lists=(32, 128))
    task.without = ("PQ d/2",)  # 2,048 codebooks train for minutes; d/4 and d/8 are swept
    return task


def nested(data: Path | None) -> Task:
    from nested_vectors import nested_vectors

    made = nested_vectors(data=data)
    task = split("nested", made.known.vectors, made.asked.vectors, lists=(128, 512))
    task.dims = made.known.card.nesting.dims
    return task


def million(data: Path | None) -> Task:
    """Made in build/retrieval/million, kept there as the 39,797 rows that are repeated."""
    import scale_set

    folder = Path(__file__).parents[1] / "build" / "retrieval" / "million"
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "queries.npy").exists():
        scale_set.make_set(folder, str(vector_sets.folder(data)))
    rows = np.empty((1_000_000, scale_set.WIDTH), np.float32)
    for number, batch in enumerate(scale_set.Source(folder, len(rows)).batches()):
        start = number * scale_set.BATCH
        rows[start : start + len(batch.vectors)] = vector_sets.unit(batch.vectors)
    task = split("million", rows, scale_set.queries(folder, 1000), most=500, lists=(1024,))
    task.only, task.spaces = MILLION, ("raw",)
    return task


MILLION = (
    "FlatIP",
    "FlatIPPanorama 16 levels",
    "RaBitQ 1 bits fs + refine",
    "RaBitQ 4 bits fs + refine",
    "IVF1024 flat",
    "IVF1024 PQ d/4x4fs + refine",
    "IVF1024 RaBitQ 1 bits fs + refine",
    "IVF1024 RaBitQ 4 bits fs + refine",
    "HNSW32 efC40",
    "HNSW32 SQ8 efC40",
    "HNSW32 SQ8 efC40 + refine",
    "HNSW32 fp16 efC40",
    "hnswlib M32 efC40",
    "usearch f32 M32",
    "usearch f16 M32",
    "usearch i8 M32",
)
TASKS = {"products": products, "cohere-4096": cohere, "nested": nested, "million": million}

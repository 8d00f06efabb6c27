"""What of ours meets the peers in `retrieval.py`: indexes and the plans that are tried on them."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import seconds
from retrieval_rows import K, Task

from mrl import Card, Nesting
from mrl.maps import fit_pca
from mrl.retrieval import HNSW, BuildSpec, Index, Layout, Rows

SMALL = 500  # rows of the index on which a fresh process loads its libraries


@dataclass(frozen=True)
class Ours:
    """points: (index, plan). small: an index built alike of few rows. seconds: of fitting and applying the map, and of
    the engines, from vectors in memory, writing excluded where that can be told."""

    points: list[tuple[Index, str]]
    small: Path
    seconds: dict[str, float]


def ours(task: Task, folder: Path) -> Ours:
    """The indexes and plans of ours that are tried on a task."""
    shutil.rmtree(folder, ignore_errors=True)
    width = task.rows.shape[1]
    took: dict[str, float] = {}
    index = _one(task.rows, folder / "index", took)
    small = _one(task.rows[:SMALL], folder / "small", {})
    start = time.perf_counter()
    fit_pca(task.rows[:32_768]).apply32(task.rows)
    took["map"] = time.perf_counter() - start
    efs = (16, 24, 32, 48, 64, 96, 128)
    plans = [f"128:{keep}/hnsw+m=16+ef={max(ef, keep)},{width}:{K}" for keep in (20, 30, 50, 100) for ef in efs]
    return Ours([(index, plan) for plan in dict.fromkeys(plans)], small.path, took)


def _one(rows: Any, path: Path, took: dict[str, float]) -> Index:
    width = rows.shape[1]
    spec = BuildSpec(Layout.of(Nesting((128, width))), map="pca")
    index = Index.build(path, Rows.of(rows, Card("bench", width, Nesting((width,)))), spec)
    took["engine"] = seconds(lambda: index.add_graph(128, HNSW(m=16)))
    return index

"""What of ours meets the peers in `retrieval.py`: an index for each target, planned with the tune queries."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from retrieval_rows import K, Task

from mrl import Card, Nesting
from mrl.retrieval import Index, Plan, Rows, Scan
from mrl.retrieval.leading import fit_leading
from mrl.retrieval.planner import Draft, Terms, plan
from mrl.retrieval.planner.planning import FITTED_ON
from mrl.retrieval.proposers import built, cut
from mrl.retrieval.rows import spread
from mrl.vectors import Held

SMALL = 600  # rows of the index on which a fresh process loads its libraries
TARGETS = (0.95, 0.98, 0.99)  # planned for; few queries cannot promise 0.99, but the frontier for 0.98 goes on beyond
LEEWAY = 0.02  # below the target: plans of the frontier that are tried


@dataclass(frozen=True)
class Ours:
    """points: (index, plan). small: for each index, by its folder's name, one built alike of few rows. seconds: for
    each index, planning; and from vectors in memory, writing excluded, two threads: fitting the map and applying it,
    and the engine."""

    points: list[tuple[Index, Plan]]
    small: dict[str, Path]
    seconds: dict[str, dict[str, float]]


def ours(task: Task, folder: Path) -> Ours:
    """Plan for each target with the tune queries, and build what was picked."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    width = task.rows.shape[1]
    card = Card("bench", width, Nesting(task.dims or (width,)))
    found, small, seconds = list[tuple[Index, Plan]](), dict[str, Path](), dict[str, dict[str, float]]()
    for target in TARGETS:
        name, start = f"{target:g}", time.perf_counter()
        draft = plan(Held.of(task.rows, card), Held.of(task.tune, card), Terms(k=K, recall=target))
        seconds[name] = {"planning": round(time.perf_counter() - start, 2)}
        print("\n".join([f"  {task.name} {target}: {seconds[name]}", *draft.planned.table()]), flush=True)
        index = draft.build(folder / name, Rows.of(task.rows, card))
        found += [(index, point.plan) for point in ready(draft, target)]
        small[name] = few(draft, Rows.of(task.rows[:SMALL], card), folder / f"{name}-small")
        seconds[name] |= made(task, ready(draft, target)[0].plan)
    return Ours(found, small, seconds)


def ready(draft: Draft, target: float) -> list[Any]:
    """The frontier's plans near the target that the index has an engine for."""
    points = [point for point in draft.planned.points if point.ready and point.plan is not None]
    return [point for point in points if point.quality >= target - LEEWAY]


def few(draft: Draft, rows: Rows, path: Path) -> Path:
    """An index built alike of few rows."""
    Draft(draft.planned, draft.turn).build(path, rows)
    return path


def made(task: Task, chosen: Plan) -> dict[str, float]:
    """Seconds, two threads: of the map, fitted and applied to all rows, and of the engine, if there is one."""
    if isinstance(chosen.stages[0].engine, Scan):
        return {}
    first, start = chosen.stages[0], time.perf_counter()
    rows: Any = task.rows
    if chosen.map:
        sample = task.rows[spread(len(task.rows), FITTED_ON)]
        rows = fit_leading(sample, first.dim).apply32(task.rows)
    prefixes, fitted = cut(rows, first.dim, "cosine"), time.perf_counter()
    built(first.engine, prefixes, "cosine", 2)
    return {"map": round(fitted - start, 3), "engine": round(time.perf_counter() - fitted, 3)}

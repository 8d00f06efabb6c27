"""The sweep of `retrieval.py`: each peer over its knobs, in each space, kept in build/retrieval/ as it goes."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import faiss
import numba
import numpy as np
from peers import Built, Floats, Peer, Search, Setting
from retrieval_rows import K, Task, turned
from threadpoolctl import threadpool_limits

CACHE = Path(__file__).parents[1] / "build" / "retrieval"
BATCH, SINGLES = 256, 200
MODES = tuple(product(("single", "batch"), (1, 2)))
TARGETS = (0.95, 0.99)
PERFECT, NEAR = 0.999, 0.945  # a ladder is climbed to the one; what is below the other is not timed
BEYOND = 2  # or so many settings past the highest target
SLOW = 20.0  # seconds of a build
LONG = 0.06  # seconds of a quick timing

Result = dict[str, Any]


@contextmanager
def threads(count: int) -> Iterator[None]:
    """Everybody has this many threads: OpenMP, the BLAS libraries, Numba and `mrl`, which reads the environment."""
    was = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = str(count)
    numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    try:
        with threadpool_limits(count):
            faiss.omp_set_num_threads(count)
            yield
    finally:
        del os.environ["OMP_NUM_THREADS"]
        os.environ.update({"OMP_NUM_THREADS": was} if was else {})


def mode_key(mode: str, count: int) -> str:
    return f"{mode}, {count} thread{'s' * (count > 1)}"


def one_by_one(search: Search, queries: Floats) -> None:
    for place in range(len(queries)):
        search(queries[place : place + 1], K)


def quick(search: Search, queries: Floats, mode: str, count: int) -> float:
    """Milliseconds of a query, the least of a few short runs (the machine may be shared).

    On one thread it is the processor's time, which others who wait for the same core do not lengthen.
    """

    def whole() -> float:
        return _took(lambda: search(queries[:BATCH], K), count) / BATCH * 1e3

    def one(some: Floats) -> float:
        return _took(lambda: one_by_one(search, some), count) / len(some) * 1e3

    if mode == "batch":
        first = whole()
        return min([first, *(whole() for _ in range(int(np.clip(3 * LONG / (first * BATCH / 1e3), 0, 3))))])
    some = queries[: int(np.clip(LONG * 1e3 / one(queries[:5]), 5, SINGLES))]
    return min(one(some) for _ in range(3))


def _took(run: Callable[[], object], count: int) -> float:
    """Seconds."""
    clock = time.process_time if count == 1 else time.perf_counter
    start = clock()
    run()
    return clock() - start


def climb(built: Built, ladder: Iterable[Setting], task: Task, space: Task) -> Iterator[Result]:
    """Recall and times of the settings of a ladder, until recall is as good as perfect or well past the targets."""
    past = 0
    for setting in ladder:
        with threads(2):
            recall = task.recall("tune", built.at(setting, 2)(space.tune, K))
        point: Result = {"setting": setting, "recall": round(recall, 5)}
        if recall >= NEAR:
            for mode, count in MODES:
                with threads(count):
                    point[mode_key(mode, count)] = round(quick(built.at(setting, count), space.tune, mode, count), 5)
        yield point
        past += recall >= max(TARGETS)
        if recall >= PERFECT or past > BEYOND:
            return


def path(task: Task, space: str, peer: str) -> Path:
    return CACHE / task.name / f"{space}-{re.sub('[^A-Za-z0-9.]+', '-', peer)}.json"


def make(peer: Peer, rows: Floats) -> tuple[Any, float]:
    """What takes long to build, with two threads, and its seconds."""
    with threads(2):
        start = time.perf_counter()
        made = peer.make(rows, 2)
        return made, time.perf_counter() - start


def sweep(
    task: Task,
    peers: Iterable[Peer],
    space: str,
    told: Callable[[Result], object] = print,
    keep: Callable[[str, Result], bool] = lambda task, result: False,
) -> None:
    """Every peer that is not in the cache yet. Peers of one base that stand together share what is built; what was
    slow to build is written where `keep` says so."""
    wanted = [p for p in peers if space in p.spaces and not path(task, space, p.name).exists()]
    if not wanted:
        return
    there = turned(task, space)
    base, made, took = "", None, 0.0
    for peer in wanted:
        if peer.base != base:
            del made
            base, (made, took) = peer.base, make(peer, there.rows)
        built = peer.view(made, there.rows)
        points = [point for ladder in peer.ladders for point in climb(built, ladder, task, there)]
        result = {"peer": peer.name, "space": space, "build seconds": round(took, 2), "points": points}
        file = path(task, space, peer.name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(result, indent=1) + "\n")
        if took > SLOW and keep(task.name, result):
            built.save(file.with_suffix(".index"))
        told(result)


def swept(task: str) -> list[Result]:
    """All that the cache has of a task."""
    return [json.loads(file.read_text()) for file in sorted((CACHE / task).glob("*.json"))]


def best(result: Result, key: str, target: float) -> Result | None:
    """The fastest point of a peer that keeps the target, or None."""
    able = [point for point in result["points"] if point["recall"] >= target]
    return min(able, key=lambda point: point[key], default=None)


def landscape(task: str) -> str:
    """One line a peer and space and way of asking: its point at each target."""
    lines = []
    for key in (mode_key(*mode) for mode in MODES):
        lines += ["", f"{task}: {key}; ms a query (recall@10 on tune queries, setting) at 0.95 and at 0.99; build s"]
        found = [(result, [best(result, key, target) for target in TARGETS]) for result in swept(task)]
        found.sort(key=lambda pair: pair[1][1][key] if pair[1][1] else pair[1][0][key] + 1e3 if pair[1][0] else 1e6)
        lines += [_line(result, points, key) for result, points in found]
    return "\n".join(lines[1:])


def _line(result: Result, points: list[Result | None], key: str) -> str:
    told = [
        f"{p[key]:8.4f} ({p['recall']:.3f} {' '.join(f'{k}={v}' for k, v in p['setting'].items())})" if p else "-"
        for p in points
    ]
    return f"{result['peer']:38} {result['space']:6} {told[0]:45} {told[1]:45} {result['build seconds']:7.1f}"

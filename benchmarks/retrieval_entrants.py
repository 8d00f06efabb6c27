"""Those that meet in `retrieval.py`: the best points of the sweep, and plans of ours, timed in turn and weighed.

An entrant is a way of searching at fixed knobs. `retimed` finds the fastest of several by alternating short runs;
`growth` gives the memory of one, in a process of its own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from harness import in_fresh_process, seconds
from peers import Built, Floats, Ids, Peer, Search, peers
from retrieval_rows import K, Task, turned
from retrieval_sweep import BATCH, CACHE, MODES, TARGETS, Result, best, make, mode_key, path, swept, threads

CLOSE, MOST = 1.3, 4  # contenders: within this factor of the fastest of the sweep, and no more than these
SINGLES, ROUNDS = 200, 7
MANY, NOISE, MIB = 10_000, 0.01, 2**20


@dataclass(frozen=True, eq=False)
class Entrant:
    """label: who and how, as kept. tune: recall on tune queries. at: threads to a search. asked: report queries."""

    label: Result
    tune: float
    at: Callable[[int], Search]
    asked: Floats

    def run(self, mode: str, count: int, singles: int = SINGLES) -> Callable[[], Ids]:
        """All that one timing does, for `queries_of` queries. Only the run made last may be called (knobs are set)."""
        search = self.at(count)
        if mode == "batch":
            starts = range(0, len(self.asked) - BATCH + 1, BATCH)
            return lambda: np.concatenate([search(self.asked[start : start + BATCH], K) for start in starts])
        some = self.asked[:singles]
        return lambda: np.concatenate([search(some[at : at + 1], K) for at in range(len(some))])

    def found(self, count: int) -> Ids:
        return self.at(count)(self.asked, K)


def queries_of(mode: str, asked: Floats, singles: int = SINGLES) -> int:
    """How many queries a run asks."""
    return len(asked) // BATCH * BATCH if mode == "batch" else min(singles, len(asked))


class Hall:
    """The peers of a task as they are needed: built or read, and held."""

    def __init__(self, task: Task) -> None:
        self.task, self.peers = task, {peer.name: peer for peer in rivals(task)}
        self.spaces: dict[str, Task] = {}
        self.built: dict[Path, Built] = {}

    def space(self, name: str) -> Task:
        if name not in self.spaces:
            self.spaces[name] = turned(self.task, name)
        return self.spaces[name]

    def file(self, peer: str, space: str) -> Path:
        return path(self.task, space, peer).with_suffix(".index")

    def stand(self, peer: str, space: str) -> Built:
        """The index, from its file if there is one; else built, and written."""
        file = self.file(peer, space)
        if file not in self.built:
            wanted, rows = self.peers[peer], self.space(space).rows
            if file.exists():
                self.built[file] = wanted.load(file, rows.shape[1])
            else:
                self.built[file] = wanted.view(make(wanted, rows)[0], rows)
                self.built[file].save(file)
        return self.built[file]

    def entrant(self, result: Result, point: Result) -> Entrant:
        peer, space, setting = result["peer"], result["space"], point["setting"]
        built = self.stand(peer, space)
        label = {"peer": peer, "space": space, "setting": setting}
        return Entrant(label, point["recall"], lambda count: built.at(setting, count), self.space(space).report)

    def leave(self, kept: set[Path]) -> None:
        """Let go of all others."""
        self.built = {file: built for file, built in self.built.items() if file in kept}


def rivals(task: Task) -> list[Peer]:
    """The peers of a task: all, or those of its own list."""
    wanted = [peer for peer in peers(task.lists) if not task.only or peer.name in task.only]
    return [peer for peer in wanted if not any(part in peer.name for part in task.without)]


def contenders(task: str, key: str, target: float) -> list[tuple[Result, Result]]:
    """Of the sweep: (peer, point) of the fastest ones, those that may be the best when timed with care."""
    points = [(result, best(result, key, target)) for result in swept(task)]
    able = sorted(((r, p) for r, p in points if p), key=lambda pair: pair[1][key])
    return [pair for pair in able if pair[1][key] <= CLOSE * able[0][1][key]][:MOST]


def worth_keeping(task: str, result: Result) -> bool:
    """Whether a peer just swept is, so far, a contender for any row."""
    keys = [(mode_key(*mode), target) for mode in MODES for target in TARGETS]
    mine = (result["peer"], result["space"])
    return any(mine == (r["peer"], r["space"]) for key in keys for r, _ in contenders(task, *key))


def retimed(entrants: list[Entrant], mode: str, count: int) -> list[float]:
    """Milliseconds of a query of each on report queries, the median of runs that take turns."""
    times: list[list[float]] = [[] for _ in entrants]
    with threads(count):
        for turn in range(ROUNDS + 1):
            for which in np.roll(np.arange(len(entrants)), turn):
                run = entrants[which].run(mode, count)
                if turn == 0:
                    run()
                times[which].append(seconds(run))
    each = queries_of(mode, entrants[0].asked) / 1e3
    return [float(np.median(some)) / each for some in times]


def asked_for_memory(queries: Floats) -> Floats:
    """(10,000, d): the held-out ones, then copies of them with 1 % noise."""
    copies = np.resize(queries, (MANY - len(queries), queries.shape[1]))
    noise = np.random.default_rng(1).standard_normal(copies.shape, np.float32) * (NOISE * queries.std(axis=0))
    return np.concatenate([queries, copies + noise])


def growth(order: Result, queries: Floats) -> float:
    """MiB by which RSS grows in a fresh process. order: {peer, space, setting, file, lists} or {index, plan}."""
    CACHE.mkdir(parents=True, exist_ok=True)
    file = CACHE / "asked.npy"
    np.save(file, asked_for_memory(queries))
    return in_fresh_process(sys.argv[0], "--step", json.dumps(order | {"queries": str(file)}))["MiB"]


def grow(order: Result) -> Result:
    """What the fresh process does: libraries first, on a small index; then open, ask 10,000 queries, look."""
    queries = np.load(order["queries"])
    search = _ours if "index" in order else _theirs
    search(order, queries[:1], warm=True)
    before = _rss()
    held = search(order, queries, warm=False)
    return {"MiB": (_rss() - before) / MIB, "held": held is not None}


def _theirs(order: Result, queries: Floats, warm: bool) -> Any:
    peer: Peer = next(p for p in peers(order["lists"]) if p.name == order["peer"])
    if warm:
        small = faiss.IndexHNSWFlat(queries.shape[1], 4)
        small.add(np.repeat(queries, 10, axis=0))
        return small.search(queries, 1)
    built = peer.load(Path(order["file"]), queries.shape[1])
    search = built.at(order["setting"], 2)
    for start in range(0, len(queries), BATCH):
        search(queries[start : start + BATCH], K)
    return built


def _ours(order: Result, queries: Floats, warm: bool) -> Any:
    from mrl.retrieval import Index

    index = Index.open(order["small" if warm else "index"])
    for start in range(0, len(queries), BATCH):
        index.search(queries[start : start + BATCH], K, plan=order["plan"])
    return index


def _rss() -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024

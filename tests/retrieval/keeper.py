"""A slow twin of an index, random changes for both, and a process that makes such changes until it is killed.

As a script it takes jobs on stdin: `change PATH SEED FIRST` changes the index at PATH from its step FIRST on, and says
each step that was done; `build PATH` builds an index of many rows. Each job has a child, which may be killed: its pid
is printed, and `ready` once it begins, and `done` once it is gone.
"""

import os
import random
import sys
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa

from mrl.card import Card
from mrl.nesting import Nesting
from mrl.promise import Parts
from mrl.retrieval import BuildSpec, Index, Layout, Plan, Rows, proposers
from mrl.retrieval.engine import HNSW
from mrl.retrieval.leading import Leading
from mrl.retrieval.planner import Planned, Point, Terms

CARD = Card("kept", 8, Nesting((8,)))
SPEC = BuildSpec(Layout.of(Nesting((3, 8)), beside={"int8": 3}))
TURN = Leading(np.linalg.qr(np.random.default_rng(1).standard_normal((8, 8)))[0][:, :3].copy(), "pca:ab12cd34ef56")
MAPPED = f"{TURN},3:80/hnsw+m=8+ef_construction=40+ef=80,8:70"  # finds all there are of a few rows
PLANNED = Planned(Terms(), "recall@10", (Point(Plan.parse(MAPPED), 1, 1, 1, 0.97, 0.1, 1e4, 10**5),), 0, None,
                  ("take it",), Parts(10, 80, 10), "rows", 10, "ab12")  # fmt: skip
QUERIES = np.random.default_rng(0).standard_normal((3, 8)).astype(np.float32)
MANY = 60_000  # rows of the long build


def vector(number: int, version: int) -> np.ndarray:
    """What a row holds. There are few different ones, so that scores tie."""
    return np.random.default_rng([number % 11, version % 5]).standard_normal(8).astype(np.float32)


def vectors(numbers: list[int], version: int) -> np.ndarray:
    return np.stack([vector(number, version) for number in numbers]) if numbers else np.empty((0, 8), np.float32)


def payload(numbers: list[int], version: int) -> pa.Table:
    words = pa.array([f"{number} in {version}" for number in numbers], pa.string())
    return pa.table({"word": words, "version": pa.array([version] * len(numbers), pa.int64())})


@dataclass
class Twin:
    """rows: the version of each row, by number. strings: whether its id is a string. columns: whether it has payload.

    top: the largest number in any block, dead rows included.
    """

    strings: bool = False
    columns: bool = True
    rows: dict[int, int] = field(default_factory=dict)
    top: int = -1

    def ids(self, numbers: list[int]) -> np.ndarray:
        return np.array([f"n{number}" for number in numbers], "U") if self.strings else np.array(numbers, np.int64)

    def given(self, numbers: list[int], version: int) -> dict[str, Any]:
        """The arguments of `add` and `upsert`."""
        return {"ids": self.ids(numbers), "payload": payload(numbers, version) if self.columns else None}

    def build(self, path: Path, numbers: list[int], spec: BuildSpec = SPEC) -> Index:
        """An index of version 0 of these rows, and this its twin."""
        self.rows, self.top = dict.fromkeys(numbers, 0), max(numbers, default=-1)
        return Index.build(path, Rows.of(vectors(numbers, 0), CARD, **self.given(numbers, 0)), spec)

    def copy(self) -> "Twin":
        return Twin(self.strings, self.columns, dict(self.rows), self.top)

    def change(self, draws: random.Random, version: int) -> tuple[str, list[int]]:
        """Something that may be done next."""
        verb = draws.choice(["add", "add", "upsert", "upsert", "delete", "delete", "compact"])
        if verb == "compact":
            return verb, []
        free, held = [n for n in range(60) if n not in self.rows], sorted(self.rows)
        pool = {"add": free, "upsert": range(60), "delete": held if draws.random() < 0.8 else range(60)}[verb]
        return verb, draws.sample(pool, min(len(pool), draws.randrange(1, 9)))

    def apply(self, verb: str, numbers: list[int], version: int) -> int:
        """Do it here; what the index's method returns."""
        if verb == "compact":
            self.top = max(self.rows, default=-1)
            return 0
        there = sum(number in self.rows for number in numbers)
        for number in numbers:
            if verb == "delete":
                self.rows.pop(number, None)
            else:
                self.rows[number] = version
        self.top = max([self.top, *(numbers if verb != "delete" else [])])
        return there if verb == "delete" else len(numbers)

    def search(self, query: np.ndarray, k: int) -> tuple[list[Any], list[float]]:
        """Every row scored alone in float64, best first, equal ones by id."""
        unit, scored = query.astype(float) / np.linalg.norm(query.astype(float)), []
        for number, version in self.rows.items():
            row = vector(number, version).astype(float)
            scored.append((-float(sum(unit * row)) / float(sum(row * row)) ** 0.5, self.ids([number])[0].item()))
        scored.sort(key=lambda each: (round(each[0], 12), each[1]))
        return [name for _, name in scored[:k]], [-score for score, _ in scored[:k]]


def plan_for(index: Index) -> Index:
    """Give it an engine with a map of its own, and a plan that begins there."""
    index.add_engine(3, HNSW(8, 40), TURN)
    index.keep_planned(PLANNED)
    return index


def check_planned(index: Index) -> None:
    """The plan that is kept runs, and finds what the exact search finds."""
    assert index.planned == PLANNED
    found, truth = index.search(QUERIES, 4, recall=0.95), index.search(QUERIES, 4)
    assert found.plan == str(Plan.parse(MAPPED).at_k(4))
    np.testing.assert_allclose(found.scores, truth.scores, rtol=1e-4, atol=1e-6)


def act(index: Index, twin: Twin, verb: str, numbers: list[int], version: int) -> int:
    """Do it to the index; how many rows it says it did it to."""
    if verb == "compact":
        index.compact()
        return 0
    if verb == "delete":
        return index.delete(twin.ids(numbers))
    return getattr(index, verb)(vectors(numbers, version), **twin.given(numbers, version))


def check(index: Index, twin: Twin) -> None:
    """Each way to read the index gives what the twin has."""
    numbers = sorted(twin.rows)
    random.Random(0).shuffle(numbers)
    assert index.rows == len(index) == len(numbers)
    everybody = list(range(60))
    assert index.known(twin.ids(everybody)).tolist() == [number in twin.rows for number in everybody]
    got = index.get(twin.ids(numbers))
    np.testing.assert_array_equal(
        got.vectors, np.array([vector(n, twin.rows[n]) for n in numbers], np.float32).reshape(-1, 8)
    )
    if twin.columns and numbers:
        want = pa.concat_tables([payload([number], twin.rows[number]) for number in numbers])
        assert got.payload.combine_chunks().equals(want.combine_chunks())
    for k in (4, 70):
        found = index.search(QUERIES, k)
        for ids, scores, count, query in zip(found.ids, found.scores, found.counts, QUERIES, strict=True):
            names, values = twin.search(query, k)
            assert ids[:count].tolist() == names
            np.testing.assert_allclose(scores[:count], values, rtol=1e-12, atol=1e-12)
            assert set(ids[count:].tolist()) <= {"" if index.snapshot.strings else -1}
            assert (scores[count:] == -np.inf).all()


def changes(twin: Twin, seed: int, first: int):
    """(step, verb, numbers) without end; the twin is at each when it comes. Each depends on the seed and the step."""
    step = first
    while True:
        verb, numbers = twin.change(random.Random(seed * 100_003 + step), step)
        yield step, verb, numbers
        twin.apply(verb, numbers, step)
        step += 1


def caught_up(seed: int, steps: int) -> Twin:
    """The twin of an index that began with rows 0–9 and went through so many steps."""
    twin = Twin(rows=dict.fromkeys(range(10), 0), top=9)
    for step, _verb, _numbers in changes(twin, seed, 1):
        if step > steps:
            break
    return twin


def go_on(path: str, seed: str, first: str) -> None:
    """Change the index, and say after each step that it was done."""
    index, twin = Index.open(path), caught_up(int(seed), int(first) - 1)
    say("ready")
    for step, verb, numbers in changes(twin, int(seed), int(first)):
        act(index, twin, verb, numbers, step)
        say(step)


def build_many(path: str) -> None:
    """Build an index of many rows."""
    rows = np.random.default_rng(0).standard_normal((MANY, 8)).astype(np.float32)
    say("ready")
    Index.build(path, Rows.of(rows, CARD), SPEC)
    say("built")


def warm_up() -> None:
    """Load all that is compiled, which takes longer than the job."""
    with TemporaryDirectory() as scratch:
        twin = Twin()
        index = plan_for(twin.build(Path(scratch) / "index", [1]))
        act(index, twin, "upsert", [1, 2], 1)
        index.compact()


def say(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


def main() -> None:
    proposers.library()  # once for all children
    for line in sys.stdin:
        job, *arguments = line.split()
        child = os.fork()
        if child == 0:
            warm_up()
            {"change": go_on, "build": build_many}[job](*arguments)
            os._exit(0)
        say(child)
        os.waitpid(child, 0)
        say("done")


if __name__ == "__main__":
    main()

"""Versions of the same vectors, measured in one pass each by every measure that there is a truth for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.advise.goal import Goal
from mrl.advise.versions import compared, usable
from mrl.evaluation import Row
from mrl.nesting import Nesting, prefix
from mrl.promise.bootstrap import interval, paired
from mrl.retrieval.encodings import bytes_per_row

PLAIN, PCA = "as they are", "PCA"  # the runs' names

Vectors = npt.NDArray[np.floating[Any]]
Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Version:
    """name: of the run. encodings: how its rows are stored, finest first. rows: (r, d). queries: (q, d)."""

    name: str
    encodings: tuple[str, ...]
    rows: Vectors
    queries: Vectors

    def run(self, encoding: str) -> str:
        """`PCA`, or `PCA, int8`."""
        return self.name if encoding == self.encodings[0] else f"{self.name}, {encoding}"


@dataclass(frozen=True, eq=False)
class Result:
    """values: {(run, measure): (cuts, n)}. versions: with the encodings that could be measured."""

    cuts: Nesting
    versions: tuple[Version, ...]
    values: dict[tuple[str, str], Values]
    notes: tuple[str, ...] = ()

    @property
    def measures(self) -> list[str]:
        """The one that matters most first."""
        return list(dict.fromkeys(measure for _, measure in self.values))


@dataclass(frozen=True)
class Contrast:
    """How far one run is ahead of another at a dim, by the same queries: mean, and its 95 % interval."""

    measure: str
    run: str
    against: str
    dim: int
    mean: float
    low: float
    high: float


def measured(
    goal: Goal, versions: Sequence[Version], cuts: Nesting, each: Callable[[str, int, int | None], object]
) -> Result:
    """Every version in every encoding that can hold it. each: hears of every one that is done."""
    values: dict[tuple[str, str], Values] = {}
    notes: list[str] = []
    held = []
    total, done = sum(len(version.encodings) for version in versions), 0
    for version in versions:
        encodings, refused = usable(version.rows, version.encodings)
        notes += [f"{version.name}: {sentence}" for sentence in refused]
        held.append(Version(version.name, encodings, version.rows, version.queries))
        for encoding in encodings:
            coded = compared(prefix(version.rows, cuts.width), encoding, cuts, goal.by)
            for measure, own in goal.values(prefix(version.queries, cuts.width), coded, cuts).items():
                values[held[-1].run(encoding), measure] = own
            done += 1
            each("versions measured", done, total)
    return Result(cuts, tuple(held), values, tuple(notes))


def rows_of(found: Result, goal: Goal) -> tuple[Row, ...]:
    """The means with their intervals, measure by measure."""
    rows = []
    for measure in found.measures:
        for version in found.versions:
            for encoding in version.encodings:
                trained = goal.trained if version is found.versions[0] else None
                rows += _rows(found, (version.run(encoding), measure), encoding, trained, goal.rows)
    return tuple(rows)


def _rows(found: Result, key: tuple[str, str], encoding: str, trained: Nesting | None, count: int) -> list[Row]:
    values = found.values[key]
    low, high, name = interval(values)
    return [
        Row(
            run=key[0],
            measure=key[1],
            dim=dim,
            trained=trained is not None and trained.trained(dim),
            value=float(values[level].mean()),
            low=float(low[level]),
            high=float(high[level]),
            interval=name,
            method="neighbours",
            queries=values.shape[1],
            bytes=bytes_per_row(encoding, dim),
            macs=dim * count,
        )
        for level, dim in enumerate(found.cuts.dims)
    ]


def contrasts(found: Result) -> tuple[Contrast, ...]:
    """PCA against plain vectors, and every encoding against the finest of its version, at every dim."""
    first = found.versions[0]
    pairs = [(version.name, first.name) for version in found.versions[1:]]
    pairs += [(v.run(encoding), v.name) for v in found.versions for encoding in v.encodings[1:]]
    told = []
    for measure in found.measures:
        for run, against in pairs:
            lead = paired(found.values[run, measure], found.values[against, measure])
            ends = zip(found.cuts.dims, lead.mean, lead.low, lead.high, strict=True)
            told += [Contrast(measure, run, against, dim, float(m), float(a), float(b)) for dim, m, a, b in ends]
    return tuple(told)

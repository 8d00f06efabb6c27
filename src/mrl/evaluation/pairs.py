"""Scored pairs: how alike people found two things."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.evaluation.matching import places
from mrl.evaluation.records import identifier, named, number
from mrl.vectors import Embedded

Scores = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


class PairRows(NamedTuple):
    """Pairs as rows of two tables, (pairs,) each. notes: what was left out, in words."""

    left: Rows
    right: Rows
    scores: Scores
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class ScoredPairs:
    """scores: (pairs,), higher is more alike, on any scale. ids: of the two things of each pair, as texts.

    Without ids, a pair is a row of the first table and the same row of the second.
    """

    scores: Scores
    ids: tuple[tuple[str, str], ...] | None = None

    def __post_init__(self) -> None:
        scores = np.asarray(self.scores)
        if scores.ndim != 1 or scores.dtype.kind not in "iuf":
            raise InputError(f"scores must be one number per pair, got {scores.dtype} of shape {scores.shape}")
        object.__setattr__(self, "scores", scores.astype(np.float64))
        bad = np.flatnonzero(~np.isfinite(self.scores))
        if len(bad):
            raise InputError(f"pair {bad[0]} has the score {self.scores[bad[0]]}; give a finite number or leave it out")
        if self.ids is not None and len(self.ids) != len(scores):
            raise InputError(f"there are {len(scores)} scores and {len(self.ids)} pairs of ids; give one for each")

    @classmethod
    def read(cls, path: str | Path, score: str = "score", ids: Sequence[str] | None = None) -> ScoredPairs:
        """Read the column `score`, and those of the two ids if they are named, of a .csv, .tsv, .jsonl or .parquet.

        InputError names the line that cannot be used; StorageError if the file cannot be read.
        """
        path, columns = Path(path), () if ids is None else tuple(ids)
        if ids is not None and len(columns) != 2:
            raise InputError(f"a pair has two columns of ids, got {', '.join(columns)}; name them as in id1,id2")
        scores, both = [], []
        for line, (cell, *own) in named(path, (score, *columns)):
            where = f"{path}:{line}"
            scores.append(number(cell, where, "score"))
            both.append(tuple(identifier(each, where) for each in own))
        return cls(np.array(scores, np.float64), tuple(both) if columns else None)  # type: ignore[arg-type]

    def rows(self, a: Embedded, b: Embedded) -> PairRows:
        """The pairs as rows of two tables; those with an id that a table lacks are left out.

        InputError where tables of pairs row by row differ in length, and where fewer than two pairs are left.
        """
        found = self._by_row(a, b) if self.ids is None else self._by_id(a, b, self.ids)
        _check(found, a, b)
        return found

    def _by_row(self, a: Embedded, b: Embedded) -> PairRows:
        if not len(a) == len(b) == len(self.scores):
            raise InputError(
                f"{a.path} has {len(a)} rows, {b.path} {len(b)}, and there are {len(self.scores)} scores: "
                "pairs are rows of both tables in one order; embed both sides of every pair, or name columns of ids"
            )
        if a.path.resolve() == b.path.resolve():
            raise InputError(f"both tables are {a.path}: every row would be compared with itself; name columns of ids")
        rows = np.arange(len(a))
        return PairRows(rows, rows, self.scores)

    def _by_id(self, a: Embedded, b: Embedded, ids: Sequence[tuple[str, str]]) -> PairRows:
        left, right = (places(table, {pair[side] for pair in ids}) for side, table in enumerate((a, b)))
        kept = np.array([one in left and other in right for one, other in ids], bool)
        rows = [(left[one], right[other]) for (one, other), known in zip(ids, kept, strict=True) if known]
        both = np.array(rows, np.int64).reshape(-1, 2)
        lacking = int((~kept).sum())
        note = f"{lacking} of {len(ids)} pairs have an id that {a.path} or {b.path} lacks: left out"
        return PairRows(both[:, 0], both[:, 1], self.scores[kept], (note,) if lacking else ())


def as_pairs(scores: Any) -> ScoredPairs:
    """Numbers as the scores of pairs row by row; ScoredPairs as they are."""
    return scores if isinstance(scores, ScoredPairs) else ScoredPairs(np.asarray(scores))


def _check(found: PairRows, a: Embedded, b: Embedded) -> None:
    if len(found.scores) < 2:
        raise InputError(
            f"a correlation needs at least 2 pairs, got {len(found.scores)} of {a.path} and {b.path}; "
            "give more, with the ids of these tables"
        )
    if (found.scores == found.scores[0]).all():
        raise InputError(
            f"all {len(found.scores)} scores are {found.scores[0]:g} and rank nothing; give scores that differ"
        )

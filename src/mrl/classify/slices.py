"""Slices: named groups of rows, and how far a cascade looks at each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError

Numbers = npt.NDArray[np.int64]
Shares = npt.NDArray[np.float64]
NAMELESS = "(none)"  # of rows whose cell is empty


@dataclass(frozen=True, eq=False)
class Groups:
    """Rows by one of their properties. column: which. names: (g) of the groups. rows: (g,) how many each has, at least
    one. stopped: (g, levels), the share of them that stops at each level. accuracy, full: (g,) of the cascade, and of
    the full width. last: (g,) mean of the last dim used."""

    column: str
    names: tuple[str, ...]
    rows: Numbers
    stopped: Shares
    accuracy: Shares
    full: Shares
    last: Shares

    def __len__(self) -> int:
        return len(self.names)

    def order(self) -> Numbers:
        """(g,): the groups, those that stop earliest first; in their order where they are equal."""
        return np.argsort(self.last, kind="stable")


@dataclass(frozen=True, eq=False)
class Outcomes:
    """What became of each row: levels, the one at which it stopped; right, whether that was right; full, whether the
    full width was; all (n,). dims: (levels,) of each level."""

    levels: Numbers
    right: npt.NDArray[np.bool_]
    full: npt.NDArray[np.bool_]
    dims: Numbers

    def groups(self, column: str, names: Sequence[str], numbers: Numbers) -> Groups:
        """numbers: (n,) places in `names`; rows with a negative one are in no group, and empty groups are left out."""
        mine = numbers >= 0
        there, place = np.unique(numbers[mine], return_inverse=True)
        count, levels = np.bincount(place, minlength=len(there)), len(self.dims)
        stopped = np.bincount(place * levels + self.levels[mine], minlength=len(there) * levels)
        shares = stopped.reshape(len(there), levels) / count[:, None]
        right, full = (np.bincount(place, each[mine], len(there)) / count for each in (self.right, self.full))
        return Groups(column, tuple(names[n] for n in there), count, shares, right, full, shares @ self.dims)


def sliced(outcomes: Outcomes, slices: Mapping[str, npt.ArrayLike], given: npt.NDArray[np.bool_]) -> tuple[Groups, ...]:
    """The groups of every column. slices: (N,) labels of all rows that were given, texts or numbers; given: (N,) which
    of them were measured. InputError for a column of another length."""
    return tuple(_column(outcomes, name, np.asarray(labels, object), given) for name, labels in slices.items())


def _column(outcomes: Outcomes, name: str, labels: npt.NDArray[Any], given: npt.NDArray[np.bool_]) -> Groups:
    if labels.shape != given.shape:
        raise InputError(
            f"slice {name!r} must name the group of each of the {len(given):,} rows, got shape {labels.shape}; give "
            "one label a row"
        )
    texts = [NAMELESS if cell is None or cell == "" else str(cell) for cell in labels[given].tolist()]
    names, numbers = np.unique(texts, return_inverse=True)
    return outcomes.groups(name, names.tolist(), numbers.astype(np.int64))

"""What a source of labelled pictures holds, before any of them is decoded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.training.decoding import Stored

Ids = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]


class Renamed(NamedTuple):
    """One's own classes among others. classes: the others' names, then those of one's own that they lack. unknown:
    these. labels: (own,) int64, the position of each own class in `classes`."""

    classes: tuple[str, ...]
    unknown: tuple[str, ...]
    labels: Labels


def renamed(own: Sequence[str], others: Sequence[str]) -> Renamed:
    """Match classes by name."""
    unknown = tuple(name for name in own if name not in others)
    position = {name: i for i, name in enumerate((*others, *unknown))}
    return Renamed(tuple(position), unknown, np.array([position[name] for name in own], np.int64))


@dataclass(frozen=True, eq=False)
class Listing:
    """stored: n pictures. labels: (n,) int64 or None. classes: names by label. ids: (n,) integers or strings.

    root: the folder whose sub-folders the classes are, or None.
    """

    stored: Stored
    labels: Labels | None
    classes: tuple[str, ...]
    ids: Ids
    root: Path | None = None

    def without(self, bad: list[int]) -> Listing:
        """All but these rows; InputError if a class folder loses all its images."""
        kept = np.setdiff1d(np.arange(len(self.stored)), bad)
        labels = None if self.labels is None else self.labels[kept]
        if labels is not None and self.root is not None:
            lost = np.flatnonzero(np.bincount(labels, minlength=len(self.classes)) == 0)
            if len(lost):
                name = self.root / self.classes[lost[0]]
                raise InputError(
                    f"no image of class folder {name} could be decoded; replace them, or remove the folder"
                )
        return Listing(self.stored.part(kept), labels, self.classes, self.ids[kept], self.root)

"""Vectors in memory under the same names as a table's, and what the two have in common."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.errors import InputError

Array = npt.NDArray[np.floating[Any]]


class Embedded(Protocol):
    """Vectors that can be measured: a `Table`, or `Held`.

    path: where they come from. card: what they are. vectors: (n, width). ids: (n,). labels: (n,) int64 or None.
    label_names: the name of each label, or ().
    """

    @property
    def path(self) -> Path: ...

    @property
    def card(self) -> Card: ...

    @property
    def vectors(self) -> Array: ...

    @property
    def ids(self) -> npt.NDArray[Any]: ...

    @property
    def labels(self) -> npt.NDArray[np.int64] | None: ...

    @property
    def label_names(self) -> tuple[str, ...]: ...

    def __len__(self) -> int: ...

    def id_blocks(self) -> Iterator[npt.NDArray[Any]]: ...

    def need_labels(self) -> npt.NDArray[np.int64]: ...


@dataclass(frozen=True, eq=False)
class Held:
    """Vectors in memory. Fields as in `Embedded`.

    InputError for columns of other lengths, CardError for vectors of another width than the card's.
    """

    path: Path
    card: Card
    vectors: Array
    ids: npt.NDArray[Any]
    labels: npt.NDArray[np.int64] | None = None
    label_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.card.check_vectors(self.vectors)
        for name, column in (("ids", self.ids), ("labels", self.labels)):
            if column is not None and column.shape != (len(self.vectors),):
                raise InputError(
                    f"{self.path} has {len(self.vectors)} vectors and {name} of shape {column.shape}; give one each"
                )

    @classmethod
    def of(cls, vectors: Array, card: Card, labels: npt.ArrayLike | None = None, path: str | Path = "memory") -> Held:
        """Rows numbered from 0. vectors: (n, width). labels: (n,) integers ≥ 0."""
        own = None if labels is None else np.asarray(labels, np.int64)
        return cls(Path(path), card, vectors, np.arange(len(vectors)), own)

    def __len__(self) -> int:
        return len(self.vectors)

    def id_blocks(self) -> Iterator[npt.NDArray[Any]]:
        """The ids, in one block."""
        yield self.ids

    def need_labels(self) -> npt.NDArray[np.int64]:
        """The labels; InputError if there are none."""
        if self.labels is None:
            raise InputError(f"{self.path} has no labels, which this measures by; give them")
        return self.labels

    def only(self, rows: npt.NDArray[np.int64]) -> Held:
        """These rows, in this order."""
        labels = None if self.labels is None else self.labels[rows]
        return replace(self, vectors=self.vectors[rows], ids=self.ids[rows], labels=labels)

    def turned(self, vectors: Array, card: Card) -> Held:
        """Other vectors for the same rows, such as mapped ones."""
        return replace(self, vectors=vectors, card=card)

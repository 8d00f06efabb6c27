"""Queries: vectors checked, cut to shape and turned as the rows of the index were."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.errors import InputError
from mrl.nesting import Nesting
from mrl.retrieval.encodings import Floats
from mrl.retrieval.writing import check_lengths
from mrl.segments import prefix_norms

if TYPE_CHECKING:
    from mrl.retrieval.snapshot import Snapshot

FEW = 16


@dataclass(frozen=True, eq=False)
class Queries:
    """narrow: (q, width) float32. wide: (q, width) float64, of which `narrow` is the rounding. card: what they are,
    maps included."""

    narrow: Floats
    wide: npt.NDArray[np.float64]
    card: Card

    @classmethod
    def of(cls, vectors: npt.NDArray[Any], snapshot: Snapshot, *, mapped: bool = False) -> Queries:
        """Queries (q, width) of any float type. mapped: whether they went through the index's map already.

        An index that was cut after its map takes raw queries at the map's width; those that come mapped, at its own.

        InputError for another shape, a NaN or an Inf; CardError for another width.
        """
        if vectors.ndim != 2 or vectors.dtype.kind != "f":
            raise InputError(
                f"queries must be a float matrix (q, width) or one vector (width,), got {vectors.dtype} of shape "
                f"{vectors.shape}"
            )
        (snapshot.card if mapped else snapshot.raw_card()).check_vectors(vectors)
        check_lengths(vectors, cosine=snapshot.card.metric == "cosine", what="query")
        turn = snapshot.map
        if not len(vectors):
            wide = np.empty((0, snapshot.card.width))
        elif turn is None or mapped:
            wide = vectors.astype(np.float64, order="C")  # compiled loops are compiled for one order
        elif len(vectors) <= FEW:  # each by itself: a batch is padded to a tile
            wide = np.stack([turn.apply64(vector) for vector in vectors])
        else:
            wide = turn.apply64(vectors)
        return cls(wide.astype(np.float32), wide, snapshot.card)

    def __len__(self) -> int:
        return len(self.narrow)

    def at(self, number: int | slice) -> Queries:
        """One of them, or some."""
        some = slice(number, number + 1) if isinstance(number, int) else number
        return Queries(self.narrow[some], self.wide[some], self.card)

    def lengths(self, dim: int) -> npt.NDArray[np.float64]:
        """(q,) lengths of the prefixes of `dim`."""
        return prefix_norms(self.narrow, Nesting((dim,)))[:, 0]

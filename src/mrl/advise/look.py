"""Look: how much of the vectors is inspected, and at which dims."""

from __future__ import annotations

from dataclasses import dataclass

from mrl.nesting import Nesting
from mrl.options import check_count
from mrl.retrieval.encodings import ENCODINGS, check_encoding

COORDINATES = 1 << 27  # held in memory at most: 512 MiB of float32


@dataclass(frozen=True)
class Look:
    """What to look at. dims: default the width halved down to 8, and the trained dims. k: of recall@k and nDCG@k.

    rows, queries: at most so many of each, drawn by `seed`; fewer rows of vectors so wide that they would take more
    than 512 MiB. encodings: how rows are stored. InputError for less than one of anything, and for a seed below 0.
    """

    dims: Nesting | None = None
    k: int = 10
    rows: int = 100_000
    queries: int = 1_000
    encodings: tuple[str, ...] = ENCODINGS[::-1]
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("k", "rows", "queries"):
            check_count(name, getattr(self, name), 1)
        check_count("seed", self.seed)
        for each in self.encodings:
            check_encoding(each)

    def most(self, width: int) -> int:
        """How many rows are held."""
        return max(min(self.rows, COORDINATES // width), 1)

"""What a choice is to promise, and among what it may choose."""

from __future__ import annotations

from dataclasses import dataclass

from mrl.advise.versions import FINEST_FIRST
from mrl.card import Card
from mrl.errors import InputError
from mrl.nesting import Nesting
from mrl.options import check_count, check_number
from mrl.retrieval.encodings import check_encoding

SMALLEST = 8  # of the ladder, where only the full width was trained


@dataclass(frozen=True)
class Terms:
    """tolerance: how much of the measure may be lost against the full width in float32, in (0, 1). confidence: how sure
    that is to be, from 0.5 up to 1. dims, encodings: what may be chosen; without dims the trained ones and those
    between, or, where only the full width was trained, a ladder of halves and those between. seed: which queries tune,
    calibrate and report. InputError for what lies outside.
    """

    tolerance: float = 0.01
    confidence: float = 0.95
    dims: Nesting | None = None
    encodings: tuple[str, ...] = FINEST_FIRST
    seed: int = 0

    def __post_init__(self) -> None:
        check_number("tolerance", self.tolerance, 0, 1, above=True, below=True)
        check_number("confidence", self.confidence, 0.5, 1, below=True)
        check_count("seed", self.seed)
        if not self.encodings:
            raise InputError("there is no encoding to choose from; give at least one")
        for name in self.encodings:
            check_encoding(name)

    def cuts(self, card: Card) -> Nesting:
        """The dims of the candidates. NestingError for one wider than the vectors, or that their map is not for."""
        if self.dims is None:
            ladder = card.nesting if len(card.nesting) > 1 or card.maps else _ladder(card.width)
            return ladder.between()
        self.dims.check_width(card.width)
        for dim in self.dims.dims if card.maps else ():
            card.nesting.check_readable(dim, card.width)
        return self.dims


def _ladder(width: int) -> Nesting:
    return Nesting.halving(width, min(SMALLEST, width))

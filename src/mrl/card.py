"""What a model, a table or an index says of itself, and what fits what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeVar

from mrl.errors import CardError, InputError
from mrl.nesting import Metric, Nesting, metric, metric_prefix

Vectors = TypeVar("Vectors", bound=Any)
_SAME_MODEL = "embed both with the same model"


@dataclass(frozen=True)
class Card:
    """The identity of a set of vectors.

    model: a name for people. width: dims of a full vector. nesting: the dims that were trained. metric: how prefixes
    are compared. normalised: whether full vectors are stored at length 1. maps: names of the maps applied, in order.
    fingerprint: digest of the encoder's weights; two cards with different ones never fit.
    """

    model: str
    width: int
    nesting: Nesting
    metric: Metric = "cosine"
    normalised: bool = False
    maps: tuple[str, ...] = ()
    fingerprint: str = ""

    def __post_init__(self) -> None:
        metric(self.metric)
        self.nesting.check_width(self.width)

    def cut(self, vectors: Vectors, dim: int) -> Vectors:
        """The prefix that this card's metric compares, (..., width) -> (..., dim).

        NestingError unless dim lies between the narrowest trained dim and the width; CardError for vectors of
        another width.
        """
        self.check_vectors(vectors)
        self.nesting.check_readable(dim, self.width)
        return metric_prefix(vectors, dim, self.metric)

    def check_vectors(self, vectors: Any) -> None:
        """Raise CardError unless vectors are (..., width)."""
        if vectors.ndim < 1 or vectors.shape[-1] != self.width:
            raise CardError(
                f"{self.model} has vectors of width {self.width}, got shape {tuple(vectors.shape)}; "
                "embed them with the same model"
            )

    def check_fits(self, other: Card, names: tuple[str, str] = ("the first", "the second")) -> None:
        """Raise CardError naming the first thing in which two cards differ. The models' display names may."""
        for field in ("width", "nesting", "metric", "normalised", "maps", "fingerprint"):
            mine, theirs = getattr(self, field), getattr(other, field)
            if mine != theirs:
                raise CardError(
                    f"{names[0]} and {names[1]} do not belong together: {field} is {mine!s} in one ({self.model}) "
                    f"and {theirs!s} in the other ({other.model}); {self._remedy(other, field)}"
                )

    def _remedy(self, other: Card, field: str) -> str:
        """What brings two cards together that differ in this field first."""
        if field == "maps":
            return "map both with the same map, or neither"
        cut = field == "width" and self.maps == other.maps and self.fingerprint == other.fingerprint != ""
        return f"cut the wider with mrl migrate --dim {min(self.width, other.width)}" if cut else _SAME_MODEL

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "nesting": str(self.nesting), "maps": list(self.maps)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Card:
        try:
            fields = dict(document)
            return cls(**{**fields, "nesting": Nesting.parse(fields["nesting"]), "maps": tuple(fields["maps"])})
        except (KeyError, TypeError) as error:
            raise InputError(f"cannot read a card from {dict(document)}: {error}") from None

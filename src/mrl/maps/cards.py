"""What a map makes of the card of the vectors."""

from __future__ import annotations

from dataclasses import replace

from mrl.card import Card
from mrl.errors import CardError
from mrl.maps.files import AnyMap
from mrl.maps.rotation import Rotation
from mrl.nesting import Nesting


def mapped_card(card: Card, turn: AnyMap, nesting: Nesting | None = None) -> Card:
    """The card of the vectors once mapped: the map's name and fingerprint come last in `maps`.

    nesting: the dims that the map was fitted for; without it those of the card that the new width has room for, or the
    new width alone. Only a rotation leaves vectors of length 1 at length 1.

    CardError for vectors of another width; NestingError for dims beyond the map's.
    """
    if card.width != turn.width:
        raise CardError(
            f"the map {turn} has width {turn.width} and {card.model} has vectors of width {card.width}; "
            "fit a map on vectors of the same model"
        )
    return replace(
        card,
        width=turn.out,
        nesting=nesting or _fitting(card.nesting, turn.out),
        normalised=card.normalised and isinstance(turn, Rotation),
        maps=(*card.maps, str(turn)),
    )


def _fitting(nesting: Nesting, width: int) -> Nesting:
    return Nesting(tuple(dim for dim in nesting.dims if dim <= width) or (width,))

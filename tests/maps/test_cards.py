from dataclasses import replace

import pytest

from maps.test_linear import linear, residual
from maps.test_rotation import turned
from mrl.card import Card
from mrl.errors import CardError, NestingError
from mrl.maps import mapped_card
from mrl.nesting import Nesting

CARD = Card("model", 16, Nesting((2, 4, 8, 16)), normalised=True, maps=("first",), fingerprint="ab")


@pytest.mark.parametrize("turn", [linear(16, 6), residual(16, 6)], ids=str)
def test_another_width_leaves_the_dims_that_fit(turn):
    mapped = mapped_card(CARD, turn)
    assert mapped == replace(CARD, width=6, nesting=Nesting((2, 4)), normalised=False, maps=("first", str(turn)))
    with pytest.raises(CardError, match=f"maps is .*{turn}.* in one"):
        replace(mapped, width=16, nesting=CARD.nesting, normalised=True).check_fits(CARD)


def test_where_no_dim_fits_the_width_is_one():
    assert mapped_card(CARD, linear(16, 1)).nesting == Nesting((1,))


def test_a_wider_map_keeps_the_dims():
    mapped = mapped_card(CARD, linear(16, 20))
    assert (mapped.width, mapped.nesting) == (20, CARD.nesting)


def test_the_dims_of_the_map_may_be_given():
    assert mapped_card(CARD, linear(16, 12), Nesting((3, 12))).nesting == Nesting((3, 12))
    assert mapped_card(CARD, turned(16), Nesting((3, 12))).nesting == Nesting((3, 12))
    with pytest.raises(NestingError, match="dims 3,16 need vectors of at least 16 dims, got 12"):
        mapped_card(CARD, linear(16, 12), Nesting((3, 16)))


def test_only_a_rotation_keeps_lengths():
    assert mapped_card(CARD, turned(16)).normalised
    assert not mapped_card(CARD, linear(16, 16)).normalised
    assert not mapped_card(replace(CARD, normalised=False), turned(16)).normalised


def test_a_card_of_another_width_is_refused():
    turn = residual(5, 5)
    said = f"the map {turn} has width 5 and model has vectors of width 16; fit a map on vectors of the same model"
    with pytest.raises(CardError, match=said):
        mapped_card(CARD, turn)

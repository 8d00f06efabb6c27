import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mrl.card import Card
from mrl.errors import CardError, InputError, NestingError
from mrl.nesting import Nesting, unit_prefix

CARD = Card("model", 20, Nesting((4, 8, 16)))
cards = st.builds(
    lambda dims, more, **rest: Card(width=max(dims) + more, nesting=Nesting(tuple(sorted(dims))), **rest),
    st.sets(st.integers(1, 4096), min_size=1, max_size=6),
    st.integers(0, 100),
    model=st.text(),
    metric=st.sampled_from(["cosine", "dot", "l2"]),
    normalised=st.booleans(),
    maps=st.lists(st.text()).map(tuple),
    fingerprint=st.text(),
)


@given(cards)
def test_json_round_trip(card):
    assert Card.from_json(json.loads(json.dumps(card.to_json()))) == card


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy], ids=["numpy", "torch"])
def test_a_cut_obeys_the_metric(kind):
    x = kind(np.random.default_rng(0).standard_normal((3, 20)))
    for dim in (4, 5, 16, 20):
        assert (CARD.cut(x, dim) == unit_prefix(x, dim)).all()
        for name in ("dot", "l2"):
            assert (replace(CARD, metric=name).cut(x, dim) == x[:, :dim]).all()


@pytest.mark.parametrize("dim", [3, 21, 0])
def test_dims_that_cannot_be_read_are_refused(dim):
    said = f"dim {dim} cannot be read: this embedding was trained at 4,8,16, so ask for a dim from 4 to 20"
    with pytest.raises(NestingError, match=said):
        CARD.cut(np.ones((2, 20)), dim)


@pytest.mark.parametrize("shape", [(), (19,), (2, 21), (20, 2)])
def test_vectors_of_another_width_are_refused(shape):
    said = f"model has vectors of width 20, got shape {shape}; embed them with the same model"
    for check in (CARD.check_vectors, lambda x: CARD.cut(x, 4)):
        with pytest.raises(CardError, match=re.escape(said)):
            check(np.ones(shape))


def test_a_card_fits_itself_under_any_name():
    CARD.check_fits(CARD)
    CARD.check_fits(replace(CARD, model="the same under another name"))


CHANGES = {
    "width": 24, "nesting": Nesting((4, 8)), "metric": "dot", "normalised": True, "maps": ("pca",), "fingerprint": "f",
}  # fmt: skip


@pytest.mark.parametrize("field", CHANGES)
def test_what_differs_is_named(field):
    other = replace(CARD, model="other", **{field: CHANGES[field]})
    said = (
        f"queries and database do not belong together: {field} is {getattr(CARD, field)!s} in one (model) "
        f"and {CHANGES[field]!s} in the other (other); "
    ) + ("map both with the same map, or neither" if field == "maps" else "embed both with the same model")
    with pytest.raises(CardError, match=re.escape(said)):
        CARD.check_fits(other, ("queries", "database"))


def test_a_cut_that_is_missing_is_named():
    known = replace(CARD, fingerprint="abc")
    with pytest.raises(CardError, match=r"width is 20 .* cut the wider with mrl migrate --dim 18"):
        known.check_fits(replace(known, width=18))


def test_a_card_that_contradicts_itself_is_refused():
    with pytest.raises(NestingError, match="dims 4,8,16 need vectors of at least 16 dims, got 15"):
        replace(CARD, width=15)
    with pytest.raises(InputError, match="unknown metric 'euclid'; known are cosine, dot, l2"):
        replace(CARD, metric="euclid")


@pytest.mark.parametrize(
    ("change", "said"),
    [({"nesting": [4, 8]}, "cannot read a card from"), ({"nesting": "8,4"}, "strictly increasing"),
     ({"colour": 1}, "colour"), ({"maps": None}, "cannot read a card from"), ({"width": "20"}, "cannot read a card")],
)  # fmt: skip
def test_what_is_no_card_is_refused(change, said):
    with pytest.raises(InputError, match=said):
        Card.from_json({**CARD.to_json(), **change})


@pytest.mark.parametrize("field", ["model", "width", "nesting", "maps"])
def test_a_card_without_a_field_is_refused(field):
    document = CARD.to_json()
    del document[field]
    with pytest.raises(InputError, match=rf"cannot read a card from .*{field}"):
        Card.from_json(document)

"""A map's folder, its two sides, and whom it serves."""

from dataclasses import replace

import numpy as np
import pytest

from adapt import classes
from adapt.made_maps import made, rows
from mrl import Card, Nesting, unit_prefix
from mrl.adapt import AdaptSpec, Map
from mrl.errors import CardError, DamagedError, ExistsError, InputError, NestingError, StorageError
from mrl.heads import HeadWeights
from mrl.vectors import Held
from mrl.vectors.copies import digests

CARD = Card("clouds", 24, Nesting((24,)), fingerprint="f00d")
DIMS = Nesting((4, 12, 24))
FORMS = ("rotation", "linear", "residual")


def of(form, **more):
    return Map(made(form), CARD, DIMS, **more)


@pytest.mark.parametrize("form", FORMS)
def test_a_folder_holds_all_of_it(tmp_path, form):
    head = HeadWeights(DIMS, True, (np.ones((3, 24), np.float32),), classes=("a", "b", "c"))
    two = of(form, queries=made("linear", seed=9), head=head, record={"seconds": 3})
    back = Map.load(two.save(tmp_path / "map"))
    assert (back.before, back.nesting, back.record, str(back)) == (CARD, DIMS, {"seconds": 3}, str(two))
    assert (back.documents, back.queries) == (two.documents, two.queries)
    assert back.head.classes == head.classes
    with pytest.raises(ExistsError):
        two.save(tmp_path / "map")


@pytest.mark.parametrize("form", FORMS)
def test_applying_cuts_as_the_metric_compares(form):
    vectors = rows(9)
    whole = of(form).apply(vectors)
    np.testing.assert_allclose(whole, made(form).apply(vectors), rtol=1e-5, atol=1e-5 * np.abs(vectors).max())
    np.testing.assert_array_equal(of(form).apply(vectors, 7), unit_prefix(whole, 7))
    dot = Map(made(form), replace(CARD, metric="dot"), DIMS)
    np.testing.assert_array_equal(dot.apply(vectors, 7), whole[:, :7])
    np.testing.assert_array_equal(of(form).apply(vectors[3]), whole[3])


def test_the_card_says_what_was_done():
    after = of("linear").card
    assert after == replace(CARD, nesting=DIMS, maps=(str(made("linear")),))
    assert Map(made("linear"), replace(CARD, maps=("pca:1",)), DIMS).card.maps == ("pca:1", str(made("linear")))
    unit = replace(CARD, normalised=True)
    assert Map(made("rotation"), unit, DIMS).card.normalised
    assert not Map(made("linear"), unit, DIMS).card.normalised


def test_other_vectors_keep_what_they_say_of_themselves():
    theirs = replace(CARD, model="others", fingerprint="beef", normalised=False)
    after = Map(made("rotation"), replace(CARD, fingerprint="", normalised=True), DIMS).card_of(theirs)
    assert (after.model, after.fingerprint, after.normalised) == ("others", "beef", False)
    assert after.maps == (str(made("rotation")),)


def test_a_map_knows_what_it_was_fitted_on(tmp_path):
    vectors = rows(20)
    known = of("linear", known=np.unique(digests(vectors[:12])))
    back = Map.load(known.save(tmp_path / "map"))
    assert back.seen(vectors.astype(np.float64)).tolist() == [True] * 12 + [False] * 8
    assert not of("linear").seen(vectors).any()


def test_two_sides_have_one_name_that_knows_both():
    one, two, other = (
        of("linear"),
        of("linear", queries=made("linear", seed=1)),
        of("linear", queries=made("linear", seed=2)),
    )
    assert len({str(one), str(two), str(other)}) == 3
    vectors = rows(4)
    np.testing.assert_array_equal(two.apply(vectors, side="queries"), made("linear", seed=1).apply(vectors))
    np.testing.assert_array_equal(one.apply(vectors, side="queries"), one.apply(vectors))
    assert of("rotation").keeps_scores
    assert not of("linear").keeps_scores
    assert not of("rotation", queries=made("rotation", seed=3)).keeps_scores
    with pytest.raises(InputError, match="a map has the sides documents and queries, got 'left'"):
        two.side("left")


def test_rows_are_turned_with_all_that_belongs_to_them():
    held = Held.of(rows(6), CARD, labels=[0, 1, 2, 0, 1, 2])
    turned = of("linear").turned(held)
    np.testing.assert_array_equal(turned.vectors, of("linear").apply(held.vectors))
    assert turned.labels.tolist() == [0, 1, 2, 0, 1, 2]
    assert turned.card == of("linear").card


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"width": 30, "nesting": Nesting((30,))}, "width is 30, and it was fitted for 24"),
        ({"metric": "dot"}, "metric is 'dot', and it was fitted for 'cosine'"),
        ({"fingerprint": "beef"}, "fingerprint is 'beef', and it was fitted for 'f00d'"),
        ({"maps": ("pca:1",)}, "maps is pca:1, and it was fitted for none"),
        ({"maps": (str(made("linear")),)}, "they are mapped already"),
    ],
)
def test_vectors_of_another_model_are_refused(change, said):
    other = replace(CARD, **change)
    vectors = np.ones((2, other.width), np.float32)
    with pytest.raises(CardError) as refused:
        of("linear").turned(Held.of(vectors, other, path="others.npy"))
    assert f"others.npy and the map {made('linear')} do not belong together" in str(refused.value)
    assert said in str(refused.value)


def test_a_file_that_says_nothing_of_its_model_is_taken_at_its_word():
    of("linear").check(replace(CARD, fingerprint="", model="rows", nesting=Nesting((8, 24))))


def test_dims_that_cannot_be_read_are_refused():
    with pytest.raises(NestingError, match="dim 3 cannot be read: this embedding was trained at 4,12,24"):
        of("linear").apply(rows(2), 3)
    with pytest.raises(CardError, match="vectors of width 24, got shape"):
        of("linear").apply(np.ones((2, 23), np.float32))


def test_parts_that_do_not_fit_are_refused():
    with pytest.raises(CardError, match="a map of vectors of width 24 to 24 dims cannot hold linear:"):
        of("linear", queries=made("linear", width=20))
    with pytest.raises(CardError, match="a map of vectors of width 30"):
        Map(made("linear"), replace(CARD, width=30, nesting=Nesting((30,))), DIMS)
    with pytest.raises(NestingError, match="dims 4,32 need vectors of at least 32 dims, got 24"):
        Map(made("linear"), CARD, Nesting((4, 32)))


def test_a_changed_byte_is_named(tmp_path):
    path = of("linear").save(tmp_path / "map")
    file = path / "documents.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-3] ^= 1
    file.write_bytes(raw)
    with pytest.raises(DamagedError, match=r"documents\.safetensors"):
        Map.load(path)
    with pytest.raises(StorageError):
        Map.load(tmp_path / "nothing")


def test_plain_matrices_will_do():
    made_up = classes.buried(500)
    quick = AdaptSpec(dims=Nesting((4, 8)), steps=20, batch_size=64)
    plain = Map.fit(made_up.vectors, quick, labels=made_up.labels)
    assert str(plain.map) == str(Map.fit(made_up, quick).map)
    assert repr(plain.map) == f"Map({plain.map}, 16 -> 16, dims 4,8,16)"
    assert plain.map.before.model == "vectors"
    with pytest.raises(InputError, match="labels go with a plain matrix; made has its own"):
        Map.fit(made_up, labels=made_up.labels)
    with pytest.raises(InputError, match=r"documents must be a matrix of floats \(n, width\), got int64 of"):
        Map.fit(np.ones((3, 2), int))

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from mrl.card import Card
from mrl.disk import sealed_tensors
from mrl.errors import CardError, DamagedError, InputError
from mrl.maps import Rotation, fit_pca, mapped_card
from mrl.nesting import Nesting

ROUNDING = 2.0**-23  # of float32


def turned(width, seed=0):
    """Some rotation, by QR."""
    return Rotation(np.linalg.qr(np.random.default_rng(seed).standard_normal((width, width)))[0], name="random")


def gaussian(rows, width, seed=1):
    return np.random.default_rng(seed).standard_normal((rows, width)).astype(np.float32)


# ------------------------------------------------------------------------------------------------- what is kept


@given(st.integers(1, 40), st.integers(0, 99), st.sampled_from([1e-12, 1.0, 1e12]))
def test_products_norms_and_distances_are_kept(width, seed, size):
    x, y = (gaussian(20, width, seed + i) * np.float32(size) for i in (1, 2))
    turn = turned(width, seed)
    u, v = turn.apply(x).astype(np.float64), turn.apply(y).astype(np.float64)
    x, y = x.astype(np.float64), y.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
    assert (np.abs((u * v).sum(1) - (x * y).sum(1)) <= 2 * ROUNDING * lengths).all()
    assert np.allclose(np.linalg.norm(u, axis=1), np.linalg.norm(x, axis=1), rtol=ROUNDING)
    slack = ROUNDING * (np.linalg.norm(x, axis=1) + np.linalg.norm(y, axis=1))
    assert (np.abs(np.linalg.norm(u - v, axis=1) - np.linalg.norm(x - y, axis=1)) <= slack).all()


@given(st.integers(1, 64), st.integers(1, 700), st.integers(0, 99))
def test_equal_rows_map_to_equal_rows_at_any_position(width, rows, seed):
    turn, row = turned(width, seed), gaussian(1, width, seed)
    among = gaussian(rows, width, seed + 1)
    places = np.random.default_rng(seed).choice(rows, min(rows, 9), replace=False)
    among[places] = row
    assert (turn.apply(among)[places] == turn.apply(row)).all()


def test_a_row_does_not_depend_on_what_comes_with_it():
    turn, rows = turned(96), gaussian(1000, 96)
    whole = turn.apply(rows)
    for start, stop in ((0, 1), (255, 257), (3, 700), (999, 1000)):
        assert (turn.apply(rows[start:stop]) == whole[start:stop]).all()


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(7,), (0, 7), (5, 7), (2, 3, 7)])
def test_apply_is_the_matrix_product(shape, dtype):
    turn = turned(7)
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    expected = np.array(
        [[float(np.dot(row, axis)) for axis in turn.matrix.T] for row in x.reshape(-1, 7).astype(float)]
    )
    mapped, exact = turn.apply(x), turn.apply64(x)
    assert (mapped.dtype, exact.dtype) == (np.float32, np.float64)
    assert mapped.shape == exact.shape == shape
    assert np.allclose(exact.reshape(-1, 7), expected.reshape(-1, 7), atol=1e-14)
    assert np.allclose(mapped, exact, rtol=ROUNDING, atol=1e-14)


def test_the_vectors_given_stay_as_they_were():
    turn, x = turned(7), gaussian(300, 7)
    before = x.copy()
    turn.apply(x), turn.apply64(x), turn.apply64(x.astype(np.float64))
    assert (x == before).all()


def test_a_row_that_is_not_finite_spoils_no_other():
    turn, x = turned(8), gaussian(6, 8)
    clean = turn.apply(x)
    x[2, 3], x[4, 0] = np.nan, np.inf
    mapped = turn.apply(x)
    assert (mapped[[0, 1, 3, 5]] == clean[[0, 1, 3, 5]]).all()
    assert not np.isfinite(mapped[[2, 4]]).any()


@pytest.mark.parametrize("x", [np.ones((2, 6)), np.ones(()), np.ones((2, 7), int)], ids=["width", "scalar", "integers"])
def test_what_the_map_does_not_take_is_refused(x):
    turn = turned(7)
    said = f"the map {turn} takes floats of shape (..., 7), got {x.dtype} of shape {x.shape}; give vectors of the model"
    for apply in (turn.apply, turn.apply64):
        with pytest.raises(InputError, match=re.escape(said)):
            apply(x)


# ------------------------------------------------------------------------------------------------- the value


def test_maps_are_equal_when_their_matrices_are():
    assert turned(5) == turned(5)
    assert turned(5) == replace(turned(5), name="other")
    assert turned(5) != turned(5, seed=1)
    assert len({turned(5), turned(5), turned(5, seed=1)}) == 2
    assert turned(5) != "random"
    assert Rotation(np.eye(3)).fingerprint == Rotation(np.where(np.eye(3) == 1, 1, -0.0)).fingerprint
    assert re.fullmatch(r"random:[0-9a-f]{12}", str(turned(5)))


def test_nobody_changes_a_map():
    matrix = np.eye(3)
    turn = Rotation(matrix, energy=np.ones(3))
    matrix[0, 0] = 7
    assert turn.matrix[0, 0] == 1
    for array in (turn.matrix, turn.energy):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7


@pytest.mark.parametrize(
    ("matrix", "said"),
    [(np.eye(3)[:2], "a rotation is a square matrix (width, width), got shape (2, 3)"),
     (np.empty((0, 0)), "got shape (0, 0)"), (np.ones(4), "got shape (4,)"),
     (2 * np.eye(3), "the matrix is not orthogonal: |RᵀR − I| is 3.0e+00 and may be 1e-09, or scores would change"),
     (np.array([[np.nan, 0], [0, 1]]), "|RᵀR − I| is nan"), (np.array([[np.inf, 0], [0, 1]]), "not orthogonal"),
     (turned(9).matrix.astype(np.float32), "take the Q of its QR decomposition in float64")],
)  # fmt: skip
def test_what_is_no_rotation_is_refused(matrix, said):
    with pytest.raises(InputError, match=re.escape(said)):
        Rotation(matrix)


def test_odd_names_and_energies_are_refused():
    with pytest.raises(InputError, match="a map's name has small letters, digits and -, got 'P C A'; call it pca, say"):
        Rotation(np.eye(3), name="P C A")
    with pytest.raises(InputError, match=re.escape("energy must be (3,), a share for each axis, got (2,)")):
        Rotation(np.eye(3), energy=np.ones(2))


# ------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("turn", [turned(6), fit_pca(gaussian(9, 6))], ids=["random", "pca"])
def test_file_and_object_round_trip(tmp_path, turn):
    turn.save(tmp_path / "map")
    again = Rotation.load(tmp_path / "map")
    assert (again, again.name) == (turn, turn.name)
    assert (again.matrix == turn.matrix).all()
    assert (again.energy is None) == (turn.energy is None)
    assert turn.energy is None or (again.energy == turn.energy).all()


def test_a_flipped_byte_is_noticed(tmp_path):
    raw = turned(4).sealed()
    for position in range(0, len(raw), 7):
        (tmp_path / "map").write_bytes(oracles.flipped(raw, position, position % 8))
        with pytest.raises(DamagedError, match=r"/map is damaged"):
            Rotation.load(tmp_path / "map")


def test_a_file_whose_matrix_is_no_rotation_is_refused(tmp_path):
    (tmp_path / "map").write_bytes(sealed_tensors({"matrix": 2 * np.eye(3)}, {"name": "pca"}, "mrl-map"))
    with pytest.raises(InputError, match="the matrix is not orthogonal"):
        Rotation.load(tmp_path / "map")
    (tmp_path / "map").write_bytes(sealed_tensors({"weight": np.eye(3)}, {"name": "pca"}, "mrl-map"))
    with pytest.raises(InputError, match="/map holds no map: it has no 'matrix'; fit the map again"):
        Rotation.load(tmp_path / "map")


# ------------------------------------------------------------------------------------------------- cards


def test_a_card_says_which_maps_were_applied():
    card = Card("model", 6, Nesting((2, 4)), maps=("first",))
    turn = turned(6)
    mapped = mapped_card(card, turn)
    assert mapped == replace(card, maps=("first", str(turn)))
    with pytest.raises(CardError, match=f"maps is .*{turn}.* in one"):
        mapped.check_fits(card)


def test_a_card_of_another_width_is_refused():
    turn = turned(5)
    said = f"the map {turn} has width 5 and model has vectors of width 6; fit a map on vectors of the same model"
    with pytest.raises(CardError, match=said):
        mapped_card(Card("model", 6, Nesting((2, 4))), turn)

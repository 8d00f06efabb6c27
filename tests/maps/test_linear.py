import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import oracles
from maps.test_rotation import gaussian, turned
from mrl.disk import sealed_tensors
from mrl.errors import DamagedError, InputError
from mrl.maps import Linear, Residual, Rotation, load_map
from mrl.maps.tiles import FEW, FEWEST, MOST, tile_rows

ROUNDING = 2.0**-24  # of float32


def linear(width, out, seed=0):
    return Linear(gaussian(width, out, seed))


def residual(width, out, hidden=5, seed=0, unit=True):
    shapes = ((width, out), (out, hidden), (hidden,), (hidden, out))
    arrays = (np.random.default_rng([seed, i]).standard_normal(shape) for i, shape in enumerate(shapes))
    return Residual(*arrays, unit=unit)


def slow(turn, x):
    """The formulas in float64, a row at a time; the images, and how large a rounding may be in each row."""
    images, size = [], []
    for row in oracles.unit(x, turn.width) if getattr(turn, "unit", False) else x.astype(np.float64):
        if isinstance(turn, Residual):
            base, inner, bias, outer = (a.astype(np.float64) for a in (turn.base, turn.inner, turn.bias, turn.outer))
            u = row @ base
            images.append(u + np.maximum(u @ inner + bias, 0) @ outer)
            most = np.abs(row) @ np.abs(base)
            size.append((most + (most @ np.abs(inner) + np.abs(bias)) @ np.abs(outer)).max())
        else:
            images.append(row @ turn.matrix.astype(np.float64))
            size.append((np.abs(row) @ np.abs(turn.matrix)).max())
    return np.array(images).reshape(len(x), turn.out), np.array(size).reshape(-1, 1)


MAPS = st.one_of(
    st.builds(linear, st.integers(1, 40), st.integers(1, 40), st.integers(0, 99)),
    st.builds(residual, st.integers(1, 40), st.integers(1, 40), st.integers(1, 9), st.integers(0, 99), st.booleans()),
)
ALL = [linear(7, 5), linear(7, 1), linear(1, 3), residual(7, 9), residual(7, 1, unit=False), residual(7, 7, hidden=1)]

# ------------------------------------------------------------------------------------------------- the images


@given(MAPS, st.integers(0, 30), st.sampled_from([1e-12, 1.0, 1e12]), st.integers(0, 99))
def test_apply_is_the_formula(turn, rows, size, seed):
    x = gaussian(rows, turn.width, seed) * np.float32(size)
    want, most = slow(turn, x)
    got = turn.apply(x)
    assert (got.dtype, got.shape) == (np.float32, (rows, turn.out))
    assert (np.abs(got - want) <= 4 * (turn.width + 10) * ROUNDING * most).all()


@given(MAPS, st.integers(1, 700), st.integers(0, 99))
def test_equal_rows_map_to_equal_rows_at_any_position(turn, rows, seed):
    row, among = gaussian(1, turn.width, seed), gaussian(rows, turn.width, seed + 1)
    places = np.random.default_rng(seed).choice(rows, min(rows, 9), replace=False)
    among[places] = row
    alone = turn.apply(row)
    assert (turn.apply(among)[places] == alone).all()
    assert (turn.apply(row[0]) == alone[0]).all()


@pytest.mark.parametrize("width", [3, 64, 100, 384, 513])
@pytest.mark.parametrize("out", [1, 2, 8, 100, 384])
def test_a_row_does_not_depend_on_what_comes_with_it(width, out):
    """At several tiles, whichever layout and place in memory the rows have."""
    x = gaussian(5000, width)
    turned_too = [turned(width).apply32] if out == 1 else []
    for apply in (linear(width, out).apply, residual(width, out, hidden=64).apply, *turned_too):
        whole = apply(x)
        for start, stop in ((0, 1), (255, 257), (3, 700), (1, 4999), (0, 4100), (4999, 5000)):
            assert (apply(x[start:stop]) == whole[start:stop]).all()
        assert (apply(np.asfortranarray(x)) == whole).all()
        assert (apply(x.astype(np.float64)) == whole).all()
        assert (apply(x[::-1])[::-1] == whole).all()


@pytest.mark.parametrize("turn", ALL, ids=str)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("shape", [(7,), (0, 7), (5, 7), (2, 3, 7), (2, 0, 7)])
def test_shapes_and_dtypes(turn, shape, dtype):
    shape = (*shape[:-1], turn.width)
    x = np.random.default_rng(0).standard_normal(shape).astype(dtype)
    before, got = x.copy(), turn.apply(x)
    assert (got.dtype, got.shape) == (np.float32, (*shape[:-1], turn.out))
    want, _ = slow(turn, x.reshape(-1, turn.width))
    np.testing.assert_allclose(got.reshape(-1, turn.out), want, atol=1e-5)
    assert (x == before).all()
    assert got.flags.c_contiguous


@given(st.floats(1e-18, 1e18), st.integers(0, 99))
def test_a_unit_map_does_not_see_lengths(scale, seed):
    turn, x = residual(24, 12, seed=seed), gaussian(9, 24, seed)
    np.testing.assert_allclose(turn.apply(x * np.float32(scale)), turn.apply(x), rtol=1e-4, atol=1e-5)
    far = [turn.apply(x * np.float32(each)) for each in (1e-36, 1e35)]  # squares are beyond float32
    np.testing.assert_allclose(far, [turn.apply(x)] * 2, rtol=1e-4, atol=1e-5)


def test_zero_vectors():
    zero = np.zeros((2, 7), np.float32)
    assert (linear(7, 5).apply(zero) == 0).all()
    for unit in (True, False):
        turn = residual(7, 5, unit=unit)
        want = np.maximum(turn.bias, 0) @ turn.outer
        np.testing.assert_allclose(turn.apply(zero), [want] * 2, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("turn", [linear(8, 5), residual(8, 5), residual(8, 5, unit=False), turned(8)], ids=str)
def test_a_row_that_is_not_finite_spoils_no_other(turn):
    apply = getattr(turn, "apply32", turn.apply)
    x = gaussian(7, 8)
    clean = apply(x)
    x[2, 3], x[4, 0], x[5] = np.nan, np.inf, -np.inf
    mapped = apply(x)
    assert (mapped[[0, 1, 3, 6]] == clean[[0, 1, 3, 6]]).all()
    assert not np.isfinite(mapped[[2, 4, 5]]).any()


def test_images_beyond_float32_are_not_finite():
    x = np.full((1, 8), 3e38, np.float32)
    for turn in (
        Linear(np.ones((8, 2))),
        Residual(np.ones((8, 2)), np.ones((2, 1)), [0.0], np.ones((1, 2)), unit=False),
    ):
        assert not np.isfinite(turn.apply(x)).any()
        assert not np.isfinite(turn.apply(np.full((1, 8), 1e300))).any()
    assert np.isfinite(residual(8, 2).apply(x)).all()


@pytest.mark.parametrize("turn", [linear(7, 5), residual(7, 5), turned(7)], ids=str)
@pytest.mark.parametrize("x", [np.ones((2, 6)), np.ones(()), np.ones((2, 7), int)], ids=["width", "scalar", "integers"])
def test_what_the_map_does_not_take_is_refused(turn, x):
    said = f"the map {turn} takes floats of shape (..., 7), got {x.dtype} of shape {x.shape}; give vectors of the model"
    with pytest.raises(InputError, match=re.escape(said)):
        getattr(turn, "apply32", turn.apply)(x)


def test_the_size_of_a_tile():
    assert tile_rows(np.ones((1024, 1024), np.float32))[0] == 2048
    assert tile_rows(np.ones((1024, 1536), np.float32), np.ones((512, 1024), np.float32))[0] == 1024
    assert tile_rows(np.ones((1, 1), np.float32))[0] == MOST
    assert tile_rows(np.ones((3072, 3072), np.float32))[0] == FEWEST
    assert tile_rows(gaussian(64, 64))[1] in (FEW, MOST)


# ------------------------------------------------------------------------------------------------- rotations in float32


@given(st.integers(1, 200), st.integers(0, 99), st.sampled_from([1e-12, 1.0, 1e12]))
def test_a_rotation_in_float32_keeps_scores(width, seed, size):
    x, y = (gaussian(20, width, seed + i) * np.float32(size) for i in (1, 2))
    turn = turned(width, seed)
    u, v = (turn.apply32(each).astype(np.float64) for each in (x, y))
    x, y = x.astype(np.float64), y.astype(np.float64)
    a, b = np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1)
    assert (np.linalg.norm(u - turn.apply64(x), axis=1) <= 1e-6 * a).all()
    assert (np.abs((u * v).sum(1) - (x * y).sum(1)) <= 1e-5 * a * b).all()
    assert np.allclose(np.linalg.norm(u, axis=1), a, rtol=1e-5)
    assert (np.abs(np.linalg.norm(u - v, axis=1) - np.linalg.norm(x - y, axis=1)) <= 1e-5 * (a + b)).all()


def test_a_wide_rotation_in_float32_keeps_scores():
    x = gaussian(64, 2048)
    turn = turned(2048)
    u, x = turn.apply32(x).astype(np.float64), x.astype(np.float64)
    lengths = np.linalg.norm(x, axis=1)
    assert (np.linalg.norm(u - turn.apply64(x), axis=1) <= 1e-6 * lengths).all()
    assert (np.abs(u @ u.T - x @ x.T) <= 1e-5 * np.outer(lengths, lengths)).all()


# ------------------------------------------------------------------------------------------------- the value


def changed(turn, name):
    arrays = {each: getattr(turn, each).copy() for each in ("base", "inner", "bias", "outer")}
    arrays[name].flat[0] += 1
    return Residual(**arrays, unit=turn.unit)


def test_maps_are_equal_when_they_do_the_same():
    a = residual(6, 6)
    assert linear(6, 4) == Linear(linear(6, 4).matrix, "other")
    assert linear(6, 4) != linear(6, 4, seed=1)
    assert Linear(np.ones((2, 3))) != Linear(np.ones((3, 2)))
    assert a == residual(6, 6) != residual(6, 6, unit=False)
    assert len({a, residual(6, 6), *(changed(a, name) for name in ("base", "inner", "bias", "outer"))}) == 5
    assert a != linear(6, 6)
    assert linear(6, 6) != turned(6)
    assert Linear(np.zeros((2, 2))).fingerprint == Linear(-np.zeros((2, 2))).fingerprint
    assert re.fullmatch(r"linear:[0-9a-f]{12}", str(linear(6, 4)))
    assert re.fullmatch(r"residual:[0-9a-f]{12}", str(a))


def test_fingerprints_stay_what_they_were():
    assert str(Linear(np.eye(2, 3))) == "linear:e0ddffe46a53"
    assert str(Residual(np.eye(2), np.eye(2), np.ones(2), np.eye(2))) == "residual:78a4071f4940"
    assert str(Rotation(np.eye(2))) == "pca:7b38b86d9a7e"


def test_nobody_changes_a_map():
    matrix = np.eye(3, dtype=np.float32)
    turn = Linear(matrix)
    matrix[0, 0] = 7
    assert turn.matrix[0, 0] == 1
    for array in (turn.matrix, residual(3, 3).base, residual(3, 3).bias):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 7


NAN, HUGE = np.full((2, 2), np.nan), np.full((2, 2), 1e39)
FINE = {"base": np.eye(2, 3), "inner": np.ones((3, 4)), "bias": np.ones(4), "outer": np.ones((4, 3))}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Linear(np.ones(4)), "a linear map is a matrix (width, out), got shape (4,)"),
        (lambda: Linear(np.ones((0, 4))), "got shape (0, 4)"),
        (lambda: Linear(NAN), "a map's matrix has a NaN, an Inf or a number beyond float32; fit the map again"),
        (lambda: Linear(HUGE), "a map's matrix has a NaN, an Inf or a number beyond float32"),
        (lambda: Linear(np.ones((2, 2), int)), "a map's matrix has floats, got int64; give float32"),
        (lambda: Linear(np.ones((2, 2)), "A b"), "a map's name has small letters, digits and -, got 'A b'; call it"),
        (lambda: Residual(**FINE, name=""), "a map's name has small letters"),
        (lambda: Residual(**{**FINE, "base": np.ones(3)}), "a residual map's base is a matrix (width, out), got"),
        (lambda: Residual(**{**FINE, "bias": np.ones(3)}), "a residual map has inner (3, hidden), bias (hidden,) and"),
        (lambda: Residual(**{**FINE, "inner": np.ones((2, 4))}), "got (2, 4), (4,) and (4, 3)"),
        (lambda: Residual(**{**FINE, "outer": np.ones((4, 2))}), "got (3, 4), (4,) and (4, 2)"),
        (lambda: Residual(FINE["base"], np.ones((3, 0)), np.ones(0), np.ones((0, 3))), "got (3, 0), (0,) and (0, 3)"),
        (lambda: Residual(**{**FINE, "outer": np.full((4, 3), np.inf)}), "a map's outer has a NaN, an Inf"),
    ],
)  # fmt: skip
def test_what_is_no_map_is_refused(make, said):
    with pytest.raises(InputError, match=re.escape(said)):
        make()


# ------------------------------------------------------------------------------------------------- files


@pytest.mark.parametrize("turn", [*ALL, residual(6, 4, unit=False), turned(6)], ids=str)
def test_file_and_object_round_trip(turn, tmp_path):
    turn.save(tmp_path / "map")
    for again in (load_map(tmp_path / "map"), type(turn).load(tmp_path / "map")):
        assert type(again) is type(turn)
        assert (again, str(again), again.width, again.out) == (turn, str(turn), turn.width, turn.out)
        x = gaussian(3, turn.width)
        assert (again.apply(x) == turn.apply(x)).all()


@pytest.mark.parametrize("turn", [linear(3, 2), residual(2, 2, hidden=1)], ids=str)
def test_a_flipped_byte_is_noticed(turn, tmp_path):
    raw = turn.sealed()
    for position in range(0, len(raw), 7):
        (tmp_path / "map").write_bytes(oracles.flipped(raw, position, position % 8))
        with pytest.raises(DamagedError, match=r"/map is damaged"):
            load_map(tmp_path / "map")


def written(path, tensors, **about):
    (path / "map").write_bytes(sealed_tensors(tensors, {"name": "some", **about}, "mrl-map", 2))
    return path / "map"


def test_files_of_other_forms_are_named(tmp_path):
    matrix = {"matrix": np.eye(2, dtype=np.float32)}
    for load in (load_map, Linear.load, Residual.load, Rotation.load):
        with pytest.raises(
            InputError, match="/map holds a map of form 'spline', which this mrl does not know; known are"
        ):
            load(written(tmp_path, matrix, form="spline"))
    with pytest.raises(InputError, match="/map holds no map: it has no 'base'; fit the map again"):
        load_map(written(tmp_path, matrix, form="residual"))
    with pytest.raises(InputError, match="/map holds no map: it has no 'matrix'"):
        load_map(written(tmp_path, {"m": np.eye(2)}, form="linear"))
    for load, wanted in ((Rotation.load, "rotation"), (Residual.load, "residual")):
        with pytest.raises(
            InputError, match=f"/map holds a map of form linear, not {wanted}; mrl.maps.load_map reads ev"
        ):
            load(written(tmp_path, matrix, form="linear"))
    turned(3).save(tmp_path / "map")
    with pytest.raises(InputError, match="/map holds a map of form rotation, not linear"):
        Linear.load(tmp_path / "map")

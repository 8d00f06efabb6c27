"""The first axes of a map: fitted as by an eigendecomposition, applied as by a product, read back as they were."""

import numpy as np
import pytest

from mrl.errors import DamagedError, InputError, NestingError
from mrl.maps import fit_pca
from mrl.retrieval.leading import Leading, fit_leading
from oracles import flipped
from retrieval import made


def share(vectors, matrix):
    """Of the rows' squared length that is left by a map."""
    return np.square(vectors @ matrix).sum() / np.square(vectors).sum()


@pytest.mark.parametrize(("n", "width", "dim"), [(400, 24, 6), (400, 24, 24), (30, 60, 20), (5, 12, 4), (1, 8, 3)])
def test_the_axes_keep_what_the_best_axes_keep(n, width, dim):
    vectors = made.random(n, width)
    turn = fit_leading(vectors, dim)
    assert (turn.width, turn.dim, turn.matrix.shape) == (width, dim, (width, dim))
    np.testing.assert_allclose(turn.matrix.T @ turn.matrix, np.eye(dim), atol=1e-6)
    axes = np.linalg.eigh(vectors.T.astype(float) @ vectors)[1]
    best = axes[:, ::-1][:, :dim]
    assert share(vectors, turn.matrix) >= share(vectors, best) - 0.01
    kept = np.square(vectors @ turn.matrix).sum(axis=0)
    assert (np.diff(kept) <= 1e-4 * kept[0]).all()  # the longest first


@pytest.mark.parametrize("hostile", made.HOSTILE)
def test_hostile_rows_give_axes(hostile):
    turn = fit_leading(made.HOSTILE[hostile](200, 16), 5)
    assert np.isfinite(turn.matrix).all()
    np.testing.assert_allclose(turn.matrix.T @ turn.matrix, np.eye(5), atol=1e-5)


def test_rows_of_zeros_give_axes_too():
    turn = fit_leading(np.zeros((20, 8), np.float32), 3)
    np.testing.assert_allclose(turn.matrix.T @ turn.matrix, np.eye(3), atol=1e-6)


def test_the_same_rows_and_seed_give_the_same_map():
    vectors = made.random(200, 16)
    one, other = fit_leading(vectors, 5), fit_leading(vectors, 5)
    assert (one.matrix == other.matrix).all()
    assert str(one) == str(other) == one.whole
    assert one.whole.startswith("pca:")
    assert str(fit_leading(vectors[1:], 5)) != str(one)


@pytest.mark.parametrize("dim", [0, 17])
def test_there_are_as_many_axes_as_dims(dim):
    with pytest.raises(NestingError, match=f"vectors of 16 dims have 1 to 16 principal axes, {dim} were asked for"):
        fit_leading(made.random(20, 16), dim)


def test_float32_and_float64_agree_but_for_rounding():
    vectors = made.random(300, 16)
    turn = fit_leading(vectors, 6)
    np.testing.assert_allclose(turn.apply32(vectors), turn.apply(vectors), atol=1e-5)
    np.testing.assert_allclose(turn.apply64(vectors), turn.apply(vectors), atol=1e-5)
    np.testing.assert_allclose(turn.columns(4).rounded, turn.columns32[:, :4], atol=0.005)
    assert turn.columns(4).dim == 4
    with pytest.raises(InputError, match="16"):
        turn.apply32(vectors[:, :15])


def test_fewer_axes_of_a_map_are_its_first(tmp_path):
    vectors = made.random(300, 16)
    whole = fit_pca(vectors)
    some = Leading.of(whole, 6)
    fewer = Leading.of(some, 4)
    assert str(fewer) == str(some) == str(whole)
    np.testing.assert_allclose(fewer.apply(vectors), whole.apply(vectors)[:, :4], atol=1e-5)
    with pytest.raises(NestingError):
        Leading.of(some, 7)


def test_a_file_gives_it_back_or_says_that_it_changed(tmp_path):
    turn, path = fit_leading(made.random(300, 16), 6), tmp_path / "map.safetensors"
    path.write_bytes(turn.sealed())
    again = Leading.load(path)
    assert (again.matrix == turn.matrix).all()
    assert str(again) == str(turn)
    path.write_bytes(flipped(path.read_bytes(), path.stat().st_size - 5, 3))
    with pytest.raises(DamagedError):
        Leading.load(path)

import doctest
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mrl.maps.pca
import mrl.maps.rotation
from mrl.errors import InputError
from mrl.maps import fit_pca


def sample(rows, width, seed=0):
    """Skewed vectors with a mean far from 0."""
    draws = np.random.default_rng(seed)
    return (draws.standard_normal((rows, width)) @ draws.standard_normal((width, width)) + 3).astype(np.float32)


def prefix_energy(x, matrix):
    """(width,): squared length of all rows' first m new coordinates."""
    return np.cumsum(((x.astype(np.float64) @ matrix) ** 2).sum(0))


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 99))
def test_it_is_orthogonal_and_its_signs_are_settled(rows, width, seed):
    matrix = fit_pca(sample(rows, width, seed)).matrix
    assert np.abs(matrix.T @ matrix - np.eye(width)).max() < 1e-12
    assert (np.take_along_axis(matrix, np.abs(matrix).argmax(0)[None], axis=0) > 0).all()


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 99))
def test_prefixes_hold_what_the_singular_values_say(rows, width, seed):
    x = sample(rows, width, seed)
    singular = np.zeros(width)
    values = np.linalg.svd(x.astype(np.float64), compute_uv=False)  # uncentred, as the rotation is
    singular[: len(values)] = values
    turn = fit_pca(x)
    assert np.allclose(prefix_energy(x, turn.matrix), np.cumsum(singular**2), rtol=1e-9)
    assert np.allclose(turn.energy, singular**2 / (singular**2).sum(), atol=1e-9)
    assert (np.diff(turn.energy) <= 0).all()


@given(st.integers(1, 40), st.integers(1, 12), st.integers(0, 99), st.integers(0, 99))
def test_no_other_rotation_holds_more(rows, width, seed, other):
    x = sample(rows, width, seed)
    random = np.linalg.qr(np.random.default_rng(other).standard_normal((width, width)))[0]
    best, some = prefix_energy(x, fit_pca(x).matrix), prefix_energy(x, random)
    assert (best >= some - 1e-9 * some[-1]).all()
    assert (best >= prefix_energy(x, np.eye(width)) - 1e-9 * some[-1]).all()


@pytest.mark.parametrize("step", [1, 7, 50, 10_000])
def test_blocks_give_what_the_matrix_gives(step):
    x = sample(9000, 6)
    whole = fit_pca(x)
    parts = fit_pca(x[start : start + step] for start in range(0, len(x), step))
    assert np.allclose(parts.matrix, whole.matrix, atol=1e-9)
    assert np.allclose(parts.energy, whole.energy, atol=1e-12)


def test_the_same_sample_gives_the_same_map():
    assert fit_pca(sample(500, 20)) == fit_pca(sample(500, 20))


@pytest.mark.parametrize("x", [np.zeros((3, 5)), np.ones((1, 5)), np.eye(5)[:2]], ids=["zero", "one row", "few rows"])
def test_degenerate_samples_give_a_rotation_too(x):
    turn = fit_pca(x)
    assert turn.matrix.shape == (5, 5)
    assert turn.energy.sum() == pytest.approx(1.0 if x.any() else 0.0)
    assert np.allclose(prefix_energy(x, turn.matrix)[np.linalg.matrix_rank(x) :], (x**2).sum())


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_size_does_not_matter(size):
    x = sample(50, 5)
    assert np.allclose(fit_pca(x * np.float32(size)).matrix, fit_pca(x).matrix, atol=1e-5)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_row_that_is_not_finite_is_named(bad):
    x = sample(9000, 3)
    x[8200, 1] = bad
    said = "row 8200 of the sample has a NaN or an Inf; leave it out"
    for given_as in (x, [x[:5000], x[5000:]]):
        with pytest.raises(InputError, match=said):
            fit_pca(given_as)


@pytest.mark.parametrize("nothing", [np.empty((0, 4), np.float32), [], iter(())], ids=["matrix", "list", "iterator"])
def test_no_rows_are_refused(nothing):
    with pytest.raises(InputError, match="a map cannot be fitted on no rows; give a sample of the vectors"):
        fit_pca(nothing)


@pytest.mark.parametrize(
    ("x", "said"),
    [(np.ones(4), "a sample has rows of floats, (n, d), got float64 of shape (4,)"),
     (np.ones((2, 4), int), "got int64 of shape (2, 4)"), (np.ones((2, 0)), "got float64 of shape (2, 0)"),
     ([np.ones((2, 4)), np.ones((2, 5))], "rows of floats, (n, 4), got float64 of shape (2, 5)"),
     ([[1.0, 2.0]], "got <class 'list'> of shape (2,); give one matrix, or blocks of one width")],
)  # fmt: skip
def test_what_is_no_sample_is_refused(x, said):
    with pytest.raises(InputError, match=re.escape(said)):
        fit_pca(x)


def test_lengths_beyond_float64_are_refused():
    with pytest.raises(InputError, match="the sample's squared lengths are beyond float64; rescale the vectors"):
        fit_pca(np.full((2, 2), 1e200))


@pytest.mark.parametrize("module", [mrl.maps.pca, mrl.maps.rotation], ids=lambda module: module.__name__)
def test_the_examples(module):
    found = doctest.testmod(module)
    assert found.attempted
    assert not found.failed

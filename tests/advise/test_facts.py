"""Facts of vectors, against closed forms and slow twins."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrl import Nesting
from mrl.advise.energy import energy, int8_error
from mrl.advise.facts import chosen, facts, ladder
from mrl.advise.order import DRAWS, T, judged, leads, narrow, order
from mrl.advise.shape import mean_cosine, nearest_others, occurrences, participation, resultant, shape, skewness
from mrl.advise.soundness import survey
from mrl.errors import InputError
from mrl.maps import fit_pca
from public import data

CUTS = Nesting((2, 4, 8))


def normal(rows, width, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)


def ball(rows, dim, width, seed=0):
    """Points drawn evenly from a ball of `dim` dims, turned into `width`."""
    draws = np.random.default_rng(seed)
    points = draws.normal(size=(rows, dim))
    points *= (draws.random(rows) ** (1 / dim) / np.linalg.norm(points, axis=1))[:, None]
    return (points @ np.linalg.qr(draws.normal(size=(width, width)))[0][:dim]).astype(np.float32)


# ------------------------------------------------------------------------------------------------ all rows


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_damaged_empty_and_repeated_rows_are_counted_and_named(dtype):
    vectors = normal(40, 6).astype(dtype)
    vectors[3, 2], vectors[5, 0], vectors[6] = np.nan, -np.inf, np.nan
    vectors[[8, 9]] = 0
    vectors[9, 1] = -0.0
    vectors[[20, 30]] = vectors[11]
    found = facts(vectors).soundness
    assert (found.rows, found.width, found.dtype) == (40, 6, np.dtype(dtype).name)
    assert (found.not_finite.count, found.not_finite.first) == (3, (3, 5, 6))
    assert found.zero.first == (8, 9)
    assert (found.repeats.count, found.repeats.first) == (3, (9, 20, 30))
    assert str(found.not_finite) == "3 (rows 3, 5, 6)"
    lengths = np.linalg.norm(vectors.astype(np.float64), axis=1)
    lengths = lengths[np.isfinite(lengths)]
    wanted = (lengths.min(), np.median(lengths), lengths.max())
    np.testing.assert_allclose((found.shortest, found.median, found.longest), wanted)
    assert not found.unit
    assert (found.left_out("cosine"), found.left_out("l2")) == (5, 3)


def test_lengths_that_products_cannot_hold():
    vectors = normal(20, 4).astype(np.float64)
    vectors[4] *= 1e30
    vectors[7] *= 1e200
    vectors[9] *= 1e-30
    found = facts(vectors)
    assert found.soundness.extreme.first == (4, 7, 9)
    assert found.soundness.not_finite.count == 0
    assert found.sampled == 17


def test_unit_vectors_are_known():
    vectors = normal(50, 16)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    assert facts(vectors).soundness.unit
    assert facts(vectors.astype(np.float16)).soundness.unit
    assert not facts(vectors * 1.01).soundness.unit


@given(st.lists(st.integers(1, 9), min_size=1, max_size=6), st.integers(0, 99))
def test_a_survey_does_not_depend_on_how_rows_come(sizes, seed):
    draws = np.random.default_rng(seed)
    vectors = draws.integers(-1, 2, (sum(sizes), 3)).astype(np.float32)
    vectors[draws.random(len(vectors)) < 0.1, 1] = np.nan
    wanted = chosen(len(vectors), 5, seed)
    whole = survey([vectors], wanted)
    parts = survey(np.split(vectors, np.cumsum(sizes)[:-1]), wanted)
    assert whole.soundness == parts.soundness
    np.testing.assert_array_equal(whole.vectors, vectors[wanted])
    np.testing.assert_array_equal(parts.vectors, vectors[wanted])
    seen: set[bytes] = set()
    repeats = 0
    for row in vectors:
        finite, key = np.isfinite(row).all(), (row + np.float32(0)).tobytes()
        repeats += finite and key in seen
        seen |= {key} if finite else set()
    assert whole.soundness.repeats.count == repeats


@pytest.mark.parametrize(
    ("vectors", "said"),
    [
        (np.zeros((0, 4), np.float32), "there are no rows to inspect; give at least one vector"),
        (np.zeros((3, 4), np.int64), "vectors are floats of shape (n, width), got int64 of shape (3, 4)"),
        (np.zeros(4, np.float32), "vectors are a float matrix (n, width), got shape (4,)"),
    ],
)
def test_what_is_no_matrix_of_floats_is_refused(vectors, said):
    with pytest.raises(InputError) as refusal:
        facts(vectors)
    assert said in str(refusal.value)


def test_blocks_of_two_widths_are_refused():
    with pytest.raises(InputError, match=r"floats of shape \(n, 4\), got float32 of shape \(3, 5\)"):
        survey([normal(3, 4), normal(3, 5)], np.arange(2))


def test_nothing_usable_leaves_the_survey():
    found = facts(np.full((5, 4), np.nan, np.float32))
    assert found.soundness.not_finite.count == 5
    assert found.shape is found.energy is found.order is None


# ------------------------------------------------------------------------------------------------ how they lie


@pytest.mark.parametrize("dim", [1, 2, 5, 9])
def test_the_intrinsic_dimension_of_a_ball(dim):
    """TwoNN sees the ball's dimension whatever the space; in many dims its border makes it a little less."""
    found = shape(ball(3000, dim, 20), "l2").intrinsic
    assert found == pytest.approx(dim, rel=0.12)


def test_on_a_sphere_there_is_one_dimension_less():
    assert shape(normal(3000, 4), "cosine").intrinsic == pytest.approx(3, rel=0.1)


def test_repeated_rows_do_not_hide_the_intrinsic_dimension():
    points = ball(2000, 3, 8)
    assert shape(np.concatenate([points, points[:200]]), "l2").intrinsic == pytest.approx(3, rel=0.2)
    assert shape(np.ones((30, 4), np.float32), "l2").intrinsic is None


def test_participation_of_axes():
    assert participation(normal(2000, 50)) == pytest.approx(50, rel=0.03)
    assert participation(normal(300, 500)) == pytest.approx(300, rel=0.3)  # no more than the rows can show
    rank = normal(3000, 7) @ np.linalg.qr(normal(40, 40, 1))[0][:7]
    assert participation(rank + 100) == pytest.approx(7, rel=0.03)  # about the mean
    assert participation(np.ones((9, 4))) is None


def test_mean_cosine_is_that_of_all_pairs():
    points = normal(60, 5) + 0.7
    unit = points / np.linalg.norm(points, axis=1, keepdims=True)
    cosines = unit @ unit.T
    assert mean_cosine(resultant(points), 60) == pytest.approx(cosines[~np.eye(60, dtype=bool)].mean(), abs=1e-6)
    assert resultant(points) == pytest.approx(np.linalg.norm(unit.mean(0)), abs=1e-6)
    assert mean_cosine(1.0, 1) is None
    assert abs(shape(normal(4000, 30), "cosine").cosine) < 0.002


def test_occurrences_and_their_skewness_against_slow_twins():
    stats = pytest.importorskip("scipy.stats")
    points = normal(80, 6).astype(np.float64)
    far = np.linalg.norm(points[:, None] - points, axis=-1)
    np.fill_diagonal(far, np.inf)
    wanted = np.argsort(far, axis=1)[:, :10]
    found = nearest_others(points, 10, "l2")
    np.testing.assert_array_equal(np.sort(found), np.sort(wanted))
    times = occurrences(found)
    assert times.tolist() == [(wanted == row).sum() for row in range(80)]
    assert skewness(times) == pytest.approx(stats.skew(times))
    assert skewness(np.ones(5)) == 0


def test_a_row_that_is_there_often_is_not_its_own_neighbour():
    points = np.zeros((20, 3), np.float32)
    found = nearest_others(points, 10, "l2")
    assert (found[:11] != np.arange(11)[:, None]).all()


def test_hubs_come_with_many_dims():
    """Radovanović et al. 2010, §4: independent coordinates, Euclidean distance."""
    few, many = (shape(normal(2000, dims), "l2") for dims in (3, 100))
    assert few.hubness < 0.5 < 2 < many.hubness
    assert few.orphans < 0.01 < 0.1 < many.orphans


@pytest.mark.parametrize("rows", [1, 2, 3, 8])
def test_few_rows_tell_little(rows):
    found = facts(normal(rows, 16))
    assert found.shape.intrinsic is found.shape.hubness is None
    assert found.order.verdict == "cannot tell"
    assert "cannot be told: that takes more rows" in str(found.order)
    assert found.energy.plain[-1] == pytest.approx(1)


# ------------------------------------------------------------------------------------------------ energy


def test_energy_of_prefixes_plain_and_after_pca():
    sample = normal(500, 8) * np.arange(1, 9) @ np.linalg.qr(normal(8, 8, 3))[0]
    sample = sample.astype(np.float32)
    found = energy(sample, fit_pca(sample).energy, CUTS)
    total = np.square(sample.astype(np.float64)).sum()
    np.testing.assert_allclose(found.plain, [np.square(sample[:, :m]).sum() / total for m in CUTS.dims], rtol=1e-5)
    singular = np.square(np.linalg.svd(sample.astype(np.float64), compute_uv=False))
    np.testing.assert_allclose(found.pca, [singular[:m].sum() / total for m in CUTS.dims], rtol=1e-6)


def test_cuts_below_the_width_are_shares_of_the_whole():
    sample = np.ones((30, 16), np.float32)
    assert energy(sample, fit_pca(sample).energy, Nesting((4, 8))).plain == pytest.approx((0.25, 0.5))


def test_coordinates_that_hold_most_and_those_that_spoil_int8():
    sample = normal(3000, 12)
    sample[:, 5] *= 10
    sample[7, 2] = 500.0
    found = energy(sample, fit_pca(sample).energy, Nesting((12,)))
    assert found.half == 1
    assert found.dominant[0][0] == 5
    moments = np.square(sample, dtype=np.float64).sum(0)
    assert found.dominant[0][1] == pytest.approx(moments[5] / moments.sum())
    assert (found.wide, found.wide_count) == ((2,), 1)


def test_what_int8_changes_is_a_step_over_the_square_root_of_twelve():
    sample = np.random.default_rng(0).random((4000, 6)).astype(np.float32)
    assert int8_error(sample) == pytest.approx(1 / 254 / np.sqrt(12) / np.sqrt(1 / 3), rel=0.02)
    assert int8_error(np.zeros((3, 2), np.float32)) == 0


# ------------------------------------------------------------------------------------------------ order


def latent(rows, axes=12, width=64, seed=0):
    """Vectors whose neighbours follow a few axes, mixed evenly into all coordinates."""
    draws = np.random.default_rng(seed)
    signal = draws.normal(size=(rows, axes)) * 0.8 ** np.arange(axes)
    return (signal @ draws.normal(size=(axes, width)) + 0.4 * draws.normal(size=(rows, width))).astype(np.float32)


def test_coordinates_without_an_order():
    for vectors in (latent(1500), normal(1500, 64)):
        found = order(vectors[:200], vectors[200:], "cosine")
        assert found.verdict in ("no", "cannot tell")
        assert found.low < 0 < found.high
    even = latent(3000, axes=24, width=256)
    found = order(even[:300], even[300:], "cosine")
    assert found.verdict == "no"
    assert str(found).startswith("They do not look trained to nest: the first 32 coordinates find ")


def test_leading_coordinates_that_tell_more():
    """The first 16 have the signal, the others little of it: nested, though neither sorted nor uncorrelated."""
    vectors = latent(2000)
    vectors[:, 16:] = 0.15 * vectors[:, 16:] + normal(2000, 48, 9)
    vectors[:, ::2] *= -1.5
    found = order(vectors[:200], vectors[200:], "cosine")
    assert found.verdict == "nested"
    assert found.leading[-1] > found.random[-1] > found.last[-1]
    assert str(found).startswith("They look trained to nest: ")
    shuffled = vectors[:, np.random.default_rng(4).permutation(64)]
    assert order(shuffled[:200], shuffled[200:], "cosine").verdict != "nested"


@pytest.mark.parametrize("centred", [False, True])
def test_axes_of_pca_are_ordered_by_energy(centred):
    vectors = latent(2000) + 1
    vectors = vectors - vectors.mean(0) if centred else vectors
    turned = fit_pca(vectors).apply(vectors)
    found = order(turned[:200], turned[200:], "cosine")
    assert found.verdict == "by energy"
    assert "ordered by energy, as PCA leaves them" in str(found)


def test_false_alarms_are_rare():
    """The prediction interval ends above 0 in 1 of 200 shuffles at most; the 99.9 % binomial quantile of 60 is 3."""
    vectors, alarms = latent(360, width=64), 0
    for seed in range(60):
        shuffled = vectors[:, np.random.default_rng(seed).permutation(64)]
        alarms += order(shuffled[:60], shuffled[60:], "cosine", seed=1000 + seed).low > 0
    assert alarms <= 3


def test_the_interval_is_that_of_one_more_draw():
    stats = pytest.importorskip("scipy.stats")
    assert pytest.approx(stats.t.ppf(0.995, DRAWS - 1), abs=1e-4) == T
    random = np.random.default_rng(0).normal(0.5, 0.01, DRAWS)
    lead, low, high = leads(0.6, random)
    half = T * random.std(ddof=1) * np.sqrt(1 + 1 / DRAWS) / random.mean()
    assert (lead, low, high) == pytest.approx((0.6 / random.mean() - 1, lead - half, lead + half))
    assert [judged(*ends) for ends in ((0.01, 0.9), (-0.1, 0.2), (-0.1, 0.4))] == ["nested", "no", "cannot tell"]


def test_dims_that_are_looked_at():
    assert narrow(1024).dims == (16, 32, 64, 128)
    assert narrow(64).dims == (4, 8)
    assert narrow(16).dims == (8,)
    assert narrow(6) is None
    assert ladder(1000).dims == (15, 31, 62, 125, 250, 500, 1000)
    assert ladder(64, Nesting((12, 64))).dims == (8, 12, 16, 32, 64)
    assert ladder(5).dims == (5,)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("folder", "file"),
    [("mobilenet-features", "caltech101_mobilenetv1.npz"), ("fashion-products", "mobilenetv1.npz")],
)
def test_a_network_that_was_not_nested_and_its_axes(folder, file):
    with np.load(data(folder, file)) as arrays:
        codes = arrays["q"]
        chosen = np.random.default_rng(0).permutation(len(codes))[:8000]
        vectors = (codes[chosen] * arrays["scale"]).astype(np.float32)
    assert order(vectors[:300], vectors[300:6000], "cosine").verdict == "no"
    turned = fit_pca(vectors[6000:]).apply(vectors[:6000])
    assert order(turned[:300], turned[300:], "cosine").verdict == "by energy"


def test_photos_that_are_there_twice():
    """778 image files of the product photos are byte-identical to another; their features are too."""
    with np.load(data("fashion-products", "mobilenetv1.npz")) as arrays:
        vectors = arrays["q"].astype(np.float16)
    assert survey(np.array_split(vectors, 11), np.arange(2)).soundness.repeats.count == 778

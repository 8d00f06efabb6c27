"""Stopping without loss: the answer is that of the full width in exact arithmetic, whatever the numbers."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from tests.public import data

from mrl import Nesting
from mrl.card import Card
from mrl.classify import Cascade, Prototypes
from mrl.classify.lossless import Savings, measure_lossless, run_lossless, tiles
from mrl.classify.lossless.bounds import bounds, folded
from mrl.classify.lossless.confidence import among, others
from mrl.classify.lossless.exact import exact_best, scores64
from mrl.errors import InputError
from mrl.heads import HeadWeights

METRICS = ("cosine", "dot", "l2")


@pytest.fixture(params=["numba", "numpy"])
def way(request, monkeypatch):
    """With Numba and without."""
    if request.param == "numpy":
        monkeypatch.setattr(tiles, "_compiled", lambda: None)


def cascade(classifier, dims=None):
    dims = dims or classifier.nesting
    return Cascade(classifier, Card("m", dims.width, dims, "cosine", False), dims, "lossless")


def inner(one, other):
    return sum((Fraction(float(a)) * Fraction(float(b)) for a, b in zip(one, other, strict=True)), Fraction(0))


def truth(made, vectors):
    """The best class of each row by the definition, in fractions."""
    levels = made.levels
    owner, w = levels.owner(), levels.weights[-1]
    best = []
    for row in np.asarray(vectors, np.float32):
        scores = [
            Fraction(float(t)) * inner(row, v) + Fraction(float(p))
            for v, t, p in zip(w, levels.times[-1], levels.plus[-1], strict=True)
        ]
        best.append(owner[scores.index(max(scores))])
    return np.array(best)


def clear(made, vectors):
    """The same in float64, of rows that have a clear answer."""
    scores = np.asarray(vectors, np.float64) @ folded(made.levels, slice(None)).T + made.levels.plus[-1]
    two = np.sort(scores, axis=1)[:, -2:]
    assert (two[:, 1] - two[:, 0] > 1e-12 * np.abs(two).max()).all()
    return made.levels.owner()[scores.argmax(1)]


def check(made, vectors, oracle=truth):
    """The answers, which are those of the definition."""
    found = run_lossless(made, vectors)
    np.testing.assert_array_equal(found.labels, oracle(made, vectors))
    assert found.tied
    assert ((found.levels >= 0) & (found.levels < len(made.dims))).all()
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all()
    return found


def spectrum(rng, n, width, decay):
    return rng.normal(size=(n, width)) * np.arange(1, width + 1) ** -decay


def head(weights, dims, bias=None, tied=True):
    weights = np.asarray(weights, np.float32)
    if tied:
        return HeadWeights(dims, True, (weights,), () if bias is None else (np.asarray(bias, np.float32),))
    narrow = [np.zeros((len(weights), dim), np.float32) for dim in dims.dims[:-1]]
    biases = () if bias is None else (np.zeros_like(bias),) * len(narrow) + (np.asarray(bias, np.float32),)
    return HeadWeights(dims, False, (*narrow, weights), biases)


DIMS = st.sets(st.integers(1, 24), min_size=1, max_size=6).map(lambda dims: Nesting(tuple(sorted(dims))))


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    dims=DIMS,
    classes=st.integers(1, 50),
    tied=st.booleans(),
    biased=st.booleans(),
    decay=st.floats(0, 3),
    size=st.sampled_from([1e-12, 1e-6, 1.0, 1e6, 1e12]),
    dtype=st.sampled_from([np.float16, np.float32, np.float64]),
)
def test_a_head_answers_as_its_full_width(seed, dims, classes, tied, biased, decay, size, dtype):
    rng = np.random.default_rng(seed)
    weights = spectrum(rng, classes, dims.width, decay) * size
    bias = (rng.normal(size=classes) * size).astype(np.float32) if biased else None
    rows = spectrum(rng, 7, dims.width, decay).astype(dtype)
    rows[1] = 0
    rows[2, : dims.dims[0]] = 0
    rows[3, dims.dims[0] :] = 0
    if dtype == np.float32:
        rows[4:] *= np.float32(1 / size)
    check(cascade(head(weights, dims, bias, tied)), rows)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    dims=DIMS,
    shape=st.tuples(st.integers(1, 20), st.integers(0, 40)),
    metric=st.sampled_from(METRICS),
    decay=st.floats(0, 3),
    size=st.sampled_from([1e-12, 1.0, 1e12]),
)
def test_prototypes_answer_as_their_full_width(seed, dims, shape, metric, decay, size):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.concatenate([np.arange(shape[0]), rng.integers(0, shape[0], shape[1])]))
    known = spectrum(rng, len(labels), dims.width, decay).astype(np.float32) * np.float32(size)
    known[rng.integers(len(known))] = 0
    rows = (spectrum(rng, 6, dims.width, decay) * size).astype(np.float32)
    rows[0], rows[1] = 0, known[rng.integers(len(known))]
    check(cascade(Prototypes(dims, known, labels, metric)), rows)


@settings(max_examples=60)
@given(
    weights=arrays(np.float32, (5, 4), elements=st.integers(-2, 2).map(np.float32)),
    rows=arrays(np.float32, (6, 4), elements=st.integers(-2, 2).map(np.float32)),
    bias=arrays(np.float32, 5, elements=st.integers(-1, 1).map(np.float32)),
)
@example(np.ones((5, 4), np.float32), np.ones((6, 4), np.float32), np.zeros(5, np.float32))
def test_the_earlier_of_equal_classes_answers(weights, rows, bias):
    check(cascade(head(weights, Nesting((1, 2, 4)), bias)), rows)


@pytest.mark.parametrize("metric", METRICS)
def test_equal_prototypes_of_two_classes_are_a_tie(metric):
    rng = np.random.default_rng(3)
    one = rng.normal(size=(4, 16)).astype(np.float32)
    known = Prototypes(Nesting((4, 16)), np.concatenate([one, one, 2 * one]), np.repeat([2, 1, 0], 4), metric)
    check(cascade(known), np.concatenate([one, -one, rng.normal(size=(4, 16)).astype(np.float32)]))


def test_what_float32_cannot_tell_is_decided_exactly(way):
    """Classes apart by less than a sum of float32 products can hold, in both orders."""
    rng = np.random.default_rng(0)
    weights = np.repeat(rng.normal(size=(1, 256)), 6, axis=0).astype(np.float32)
    for c in range(1, 6):
        weights[c, c] = np.nextafter(weights[c, c], np.float32(np.inf))
    rows = rng.normal(size=(40, 256)).astype(np.float32)
    found = check(cascade(head(weights, Nesting((8, 64, 256)))), rows)
    assert len(set(found.labels)) > 2
    assert (found.levels == 2).all()


def test_bias_beyond_products_and_cancelling_products(way):
    rows = np.array([[1e8, -1e8, 1, 0], [1e8, -1e8, 0, 1], [0, 0, 0, 0]], np.float32)
    weights = np.array([[1, 1, 1, 0], [1, 1, 0, 1], [1, 1, 0.5, 0.5]], np.float32)
    for bias in (None, np.array([0, 1e-8, -1e-8]), np.array([1e12, 1e12, 1e12])):
        check(cascade(head(weights, Nesting((1, 2, 3, 4)), bias)), rows)


def test_scores_beyond_float32_are_answered(way):
    rng = np.random.default_rng(1)
    rows, weights = rng.normal(size=(5, 8)).astype(np.float32), rng.normal(size=(9, 8)).astype(np.float32)
    check(cascade(head(weights * np.float32(1e30), Nesting((2, 8)))), rows * np.float32(1e30))
    check(cascade(head(weights * np.float32(1e-30), Nesting((2, 8)))), rows * np.float32(1e-30))
    rows[3] *= np.float32(1e37)  # one of many that are not
    check(cascade(head(weights, Nesting((2, 8)))), rows)


def test_a_classifier_beyond_float32_is_refused():
    with pytest.raises(InputError, match=r"class 1 scores beyond what float32 holds \(length 1.4e\+38\); rescale"):
        run_lossless(cascade(head([[1, 1], [1e38, 1e38]], Nesting((1, 2)))), np.ones((1, 2), np.float32))


def wide(seed=0, n=300, classes=60, width=128, decay=1.0):
    """Rows near one class each, most of whose length is in front: (weights, rows)."""
    rng = np.random.default_rng(seed)
    weights = spectrum(rng, classes, width, decay).astype(np.float32)
    rows = weights[rng.integers(classes, size=n)] + 0.3 * spectrum(rng, n, width, decay)
    return weights, rows.astype(np.float32)


@pytest.mark.parametrize("kind", ["tied", "separate", *METRICS, "several"])
@pytest.mark.parametrize("pairs", [True, False])
def test_rows_stop_early_and_nothing_is_lost(kind, pairs, way, monkeypatch):
    if not pairs:
        monkeypatch.setattr("mrl.classify.lossless.bounds.PAIR_BYTES", 0)
    dims, (weights, rows) = Nesting.halving(128, 4), wide()
    if kind in METRICS:
        made = cascade(Prototypes(dims, weights, np.arange(60), kind))
    elif kind == "several":
        made = cascade(Prototypes(dims, weights, np.arange(60) // 3, "cosine"))
    else:
        made = cascade(head(weights, dims, tied=kind == "tied"))
    found = check(made, rows, clear)
    assert len(set(found.levels)) > 2
    assert found.levels.mean() < len(dims) - 1.5
    assert len(bounds(made.levels).tables.apart[0]) == (60 if pairs else 1)


@pytest.mark.parametrize("pairs", [True, False])
@pytest.mark.parametrize("kind", ["head", "cosine", "l2"])
def test_no_tail_of_the_same_lengths_changes_an_answer(kind, pairs, monkeypatch):
    """The worst tail for each other class: in every segment along the difference, as long as the row's own."""
    if not pairs:
        monkeypatch.setattr("mrl.classify.lossless.bounds.PAIR_BYTES", 0)
    dims, (weights, rows) = Nesting.halving(128, 4), wide(1, n=40, classes=20)
    made = cascade(head(weights, dims) if kind == "head" else Prototypes(dims, weights, np.arange(20), kind))
    found, v = run_lossless(made, rows), folded(made.levels, slice(None))
    stopped = 0
    for row, label, level in zip(rows.astype(np.float64), found.labels, found.levels, strict=True):
        for other in set(range(20)) - {int(label)}:
            worst = row.copy()
            for a, b in dims.segments[level + 1 :]:
                away = v[other, a:b] - v[label, a:b]
                worst[a:b] = away / np.linalg.norm(away) * np.linalg.norm(row[a:b])
            scores = v @ worst + made.levels.plus[-1]
            assert scores[label] > scores[other]
        stopped += level + 1 < len(dims)
    assert stopped > 20


def test_the_bound_is_not_looser_than_it_must_be(monkeypatch):
    """A row whose worst tail would tie stops one level later than one that is ahead by a little more."""
    monkeypatch.setattr("mrl.classify.lossless.bounds.ALIGNED", 1.0)  # every level where Cauchy-Schwarz allows it
    weights = np.array([[1, 0, 1, 0], [0, 1, 0, 1]], np.float32)  # differences: 2 in front of dim 2, √2 of it behind
    rows = np.array([[2.01, 0, 1, 1], [1.99, 0, 1, 1]], np.float32)  # the tail can change √2 · √2 = 2
    found = check(cascade(head(weights, Nesting((2, 4)))), rows)
    assert found.levels.tolist() == [0, 1]


@given(seed=st.integers(0, 2**32 - 1), decay=st.floats(0, 2))
@settings(max_examples=20)
def test_lengths_of_differences_are_bounds(seed, decay):
    rng = np.random.default_rng(seed)
    dims = Nesting((3, 8, 20))
    weights = spectrum(rng, 12, 20, decay) * 10.0 ** rng.integers(-6, 6, (12, 1))
    weights[3] = weights[4]
    assume(np.isfinite(weights).all())
    made = cascade(head(weights, dims))
    v, tables = folded(made.levels, slice(None)), bounds(made.levels).tables
    for s, (a, b) in enumerate(dims.segments):
        exact = np.linalg.norm(v[:, None, a:b] - v[None, :, a:b], axis=2)
        assert (tables.apart[s] >= exact).all()
        np.testing.assert_allclose(tables.apart[s], exact, rtol=1e-4, atol=1e-5 * np.abs(v).max())


def test_both_ways_agree(monkeypatch):
    weights, rows = wide(2)
    made = cascade(head(weights, Nesting.halving(128, 4)))
    fast = run_lossless(made, rows)
    monkeypatch.setattr(tiles, "_compiled", lambda: None)
    slow = run_lossless(made, rows)
    np.testing.assert_array_equal(fast.labels, slow.labels)
    assert (fast.levels <= slow.levels).mean() > 0.99  # rounding apart


@pytest.mark.parametrize("metric", METRICS)
def test_confidence_is_the_probability_at_the_level_where_a_row_stopped(metric, way):
    """With so few classes that none is left out before."""
    weights, rows = wide(3, classes=12)
    dims = Nesting.halving(128, 4)
    made = Cascade(
        Prototypes(dims, weights, np.arange(12) // 2, metric),
        Card("m", 128, dims, metric, False),
        dims,
        "lossless",
        tuple(np.linspace(0.5, 2, len(dims))),
    )
    found = run_lossless(made, rows)
    for row, label, level, confidence in zip(rows, found.labels, found.levels, found.confidence, strict=True):
        logits = made.levels.logits(row[None], int(level))[0].astype(np.float64) / made.temperatures[level]
        expected = np.exp(logits - logits.max())
        np.testing.assert_allclose(confidence, expected[label] / expected.sum(), atol=1e-3)


def test_confidence_of_few_classes_at_full_width_is_nearly_that_of_all():
    weights, rows = wide(4, classes=200, decay=0.5)
    made = cascade(Prototypes(Nesting.halving(128, 4), weights, np.arange(200)))
    found = run_lossless(made, rows)
    some = (found.levels == len(made.dims) - 1) & (found.confidence > 0)
    logits = made.levels.logits(rows, len(made.dims) - 1)
    weights = np.exp(logits)
    expected = weights[np.arange(len(rows)), found.labels] / weights.sum(1)
    np.testing.assert_allclose(found.confidence[some], expected[some], atol=0.02)


def test_answers_do_not_depend_on_the_tile(monkeypatch):
    weights, rows = wide(5)
    made = cascade(head(weights, Nesting.halving(128, 4)))
    whole = run_lossless(made, rows)
    monkeypatch.setattr(tiles, "TILE_ROWS", (1, 7))
    small = run_lossless(made, rows)
    np.testing.assert_array_equal(whole.labels, small.labels)
    assert (whole.levels == small.levels).mean() > 0.99


def test_savings_are_counted_by_hand():
    """Two classes apart in the first dim only: nothing is left to read after it."""
    weights = np.zeros((2, 8), np.float32)
    weights[0, 0], weights[1, 0] = 1, -1
    made = cascade(head(weights, Nesting((1, 8))))
    rows = np.tile(np.array([[3.0] + [1.0] * 7], np.float32), (4, 1))
    found = measure_lossless(made, rows)
    assert found == Savings(4, 8, 2, 1.0, products=4 * 2 * 1, overhead=4 * (8 + 2 * 1))
    assert found.dims_saved == 7 / 8
    assert found.saved == 1 - (8 + 40) / 64


def test_flat_rows_cost_little_more_than_products_with_all():
    rng = np.random.default_rng(0)
    made = cascade(head(rng.normal(size=(100, 512)), Nesting.halving(512, 8)))
    found = measure_lossless(made, rng.normal(size=(500, 512)).astype(np.float32))
    assert found.dims > 500
    assert -0.05 < found.saved < 0.05


def test_float16_and_wider_rows_are_read_up_to_the_width():
    weights, rows = wide(6, n=20)
    made = cascade(head(weights, Nesting((8, 128))))
    halves = np.concatenate([rows, np.full((20, 3), 9.0)], axis=1).astype(np.float16)
    np.testing.assert_array_equal(run_lossless(made, halves).labels, clear(made, halves[:, :128]))


def test_exact_best_is_the_first_of_equal_ones():
    made = cascade(head([[1, 0], [0, 1], [0, 1]], Nesting((1, 2))))
    assert exact_best(made.levels, np.array([0.1, 0.3], np.float32), np.array([0, 1, 2])) == 1
    assert exact_best(made.levels, np.zeros(2, np.float32), np.array([1, 2])) == 1


@pytest.mark.parametrize("rotated", [True, False])
@pytest.mark.parametrize("kind", ["means", "linear"])
def test_real_features(kind, rotated):
    """Every answer is that of the full width on MobileNet features of Caltech-101."""
    with np.load(data("mobilenet-features", "caltech101_mobilenetv1.npz")) as arrays:
        vectors = (arrays["q"] * arrays["scale"]).astype(np.float32)
        labels = np.unique(arrays["label"], return_inverse=True)[1]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    if rotated:
        vectors = vectors @ np.linalg.eigh(vectors.T @ vectors)[1][:, ::-1]
    asked, dims = np.arange(len(vectors)) % 10 == 0, Nesting(tuple(range(128, 1025, 128)))
    means = Prototypes.means(vectors[~asked], labels[~asked], dims)
    made = cascade(means if kind == "means" else _linear(vectors[~asked], labels[~asked], dims))
    found = run_lossless(made, vectors[asked])
    exact = vectors[asked].astype(np.float64) @ folded(made.levels, slice(None)).T + made.levels.plus[-1]
    np.testing.assert_array_equal(found.labels, exact.argmax(1))
    assert found.last.mean() < (1000 if rotated else 1025)


def _linear(vectors, labels, dims):
    """Ridge regression on one-hot targets."""
    mean, targets = vectors.mean(0), np.eye(labels.max() + 1)[labels]
    x = (vectors - mean).astype(np.float64)
    weights = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ (targets - targets.mean(0))).T
    return head(weights, dims, targets.mean(0) - weights @ mean)


def test_what_was_left_out_keeps_its_probability():
    """Of four classes the last two are left out with 0.3 between them; the others share 0.7 by what they score now."""
    logits = np.log(np.array([[0.5, 0.2, 0.2, 0.1]], np.float32))
    owners, first = np.array([[0, 1]]), np.array([[True, True]])
    rest = others(logits, owners, first, 1.0)
    np.testing.assert_allclose(rest, 0.3, rtol=1e-6)
    now = np.log(np.array([[9.0, 1.0]]))
    for label, share in ((0, 0.9), (1, 0.1)):
        np.testing.assert_allclose(among(now, owners, first, np.array([label]), rest), 0.7 * share, rtol=1e-6)


def test_scores_in_float64_come_a_few_prototypes_at_a_time(monkeypatch):
    draw = np.random.default_rng(0)
    made = cascade(HeadWeights(Nesting((4, 8)), True, (draw.normal(size=(40, 8)).astype(np.float32),)))
    rows = draw.normal(size=(5, 8))
    whole = scores64(made.levels, rows, np.arange(40))
    monkeypatch.setattr("mrl.classify.lossless.exact.TILE_BYTES", 8 * rows.shape[1] * 3)
    for some, every in zip(scores64(made.levels, rows, np.arange(40)), whole, strict=True):
        np.testing.assert_allclose(some, every, rtol=1e-12)


def test_very_short_prefixes_have_confidences_too():
    draw = np.random.default_rng(0)
    x, w = draw.normal(size=(30, 4)).astype(np.float32), draw.normal(size=(5, 4)).astype(np.float32)
    w[:, :2] *= np.float32(1e-25)
    w[:, 2:] *= np.float32(1e14)
    made = cascade(Prototypes(Nesting((2, 4)), w, np.arange(5)))
    assert np.isfinite(check(made, x).confidence).all()
    x[:, :2] *= np.float32(1e-25)
    assert np.isfinite(check(made, x).confidence).all()

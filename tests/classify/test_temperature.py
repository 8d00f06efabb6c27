"""One temperature a level: what SciPy finds, at any scale of the logits, and in bounds where nothing is ever wrong."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import logsumexp

from classify import made
from mrl import HeadWeights
from mrl.classify import Levels
from mrl.classify.seen import Material
from mrl.classify.temperature import RANGE, temperature, temperatures
from mrl.errors import InputError


def drawn(n=300, classes=7, scale=1.0, seed=0):
    """Logits (n, classes) that are `scale` times too sure, and labels that follow them."""
    draw = np.random.default_rng(seed)
    logits = draw.normal(size=(n, classes)) * 2
    labels = (logits + draw.gumbel(size=logits.shape)).argmax(1)  # by their softmax
    return (logits * scale).astype(np.float32), labels


def of(logits, labels):
    return temperature(logits, logits[np.arange(len(labels)), labels])


def likelihood(logits, labels, t):
    z = logits.astype(np.float64) / t
    return (logsumexp(z, axis=1) - z[np.arange(len(labels)), labels]).mean()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([1e-3, 0.05, 1.0, 30.0, 1e4]), st.integers(2, 9))
def test_it_has_the_least_negative_log_likelihood(seed, scale, classes):
    logits, labels = drawn(scale=scale, seed=seed, classes=classes)
    found = minimize_scalar(
        lambda log: likelihood(logits, labels, scale * np.exp(log)), bounds=(-4, 4), method="bounded"
    )
    assert of(logits, labels) == pytest.approx(scale * np.exp(found.x), rel=1e-3)


def test_it_is_one_where_probabilities_are_true_and_follows_the_scale():
    logits, labels = drawn(20_000)
    assert of(logits, labels) == pytest.approx(1, abs=0.03)
    assert of(1000 * logits, labels) == pytest.approx(1000 * of(logits, labels), rel=1e-4)


def test_a_constant_added_to_a_row_changes_nothing():
    logits, labels = drawn()
    moved = logits + np.arange(len(logits), dtype=np.float32)[:, None]
    assert of(moved, labels) == pytest.approx(of(logits, labels), rel=1e-3)


def test_it_stays_in_bounds_where_all_are_right_all_are_wrong_and_all_logits_are_alike():
    logits, _ = drawn()
    spread = (logits - logits.max(1, keepdims=True)).std()
    right, wrong = of(logits, logits.argmax(1)), of(logits, logits.argmin(1))
    assert spread / RANGE * 0.999 <= right < 0.2
    assert wrong == pytest.approx(spread * RANGE, rel=0.01)
    assert np.isfinite(of(np.zeros((5, 3), np.float32), np.zeros(5, np.int64)))
    assert np.isfinite(of(np.zeros((5, 1), np.float32), np.zeros(5, np.int64)))


def test_one_a_level_and_copies_of_a_vector_count_once():
    vectors, labels = made.rows(200)
    levels = Levels.of(made.separate())
    once, twice = (Material.of(np.repeat(vectors, k, 0), np.repeat(labels, k)) for k in (1, 2))
    found = temperatures(levels, once.vectors, once.labels, once.same)
    assert len(found) == len(levels.dims)
    assert found == temperatures(levels, twice.vectors, twice.labels, twice.same)
    for level, t in enumerate(found):
        assert t == pytest.approx(of(levels.logits(once.vectors, level), once.labels[np.argsort(once.same)]), rel=1e-9)


def test_copies_with_different_labels_say_their_mean():
    vectors, labels = made.rows(60)
    other = (labels + 1) % 10
    both = Material.of(np.concatenate([vectors, vectors]), np.concatenate([labels, other]))
    found = temperatures(Levels.of(made.tied()), both.vectors, both.labels, both.same)[-1]
    logits = made.tied().logits(vectors, 32)
    rows = np.arange(60)
    assert found == pytest.approx(temperature(logits, (logits[rows, labels] + logits[rows, other]) / 2), rel=1e-5)


def test_a_classifier_that_needs_other_temperatures_is_refused():
    head = made.tied()
    tiny = HeadWeights(head.nesting, True, tuple(w * np.float32(1e-36) for w in head.weights))
    vectors, labels = made.rows(200)
    with pytest.raises(InputError, match=r"would need temperatures from .*, and 1e-30 to 1e\+30 are possible; rescale"):
        temperatures(Levels.of(tiny), vectors, labels, np.arange(200))

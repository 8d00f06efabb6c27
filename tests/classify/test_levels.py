"""Levels: scores that continue, and what float32 does not hold."""

from dataclasses import replace

import numpy as np
import pytest

from classify import made
from mrl import Card
from mrl.classify import Cascade, Levels, Terms, fit
from mrl.classify.running import plain
from mrl.classify.signals import SCORES
from mrl.errors import InputError

ROWS = made.table(200)
X = ROWS.vectors
CARD = ROWS.card


def cascade(classifier, rule="probability"):
    gain = ((0.5,) * 8,) * 3 if rule == "gain" else ()
    return Cascade(classifier, CARD, classifier.nesting, rule, (), () if rule == "lossless" else (0.9,) * 3, gain)


@pytest.mark.parametrize(
    "classifier", [made.tied(), made.separate(), made.prototypes(each=3), made.prototypes(metric="l2")]
)
def test_every_level_is_that_from_dim_0(classifier):
    levels = Levels.of(classifier)
    for level, scores in enumerate(levels.every(X)):
        np.testing.assert_allclose(scores, levels.scores(X, level), atol=2e-5, rtol=2e-5)
        np.testing.assert_array_equal(levels.by_class(levels.scores(X, level)), levels.logits(X, level))


def test_the_widest_head_alone():
    levels, head = Levels.of(made.separate()).widest(), made.separate()
    assert levels.tied
    for level, dim in enumerate(head.nesting.dims):
        np.testing.assert_allclose(
            levels.logits(X, level), X[:, :dim] @ head.weights[-1][:, :dim].T + head.biases[-1], atol=1e-4
        )
    assert Levels.of(made.tied()).widest().tied


@pytest.mark.parametrize("rule", SCORES)
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("classifier", [made.tied(), made.separate(), made.prototypes()])
def test_rows_that_float32_does_not_hold_are_named(classifier, kind, rule):
    rows = X.astype(kind)
    rows[[17, 40]] *= 1e38 / np.abs(rows).max() if kind is np.float32 else 1e39
    with pytest.raises(InputError, match=r"^the scores of row 17 may be beyond what float32 holds \(2 such .*rescale"):
        cascade(classifier, rule).predict(rows)


def test_rows_that_float32_does_not_hold_are_named_in_a_fit_and_without_loss():
    rows = ROWS.vectors.copy()
    rows[17] *= 1e38 / np.abs(rows).max()
    with pytest.raises(InputError, match="the scores of row 17 may be beyond"):
        fit(made.tied(), replace(ROWS, vectors=rows))
    with pytest.raises(InputError, match="the scores of row 17 may be beyond"):
        cascade(made.tied(), "lossless").predict(np.where(np.arange(200)[:, None] == 17, 1e39, X.astype(np.float64)))
    assert np.isfinite(cascade(made.tied(), "lossless").predict(rows).confidence).all()


@pytest.mark.parametrize("scale", [1e-30, 1e-10, 1e10, 1e30])
@pytest.mark.parametrize("rule", SCORES)
def test_whatever_float32_holds_is_answered(rule, scale):
    with np.errstate(all="raise", under="ignore"):
        made_ = replace(cascade(made.tied(), rule), temperatures=(scale,) * 4)
        answers, slow = made_.predict(X), plain(made_, X)
    assert np.isfinite(answers.confidence).all()
    np.testing.assert_allclose(answers.confidence, slow.confidence, atol=1e-5)
    np.testing.assert_array_equal(answers.levels, slow.levels)


@pytest.mark.parametrize(("metric", "scale"), [("l2", 1e20), ("l2", 1e-25), ("cosine", 1e-39)])
def test_prototypes_that_float32_does_not_hold_are_refused(metric, scale):
    known = made.prototypes(each=2, metric=metric)
    small = replace(known, vectors=(known.vectors * scale).astype(np.float32))
    with pytest.raises(InputError, match=rf"^a prototype has the length .* what {metric} makes of that; rescale"):
        fit(small, ROWS, Terms(tolerance=0.05))


def test_a_prefix_too_short_to_invert_counts_as_zero():
    rows = X.copy()
    rows[:5, :4] *= np.float32(1e-41)
    zero = rows.copy()
    zero[:5, :4] = 0
    made_ = cascade(made.prototypes())
    tiny, none = made_.predict(rows), made_.predict(zero)
    np.testing.assert_array_equal(tiny.labels, none.labels)
    np.testing.assert_allclose(tiny.confidence, none.confidence, atol=1e-6)
    assert (Levels.of(made.prototypes()).own(rows)[0, :5] == 0).all()


def test_a_card_of_other_vectors_is_refused():
    from mrl.errors import CardError
    from mrl.vectors import Held

    with pytest.raises(CardError, match="normalised is True, and it was fitted for False"):
        cascade(made.tied()).predict(Held.of(X, replace(CARD, normalised=True)))
    with pytest.raises(CardError, match="metric is 'l2', and it was fitted for 'dot'"):
        cascade(made.prototypes()).predict(Held.of(X, replace(CARD, metric="l2")))
    cascade(made.tied()).predict(Held.of(X, replace(CARD, metric="l2")))
    assert isinstance(CARD, Card)

"""What a fit hears of rows in one pass, against what each of its parts says alone."""

import numpy as np
import pytest

from classify import made
from mrl.classify import Levels
from mrl.classify.hearing import heard
from mrl.classify.shortlisting import best
from mrl.classify.signals import NEVER, TILE_BYTES, of_logits, signals

X = made.rows(60)[0]
HEAT = (4.0, 3.0, 2.0, 1.0)


@pytest.mark.parametrize("classifier", [made.tied(), made.separate(), made.prototypes(each=3)])
def test_all_classes(classifier):
    levels = Levels.of(classifier)
    found, told, cold = heard(levels, X, HEAT), signals(levels, X, HEAT), signals(levels, X, (1.0,) * 4)
    for mine, theirs in zip(found.told, told, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    np.testing.assert_array_equal(found.every, cold.labels)
    np.testing.assert_array_equal(found.cold, cold.probability)
    np.testing.assert_allclose(found.trusted, told.probability[-1], rtol=1e-6)
    np.testing.assert_array_equal(found.believed[-1], found.trusted)
    assert (found.believed <= found.trusted).all()


@pytest.mark.parametrize("classifier", [made.tied(classes=40), made.prototypes(each=3), made.prototypes(metric="l2")])
def test_those_that_were_kept(classifier):
    """The slow twin: all classes, and those that were not kept are never the answer."""
    levels, keep = Levels.of(classifier), 5
    kept = np.zeros((len(X), levels.prototypes), bool)
    np.put_along_axis(kept, best(levels, X, keep)[0], True, axis=1)
    found, whole = heard(levels, X, HEAT, keep), heard(levels, X, HEAT)
    for level, heat in enumerate(HEAT):
        logits = levels.by_class(np.where(kept, levels.scores(X, level), NEVER))
        slow = of_logits(logits, heat)
        np.testing.assert_array_equal(found.told.labels[level], slow[0])
        for mine, theirs in zip(found.told, slow, strict=True):
            np.testing.assert_allclose(mine[level], theirs, atol=1e-5)
    np.testing.assert_array_equal(found.every, whole.every)
    np.testing.assert_array_equal(found.trusted, whole.trusted)
    assert (heard(levels, X, HEAT, levels.prototypes).told.labels == whole.every).all()


def test_tiles_make_no_difference(monkeypatch):
    levels = Levels.of(made.separate())
    whole = heard(levels, X, HEAT)
    monkeypatch.setattr("mrl.classify.hearing.TILE_BYTES", 4 * 10 * 7)
    assert TILE_BYTES > 4 * 10 * 7
    for mine, theirs in zip(heard(levels, X, HEAT)[1:], whole[1:], strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)

"""Only the best of the first level go on: against a slow twin that masks, and as a law where all go on."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classify import made
from mrl import Card, HeadWeights, Nesting
from mrl.classify import Cascade, Prototypes, looking, running, shortlisting
from mrl.classify.running import run
from mrl.classify.signals import SCORES, Signals, of_logits

GAIN = tuple(np.linspace(-0.1, 0.2, 8).tolist())
KINDS = ("tied", "separate", "cosine", "dot", "l2", "cosine of several", "l2 of several")
every = pytest.mark.parametrize("kind", KINDS)


def random(kind, nesting, classes, seed=0):
    """A classifier of normal draws."""
    draws = np.random.default_rng(seed)
    if kind in ("tied", "separate"):
        dims = nesting.dims[-1:] if kind == "tied" else nesting.dims
        weights = tuple(draws.normal(size=(classes, dim)).astype(np.float32) for dim in dims)
        return HeadWeights(nesting, kind == "tied", weights, tuple(w[:, 0].copy() for w in weights))
    count = 3 * classes if "several" in kind else classes
    vectors = draws.normal(size=(count, nesting.width)).astype(np.float32)
    return Prototypes(nesting, vectors, draws.permutation(np.arange(count) % classes), kind.split()[0])


def rows(n, width, seed=5):
    return np.random.default_rng(seed).normal(size=(n, width)).astype(np.float32)


def cascade(classifier, vectors, keep, rule="probability", share=0.3):
    """With thresholds at which about this share of all rows would stop at each level."""
    dims, gain = classifier.nesting, (GAIN,) * (len(classifier.nesting) - 1) if rule == "gain" else ()
    bare = Cascade(classifier, Card("made", dims.width, dims), dims, rule, (1.3,) * len(dims), (), gain, keep)
    score, least = told(bare, vectors).score(rule, gain), 0.001 if rule == "agreement" else -inf
    return bare.with_thresholds(tuple(max(float(np.quantile(each, 1 - share)), least) for each in score[:-1]))


def told(ours, vectors):
    """The slow twin's signals: at every level all classes, and a logit of −10³⁰ for those that were not kept."""
    levels, parts = ours.levels, []
    single = replace(levels, starts=None)
    first = single.logits(vectors, 0)
    worst = np.argsort(-first, axis=1, kind="stable")[:, ours.keep :]
    for level, temperature in enumerate(ours.temperatures):
        scores = single.logits(vectors, level)
        np.put_along_axis(scores, worst, np.float32(-1e30), axis=1)
        parts.append(of_logits(levels.by_class(scores), temperature))
    return Signals(*(np.stack(part) for part in zip(*parts, strict=True)))


def check(ours, vectors):
    """The answers, once they are those of the slow twin, but where a score lies at a threshold."""
    slow, answers = told(ours, vectors), run(ours, vectors)
    score = slow.score(ours.rule, ours.gain)
    leave = np.ones(score.shape, bool)
    leave[:-1] = score[:-1] >= np.array(ours.thresholds, np.float32)[:, None]
    level, at = leave.argmax(0), np.arange(len(vectors))
    near = (np.abs(score[:-1] - np.array(ours.thresholds)[:, None]) < 1e-4).any(0)
    same = (answers.labels == slow.labels[level, at]) & (answers.levels == level)
    assert (same | near).all()
    np.testing.assert_allclose(answers.confidence[same], slow.probability[level, at][same], rtol=1e-4)
    return answers


@every
@pytest.mark.parametrize("rule", SCORES)
def test_it_is_its_slow_twin(kind, rule):
    vectors = rows(200, 40)
    ours = cascade(random(kind, Nesting((5, 10, 20, 40)), 50), vectors, 12, rule)
    assert len(set(check(ours, vectors).levels.tolist())) > 1


@every
@pytest.mark.parametrize("rule", SCORES)
def test_without_numba_too(monkeypatch, kind, rule):
    engine = running.Engine(looking, running._one_by_one)
    monkeypatch.setattr(shortlisting, "engine", lambda: engine)
    monkeypatch.setattr(shortlisting, "_compiled", lambda: None)
    monkeypatch.setattr(shortlisting, "SCORE_BYTES", 4 * 50 * 60)
    vectors = rows(100, 40)
    check(cascade(random(kind, Nesting((5, 10, 20, 40)), 50), vectors, 12, rule), vectors)


@settings(max_examples=80)
@given(
    n=st.integers(1, 40),
    width=st.integers(2, 37),
    classes=st.integers(2, 90),
    kind=st.sampled_from(KINDS),
    rule=st.sampled_from(SCORES),
    data=st.data(),
)
def test_it_is_its_slow_twin_at_any_shape(n, width, classes, kind, rule, data):
    dims = data.draw(st.sets(st.integers(2, width), max_size=3))
    classifier = random(kind, Nesting(tuple(sorted({*dims, width}))), classes)
    keep = data.draw(st.integers(1, classes - 1))
    check(cascade(classifier, rows(n, width), keep, rule), rows(n, width))


@every
def test_to_keep_all_is_to_keep_none_out(kind):
    vectors = rows(100, 40)
    classifier = random(kind, Nesting((5, 10, 20, 40)), 50)
    for keep in (150, 200):
        ours = cascade(classifier, vectors, keep)
        one, other = run(ours, vectors), run(replace(ours, keep=None), vectors)
        assert (one.labels == other.labels).all()
        assert (one.levels == other.levels).all()
        assert (one.confidence == other.confidence).all()


@every
def test_to_keep_all_but_one_changes_no_label_that_was_not_last(kind):
    vectors = rows(100, 40)
    classifier = random(kind, Nesting((5, 40)), 50)
    ours = Cascade(classifier, Card("made", 40, classifier.nesting), classifier.nesting, thresholds=(2.0,))
    one, other = run(replace(ours, keep=ours.levels.prototypes - 1), vectors), run(ours, vectors)
    assert (one.labels == other.labels).mean() > 0.95


@every
def test_tiles_make_no_difference(monkeypatch, kind):
    vectors = rows(100, 40)
    ours = cascade(random(kind, Nesting((5, 10, 20, 40)), 50), vectors, 12)
    whole = run(ours, vectors)
    monkeypatch.setattr(shortlisting, "TILE_ROWS", 33)
    monkeypatch.setattr(shortlisting, "PART_ROWS", 7)
    parts = run(ours, vectors)
    assert (parts.labels == whole.labels).all()
    assert (parts.levels == whole.levels).all()
    assert (parts.confidence == whole.confidence).all()


@every
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_and_mapped_rows(tmp_path, kind, dtype):
    vectors = rows(60, 40).astype(dtype)
    ours = cascade(random(kind, Nesting((5, 10, 20, 40)), 50), vectors.astype(np.float32), 12)
    np.save(tmp_path / "rows.npy", vectors)
    one = ours.predict(np.load(tmp_path / "rows.npy", mmap_mode="r"))
    other = ours.predict(vectors.astype(np.float32))
    assert (one.labels == other.labels).all()
    assert (one.levels == other.levels).all()


@every
def test_zero_rows_and_zero_prefixes(kind):
    vectors = rows(60, 40)
    ours = cascade(random(kind, Nesting((5, 10, 20, 40)), 50), vectors, 12)
    vectors[3] = 0
    vectors[5, :20] = 0
    assert np.isfinite(check(ours, vectors).confidence).all()


def test_prototypes_with_zero_prefixes():
    draws = np.random.default_rng(0).normal(size=(30, 8)).astype(np.float32)
    draws[::3, :4] = 0
    known = Prototypes(Nesting((4, 8)), draws, np.arange(30))
    check(cascade(known, rows(50, 8), 25), rows(50, 8))


def test_equal_scores_are_kept_in_order_and_answered_by_the_first_class():
    same = HeadWeights(Nesting((4, 8)), True, (np.ones((70, 8), np.float32),))
    ours = Cascade(same, Card("made", 8, same.nesting), same.nesting, thresholds=(0.5,), keep=7)
    answers = run(ours, rows(20, 8))
    assert (answers.labels == 0).all()
    np.testing.assert_allclose(answers.confidence, 1 / 7, rtol=1e-5)


def test_the_first_level_is_read_even_where_nobody_stops():
    vectors, _ = made.rows(30, 32, 13)
    ours = Cascade(made.separate(32, 13), made.table(1).card, Nesting((4, 8, 16, 32)), keep=5)
    answers = ours.predict(vectors)
    assert answers.looked == (0, 3)
    assert (answers.read == 4 + 32).all()

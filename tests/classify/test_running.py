"""The fast path against its slow twin: the same answers but for rounding, whatever the shapes, tiles and threads."""

from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from classify import made
from mrl import Card, HeadWeights, Nesting
from mrl.classify import Cascade, Prototypes, looking, running
from mrl.classify.running import plain, run, taken
from mrl.classify.signals import SCORES, signals
from mrl.errors import InputError

GAIN = tuple(np.linspace(-0.1, 0.2, 8).tolist())
CLASSIFIERS = {
    "tied": made.tied,
    "separate": made.separate,
    "cosine": made.prototypes,
    "dot": lambda *shape: made.prototypes(*shape, metric="dot"),
    "l2 of several": lambda *shape: made.prototypes(*shape, each=3, metric="l2"),
    "cosine of several": lambda *shape: made.prototypes(*shape, each=3),
}
several = pytest.mark.parametrize("kind", CLASSIFIERS)


def cascade(classifier, vectors, rule="probability", share=0.4, temperature=1.3):
    """With thresholds at which about this share of all rows would stop at each level."""
    dims = classifier.nesting
    gain = (GAIN,) * (len(dims) - 1) if rule == "gain" else ()
    bare = Cascade(classifier, Card("made", dims.width, dims), dims, rule, (temperature,) * len(dims), (), gain)
    score = signals(bare.levels, vectors, bare.temperatures).score(rule, gain)
    least = 0.001 if rule == "agreement" else -inf
    return bare.with_thresholds(tuple(max(float(np.quantile(each, 1 - share)), least) for each in score[:-1]))


def alike(fast, slow):
    """Equal answers; a confidence may differ by rounding, and so may a row whose score lies at a threshold."""
    off = (fast.labels != slow.labels) | (fast.levels != slow.levels)
    assert off.mean() <= 0.02, f"{off.sum()} of {len(off)} rows differ"
    np.testing.assert_allclose(fast.confidence[~off], slow.confidence[~off], atol=2e-5)
    assert (fast.dims, fast.tied, fast.classes, fast.looked) == (slow.dims, slow.tied, slow.classes, slow.looked)


def exactly(some, others):
    assert (some.labels == others.labels).all()
    assert (some.levels == others.levels).all()
    np.testing.assert_allclose(some.confidence, others.confidence, atol=2e-6)


@pytest.fixture
def in_numpy(monkeypatch):
    """What runs where Numba is not installed."""
    engine = running.Engine(looking, running._one_by_one)
    monkeypatch.setattr(running, "engine", lambda: engine)


@several
@pytest.mark.parametrize("rule", SCORES)
def test_it_is_its_slow_twin(kind, rule):
    vectors, _ = made.rows(300, 40, 13)
    ours = cascade(CLASSIFIERS[kind](40, 13), vectors, rule)
    answers = run(ours, vectors)
    alike(answers, plain(ours, vectors))
    assert len(set(answers.levels.tolist())) > 1


@several
@pytest.mark.parametrize("rule", SCORES)
def test_without_numba_too(in_numpy, kind, rule):
    vectors, _ = made.rows(300, 40, 13)
    ours = cascade(CLASSIFIERS[kind](40, 13), vectors, rule)
    alike(run(ours, vectors), plain(ours, vectors))


@settings(max_examples=150)
@given(
    n=st.integers(1, 70),
    width=st.integers(2, 37),
    classes=st.one_of(st.integers(1, 5), st.integers(60, 70), st.just(300)),
    kind=st.sampled_from([*CLASSIFIERS]),
    rule=st.sampled_from(SCORES),
    share=st.sampled_from([0.0, 0.3, 0.7, 1.0]),
    temperature=st.sampled_from([0.3, 1.0, 7.0]),
    data=st.data(),
)
def test_it_is_its_slow_twin_at_any_shape(n, width, classes, kind, rule, share, temperature, data):
    dims = data.draw(st.sets(st.integers(2, width), max_size=4))
    nesting = Nesting(tuple(sorted({*dims, width})))
    classifier = random_head(kind == "tied", nesting, classes)
    if kind not in ("tied", "separate"):
        draws = np.random.default_rng(1).normal(size=(2 * classes, width)).astype(np.float32)
        metric = kind.split()[0]
        classifier = Prototypes(nesting, draws, np.arange(2 * classes) % classes, metric)
    vectors = np.random.default_rng(n).normal(size=(n, width)).astype(np.float32)
    ours = cascade(classifier, vectors, rule, share, temperature)
    fast, slow = run(ours, vectors), plain(ours, vectors)
    off = (fast.labels != slow.labels) | (fast.levels != slow.levels)
    assert all(at_threshold(ours, vectors[row : row + 1]) for row in np.flatnonzero(off))
    np.testing.assert_allclose(fast.confidence[~off], slow.confidence[~off], rtol=1e-4)


def random_head(tied, nesting, classes):
    draws = np.random.default_rng(0)
    dims = nesting.dims[-1:] if tied else nesting.dims
    weights = tuple(draws.normal(size=(classes, dim)).astype(np.float32) for dim in dims)
    return HeadWeights(nesting, tied, weights, tuple(draws.normal(size=classes).astype(np.float32) for _ in dims))


def at_threshold(ours, row):
    """Whether a score of the row lies so near a threshold that rounding decides."""
    score = signals(ours.levels, row, ours.temperatures).score(ours.rule, ours.gain)[:-1, 0]
    return bool((np.abs(score - np.array(ours.thresholds)) < 1e-4).any())


# ------------------------------------------------------------------------------- what makes no difference


@several
def test_tiles_and_parts_make_no_difference(monkeypatch, kind):
    vectors, _ = made.rows(300, 40, 13)
    ours = cascade(CLASSIFIERS[kind](40, 13), vectors)
    whole = run(ours, vectors)
    monkeypatch.setattr(running, "TILE_ROWS", 70)
    monkeypatch.setattr(running, "PART_ROWS", 16)
    exactly(run(ours, vectors), whole)


@several
def test_threads_make_no_difference(monkeypatch, kind):
    vectors, _ = made.rows(300, 40, 13)
    ours = cascade(CLASSIFIERS[kind](40, 13), vectors)
    from mrl.retrieval import threads

    answers = []
    for count in (1, 3):
        monkeypatch.setattr(threads, "most", lambda count=count: count)
        answers.append(run(ours, vectors))
    exactly(*answers)


@several
def test_the_order_of_rows_makes_no_difference(kind):
    vectors, _ = made.rows(300, 40, 13)
    ours = cascade(CLASSIFIERS[kind](40, 13), vectors)
    order = np.random.default_rng(0).permutation(300)
    one, other = run(ours, vectors), run(ours, vectors[order])
    assert (one.labels[order] == other.labels).all()
    assert (one.levels[order] == other.levels).all()


@several
def test_a_row_alone_has_the_same_answer(kind):
    vectors, _ = made.rows(40, 40, 13)
    ours = cascade(CLASSIFIERS[kind](40, 13), vectors)
    together = run(ours, vectors)
    alone = [ours.predict(row) for row in vectors]
    assert [int(each.labels[0]) for each in alone] == together.labels.tolist()
    assert [int(each.levels[0]) for each in alone] == together.levels.tolist()


@several
@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats_are_what_they_are_in_float32(kind, dtype):
    vectors = made.rows(200, 40, 13)[0].astype(dtype)
    ours = cascade(CLASSIFIERS[kind](40, 13), vectors)
    exactly(ours.predict(vectors), ours.predict(vectors.astype(np.float32)))


@several
def test_mapped_and_strided_rows(tmp_path, kind):
    vectors, _ = made.rows(200, 40, 13)
    ours = cascade(CLASSIFIERS[kind](40, 13), vectors)
    np.save(tmp_path / "rows.npy", vectors)
    exactly(ours.predict(np.load(tmp_path / "rows.npy", mmap_mode="r")), ours.predict(vectors))
    exactly(ours.predict(np.repeat(vectors, 2, axis=1)[:, ::2]), ours.predict(vectors))


# ------------------------------------------------------------------------------- continuing, and levels left out


@pytest.mark.parametrize("kind", ["tied", "cosine", "l2 of several"])
def test_to_continue_is_to_begin_from_scratch(kind):
    """Levels in between make no difference to the last one, where nobody stops."""
    vectors, _ = made.rows(100, 40, 13)
    classifier = CLASSIFIERS[kind](40, 13)
    step_by_step = cascade(classifier, vectors, share=0).with_thresholds((2.0,) * (len(classifier.nesting) - 1))
    at_once = Cascade(classifier, step_by_step.card, Nesting((40,)), temperatures=(1.3,))
    one, other = run(step_by_step, vectors), run(at_once, vectors)
    assert (one.levels == len(classifier.nesting) - 1).all()
    assert (one.labels == other.labels).all()
    np.testing.assert_allclose(one.confidence, other.confidence, atol=2e-5)


@several
def test_a_level_where_nobody_can_stop_is_left_out(kind):
    vectors, _ = made.rows(100, 32, 13)
    some = cascade(CLASSIFIERS[kind](32, 13), vectors)
    ours = some.with_thresholds((inf, some.thresholds[1], inf))
    answers = run(ours, vectors)
    assert answers.looked == (1, 3)
    alike(answers, plain(ours, vectors))
    read = {1: 8, 3: 8 + 32} if kind == "separate" else {1: 8, 3: 32}
    assert answers.read.tolist() == [read[level] for level in answers.levels]


@pytest.mark.parametrize("rule", ["agreement", "gain"])
def test_the_level_before_is_looked_at_for_its_answer(rule):
    vectors, _ = made.rows(100, 32, 13)
    some = cascade(made.separate(32, 13), vectors, rule)
    ours = some.with_thresholds((inf, inf, some.thresholds[2]))
    answers = run(ours, vectors)
    assert answers.looked == (1, 2, 3)
    alike(answers, plain(ours, vectors))


def test_all_stop_at_once_and_none_ever():
    vectors, _ = made.rows(50, 32, 13)
    some = cascade(made.tied(32, 13), vectors)
    assert (run(some.with_thresholds((-inf,) * 3), vectors).levels == 0).all()
    assert (run(some.with_thresholds((inf,) * 3), vectors).levels == 3).all()
    assert run(some.with_thresholds((inf,) * 3), vectors).looked == (3,)


# ------------------------------------------------------------------------------- odd input


@several
def test_zero_rows_and_zero_prefixes(kind):
    vectors, _ = made.rows(60, 40, 13)
    ours = cascade(CLASSIFIERS[kind](40, 13), vectors)
    vectors[3] = 0
    vectors[5, :20] = 0
    answers = ours.predict(vectors)
    alike(answers, plain(ours, vectors))
    assert np.isfinite(answers.confidence).all()


@several
def test_one_class_and_equal_logits(kind):
    for classes in (1, 2):
        vectors, _ = made.rows(20, 8, classes)
        ours = cascade(CLASSIFIERS[kind](8, classes), vectors)
        alike(ours.predict(vectors), plain(ours, vectors))
    same = HeadWeights(Nesting((4, 8)), True, (np.ones((70, 8), np.float32),))
    ours = Cascade(same, Card("made", 8, same.nesting), same.nesting, thresholds=(0.5,))
    answers = ours.predict(made.rows(20, 8)[0])
    assert (answers.labels == 0).all()
    np.testing.assert_allclose(answers.confidence, 1 / 70, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_row_that_is_not_finite_is_named(dtype):
    vectors = made.rows(50, 32, 13)[0].astype(dtype)
    ours = cascade(made.tied(32, 13), vectors)
    vectors[[11, 30], [31, 0]] = np.nan, np.inf
    with pytest.raises(InputError, match=r"^row 11 has a NaN or an Inf \(2 such rows\); leave these out$"):
        ours.predict(vectors)


@pytest.mark.parametrize("rule", ["probability", "margin", "entropy"])
def test_sure_rows_stop_where_they_were_seen_to_stop(rule):
    """Scores of a sharp head are 1 but for the last digits, and thresholds of the paper's policy may be 1."""
    vectors, _ = made.rows(5000, seed=3)
    head = made.tied()
    sharp = replace(head, weights=tuple(3 * w for w in head.weights), biases=tuple(3 * b for b in head.biases))
    ours = Cascade(sharp, Card("made", 32, sharp.nesting), sharp.nesting, rule, (), (1.0, 1.0, 0.99))
    fast, slow = run(ours, vectors), plain(ours, vectors)
    told = signals(ours.levels, vectors, ours.temperatures).score(rule)[:-1]
    sure = (abs(told - np.array(ours.thresholds, np.float32)[:, None]) > 1e-6) | (told == 1)
    assert (fast.levels == slow.levels)[sure.all(0)].mean() > 0.999
    assert (fast.levels != slow.levels).mean() < 0.001
    np.testing.assert_allclose(fast.confidence, slow.confidence, atol=1e-5)
    assert (fast.levels < 3).mean() > 0.1


def test_a_room_that_another_thread_was_faster_to_take_is_made():
    class Told(list):
        def __bool__(self):
            return True  # there was one when it was asked

    free = [1]
    assert [taken(free, lambda: 2), taken(free, lambda: 2), taken(Told(), lambda: 3)] == [1, 2, 3]

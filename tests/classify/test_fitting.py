"""Fitting a cascade: what is chosen, what is promised and recorded, and what cannot be fitted."""

import json
import re
import subprocess
import sys
from dataclasses import replace
from math import ceil
from pathlib import Path

import numpy as np
import pytest

from classify import made
from mrl import Card, HeadWeights, Nesting
from mrl.classify import Cascade, Levels, Terms
from mrl.classify.asked import least_rows
from mrl.classify.fitting import fit
from mrl.classify.hearing import heard
from mrl.classify.measured import measure
from mrl.classify.policies import SHARES
from mrl.classify.promising import by_promise
from mrl.classify.seen import Material, Seen
from mrl.classify.selecting import stopped, trail
from mrl.classify.sentences import promised
from mrl.classify.signals import SCORES, Signals, signals
from mrl.classify.thresholds import exits
from mrl.classify.whole import full_answers
from mrl.errors import CardError, InputError, NestingError
from mrl.promise import gap_bound, p_value, split
from mrl.vectors import Held

N = 3000
ROWS = made.table(N)
HEAD = made.separate()


@pytest.fixture(scope="module")
def fitted():
    return fit(HEAD, ROWS, Terms(tolerance=0.01))


def seen(n=2000, seed=0, keep=None, known=HEAD):
    vectors, labels = made.rows(n, seed=seed)
    return Seen.of(Levels.of(known), Material.of(vectors, labels), (1.0,) * len(known.nesting), keep)


def dims_of(classifier=HEAD):
    return np.array(classifier.nesting.dims)


# ------------------------------------------------------------------------------------------------ what is seen


def test_what_the_full_width_believes_of_each_answer():
    vectors, labels = made.rows(50)
    levels, heat = Levels.of(HEAD), (1.0, 2.0, 3.0, 0.5)
    material = Material.of(vectors, labels)
    found, told = Seen.of(levels, material, heat), signals(levels, material.vectors, heat)
    logits = levels.logits(material.vectors, 3).astype(np.float64) / 0.5
    believed = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    for level in range(4):
        np.testing.assert_allclose(found.believed[level], believed[np.arange(50), told.labels[level]], rtol=1e-4)
    np.testing.assert_allclose(found.expected[-1], 0, atol=1e-6)
    assert (found.expected >= 0).all()
    np.testing.assert_array_equal(found.full, found.right[-1])


def test_what_is_expected_to_be_lost_is_lost():
    """A head of the right densities: its probabilities are true, so labels say the same on average."""
    some = seen(50_000)
    np.testing.assert_allclose(some.expected.mean(1), some.loss.mean(1), atol=0.006)
    assert some.loss[0].mean() > 0.1


def test_copies_count_once_with_the_share_of_their_labels_that_is_right():
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 0, 1, 2]]
    material = Material.of(vectors, np.array([0, 0, 1, 1, 2]))
    assert len(material) == 3
    right = material.right(material.vectors.argmax(1)[None])[0]
    assert sorted(right.tolist()) == [2 / 3, 1, 1]
    part = material.only(np.flatnonzero(right < 1))
    assert sorted(part.labels.tolist()) == [0, 0, 1]
    assert part.same.tolist() == [0, 0, 0]


# ------------------------------------------------------------------------------------------------ the promise


def test_it_loses_no_more_than_it_promises_at_fewer_dims(fitted):
    assert fitted.promise is not None
    assert fitted.promise.subject == "the cascade over 4 … 32"
    assert fitted.promise.measure == "accuracy"
    assert (fitted.promise.tolerance, fitted.promise.confidence, fitted.promise.rows) == (0.01, 0.95, N)
    assert fitted.promise.queries == (750, 1800, 450)
    assert fitted.promise.calibrated <= 0.01
    vectors, labels = made.rows(50_000, seed=9)
    answers, full = fitted.predict(vectors), HEAD.logits(vectors, 32).argmax(1)
    assert (full == labels).mean() - (answers.labels == labels).mean() <= 0.01
    assert answers.last.mean() < 0.7 * 32


def test_every_score_can_be_asked_for():
    for score in SCORES:
        found = fit(HEAD, ROWS, Terms(tolerance=0.02, score=score))
        assert found.rule == score
        assert bool(found.gain) == (score == "gain")
        assert found.predict(ROWS.vectors).last.mean() < 32


def test_expected_dims_fall_and_expected_losses_rise_along_the_points_that_are_tested():
    some, dims = seen(), dims_of()
    for score in SCORES:
        path = trail(some, score, dims, 1000)
        stops = stopped(some, score, path.gain, path.sequence())
        assert (np.diff(dims[stops].mean(1)) < 0).all()
        lost = np.take_along_axis(some.expected, stops, axis=0).mean(1)
        assert lost[0] < 5e-4
        assert lost[-1] > lost[0]


def test_what_counts_may_be_all_dims_read():
    last, read = (fit(HEAD, ROWS, Terms(tolerance=0.02, cost=cost)).record for cost in ("last", "read"))
    assert read["read"] <= last["read"] + 0.5


def test_too_few_rows_for_a_promise_are_told_how_many_would_do():
    with pytest.raises(InputError) as error:
        fit(HEAD, made.table(400), Terms(tolerance=0.005))
    assert str(error.value).startswith(
        "400 rows are not enough for that promise (at most 0.005 lost with 95 % confidence); about "
    )
    assert str(error.value).endswith(" would do; give more, a larger tolerance or less confidence")
    enough = int(str(error.value).split("about ")[1].split(" ")[0].replace(",", ""))
    assert fit(HEAD, made.table(2 * enough, seed=3), Terms(tolerance=0.005)).promise is not None


def certain(right, n=600):
    """Two levels that say the same of every row; the first is right where `right` (n,) is, the second always."""
    ones = np.ones((2, n), np.float32)
    told = Signals(np.zeros((2, n), np.int64), ones, ones, ones)
    return Seen(told, np.stack([right, np.ones(n)]), np.ones(n), np.stack([right, np.ones(n)]), np.ones(n))


def test_where_nothing_but_the_full_width_keeps_the_tolerance_nobody_leaves_and_a_note_says_so():
    right = (np.arange(600) % 10 > 0) * 1.0
    found = by_promise(certain(right), certain(right), np.array([4, 8]), Terms(tolerance=0.01, score="margin"))
    assert found.thresholds == (np.inf,)
    assert found.calibrated is None
    assert found.notes == (
        "nothing but the full width keeps 0.01: the safest thresholds that let a row stop early lose more on the rows "
        "that test, so no row does",
    )


def test_where_leaving_early_saves_too_little_to_be_considered_nobody_does():
    some = certain(np.zeros(600))
    found = by_promise(some, some, np.array([31, 32]), Terms(tolerance=0.01, score="margin"))
    assert found.thresholds == (np.inf,)
    assert found.calibrated is None


def test_a_prefix_that_is_better_than_the_full_width_is_taken_whatever_that_expects():
    full = (np.arange(600) % 5 > 0) * 1.0
    some = replace(certain(np.ones(600)), full=full, believed=np.stack([np.full(600, 0.5), np.ones(600)]))
    some = replace(some, right=np.stack([np.ones(600), full]))
    assert (some.expected[0] == 0.5).all()
    found = by_promise(some, some, np.array([4, 8]), Terms(tolerance=0.01, score="margin"))
    assert found.calibrated == pytest.approx(-0.2)
    assert found.thresholds[0] <= 1


# ------------------------------------------------------------------------------------------------ other policies


def test_a_target_is_reached_with_the_least_dims():
    full = fit(HEAD, ROWS, Terms(policy="lossless")).record["full"]["mean"]
    low, high = (fit(HEAD, ROWS, Terms(policy="target", target=full - less)) for less in (0.1, 0.03))
    assert low.promise is None
    assert low.record["last"] < high.record["last"] < 32
    assert high.record["accuracy"]["mean"] == pytest.approx(full - 0.03, abs=0.03)


def test_a_target_out_of_reach_is_told_the_best():
    with pytest.raises(
        InputError, match=r"the accuracy 1 is out of reach: on 2,550 rows the best is 0\.\d{4}, at \d+\.\d"
    ):
        fit(HEAD, ROWS, Terms(policy="target", target=1.0))


def test_greedy_uses_every_row_at_temperature_one():
    found = fit(HEAD, ROWS, Terms(policy="greedy"))
    assert found.rule == "probability"
    assert found.temperatures == (1.0,) * 4
    assert found.record["parts"] == {"tune": N, "calibrate": 0, "report": 0}
    assert found.record["measured"] == N
    assert found.record["greedy"]["thresholds"] == list(found.thresholds)
    told = signals(Levels.of(HEAD), ROWS.vectors, found.temperatures)
    for level, threshold in enumerate(found.thresholds):
        hits = [
            np.where(told.probability[level] >= t, told.labels[level], told.labels[level + 1]) == ROWS.labels
            for t in (threshold, 2)
        ]
        assert hits[0].mean() >= hits[1].mean()


def test_lossless_needs_no_thresholds_and_says_the_same():
    found = fit(made.tied(), ROWS, Terms(policy="lossless"))
    assert found.rule == "lossless"
    assert found.promise is None
    assert found.record["lost"]["mean"] == 0
    assert found.record["path"] == []
    np.testing.assert_array_equal(found.predict(ROWS.vectors).labels, made.tied().logits(ROWS.vectors, 32).argmax(1))


# ------------------------------------------------------------------------------------------------ prototypes, keep


@pytest.mark.parametrize("metric", ["cosine", "l2"])
def test_prototypes_are_fitted_too(metric):
    known = made.prototypes(each=5, metric=metric)
    found = fit(known, ROWS, Terms(tolerance=0.03))
    assert found.promise is not None
    assert found.record["last"] < 32


def test_with_some_prototypes_kept_the_full_width_is_that_of_all():
    known = made.prototypes(each=5)
    some = seen(known=known, keep=6)
    whole = seen(known=known)
    np.testing.assert_array_equal(some.full, whole.full)
    assert (some.right[-1] != some.full).any()
    found = fit(known, ROWS, Terms(tolerance=0.03, keep=40))
    assert found.keep == 40
    answers = found.predict(ROWS.vectors)
    assert answers.last.mean() < 32


def test_what_is_seen_with_some_kept_is_what_the_cascade_then_does():
    known, vectors = made.prototypes(each=5), made.rows(300, seed=4)[0]
    cascade = Cascade(
        known, Card("made", 32, known.nesting), known.nesting, "margin", (0.1,) * 4, (0.3, 0.3, 0.3), keep=9
    )
    told, answers = heard(Levels.of(known), vectors, (0.1,) * 4, 9).told, cascade.predict(vectors)
    stops = exits(told.margin[:-1], cascade.thresholds)
    assert len(set(stops.tolist())) == 4
    same = stops == answers.levels  # but for what rounding puts on the other side of a threshold
    assert same.mean() > 0.99
    np.testing.assert_array_equal(told.labels[stops, np.arange(300)][same], answers.labels[same])
    np.testing.assert_allclose(told.probability[stops, np.arange(300)][same], answers.confidence[same], rtol=1e-3)


def test_keeping_too_few_is_refused_with_what_it_loses():
    with pytest.raises(
        InputError, match=r"keeping 1 of the first level alone loses 0\.\d+ on 1,800 rows, and at most 0.01 may"
    ):
        fit(made.prototypes(each=5), ROWS, Terms(tolerance=0.01, keep=1))


# ------------------------------------------------------------------------------------------------ the record


def test_the_record_is_json_and_says_what_the_cascade_does(fitted, tmp_path):
    back = Cascade.load(fitted.save(tmp_path / "cascade"))
    assert json.loads(json.dumps(dict(fitted.record))) == back.record
    assert back.thresholds == fitted.thresholds
    assert back.gain == fitted.gain
    assert back.promise == fitted.promise
    assert len(json.dumps(dict(fitted.record))) < 50_000
    chosen = back.record["path"][back.record["pick"]]
    assert chosen["thresholds"] == list(fitted.thresholds)
    assert {name: chosen[name] for name in ("last", "read")} == {n: back.record[n] for n in ("last", "read")}
    assert sum(level["stops"] for level in back.record["levels"]) == pytest.approx(1, abs=1e-5)


def test_the_report_part_is_what_the_cascade_says_of_it(fitted):
    material = Material.of(ROWS.vectors, ROWS.labels)
    report = split(len(material), 0, SHARES)[2]
    answers = fitted.predict(material.vectors[report])
    assert answers.last.mean() == pytest.approx(fitted.record["last"], abs=0.1)
    assert answers.read.mean() == pytest.approx(fitted.record["read"], abs=0.2)


def test_sentences_say_what_was_chosen_and_promised(fitted):
    said = fitted.record["sentences"]
    assert said[0].startswith("A row stops by ")
    assert "which needed the least dims on the tune part (probability " in said[0]
    assert said[1].startswith("On 450 rows that had no part in the choice it uses ")
    assert f"{fitted.record['last']:.1f} of 32 dims" in said[1]
    assert promised(fitted.promise) in said


def test_without_numba_the_same_is_fitted(fitted):
    """In a process of its own, where Numba cannot be imported."""
    code = (
        "import sys; sys.modules['numba'] = None; sys.path.insert(0, 'tests')\n"
        "from classify import made; from mrl.classify import Cascade, Terms\n"
        f"print(Cascade.fit(made.separate(), made.table({N}), Terms(tolerance=0.01)).thresholds)"
    )
    root = Path(__file__).parents[2]
    said = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True).stdout
    assert said.strip() == str(fitted.thresholds)


def test_all_rows_are_known_afterwards(fitted):
    assert fitted.seen(ROWS.vectors).all()
    assert not fitted.seen(made.rows(100, seed=5)[0]).any()


def test_the_order_of_rows_changes_nothing(fitted):
    mixed = fit(HEAD, ROWS.only(np.random.default_rng(0).permutation(N)), Terms(tolerance=0.01))
    assert mixed.thresholds == fitted.thresholds
    assert mixed.temperatures == fitted.temperatures
    assert mixed.record == fitted.record


def test_another_seed_deals_other_parts(fitted):
    assert fit(HEAD, ROWS, Terms(tolerance=0.01, seed=1)).record["full"] != fitted.record["full"]


def test_copies_of_rows_count_as_one(fitted):
    twice = fit(HEAD, ROWS.only(np.repeat(np.arange(N), 2)), Terms(tolerance=0.01))
    assert twice.promise.queries == fitted.promise.queries
    assert twice.thresholds == fitted.thresholds
    assert "6,000 rows are 3,000 different vectors: copies count as one, by their mean" in twice.record["notes"]


def test_classes_without_a_row_are_named():
    rows = ROWS.only(np.flatnonzero(~np.isin(ROWS.labels, [3, 7])))
    found = fit(HEAD, rows, Terms(tolerance=0.02))
    assert found.record["missing"] == {"count": 2, "first": ["3", "7"]}
    assert found.record["notes"][0] == "2 classes have no row, so nothing that is said here is said of them: 3, 7"


def test_labels_are_those_of_the_classifier_by_name():
    names = tuple(f"kind {i}" for i in range(10))
    other = replace(ROWS, labels=9 - ROWS.labels, label_names=names[::-1])
    found = fit(made.separate(classes=10), ROWS, Terms(tolerance=0.02))
    named = fit(replace(HEAD, classes=names), other, Terms(tolerance=0.02))
    assert named.thresholds == found.thresholds


def test_it_tells_what_it_does():
    heard = []
    fit(HEAD, ROWS, Terms(tolerance=0.02), heard.append)
    assert heard == ["temperatures", "what every level says of every row", "thresholds", "the record"]


# ------------------------------------------------------------------------------------------------ refusals


def test_ten_rows_are_too_few():
    with pytest.raises(
        InputError,
        match=r"at least 67 labelled rows, and to promise at most 0.005 lost with 95 % confidence about "
        r"1,325 even where nothing is lost, got 10; give more$",
    ):
        fit(HEAD, made.table(10))
    with pytest.raises(InputError, match=r"^fitting a cascade needs at least 67 labelled rows, got 10; give more$"):
        fit(HEAD, made.table(10), Terms(policy="greedy"))


def test_so_many_rows_do_for_a_promise_where_nothing_is_lost():
    assert least_rows(Terms()) == 1325
    zero = np.full(ceil(1325 * SHARES[1]), 0.5)
    assert p_value(zero, gap_bound(0.005), 0.05) <= 0.05


def test_few_rows_are_not_enough_where_more_may_do():
    with pytest.raises(InputError, match=r"^80 rows are not enough for that promise .* about [\d,]+ would do"):
        fit(HEAD, made.table(80), Terms(tolerance=0.005, score="margin"))


def test_rows_that_would_do_count_copies_too():
    some = made.table(800)
    twice = some.only(np.repeat(np.arange(800), 2))
    told = []
    for rows in (some, twice):
        with pytest.raises(InputError, match=r"rows are not enough for that promise") as refused:
            fit(HEAD, rows, Terms(tolerance=0.005, score="margin"))
        told.append(re.findall(r"[\d,]{3,}", str(refused.value)))
    once, again = ([int(each.replace(",", "")) for each in some if "," in each or len(each) == 3] for some in told)
    assert (once[0], again[0]) == (800, 1600)
    assert again[-1] == pytest.approx(2 * once[-1], rel=0.06)


def test_copies_do_not_make_up_for_rows():
    with pytest.raises(InputError, match="got 100, of which 10 are different; give more"):
        fit(HEAD, made.table(10).only(np.repeat(np.arange(10), 10)))


def test_rows_without_labels():
    with pytest.raises(InputError, match="has no labels"):
        fit(HEAD, replace(ROWS, labels=None))


def test_labels_that_the_classifier_does_not_know_are_named():
    names = (*(f"kind {i}" for i in range(10)), "cat", "dog")
    some = replace(ROWS, labels=np.where(ROWS.labels == 1, 11, ROWS.labels), label_names=names)
    with pytest.raises(
        InputError, match=r"1 labels that the classifier does not know, beside its 10 classes: 'dog'; leave"
    ):
        fit(replace(HEAD, classes=names[:10]), some)
    with pytest.raises(InputError, match=r"does not know, beside its 10 classes: 12; leave these rows out"):
        fit(HEAD, replace(ROWS, labels=np.where(ROWS.labels == 1, 12, ROWS.labels)))
    with pytest.raises(InputError, match=r"^300 of 3,000 rows of memory have no label \(−1\); leave these out$"):
        fit(HEAD, replace(ROWS, labels=np.where(ROWS.labels == 2, -1, ROWS.labels)))


def test_what_lossless_answers_is_what_the_record_says():
    """The narrow heads are shuffled, and the widest head's own columns answer in their place."""
    good = made.separate()
    odd = tuple(weight[::-1].copy() for weight in good.weights[:-1])
    head = replace(good, weights=(*odd, good.weights[-1]))
    found = fit(head, ROWS, Terms(policy="lossless"))
    answers = found.predict(ROWS)
    np.testing.assert_array_equal(answers.labels, full_answers(found, ROWS.vectors))
    assert found.record["lost"]["mean"] == 0
    assert found.record["accuracy"] == found.record["full"]
    assert found.record["read"] == found.record["last"] == pytest.approx(answers.last.mean(), rel=0.05)
    assert found.record["oracle"]["read"] == found.record["oracle"]["last"]
    told = measure(found, made.table(500, seed=4))
    assert [level.read for level in told.levels] == [4, 8, 16, 32]
    assert told.lost.mean == 0
    assert told.cost.macs == told.cost.read * 10


def test_the_first_row_that_is_not_finite_is_named():
    vectors = ROWS.vectors.copy()
    vectors[[17, 40], 3] = np.nan, np.inf
    with pytest.raises(InputError, match=r"row 17 has a NaN or an Inf \(2 such rows\)"):
        fit(HEAD, replace(ROWS, vectors=vectors))


def test_rows_of_another_encoder_or_width():
    with pytest.raises(CardError, match="the classifier belongs to an encoder a and memory to b; give the classifier"):
        fit(made.separate(fingerprint="a"), made.table(100, fingerprint="b"))
    with pytest.raises(CardError, match="the classifier reads 32 dims and memory has 16; embed with its own model"):
        fit(HEAD, made.table(100, width=16))


def test_levels_that_the_classifier_does_not_have():
    with pytest.raises(NestingError, match="does not classify at dim 6"):
        fit(HEAD, ROWS, Terms(dims="4,6,32"))
    with pytest.raises(NestingError, match="a cascade needs at least two levels, got dims 32; give"):
        fit(HEAD, ROWS, Terms(dims="32"))


def test_fewer_levels_may_be_asked_for():
    found = fit(HEAD, ROWS, Terms(dims="8,32", tolerance=0.02))
    assert found.dims == Nesting((8, 32))
    assert len(found.thresholds) == 1


def test_a_head_that_is_never_wrong_is_fitted():
    """All logits are far apart: probabilities are 1 and scores are ties."""
    dims = Nesting((2, 4))
    weight = 100 * np.eye(4, dtype=np.float32)[:2]
    labels = np.arange(1000) % 2
    vectors = np.eye(4, dtype=np.float32)[labels] + np.linspace(0, 0.01, 1000, dtype=np.float32)[:, None]
    rows = Held.of(vectors, Card("made", 4, dims, "dot"), labels)
    found = fit(HeadWeights(dims, True, (weight,)), rows, Terms(tolerance=0.02))
    assert found.predict(vectors).last.mean() == 2

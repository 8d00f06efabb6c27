"""What a cascade is worth on labelled rows, against scikit-learn and slow twins."""

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import accuracy_score, confusion_matrix

from classify.made import prototypes, separate, table, tied
from mrl.classify import Cascade
from mrl.classify.costs import level_macs
from mrl.classify.curve import oracle_of
from mrl.classify.measured import measure, voted
from mrl.classify.reliability import BINS, reliability
from mrl.classify.thresholds import exits
from mrl.classify.unseen import UNKNOWN_NOTE, unseen
from mrl.errors import CardError, InputError
from mrl.evaluation.rows import read_rows, write_rows
from mrl.nesting import Nesting
from mrl.vectors.copies import digests
from mrl.vectors.held import Held

LIMITS = (0.6, 0.7, 0.8)
INF = float("inf")


def cascade(classifier=None, **about):
    """Over 4, 8, 16 and 32 dims."""
    given = separate() if classifier is None else classifier
    return Cascade(given, table(1).card, given.nesting, **{"thresholds": LIMITS, **about})


@pytest.fixture(scope="module")
def asked():
    return table(1500, seed=3)


@pytest.fixture(scope="module")
def found(asked):
    return measure(cascade(), asked)


def test_accuracy_is_that_of_the_answers(asked, found):
    made = cascade()
    told = made.predict(asked)
    assert found.accuracy.mean == pytest.approx(accuracy_score(asked.labels, told.labels))
    for number, level in enumerate(found.levels):
        logits = made.levels.logits(asked.vectors, number)
        assert level.accuracy.mean == pytest.approx(accuracy_score(asked.labels, logits.argmax(1)))
        here = told.levels == number
        assert level.stopped == here.mean()
        assert level.among.mean == pytest.approx(accuracy_score(asked.labels[here], told.labels[here]))
    assert found.full == found.levels[-1].accuracy
    assert found.lost.mean == pytest.approx(found.full.mean - found.accuracy.mean)
    assert found.lost.low < found.lost.mean < found.lost.high
    assert found.count == 1500
    assert found.notes == ()


def test_dims_are_told_both_ways(asked, found):
    told = cascade().predict(asked)
    assert found.cost.last == pytest.approx(np.array([4, 8, 16, 32])[told.levels].mean())
    assert found.cost.read == pytest.approx(np.array([4, 12, 28, 60])[told.levels].mean())
    assert found.cost.macs == pytest.approx(10 * found.cost.read)
    assert (found.cost.width, found.cost.full_macs) == (32, 320)
    assert found.cost.share == found.cost.last / 32
    one = measure(cascade(tied()), asked).cost
    assert one.last == one.read
    assert [level.read for level in found.levels] == [4, 12, 28, 60]


def test_levels_that_nobody_looks_at_cost_nothing(asked):
    cost = measure(cascade(thresholds=(INF, 0.7, INF)), asked)
    assert [level.read for level in cost.levels] == [0, 8, 8, 40]
    assert [level.stopped > 0 for level in cost.levels] == [False, True, False, True]
    assert cost.levels[0].among is None


def test_after_the_first_level_only_the_kept_are_multiplied(asked):
    made = cascade(prototypes(each=5), keep=7)
    assert level_macs(made).tolist() == [4 * 50, 4 * 50 + 4 * 7, 4 * 50 + 12 * 7, 4 * 50 + 28 * 7]
    found = measure(made, asked)
    assert 4 * 50 <= found.cost.macs <= 4 * 50 + 28 * 7
    assert found.cost.prototypes == 50
    assert found.full.mean == pytest.approx((made.levels.logits(asked.vectors, 3).argmax(1) == asked.labels).mean())
    assert {row.method for row in found.rows()} == {"prototypes"}


def test_the_oracle_takes_the_narrowest_level_that_is_right():
    right = np.array([[1, 0, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0]], bool)
    found = oracle_of(right, Nesting((2, 4, 8)))
    assert found.first == (0.25, 0.25, 0.25)
    assert found.accuracy == 0.75
    assert found.last == (2 + 4 + 8 + 8) / 4  # as the paper counts the row that nobody has right
    assert found.least == (2 + 4 + 8 + 2) / 4
    assert found.capped == ((2, 2, 0.25), ((2 + 4 + 2 + 2) / 4, 2.5, 0.5), (4, 4, 0.75))


@given(st.data())
def test_no_thresholds_beat_the_oracle(data):
    dims, rows = Nesting((2, 4, 8)), data.draw(st.integers(1, 12))
    right = data.draw(arrays(bool, (3, rows)))
    score = data.draw(arrays(np.float32, (3, rows), elements=st.floats(0, 1, width=32)))
    levels = exits(score[:-1], data.draw(st.tuples(st.floats(0, 1), st.floats(0, 1))))
    found, hits = oracle_of(right, dims), right[levels, np.arange(rows)]
    assert hits.mean() <= found.accuracy + 1e-12
    assert found.least <= found.last
    if hits.mean() > found.accuracy - 1e-12:  # as accurate, so it cannot be narrower
        assert np.array(dims.dims)[levels].mean() >= found.least - 1e-12


def test_no_cascade_is_above_the_oracle(found):
    assert found.oracle.accuracy >= max(found.accuracy.mean, found.full.mean)
    assert sum(found.oracle.first) == pytest.approx(found.oracle.accuracy)
    assert found.oracle.capped[0].accuracy == found.levels[0].accuracy.mean


def test_the_path_is_what_each_cascade_of_it_measures(asked):
    path = [{"thresholds": list(limits)} for limits in ((0.3, 0.4, 0.5), (0.9, None, 0.9), (None, None, None))]
    greedy = {"thresholds": [0.5, 0.5, 0.5], "temperatures": [1.0] * 4}
    made = cascade(rule="margin", temperatures=(2.0, 1.5, 1.0, 1.0), record={"path": path, "greedy": greedy})
    found = measure(made, asked)
    for point, spec in zip(found.path, path, strict=True):
        limits = tuple(INF if each is None else each for each in spec["thresholds"])
        alone = measure(made.with_thresholds(limits), asked)
        assert point == pytest.approx((alone.cost.last, alone.cost.read, alone.accuracy.mean))
    alone = measure(cascade(thresholds=(0.5, 0.5, 0.5)), asked)
    assert found.greedy == pytest.approx((alone.cost.last, alone.cost.read, alone.accuracy.mean))
    assert found.path[-1] == pytest.approx((32, 32, found.full.mean))


def test_a_row_stops_at_the_first_level_that_is_sure():
    score = np.array([[0.9, 0.1, 0.1], [0.9, 0.8, 0.1], [0.0, 0.0, 0.0]], np.float32)
    assert exits(score[:-1], (0.9, 0.8)).tolist() == [0, 1, 2]


def test_levels_agree_and_vote(asked, found):
    labels = np.array([[1, 1, 2, 3], [1, 2, 2, 4], [2, 2, 3, 5]])
    assert voted(labels).tolist() == [1, 2, 2, 5]
    levels = cascade().levels
    told = np.stack([levels.logits(asked.vectors, number).argmax(1) for number in range(4)])
    assert found.agreement[1, 3] == (told[1] == told[3]).mean()
    assert (np.diag(found.agreement) == 1).all()
    slow = [max(dict.fromkeys(column[::-1]), key=column[::-1].tolist().count) for column in told.T]
    assert found.vote.mean == np.mean(slow == asked.labels)


def test_slices_and_classes_add_up(asked):
    camera = np.where(np.arange(1500) % 3 == 0, "left", "right").astype(object)
    camera[:6] = ["", None, "left", "", None, "left"]
    made = cascade()
    found = measure(made, asked, {"camera": camera, "half": np.arange(1500) % 2})
    told = made.predict(asked)
    mine, half = found.slices
    assert (mine.column, mine.names) == ("camera", ("(none)", "left", "right"))
    assert (half.names, half.rows.tolist()) == (("0", "1"), [750, 750])
    left = camera == "left"
    assert mine.rows[1] == left.sum()
    assert mine.accuracy[1] == pytest.approx((told.labels == asked.labels)[left].mean())
    assert mine.stopped[1].tolist() == pytest.approx([(told.levels[left] == level).mean() for level in range(4)])
    assert mine.last[1] == pytest.approx(told.last[left].mean())
    for groups in (*found.slices, found.classes):
        assert groups.rows @ groups.accuracy / 1500 == pytest.approx(found.accuracy.mean)
        assert groups.rows @ groups.full / 1500 == pytest.approx(found.full.mean)
        assert groups.rows @ groups.last / 1500 == pytest.approx(found.cost.last)
    assert found.classes.names == tuple(map(str, range(10)))
    assert (np.diff(found.classes.last[found.classes.order()]) >= 0).all()


def test_superclasses(asked):
    kinds = ["plant", "animal", "plant", "thing", "thing"] * 2
    found = measure(cascade(), asked, superclasses=kinds).superclasses
    names = np.array(kinds)
    assert found.names == ("plant", "animal", "thing")
    told = cascade().levels.logits(asked.vectors, 1).argmax(1)
    wanted = confusion_matrix(names[asked.labels], names[told], labels=found.names)
    assert (found.confusion[1] == wanted).all()
    assert found.accuracy[1].mean == accuracy_score(names[asked.labels], names[told])
    mine = cascade().predict(asked).labels
    assert (found.answers == confusion_matrix(names[asked.labels], names[mine], labels=found.names)).all()
    assert found.cascade.mean == accuracy_score(names[asked.labels], names[mine])


def test_reliability_against_a_slow_twin():
    draws = np.random.default_rng(0)
    sure = np.round(draws.beta(2, 1, 400), 2)  # with ties
    right = draws.random(400) < sure**2
    found = reliability(sure, right, 10)
    ordered = np.sort(sure)
    bins: dict[int, list[int]] = {}
    for row, value in enumerate(sure):
        bins.setdefault(int(np.flatnonzero(ordered == value)[0]) * 10 // 400, []).append(row)
    slow = [(sure[rows].mean(), right[rows].mean(), len(rows)) for _, rows in sorted(bins.items())]
    assert np.array(found.bins) == pytest.approx(np.array(slow))
    assert found.error == pytest.approx(sum(n * abs(a - c) for c, a, n in slow) / 400)
    assert found.rows == 400
    order = draws.permutation(400)
    assert np.array(reliability(sure[order], right[order], 10).bins) == pytest.approx(np.array(found.bins))


def test_a_perfect_confidence_is_off_by_chance_alone():
    draws = np.random.default_rng(1)
    sure = draws.random((60, 1500))
    errors = [reliability(each, draws.random(1500) < each).error for each in sure]
    assert np.mean(errors) == pytest.approx(np.sqrt(BINS / 1500) / 3, rel=0.15)
    assert reliability(np.full(50, 0.5), np.arange(50) % 2 == 0).bins == ((0.5, 0.5, 50),)


def test_labels_that_the_classifier_does_not_know_are_missed(asked):
    labels = asked.labels.copy()
    labels[:30], labels[30:50] = 77, 10
    odd = replace(asked, labels=labels)
    found = measure(cascade(), odd, superclasses=["all"] * 10)
    told = cascade().predict(asked).labels
    assert found.accuracy.mean == pytest.approx((told == labels).mean())
    assert found.notes == (f"50 of 1,500 rows of memory {UNKNOWN_NOTE}",)
    assert found.classes.rows.sum() == 1450
    assert found.superclasses.cascade.mean == pytest.approx(1450 / 1500)
    assert found.superclasses.answers.sum() == 1450


def test_labels_are_matched_by_name(asked):
    names = tuple("abcdefghij")
    made = cascade(separate(classes=10))
    named = cascade(replace(made.classifier, classes=names))
    turned = Held(
        asked.path, asked.card, asked.vectors, asked.ids, 9 - asked.labels, tuple(reversed(names))
    )  # the same classes in another numbering
    assert measure(named, turned).accuracy == measure(made, asked).accuracy
    assert measure(named, turned).classes.names == names


def test_rows_of_the_fit_are_left_out(asked):
    known = np.unique(digests(asked.vectors[:1000]))
    column = np.arange(1500) >= 1000
    found = measure(cascade(known=known), asked, {"new": column})
    assert found.count == 500
    assert found.notes == ("1,000 of 1,500 rows of memory were part of the fit, and are not new: left out",)
    assert found.slices[0].names == ("True",)
    assert found.accuracy == measure(cascade(), asked.only(np.arange(1000, 1500))).accuracy
    with pytest.raises(InputError, match=r"fitted on all 1,000 rows of memory.*give rows that had no part in it"):
        measure(cascade(known=known), asked.only(np.arange(1000)))


def test_lossless_loses_nothing(asked):
    found = measure(cascade(tied(), rule="lossless", record={"path": [{"thresholds": [0.1] * 3}]}), asked)
    assert found.accuracy == found.full
    assert found.lost.mean == 0
    assert found.path == ()
    assert found.cost.last <= 32


def test_small_and_single(asked):
    alone = Cascade(separate(), asked.card, Nesting((32,)))
    found = measure(alone, asked.only(np.array([7])))
    assert (found.cost.last, found.lost.mean, found.path, found.greedy) == (32, 0, (), None)
    assert len(found.levels) == 1
    assert found.classes.rows.tolist() == [1]
    assert found.slices == ()
    single = measure(cascade(tied(classes=1)), table(40, classes=1))
    assert (single.accuracy.mean, single.oracle.last) == (1, 4)


def test_rows_can_be_reported(asked, found, tmp_path):
    rows = found.rows()
    assert [(row.dim, row.measure, row.value) for row in rows] == [
        (level.dim, "top-1", level.accuracy.mean) for level in found.levels
    ]
    assert {row.run for row in rows} == {"made"}
    assert [row.macs for row in rows] == [40, 80, 160, 320]
    assert [row.bytes for row in rows] == [16, 32, 64, 128]
    kinds = measure(cascade(), asked, superclasses=["x", "y"] * 5, run="mine").rows()
    assert [row.measure for row in kinds] == ["top-1"] * 4 + ["superclass top-1"] * 4
    write_rows(tmp_path / "rows.jsonl", kinds)
    assert read_rows(tmp_path / "rows.jsonl") == kinds


def test_it_is_json(found):
    document = json.loads(json.dumps(found.to_json()))
    assert document["levels"][0]["accuracy"]["mean"] == found.levels[0].accuracy.mean
    assert document["classes"]["rows"] == found.classes.rows.tolist()
    assert document["cost"]["last"] == found.cost.last


def test_the_sentence(found):
    said = (
        f"Over 1,500 rows the cascade is right in {100 * found.accuracy.mean:.2f} % at {found.cost.last:.1f} of 32 dims"
    )
    assert found.sentence.startswith(said)
    assert found.sentence.endswith("].")


def test_what_cannot_be_measured(asked):
    made = cascade()
    with pytest.raises(InputError, match="memory has no labels"):
        measure(made, replace(asked, labels=None))
    with pytest.raises(InputError, match=r"slice 'camera' must name the group of each of the 1,500 rows, got.*\(3,\)"):
        measure(made, asked, {"camera": ["a", "b", "c"]})
    with pytest.raises(InputError, match=r"one name for each of the 10 classes.* got 10, of which 1 empty"):
        measure(made, asked, superclasses=["a"] * 9 + [""])
    with pytest.raises(CardError, match="width"):
        measure(made, table(5, width=16))
    bad = asked.vectors.copy()
    bad[3, 2] = np.nan
    with pytest.raises(InputError, match="row 3 has a NaN"):
        measure(made, replace(asked, vectors=bad))
    with pytest.raises(InputError, match="at least one row"):
        unseen(made, asked.only(np.arange(0)))

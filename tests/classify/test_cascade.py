"""Classifiers in one form, what every level says, and cascades as values that are kept."""

import json
from dataclasses import replace
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl import Card, HeadWeights, Nesting
from mrl.classify import Cascade, Levels, Prototypes, Terms
from mrl.classify.answers import looked
from mrl.classify.cascade import KIND
from mrl.classify.signals import signals
from mrl.disk import Folder
from mrl.errors import CardError, DamagedError, ExistsError, InputError, NestingError, StorageError
from mrl.vectors import Held

DIMS = Nesting((2, 4, 8))


def vectors(n=40, seed=0, width=8):
    return np.random.default_rng(seed).standard_normal((n, width)).astype(np.float32)


def head(tied, classes=5, seed=1, bias=True):
    draw = np.random.default_rng(seed)
    dims = DIMS.dims[-1:] if tied else DIMS.dims
    weights = tuple(draw.standard_normal((classes, dim)).astype(np.float32) for dim in dims)
    biases = tuple(draw.standard_normal(classes).astype(np.float32) for _ in dims) if bias else ()
    return HeadWeights(DIMS, tied, weights, biases)


def prototypes(by="cosine", several=3, classes=4, seed=2):
    rows = vectors(classes * several, seed)
    labels = np.random.default_rng(seed).permutation(np.repeat(np.arange(classes), several))
    return Prototypes(DIMS, rows, labels, by)


def card(width=8, **about):
    return Card("made", width, DIMS, **about)


def cascade(**about):
    return Cascade(head(True), card(), DIMS, **about)


# ------------------------------------------------------------------------------------------------ levels


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("bias", [True, False])
def test_levels_of_a_head_are_its_logits(tied, bias):
    rows, known = vectors(), head(tied, bias=bias)
    levels = Levels.of(known)
    for level, dim in enumerate(DIMS.dims):
        np.testing.assert_allclose(levels.logits(rows, level), known.logits(rows, dim), rtol=1e-5, atol=1e-5)


def scored(known, row, dim):
    """{class: the best score of its prototypes}, one pair at a time."""
    found = {}
    q = row[:dim].astype(float)
    for vector, label in zip(known.vectors[:, :dim].astype(float), known.labels.tolist(), strict=True):
        by = {"dot": q @ vector, "l2": -((q - vector) ** 2).sum()}
        by["cosine"] = q @ vector / (np.linalg.norm(q) * np.linalg.norm(vector))
        found[label] = max(found.get(label, -inf), by[known.metric])
    return [found[label] for label in sorted(found)]


@pytest.mark.parametrize("by", ["cosine", "dot", "l2"])
@pytest.mark.parametrize("several", [1, 3])
def test_levels_of_prototypes_are_their_scores(by, several):
    rows, known = vectors(6), prototypes(by, several)
    levels = Levels.of(known)
    assert (levels.count, levels.prototypes) == (4, 4 * several)
    for level, dim in enumerate(DIMS.dims):
        got, wanted = levels.logits(rows, level), np.array([scored(known, row, dim) for row in rows])
        if by == "l2":  # but for |x|², which is the same for every class
            got = got - (rows[:, :dim] ** 2).sum(1, keepdims=True)
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4)


def test_the_owner_of_a_prototype_is_its_class():
    levels = Levels.of(prototypes(several=3))
    assert levels.owner().tolist() == np.repeat(np.arange(4), 3).tolist()


def test_zero_prefixes_score_zero_under_cosine():
    rows = vectors(3)
    rows[1, :2] = 0
    assert (Levels.of(prototypes()).logits(rows, 0)[1] == 0).all()


def test_levels_that_a_head_does_not_serve_are_refused():
    with pytest.raises(
        NestingError,
        match=r"trained at 2,4,8 and does not classify at dim 3; take levels from these dims, or a tied head",
    ):
        Levels.of(head(False), Nesting((3, 8)))
    assert Levels.of(head(True), Nesting((3, 8))).dims.dims == (3, 8)
    with pytest.raises(NestingError, match="does not classify at dim 16"):
        Cascade(head(True), card(), Nesting((2, 16)))


# ------------------------------------------------------------------------------------------------ prototypes


def test_class_means_are_of_unit_rows_under_cosine():
    rows, labels = vectors(6), np.array([0, 1, 0, 1, 2, 2])
    made = Prototypes.means(rows, labels, DIMS)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    np.testing.assert_allclose(made.vectors[1], unit[labels == 1].mean(0), atol=1e-6)
    plain = Prototypes.means(rows, labels, DIMS, metric="l2")
    np.testing.assert_allclose(plain.vectors[2], rows[labels == 2].mean(0), atol=1e-6)


def test_prototypes_that_cannot_be_are_refused():
    rows = vectors(3)
    with pytest.raises(InputError, match=r"got 2 classes from 0 to 2 among 3 prototypes"):
        Prototypes(DIMS, rows, np.array([0, 2, 2]))
    with pytest.raises(InputError, match=r"class 1 has no rows \(1 such classes\)"):
        Prototypes.means(rows, [0, 2, 2], DIMS)
    with pytest.raises(InputError, match=r"3, 8\) and \(2,\)"):
        Prototypes(DIMS, rows, np.array([0, 1]))
    with pytest.raises(InputError, match="and 1 names"):
        Prototypes(DIMS, rows, np.array([0, 1, 1]), classes=("a",))
    with pytest.raises(InputError, match="labels of prototypes must be 0 … classes − 1"):
        Prototypes(DIMS, rows, np.array([0, -1, 1]))
    rows[2, 3] = np.nan
    with pytest.raises(InputError, match=r"prototype 2 has a NaN or an Inf \(1 such prototypes\)"):
        Prototypes(DIMS, rows, np.array([0, 1, 1]))
    with pytest.raises(InputError, match="unknown metric"):
        prototypes("cos")


# ------------------------------------------------------------------------------------------------ signals


def told(logits, temperature):
    """Answer, probability, margin and entropy of one row, in float64."""
    scaled = [(x - max(logits)) / temperature for x in logits]
    p = np.exp(scaled) / np.exp(scaled).sum()
    best = [*sorted(p, reverse=True), 0.0]
    spread = -sum(x * np.log(x) for x in p if x > 0)
    return int(np.argmax(logits)), best[0], best[0] - best[1], 1 - spread / np.log(max(len(p), 2))


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 6), st.floats(0.05, 20), st.integers(0, 99))
def test_signals_are_those_of_the_probabilities(classes, temperature, seed):
    levels, rows = Levels.of(head(True, classes, seed)), vectors(7, seed)
    found = signals(levels, rows, (temperature,) * 3)
    for level in range(3):
        logits = levels.logits(rows, level).astype(float).tolist()
        for row in range(7):
            got = [part[level, row] for part in found]
            np.testing.assert_allclose(got, told(logits[row], temperature), atol=2e-5)


def test_scores_are_named_and_agreement_looks_back():
    found = signals(Levels.of(head(True)), vectors(), (1.0,) * 3)
    same = found.labels[1:] == found.labels[:-1]
    np.testing.assert_array_equal(found.score("agreement")[1:], np.where(same, found.probability[1:], 0))
    assert (found.score("agreement")[0] == 0).all()
    assert found.score("margin") is found.margin
    constant = found.score("gain", [(0.25, 0, 0, 0, 0, 0, 0, 0)] * 2)
    assert (constant[:2] == 0.75).all()
    assert (constant[2] == 1).all()


def test_tiles_of_rows_change_nothing(monkeypatch):
    levels, rows = Levels.of(prototypes()), vectors(50)
    whole = signals(levels, rows, (0.1,) * 3)
    monkeypatch.setattr("mrl.classify.signals.TILE_BYTES", 4 * levels.prototypes * 7)
    for a, b in zip(whole, signals(levels, rows, (0.1,) * 3), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


# ------------------------------------------------------------------------------------------------ cascade


def test_a_cascade_stops_where_it_is_sure():
    rows = vectors(60)
    made = cascade(thresholds=(0.8, 0.6))
    found, every = made.predict(rows), signals(made.levels, rows, made.temperatures)
    for row in range(60):
        wanted = next(level for level in range(3) if level == 2 or every.probability[level, row] >= (0.8, 0.6)[level])
        assert (found.levels[row], found.labels[row]) == (wanted, every.labels[wanted, row])
        assert found.last[row] == DIMS.dims[wanted] == found.read[row]


def test_with_a_head_a_level_all_dims_looked_at_are_counted():
    made = Cascade(head(False), card(), DIMS, "margin", thresholds=(0.5, 0.5))
    found = made.predict(vectors(60))
    assert set(zip(found.last.tolist(), found.read.tolist(), strict=True)) == {(2, 2), (4, 6), (8, 14)}


def test_no_threshold_means_the_full_width():
    made = cascade()
    assert made.thresholds == (inf, inf)
    assert (made.predict(vectors()).last == 8).all()
    np.testing.assert_array_equal(made.predict(vectors()).labels, head(True).logits(vectors(), 8).argmax(1))


def test_one_vector_is_one_answer():
    assert len(cascade().predict(vectors()[0])) == 1


def test_answers_have_names():
    named = HeadWeights(DIMS, True, head(True).weights, (), tuple("abcde"))
    found = Cascade(named, card(), DIMS).predict(vectors(3))
    assert found.names.tolist() == [tuple("abcde")[label] for label in found.labels]


@pytest.mark.parametrize("known", [head(True), head(False), prototypes("l2")])
def test_a_cascade_is_kept_whole(tmp_path, known):
    made = Cascade(
        known,
        card(maps=("pca:1",), fingerprint="f"),
        DIMS,
        "gain",
        (0.5, 1, 2),
        (0.25, inf),
        ((0.5,) * 8, (0.0,) * 8),
        record={"sentences": ["a"]},
        known=np.array([1, 2**64 - 1], np.uint64),
    )
    back = Cascade.load(made.save(tmp_path / "c"))
    for field in ("card", "dims", "rule", "temperatures", "thresholds", "gain", "keep", "promise", "record"):
        assert getattr(back, field) == getattr(made, field)
    np.testing.assert_array_equal(back.known, made.known)
    a, b = made.predict(vectors()), back.predict(vectors())
    np.testing.assert_array_equal(a.labels, b.labels)
    np.testing.assert_array_equal(a.levels, b.levels)
    json.loads((tmp_path / "c" / "manifest.json").read_text())
    with pytest.raises(ExistsError):
        made.save(tmp_path / "c")


def test_a_damaged_cascade_is_named(tmp_path):
    path = cascade().save(tmp_path / "c")
    file = next(path.glob("head*"))
    raw = bytearray(file.read_bytes())
    raw[-3] ^= 1
    file.write_bytes(raw)
    with pytest.raises(DamagedError, match="head"):
        Cascade.load(path)


def test_rows_of_others_are_refused():
    made = Cascade(head(True), card(maps=("pca:1",), fingerprint="f"), DIMS)
    with pytest.raises(CardError, match=r"width 8, got shape \(3, 9\)"):
        made.predict(vectors(3, width=9))
    with pytest.raises(CardError, match=r"maps is \(\), and it was fitted for \('pca:1',\)"):
        made.predict(Held.of(vectors(), card()))
    with pytest.raises(CardError, match="fingerprint is 'g'"):
        made.predict(Held.of(vectors(), card(maps=("pca:1",), fingerprint="g")))
    rows = vectors()
    rows[17, 3] = np.inf
    with pytest.raises(InputError, match=r"row 17 has a NaN or an Inf \(1 such rows\); leave these out"):
        made.predict(rows)
    with pytest.raises(InputError, match="at least one row"):
        made.predict(rows[:0])


def test_settings_of_a_cascade_are_checked():
    with pytest.raises(InputError, match="unknown rule 'max'; known are probability"):
        cascade(rule="max")
    with pytest.raises(InputError, match="3 levels need 3 temperatures from 1e-30"):
        cascade(temperatures=(1, 0, 1))
    with pytest.raises(InputError, match="3 levels need 2 thresholds"):
        cascade(thresholds=(0.5,))
    with pytest.raises(InputError, match="keep must be an integer ≥ 1, got 0"):
        cascade(keep=0)


def test_a_rule_has_what_it_needs():
    with pytest.raises(InputError, match=r"the rule gain needs 8 coefficients for each of 2 levels, got \[\]; fit"):
        cascade(rule="gain")
    with pytest.raises(InputError, match=r"needs 8 coefficients for each of 2 levels, got \[2, 2\]"):
        cascade(rule="gain", gain=((1, 2), (1, 2)))
    with pytest.raises(NestingError, match=r"lossless keeps the answer of the full width 8, and the levels 2,4 end"):
        Cascade(head(True), card(), Nesting((2, 4)), "lossless")
    with pytest.raises(InputError, match=r"keep must be an integer ≥ 1, got 2.5"):
        cascade(keep=2.5)


def test_numbers_of_numpy_are_saved_and_read_back(tmp_path):
    gain = np.ones((2, 8), np.float32)
    given = cascade(
        rule="gain",
        gain=gain,
        temperatures=np.float32([1, 2, 3]),
        thresholds=(-np.inf, np.float32(0.5)),
        keep=np.int64(2),
    )
    back = Cascade.load(given.save(tmp_path / "c"))
    json.loads((tmp_path / "c" / "manifest.json").read_text(), parse_constant=pytest.fail)
    for name in ("temperatures", "thresholds", "gain", "keep"):
        assert getattr(back, name) == getattr(given, name)
    assert back.thresholds == (-np.inf, 0.5)
    np.testing.assert_array_equal(back.predict(vectors()).labels, given.predict(vectors()).labels)


def test_a_manifest_without_a_field_is_refused(tmp_path):
    given, folder = cascade(), Folder.create(tmp_path / "c", KIND)
    about = {name: value for name, value in given._about().items() if name not in ("keep", "rule")}
    with folder.lock():
        folder.commit({"head.safetensors": given.classifier.sealed()}, about, keep=lambda _: True)
    with pytest.raises(StorageError, match=r"the manifest of .* has no rule, keep: another version wrote it; fit it"):
        Cascade.load(tmp_path / "c")


def test_other_thresholds_have_no_record():
    given = replace(cascade(), record={"sentences": ["It is promised."]})
    assert given.with_thresholds((0.1, 0.2)).record == {}


@pytest.mark.parametrize("odd", [[[1.0] * 8], "rows", np.float32(3)])
def test_what_are_no_vectors(odd):
    with pytest.raises(InputError, match=r"vectors to classify must be an array \(n, width\), or a table or Held.of"):
        cascade().predict(odd)


def test_what_has_no_rows():
    for odd in (np.zeros((), np.float32), np.zeros((1, 2, 8), np.float32)):
        with pytest.raises(InputError, match=r"must have the shape \(n, 8\) or \(8,\), got .*; give one row for each"):
            cascade().predict(odd)
    with pytest.raises(InputError, match=r"must be a float matrix \(n, 8\) of at least one row, got int64"):
        cascade().predict(np.ones((2, 8), np.int64))


def test_prototypes_of_odd_rows_are_refused():
    x, dims = vectors(), DIMS
    for rows, labels, told in (
        (x, [-1] + [0] * (len(x) - 1), r"n labels ≥ 0, got .* from -1; leave rows without a label out"),
        (x, [0, 1], r"means are of a matrix \(n, width\) and n labels ≥ 0, got"),
        (x[0], [0], r"means are of a matrix \(n, width\) and n labels ≥ 0, got \(8,\)"),
        (x[:2], [0, 2**40], r"2 rows cannot have 1099511627777 classes"),
        (x[:2], [0.5, 1], r"float vectors and integer labels, got float32 and float64; convert them"),
        (np.ones((2, 8), np.int64), [0, 1], r"float vectors and integer labels, got int64 and int64"),
    ):
        with pytest.raises(InputError, match=told):
            Prototypes.means(rows, labels, dims)
    with pytest.raises(InputError, match=r"got 2 classes from 0 to 1099511627776 among 2 prototypes"):
        Prototypes(dims, x[:2], np.array([0, 2**40]))
    with pytest.raises(InputError, match=r"integer labels, got float32 and float64"):
        Prototypes(dims, x[:2], np.array([0.9, 1.2]))


def test_levels_that_are_looked_at():
    inf = np.inf
    assert looked("probability", (0.5, inf, inf)) == (0, 3)
    assert looked("gain", (0.5, inf, inf)) == (0, 3)  # where everybody stops, nobody asks what was said before
    assert looked("agreement", (inf, inf, 0.5)) == (1, 2, 3)
    assert looked("agreement", (inf, inf, inf), keep=3) == (0, 3)
    assert looked("agreement", ()) == (0,)


def test_terms_are_checked():
    for wrong, told in {
        "tolerance must be > 0": {"tolerance": 0},
        "confidence must be > 0": {"confidence": 1.2},
        "unknown policy 'best'": {"policy": "best"},
        "got policy promise and target 0.5": {"target": 0.5},
        "lossless looks at all classes": {"policy": "lossless", "keep": 3},
        "the target must be > 0": {"policy": "target", "target": 2},
        "keep must be an integer ≥ 1": {"keep": 0},
    }.items():
        with pytest.raises(InputError, match=wrong):
            Terms(**told)

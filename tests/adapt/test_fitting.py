"""Fits on data whose answer is known: what there is to gain is gained, and nothing else passes."""

from dataclasses import replace

import numpy as np
import pytest

from adapt import classes
from mrl import Nesting
from mrl.adapt import AdaptSpec, Map, fit
from mrl.errors import CardError, GateError, InputError
from mrl.evaluation import Judgements, evaluate
from mrl.evaluation.yardstick import NearestLabel
from mrl.maps import Linear, Residual, Rotation
from mrl.vectors import Held

QUICK = AdaptSpec(dims="2,4,8", steps=200, batch_size=128)


@pytest.fixture(scope="module")
def labelled():
    return fit(classes.buried(1500), QUICK)


def values(fitted, run):
    return [row.value for row in fitted.rows if row.run == run]


def test_labels_that_are_buried_are_brought_to_the_front(labelled):
    assert labelled.gate.passed
    assert isinstance(labelled.map.documents, Residual)
    assert labelled.map.nesting == Nesting((2, 4, 8, 16))
    ours, truncation, pca = (values(labelled, run) for run in ("residual", "truncation", "PCA"))
    assert ours[1] > 0.7 > 0.4 > max(truncation[1], pca[1])
    fresh = classes.buried(300, seed=5)
    mapped = labelled.map.turned(fresh)
    known = labelled.map.turned(classes.buried(1500))
    stick = NearestLabel.of(known.labels, fresh.labels)
    found = stick.values(mapped.vectors, known.vectors, labelled.map.nesting, "cosine").mean(1)
    assert found[1] > 0.7


def test_the_head_classifies_what_was_mapped(labelled):
    head = labelled.map.head
    known, fresh = (labelled.map.turned(classes.buried(400, seed=seed)) for seed in (6, 7))
    fresh = replace(fresh, path=known.path / "fresh")
    rows = evaluate(known, fresh, head, dims=Nesting((4, 16)))
    assert {row.method for row in rows if row.measure == "top-1"} == {"head"}
    assert min(row.value for row in rows if row.measure == "top-1") > 0.7


@pytest.mark.parametrize("method", ["rotation", "linear"])
def test_a_head_serves_rows_of_their_own_lengths(method):
    made = classes.buried(1500)
    long = made.turned(20 * made.vectors, made.card)
    fitted = fit(long, replace(QUICK, method=method))
    fresh = classes.buried(300, seed=8)
    logits = fitted.map.head.logits(fitted.map.apply(20 * fresh.vectors), 16)
    assert (logits.argmax(1) == fresh.labels).mean() > 0.7
    share = np.exp(logits - logits.max(1, keepdims=True))
    assert 0.2 < (share.max(1) / share.sum(1)).mean() < 0.99


def test_there_is_no_head_where_nothing_was_learned():
    fitted = fit(classes.random(800, labelled=True), AdaptSpec(method="linear", steps=1, lr=1e-9, dims="4,12"))
    assert fitted.map.head is None


def test_what_a_map_was_fitted_on_and_found_is_kept(tmp_path, labelled):
    path = labelled.save(tmp_path / "map")
    back = Map.load(path)
    assert back.record["queries"] == {"fit": 1200, "watch": 75, "gate": 225}
    assert back.record["spec"]["method"] == "residual"
    assert back.record["gate"]["passed"] is True
    assert back.record["watched"][0]["step"] == 0
    vectors = classes.buried(10, seed=3).vectors
    np.testing.assert_array_equal(back.apply(vectors, 4), labelled.map.apply(vectors, 4))
    assert back.card == labelled.map.card
    assert back.head.classes == labelled.map.head.classes


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_a_rotation_keeps_every_full_width_score(metric):
    fitted = fit(classes.buried(1200, metric=metric), replace(QUICK, method="rotation"))
    turn = fitted.map.documents
    assert isinstance(turn, Rotation)
    assert fitted.map.keeps_scores
    assert np.abs(turn.matrix.T @ turn.matrix - np.eye(16)).max() < 1e-9
    before = classes.buried(200, seed=4).vectors.astype(np.float64)
    after = fitted.map.apply(before.astype(np.float32)).astype(np.float64)
    scale = np.linalg.norm(before, axis=1)
    assert (np.abs(before @ before.T - after @ after.T) <= 1e-5 * np.outer(scale, scale)).all()
    assert values(fitted, "rotation")[1] > values(fitted, "PCA")[1] + 0.1


def test_neighbours_are_kept_better_than_by_pca():
    draws = np.random.default_rng(0)
    spread = draws.normal(size=(12, 16)) * np.linspace(2, 0.5, 12)[:, None]
    rows = np.tanh(draws.normal(size=(1500, 12)) @ spread).astype(np.float32)
    fitted = fit(Held.of(rows, classes.card()), replace(QUICK, method="linear"))
    assert fitted.map.record["spec"]["objective"] == "neighbours"
    ours, pca = values(fitted, "linear"), values(fitted, "PCA")
    assert np.mean(ours[:-1]) >= np.mean(pca[:-1]) - 0.01
    assert values(fitted, "truncation")[-1] == 1


def test_pairs_are_brought_together():
    documents, queries = classes.paired(900)
    judgements = Judgements.of([(row, row, 1) for row in range(900)])
    shared = fit(documents, QUICK, queries=queries, judgements=judgements)
    assert isinstance(shared.map.documents, Rotation)
    own = fit(documents, replace(QUICK, own_maps=True), queries=queries, judgements=judgements)
    assert isinstance(own.map.queries, Linear)
    assert str(own.map) not in (str(own.map.queries), str(own.map.documents))
    for fitted, method in ((shared, "rotation"), (own, "linear")):
        assert fitted.gate.passed
        assert values(fitted, method)[2] > values(fitted, "PCA")[2] + 0.2
    q, d = own.map.turned(queries, side="queries"), own.map.turned(documents)
    q.card.check_fits(d.card)


def test_copies_do_not_open_the_gate():
    once = classes.random(500)
    four = classes.random(2000)
    documents = four.turned(np.tile(once.vectors, (4, 1)), once.card)
    fitted = fit(documents, AdaptSpec(method="linear", steps=60, batch_size=128, dims="4,12"))
    assert not fitted.gate.passed, fitted.gate.sentence


def test_dims_that_were_trained_are_known_as_such():
    made = classes.buried(1200)
    documents = made.turned(made.vectors, replace(made.card, nesting=Nesting((4, 16))))
    rows = fit(documents, AdaptSpec(method="pca", dims="2,4")).rows
    assert [row.trained for row in rows if row.run == "truncation"] == [False, True, True]


def test_pca_is_compared_with_truncation_alone():
    fitted = fit(classes.buried(1200), AdaptSpec(method="pca", dims="2,4,8"))
    assert list(fitted.gate.leads) == ["truncation"]
    assert {row.run for row in fitted.rows} == {"truncation", "pca"}
    assert fitted.map.record["watched"] == []


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize("method", ["pca", "rotation", "linear"])
def test_where_nothing_can_be_gained_nothing_is_saved(tmp_path, labelled, method):
    steps = None if method == "pca" else 40
    spec = AdaptSpec(method=method, steps=steps, batch_size=128, dims="4,12")
    fitted = fit(classes.random(800, labelled=labelled), spec)
    if fitted.gate.passed:  # once in forty
        pytest.fail(fitted.gate.sentence)
    with pytest.raises(GateError, match=r"^not saved: Over .* Truncate, turn by PCA .method pca., give more data"):
        fitted.save(tmp_path / "map")
    assert not (tmp_path / "map").exists()
    assert Map.load(fitted.save(tmp_path / "map", force=True)).record["gate"]["passed"] is False


def test_the_same_seed_gives_the_same_map():
    documents = classes.buried(500)
    quick = AdaptSpec(dims="4,8", steps=20, batch_size=64)
    first, second, other = (fit(documents, replace(quick, seed=seed)).map for seed in (0, 0, 1))
    assert str(first) == str(second) != str(other)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        (lambda rows: rows.__setitem__((3, 2), np.nan), InputError, "has a NaN or an Inf in row 3, id 3 (1 such rows)"),
        (lambda rows: rows.__setitem__(slice(None), 0), InputError, "1 different rows with a class are too few"),
        (lambda rows: rows.__imul__(1e20), InputError, "a fit needs lengths above 0, up to 1e+15"),
    ],
)
def test_rows_that_cannot_be_fitted_are_refused(change, error, said):
    documents = classes.buried(500)
    change(documents.vectors)
    with pytest.raises(error) as refused:
        fit(documents, QUICK)
    assert said in str(refused.value)


def test_queries_that_do_not_belong_are_refused():
    documents, queries = classes.paired(500)
    judgements = Judgements.of([(row, row, 1) for row in range(500)])
    with pytest.raises(InputError, match="judgements speak of queries and documents, and there are no queries"):
        fit(documents, QUICK, judgements=judgements)
    with pytest.raises(CardError, match="metric is cosine in one"):
        fit(documents, QUICK, queries=replace(queries, card=classes.card("dot")), judgements=judgements)


def test_fewer_rows_than_dims_are_enough():
    wide = np.random.default_rng(0).normal(size=(450, 600)).astype(np.float32)
    fitted = fit(Held.of(wide, replace(classes.card(), width=600, nesting=Nesting((600,)))), AdaptSpec(method="pca"))
    assert fitted.map.nesting == Nesting((8, 16, 32, 64, 128, 256, 512, 600))


def test_answers_that_no_pair_names_are_looked_at_apart():
    documents, queries = classes.paired(900)
    apart = [(row, row, 1) for row in range(600)]
    together = [(row, 600 + row % 3, 1) for row in range(600, 900)]
    fitted = fit(documents, AdaptSpec(dims="4,8", steps=20, batch_size=64), queries=queries,
                 judgements=Judgements.of([*apart, *together]))  # fmt: skip
    said = next(note for note in fitted.notes if "no pair learned from names" in note)
    assert said.startswith("1")
    assert "of the gate's 270 queries have answers that no pair learned from names; there the lead over " in said

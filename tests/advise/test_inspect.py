"""`inspect`: the same figures as the evaluations have, for sampled rows, in every encoding, and what it says."""

import csv
import gzip
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mrl import Card, Nesting
from mrl.advise.inspect import inspect
from mrl.advise.look import Look
from mrl.advise.material import read
from mrl.advise.measured import Contrast
from mrl.advise.told import cut
from mrl.advise.versions import by_encoding
from mrl.errors import CardError, InputError, NestingError
from mrl.evaluation import Judgements, Row, per_query, per_query_judged
from mrl.evaluation.nearest import kept, nearest
from mrl.evaluation.yardstick import KeptNeighbours
from mrl.maps import fit_pca
from mrl.promise.bootstrap import paired
from mrl.retrieval.encodings import bytes_per_row
from mrl.vectors import Held, open_vectors
from public import data

WIDTH = 24
CARD = Card("toy", WIDTH, Nesting((WIDTH,)))
CUTS = Nesting((4, 12, WIDTH))


def clouds(rows, seed):
    draws = np.random.default_rng(seed)
    labels = draws.integers(0, 5, rows)
    centres = np.random.default_rng(99).normal(size=(5, WIDTH))
    return (centres[labels] + 0.8 * draws.normal(size=(rows, WIDTH))).astype(np.float32), labels


def held(rows, seed, path, *, labelled=False, card=CARD):
    vectors, labels = clouds(rows, seed)
    return Held.of(vectors, card, labels if labelled else None, path)


ROWS, QUERIES = held(400, 0, "rows", labelled=True), held(60, 1, "queries", labelled=True)


def value(found, run, measure, dim):
    return next(row for row in found.rows if (row.run, row.measure, row.dim) == (run, measure, dim))


def without_labels(each):
    return replace(each, labels=None)


# ------------------------------------------------------------------------------------------------ against oracles


@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
def test_every_version_is_measured_as_by_encoding_does(metric):
    card = replace(CARD, metric=metric)
    rows, queries = (replace(without_labels(each), card=card) for each in (ROWS, QUERIES))
    found = inspect(rows, queries, look=Look(dims=CUTS))
    assert found.measures == ["recall@10"]
    known, asking = read(rows, np.arange(400), 0).held, read(queries, np.arange(60), 0).held
    turn = fit_pca(known.vectors)
    stick = KeptNeighbours.of(asking.vectors, known.vectors, 10, metric)
    for name, sides in {
        "as they are": (asking.vectors, known.vectors),
        "PCA": (turn.apply(asking.vectors), turn.apply(known.vectors)),
    }.items():
        for encoding, values in by_encoding(stick, *sides, CUTS, metric).items():
            run = name if encoding == "float32" else f"{name}, {encoding}"
            for level, dim in enumerate(CUTS.dims):
                row = value(found, run, "recall@10", dim)
                assert row.value == pytest.approx(values[level].mean(), abs=1e-12)
                assert row.low <= row.value <= row.high
                assert (row.bytes, row.queries, row.macs) == (bytes_per_row(encoding, dim), 60, 400 * dim)
                assert row.trained == (name == "as they are" and dim == WIDTH)


def test_labels_are_measured_as_evaluate_does():
    found = inspect(ROWS, QUERIES, look=Look(dims=CUTS))
    assert found.measures == ["1-NN", "recall@10"]
    wanted = per_query(ROWS, QUERIES, dims=CUTS).values["1-NN"].mean(1)
    assert [value(found, "as they are", "1-NN", dim).value for dim in CUTS.dims] == pytest.approx(wanted)
    assert value(found, "as they are", "1-NN", 4).interval == "wilson"


@pytest.mark.parametrize("ignore", [False, True])
def test_judgements_are_measured_as_evaluate_judged_does(ignore):
    draws = np.random.default_rng(0)
    pairs = [
        (q, d, int(draws.integers(0, 3))) for q in range(0, 60, 2) for d in draws.choice(400, 6, replace=False).tolist()
    ]
    judgements = Judgements.of(pairs, ignore_same_ids=ignore)
    found = inspect(without_labels(ROWS), without_labels(QUERIES), judgements, Look(dims=CUTS))
    assert found.measures == ["nDCG@10", "recall@10"]
    wanted = per_query_judged(ROWS, QUERIES, judgements, dims=CUTS).values["nDCG@10"]
    row = [value(found, "as they are", "nDCG@10", dim) for dim in CUTS.dims]
    assert [each.value for each in row] == pytest.approx(wanted.mean(1))
    assert row[0].queries == wanted.shape[1]
    assert "30 of 60 queries of queries are not judged: left out" in found.notes
    assert value(found, "as they are", "recall@10", WIDTH).value == 1


def test_judged_documents_are_in_the_sample():
    judgements = Judgements.of([(q, 7 * q, 1) for q in range(50)])
    some = inspect(without_labels(ROWS), without_labels(QUERIES), judgements, Look(dims=CUTS, rows=20))
    assert not any("relevant documents are not in" in note for note in some.notes)
    assert 50 <= some.facts.sampled <= 70


def test_contrasts_are_paired():
    found = inspect(ROWS, QUERIES, look=Look(dims=CUTS, encodings=("float32", "int8")))
    known, asking = read(ROWS, np.arange(400), 0).held, read(QUERIES, np.arange(60), 0).held
    turn = fit_pca(known.vectors)
    stick = KeptNeighbours.of(asking.vectors, known.vectors, 10, "cosine")
    plain = stick.values(asking.vectors, known.vectors, CUTS, "cosine")
    mapped = stick.values(turn.apply(asking.vectors), turn.apply(known.vectors), CUTS, "cosine")
    wanted = paired(mapped, plain)
    own = [each for each in found.contrasts if (each.measure, each.run) == ("recall@10", "PCA")]
    assert [each.against for each in own] == ["as they are"] * 3
    np.testing.assert_allclose([[e.mean, e.low, e.high] for e in own], np.stack(wanted, axis=1), atol=1e-12)
    others = {(each.run, each.against) for each in found.contrasts}
    assert others == {("PCA", "as they are"), ("as they are, int8", "as they are"), ("PCA, int8", "PCA")}


def test_kept_neighbours_and_own_rows_against_a_slow_twin():
    draws = np.random.default_rng(0)
    found, truth = draws.integers(0, 9, (2, 5, 3)), draws.integers(0, 9, (5, 3))
    wanted = [[np.mean([t in each for t in goal]) for each, goal in zip(cut, truth, strict=True)] for cut in found]
    np.testing.assert_allclose(kept(found, truth), wanted)
    vectors = ROWS.vectors
    own = np.array([3, -1, 5])
    near = nearest(vectors[[3, 4, 5]], vectors, Nesting((WIDTH,)), 4, "cosine", own)[0]
    assert [3 in near[0], 4 in near[1], 5 in near[2]] == [False, True, False]


# ------------------------------------------------------------------------------------------------ what is looked at


def test_without_queries_some_rows_ask_and_are_not_searched():
    found = inspect(ROWS, look=Look(dims=CUTS))
    assert found.rows[0].queries == 80  # a fifth
    assert found.facts.sampled == 320
    assert value(found, "as they are", "recall@10", WIDTH).macs == 320 * WIDTH
    few = inspect(ROWS, look=Look(dims=CUTS, queries=7))
    assert (few.rows[0].queries, few.facts.sampled) == (7, 393)


def test_a_sample_is_seeded_and_said():
    look = Look(dims=CUTS, rows=100, queries=10)
    found = inspect(ROWS, QUERIES, look=look)
    assert "rows: measured on 100 of 400 rows, drawn at random" in found.notes
    assert "queries: measured on 10 of 60 rows, drawn at random" in found.notes
    assert found.to_json() == inspect(ROWS, QUERIES, look=look).to_json()
    assert found.rows != inspect(ROWS, QUERIES, look=replace(look, seed=1)).rows
    assert Look().most(1024) == 100_000
    assert Look().most(4096) == 32_768


def test_a_file_read_in_pieces_is_inspected_as_the_matrix_is(tmp_path):
    np.save(tmp_path / "toy.npy", ROWS.vectors)
    source = open_vectors(tmp_path / "toy.npy")
    found, wanted = inspect(source, look=Look(dims=CUTS)), inspect(without_labels(ROWS), look=Look(dims=CUTS))
    assert found.model == "toy"
    assert (found.rows, found.facts) == (wanted.rows, wanted.facts)


def test_bad_rows_are_named_and_left_out():
    vectors = ROWS.vectors.copy()
    vectors[[5, 50], 3] = np.nan, np.inf
    vectors[9] = 0
    found = inspect(replace(ROWS, vectors=vectors), QUERIES, look=Look(dims=CUTS))
    assert "rows: left out rows with a NaN or an Inf: 2 (rows 5, 50)" in found.notes
    assert "rows: left out rows of length 0, which have no direction: 1 (row 9)" in found.notes
    clean = inspect(ROWS.only(np.setdiff1d(np.arange(400), [5, 9, 50])), QUERIES, look=Look(dims=CUTS))
    plain = [(row.value, row.low) for row in found.rows if row.run == "as they are"]
    assert plain == [(row.value, row.low) for row in clean.rows if row.run == "as they are"]
    assert found.facts.sampled == 397
    by_length = inspect(replace(ROWS, vectors=vectors, card=replace(CARD, metric="l2")), look=Look(dims=CUTS))
    assert not any("length 0" in note for note in by_length.notes)


def test_float16_is_what_it_is_and_nothing_finer():
    found = inspect(replace(ROWS, vectors=ROWS.vectors.astype(np.float16)), look=Look(dims=CUTS))
    assert list(dict.fromkeys(row.run for row in found.rows))[:4] == [
        "as they are",
        "as they are, int12",
        "as they are, int8",
        "as they are, 1bit",
    ]
    assert value(found, "as they are", "1-NN", 4).bytes == 8
    assert any(each.startswith("int8 takes half the bytes") for each in found.findings)
    assert any(each.startswith("int12 takes three quarters of the bytes") for each in found.findings)


def test_values_beyond_float16_leave_that_encoding_out():
    found = inspect(replace(ROWS, vectors=ROWS.vectors * 1e5), look=Look(dims=CUTS))
    assert "as they are, float16" not in {row.run for row in found.rows}
    assert any(note.startswith("as they are: float16 is left out: ") for note in found.notes)


@pytest.mark.parametrize("rows", [1, 4, 12])
def test_too_few_rows_leave_the_facts(rows):
    found = inspect(ROWS.only(np.arange(rows)))
    assert found.rows == found.contrasts == ()
    assert found.facts.soundness.rows == rows
    assert "too few for k = 10" in found.notes[-1]
    json.dumps(found.to_json())


def test_a_narrow_width_and_trained_dims():
    narrow = Held.of(ROWS.vectors[:, :5].copy(), Card("narrow", 5, Nesting((2, 5))), path="narrow")
    found = inspect(narrow, look=Look(k=3))
    assert [row.dim for row in found.rows if row.run == "as they are"] == [2, 5]
    assert all(row.trained == (not row.run.startswith("PCA")) for row in found.rows)


def test_copies_of_rows_that_ask_are_not_searched():
    some = without_labels(ROWS).only(np.repeat(np.arange(100), 4))
    found = inspect(some, look=Look(dims=CUTS))
    asked = found.rows[0].queries
    assert asked <= 80
    assert found.facts.sampled == 400 - 4 * asked
    assert f"rows: left out copies of rows that ask: {3 * asked}" in found.notes


def test_rows_with_a_prefix_too_short_are_named_and_left_out():
    vectors = ROWS.vectors.copy()
    vectors[[7, 300], :4] = 1e-18
    found = inspect(replace(ROWS, vectors=vectors), QUERIES, look=Look(dims=CUTS))
    text = "rows: left out rows with a prefix of a length beyond what float32 products hold: 2 (rows 7, 300)"
    assert text in found.notes
    assert found.facts.sampled == 398
    by_length = inspect(replace(ROWS, vectors=vectors, card=replace(CARD, metric="l2")), look=Look(dims=CUTS))
    assert not any("prefix" in note for note in by_length.notes)


def test_what_pca_leaves_of_nothing_is_nothing():
    """Rows of one block of coordinates, of which leading axes of the other block see only rounding."""
    vectors = np.zeros((400, WIDTH), np.float32)
    draws = np.random.default_rng(0).normal(size=(400, WIDTH // 2)).astype(np.float32)
    vectors[:200, : WIDTH // 2], vectors[200:, WIDTH // 2 :] = 100 * draws[:200], draws[200:]
    found = inspect(Held.of(vectors, CARD, path="blocks"), look=Look(dims=Nesting((13, WIDTH)), k=3))
    assert {row.run for row in found.rows} >= {"as they are", "PCA"}


def test_rows_and_queries_without_a_class_are_left_out():
    rows = replace(ROWS, labels=np.where(np.arange(400) < 50, -1, ROWS.labels))
    queries = replace(QUERIES, labels=np.where(np.arange(60) < 20, -1, QUERIES.labels))
    found = inspect(rows, queries, look=Look(dims=CUTS))
    assert "rows: left out rows without a class: 50" in found.notes
    assert "queries: left out queries without a class: 20" in found.notes
    known = ROWS.only(np.arange(50, 400)), QUERIES.only(np.arange(20, 60))
    clean = per_query(*known, dims=CUTS).values["1-NN"].mean(1)
    assert [value(found, "as they are", "1-NN", dim).value for dim in CUTS.dims] == pytest.approx(clean)


def test_why_labels_are_not_measured_is_said():
    found = inspect(ROWS, without_labels(QUERIES), look=Look(dims=CUTS))
    assert found.measures == ["recall@10"]
    assert "1-NN is not measured: queries has no labels" in found.notes
    found = inspect(replace(ROWS, labels=np.zeros(400, int)), look=Look(dims=CUTS))
    assert found.measures == ["recall@10"]
    assert any("all rows of rows have one label, so every neighbour has the right one" in n for n in found.notes)


def test_mapped_rows_that_ask_may_have_been_fitted_on():
    found = inspect(replace(without_labels(ROWS), card=replace(CARD, maps=("linear:ab",))), look=Look(dims=CUTS))
    assert "rows went through linear:ab, and rows of it ask: those that this was fitted on" in found.notes[0]


# ------------------------------------------------------------------------------------------------ refusals


def test_labels_with_names_are_compared_by_name():
    rows = replace(ROWS, label_names=tuple("abcde"))
    other = replace(QUERIES, labels=4 - QUERIES.labels, label_names=tuple("edcba"))
    wanted = value(inspect(ROWS, QUERIES, look=Look(dims=CUTS)), "as they are", "1-NN", 4).value
    assert value(inspect(rows, other, look=Look(dims=CUTS)), "as they are", "1-NN", 4).value == wanted
    with pytest.raises(InputError, match="rows names its labels and queries does not"):
        inspect(rows, QUERIES)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"queries": ROWS}, InputError, "are the same file, rows: every query would find itself"),
        ({"queries": replace(QUERIES, card=replace(CARD, metric="dot"))}, CardError, "metric is cosine"),
        ({"queries": QUERIES.only(np.arange(0))}, InputError, "queries has no rows; give queries, or leave them out"),
        ({"judgements": Judgements.of([(1, 2, 1)])}, InputError, "judgements speak of queries, which are not there"),
        ({"database": ROWS.only(np.arange(0))}, InputError, "rows has no rows; give vectors to inspect"),
        ({"look": Look(k=320)}, InputError, "k must lie below the 320 rows of rows that are searched, got 320"),
        ({"look": Look(k=50, rows=50), "queries": QUERIES}, InputError, "k must lie below the 50 rows of rows"),
        ({"look": Look(dims=Nesting((8, 30)))}, NestingError, "need vectors of at least 30 dims, got 24"),
    ],
)
def test_what_does_not_belong_together_is_refused(change, error, said):
    with pytest.raises(error) as refusal:
        inspect(**({"database": ROWS} | change))
    assert said in str(refusal.value)


@pytest.mark.parametrize("name", ["k", "rows", "queries"])
def test_a_look_at_nothing_is_refused(name):
    with pytest.raises(InputError, match=f"{name} must be an integer ≥ 1, got 0"):
        Look(**{name: 0})
    with pytest.raises(InputError, match=rf"{name} must be an integer ≥ 1, got 2\.5"):
        Look(**{name: 2.5})
    with pytest.raises(InputError, match="seed must be an integer ≥ 0, got -1"):
        Look(seed=-1)
    with pytest.raises(InputError, match="unknown encoding 'int4'"):
        Look(encodings=("int4",))


# ------------------------------------------------------------------------------------------------ what it says


def row_at(dim, value):
    return Row("as they are", "1-NN", dim, False, value, value, value, "wilson", "neighbours", 10, 4 * dim, dim)


def test_a_cut_needs_every_wider_dim_to_keep_enough():
    rows = [row_at(dim, value) for dim, value in ((8, 0.79), (16, 0.7), (32, 0.785), (64, 0.8))]
    assert cut(rows, rows[-1]).dim == 32
    assert cut(rows[:2], rows[-1]) is None
    assert cut([*rows[:3], row_at(64, 0.5)], rows[-1]) is None


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [
        (-0.03, -0.01, "a loss"),
        (0.01, 0.02, "a gain"),
        (-0.009, 0.0, "no measurable loss"),
        (-0.03, 0.01, "which too few queries tell from no loss"),
    ],
)
def test_a_loss_that_was_not_measured_is_not_called_none(low, high, said):
    found = inspect(ROWS, QUERIES, look=Look(dims=CUTS))
    contrast = Contrast("1-NN", "as they are, int8", "as they are", WIDTH, (low + high) / 2, low, high)
    sentence = f"int8 takes a quarter of the bytes: {(low + high) * 50 + 0.0:+.1f} points"
    findings = replace(found, contrasts=(contrast,)).findings
    assert any(each.startswith(sentence) and each.endswith(f"at full width, {said}.") for each in findings)


def test_findings_are_sentences():
    found = inspect(ROWS, QUERIES, look=Look(dims=CUTS))
    said = "\n".join(found.findings)
    assert "of the full width's 1-NN accuracy (" in said
    assert "of the 10 nearest rows that all 24 find." in said
    assert "1bit takes a 32nd of the bytes: " in said
    assert "int12 takes three eighths of the bytes: " in said
    assert all(each.endswith(".") and "nan" not in each for each in found.findings)
    assert found.to_json()["findings"] == list(found.findings)


# ------------------------------------------------------------------------------------------------ public data


@pytest.fixture(scope="module")
def products():
    """(train, test) MobileNet features of product photos with their 141 types."""
    with np.load(data("fashion-products", "mobilenetv1.npz")) as arrays:
        vectors = (arrays["q"] * arrays["scale"]).astype(np.float32)
    with gzip.open(data("fashion-products", "products.csv.gz"), "rt", encoding="utf-8") as file:
        lines = list(csv.DictReader(file))
    names, labels = np.unique([line["articleType"] for line in lines], return_inverse=True)
    assert len(names) == 141
    split = np.array([line["split"] for line in lines])
    every = Held.of(vectors, Card("MobileNet v1", 1024, Nesting((1024,))), labels, "train")
    train, test = (every.only(np.flatnonzero(split == name)) for name in ("train", "test"))
    return train, replace(test, path=Path("test"))


@pytest.mark.slow
def test_product_photos(products):
    found = inspect(*products, look=Look(queries=5000, encodings=("float32",)))
    known = {1024: 0.785, 512: 0.776, 128: 0.718, 32: 0.551, 8: 0.216}
    for dim, share in known.items():
        assert value(found, "as they are", "1-NN", dim).value == pytest.approx(share, abs=0.0006)
    assert value(found, "PCA", "1-NN", 8).value == pytest.approx(0.579, abs=0.03)  # theirs is centred
    assert value(found, "PCA", "1-NN", 64).value == pytest.approx(0.761, abs=0.01)
    lead = next(c for c in found.contrasts if (c.measure, c.run, c.dim) == ("1-NN", "PCA", 8))
    assert 0.3 < lead.low < lead.mean < lead.high < 0.4
    assert found.facts.order.verdict == "no"


@pytest.mark.slow
def test_text_vectors_of_4096_dims():
    with np.load(data("cohere-4096", "cohere_4096.npz")) as arrays:
        vectors = (arrays["q"] * arrays["scale"]).astype(np.float32)
    vectors -= vectors.mean(0)  # as where the known figures come from; 2 to 4 points less as they are
    every = Held.of(vectors, Card("cohere", 4096, Nesting((4096,))), path="cohere")
    found = inspect(every, look=Look(dims=Nesting((64, 256, 1024, 4096)), encodings=("float32",)))
    for dim, share in {64: 0.37, 256: 0.65, 1024: 0.83}.items():
        row = value(found, "as they are", "recall@10", dim)
        assert row.value == pytest.approx(share, abs=0.025)
        assert value(found, "PCA", "recall@10", dim).low > row.high
    assert found.facts.order.verdict == "no"
    assert found.facts.energy.pca == pytest.approx((0.55, 0.81, 0.96, 1), abs=0.02)  # known too

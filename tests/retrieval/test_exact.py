"""Exact search equals brute force in 80-bit floats, in order of (−score, id)."""

import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl.maps import Rotation
from retrieval import made

WIDTH, CUTS = 24, (4, 8, 24)


def asked(kind, seed=7):
    """Three queries like the rows, one of them twice as long."""
    queries = made.HOSTILE[kind](48, WIDTH, seed)[-3:].copy()
    queries[1] *= 2
    return queries


# ------------------------------------------------------------------------------------------------- equals the truth


@pytest.mark.parametrize("kind", made.HOSTILE)
def test_exact_search_equals_brute_force(tmp_path, kind, metric):
    rows = made.HOSTILE[kind](150, WIDTH)
    ids = np.random.default_rng(0).permutation(150) * 3 - 40
    index = made.index(tmp_path / "i", rows, CUTS, metric, ids=ids, blocks=2)
    queries = np.concatenate([asked(kind), rows[[0, 3, 149]]])  # some of them rows
    for k in (1, 10, 149, 150, 160):
        made.check_exact(index.search(queries, k), rows, ids, queries, k, metric)


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_many_rows_far_from_the_origin(tmp_path, metric, offset):
    """Float32 scores say nothing here, and the bound still has to leave rows out rightly."""
    rows = made.translated(5000, WIDTH, 1, offset)
    index = made.index(tmp_path / "i", rows, CUTS, metric)
    queries = made.translated(3, WIDTH, 2, offset)
    made.check_exact(index.search(queries, 10), rows, np.arange(5000), queries, 10, metric)


def test_most_rows_are_left_out_and_the_result_is_the_same(tmp_path, metric):
    rows = made.random(20_000, WIDTH, 3)
    index = made.index(tmp_path / "i", rows, CUTS, metric, blocks=2)
    queries = made.random(2, WIDTH, 4)
    found = index.search(queries, 5)
    made.check_exact(found, rows, np.arange(20_000), queries, 5, metric)
    assert found.work[0].candidates == 40_000
    assert found.work[-1].candidates < 20_000


def test_equal_rows_come_by_id_whatever_their_kind_and_place(tmp_path, metric):
    rows = made.duplicated(200, WIDTH)
    numbers = np.random.default_rng(1).permutation(200) - 100
    for name, ids in [("integers", numbers), ("strings", np.array([f"r{i}é" for i in numbers]))]:
        index = made.index(tmp_path / name, rows, CUTS, metric, ids=ids, blocks=3)
        queries = asked("duplicates")
        for k in (1, 5, 30, 200, 203):
            made.check_exact(index.search(queries, k), rows, ids, queries, k, metric)


SCALES = {"cosine": (1e-14, 1e14), "dot": (1e-38, 1e-30, 1e-23, 1e-19, 1e14), "l2": (1e-38, 1e-30, 1e-23, 1e-19, 1e14)}


@pytest.mark.parametrize(("metric", "scale"), [(metric, scale) for metric in SCALES for scale in SCALES[metric]])
def test_lengths_at_the_ends_of_float32(tmp_path, metric, scale):
    """Products below float32's smallest number round by more than their own size."""
    rows, queries = made.random(400, WIDTH, 5) * np.float32(scale), made.random(20, WIDTH, 6) * np.float32(scale)
    index = made.index(tmp_path / "i", rows, CUTS, metric)
    made.check_exact(index.search(queries, 4), rows, np.arange(400), queries, 4, metric)


@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_short_rows_and_long_queries_and_the_other_way_round(tmp_path, metric):
    short, long = made.random(400, WIDTH, 5) * np.float32(1e-42), made.random(400, WIDTH, 6)
    for rows, queries in [(short, long[:20]), (long, short[:20])]:
        index = made.index(tmp_path / str(rows[0, 0]), rows, CUTS, metric)
        made.check_exact(index.search(queries, 4), rows, np.arange(400), queries, 4, metric)


@pytest.mark.parametrize("length", [0, 1e-6, 1, 1e6])
def test_short_and_long_queries_among_rows_of_nearly_one_length(tmp_path, metric, length):
    """Lengths are kept in float32, and a row's own length decides where the query is short."""
    rows = made.random(2000, WIDTH, 5)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    queries = (made.random(10, WIDTH, 6) * length).astype(np.float32)
    index = made.index(tmp_path / "i", rows, CUTS, metric)
    made.check_exact(index.search(queries, 4), rows, np.arange(2000), queries, 4, metric)


def test_one_row(tmp_path, metric):
    rows = made.random(1, WIDTH)
    index = made.index(tmp_path / "i", rows, CUTS, metric, ids=["only"])
    made.check_exact(index.search(asked("random"), 3), rows, ["only"], asked("random"), 3, metric)


def test_zero_queries_find_rows_by_id(tmp_path):
    index = made.index(tmp_path / "i", made.random(50, WIDTH), CUTS, ids=np.arange(50)[::-1])
    found = index.search(np.zeros(WIDTH, np.float32), 4)
    assert found.ids.tolist() == [0, 1, 2, 3]
    assert found.scores.tolist() == [0, 0, 0, 0]


def test_scores_that_differ_by_one_rounding_stand_in_order_of_the_scores_that_are_told(tmp_path, metric):
    """Dividing by the query's length makes some of them equal, and then ids decide."""
    rows = made.parallel(600, WIDTH)
    ids = np.random.default_rng(3).permutation(600)
    index = made.index(tmp_path / "i", rows, CUTS, metric, ids=ids)
    queries = np.random.default_rng(4).uniform(0.1, 10, (20, 1)) * rows[:1]
    for k in (10, 600):
        made.check_exact(index.search(queries, k), rows, ids, queries, k, metric)


@pytest.mark.parametrize("kind", ["random", "duplicates", "zeros"])
def test_a_query_alone_and_among_others_finds_the_same(tmp_path, kind, metric):
    """Threads share the queries where there are several, else the blocks."""
    index = made.index(tmp_path / "i", made.HOSTILE[kind](400, WIDTH), CUTS, metric, blocks=5)
    queries = made.random(7, WIDTH, 1)
    many = index.search(queries, 20)
    for q in range(7):
        one = index.search(queries[q], 20)
        assert (one.ids == many.ids[q]).all()
        assert (one.scores == many.scores[q]).all()


# ------------------------------------------------------------------------------------------------- what is stored


def test_float16_is_exact_for_the_values_that_it_stores(tmp_path, metric):
    rows = made.random(300, WIDTH)
    index = made.index(tmp_path / "i", rows, CUTS, metric, reference="float16", blocks=2)
    stored = index.snapshot.vectors_at(np.arange(300))
    assert (stored == rows.astype(np.float16).astype(np.float32)).all()
    made.check_exact(index.search(asked("random"), 20), stored, np.arange(300), asked("random"), 20, metric)


def test_behind_a_map_it_is_exact_for_the_mapped_vectors_and_all_but_exact_for_the_raw(tmp_path, metric):
    rows, queries = made.random(300, WIDTH), made.random(20, WIDTH, 1)
    index = made.index(tmp_path / "i", rows, CUTS, metric, map="pca", blocks=2)
    stored = index.snapshot.vectors_at(np.arange(300))
    turned = index.snapshot.map.apply64(queries)
    found = index.search(queries, 300)
    made.check_exact(found, stored, np.arange(300), turned, 300, metric)
    raw = made.scores(rows, queries, metric)
    # a stored row is off by the rounding to float32, u |x|, and a score by that times 2 |q − x| (l2) or |q|
    assert np.abs(found.scores - np.take_along_axis(raw, found.ids, axis=1)).max() < 1e-6


def test_a_map_of_ones_own_changes_no_neighbour(tmp_path, metric):
    turn = Rotation(np.linalg.qr(np.random.default_rng(0).standard_normal((WIDTH, WIDTH)))[0], "mine")
    rows, queries = made.random(300, WIDTH), made.random(5, WIDTH, 1)
    plain = made.index(tmp_path / "a", rows, CUTS, metric).search(queries, 10)
    mapped = made.index(tmp_path / "b", rows, CUTS, metric, map=turn).search(queries, 10)
    assert (plain.ids == mapped.ids).all()
    np.testing.assert_allclose(plain.scores, mapped.scores, atol=1e-6)


# ------------------------------------------------------------------------------------------------- which rows


@pytest.mark.parametrize("kind", ["random", "zeros", "duplicates"])
def test_deleted_rows_are_never_found(tmp_path, kind, metric):
    rows, queries = made.HOSTILE[kind](120, WIDTH), asked(kind)
    index = made.index(tmp_path / "i", rows, CUTS, metric, blocks=3)
    gone = np.random.default_rng(1).permutation(120)[:70]
    index.delete(gone)
    left = np.setdiff1d(np.arange(120), gone)
    for k in (1, 10, 50, 60, 120):
        made.check_exact(index.search(queries, k), rows[left], left, queries, k, metric)


@pytest.mark.parametrize("kind", ["random", "zeros", "duplicates"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 1.0])
def test_filtered_search_is_exact_over_the_rows_that_pass(tmp_path, kind, share, metric):
    rows, queries = made.HOSTILE[kind](120, WIDTH), asked(kind)
    price = np.random.default_rng(2).permutation(120)
    index = made.index(tmp_path / "i", rows, CUTS, metric, payload=pa.table({"price": price}), blocks=2)
    index.delete([0, 119])
    passed = np.setdiff1d(np.flatnonzero(price < share * 120), [0, 119])
    for k in (1, 10, 60, 150):
        found = index.search(queries, k, where=f"price < {share * 120}")
        made.check_exact(found, rows[passed], passed, queries, k, metric)


def test_an_index_whose_rows_are_all_deleted_is_empty(tmp_path, metric):
    index = made.index(tmp_path / "i", made.random(10, WIDTH), CUTS, metric)
    index.delete(np.arange(10))
    made.check_exact(index.search(asked("random"), 3), np.empty((0, WIDTH)), [], asked("random"), 3, metric)


# ------------------------------------------------------------------------------------------------- any of it


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_any_small_index(tmp_path_factory, data):
    """Coordinates from a few values, so that ties of every sort are there."""
    metric = data.draw(st.sampled_from(made.METRICS), "metric")
    width, n = data.draw(st.integers(1, 9), "width"), data.draw(st.integers(1, 30), "n")
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32), "seed"))
    values = np.array([-1, 0, -0.0, 0.5, 1, 1 + 1e-7, 1e-3, 300], np.float32)
    rows, queries = (rng.choice(values, (count, width)) for count in (n, 3))
    cuts = sorted(data.draw(st.sets(st.integers(1, width)), "cuts") | {width})
    ids = rng.permutation(2 * n)[:n]
    index = made.index(tmp_path_factory.mktemp("any") / "i", rows, cuts, metric, ids=ids,
                       blocks=data.draw(st.integers(1, min(3, n)), "blocks"))  # fmt: skip
    gone = rng.permutation(ids)[: data.draw(st.integers(0, n), "deleted")]
    if len(gone):
        index.delete(gone)
    left = np.flatnonzero(~np.isin(ids, gone))
    k = data.draw(st.integers(1, n + 2), "k")
    made.check_exact(index.search(queries, k), rows[left], ids[left], queries, k, metric)


# ------------------------------------------------------------------------------------------------- real vectors


def real(name, file):
    """The archive of a data set: in $MRL_DATA, or in shared/data beside the repository."""
    path = Path(os.environ.get("MRL_DATA") or Path(__file__).parents[3] / "shared" / "data") / name / file
    if not path.is_file():
        pytest.skip(f"{path} is missing; set MRL_DATA to the folder that holds {name}")
    return np.load(path)


@pytest.mark.parametrize("map", [None, "pca"])
def test_real_product_features(tmp_path, metric, map):
    """Whole numbers times one scale: equal photos, equal scores of different photos, never a negative coordinate."""
    archive = real("fashion-products", "mobilenetv1.npz")
    features = archive["q"][::22, :256] * archive["scale"]
    rows, queries = features[8:], features[:8]
    index = made.index(tmp_path / "i", rows, (32, 64, 256), metric, map=map, blocks=2)
    stored = rows if map is None else index.snapshot.vectors_at(np.arange(len(rows)))
    asked = queries if map is None else index.snapshot.map.apply64(queries)
    made.check_exact(index.search(queries, 10), stored, np.arange(len(rows)), asked, 10, metric)


def test_real_text_embeddings_of_4096_dims(tmp_path, metric):
    archive = real("cohere-4096", "cohere_4096.npz")
    vectors = archive["q"][:600] * archive["scale"]
    rows, queries = vectors[4:], vectors[:4]
    index = made.index(tmp_path / "i", rows, (64, 512, 4096), metric)
    made.check_exact(index.search(queries, 10), rows, np.arange(len(rows)), queries, 10, metric)

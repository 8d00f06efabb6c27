"""FAISS's own search of the same graph, with the same ef, is the slow twin."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mrl.retrieval import walking
from mrl.retrieval.walking import Walker
from mrl.retrieval.walking_views import graph

faiss = pytest.importorskip("faiss")

QUANTISERS = {"float16": "QT_fp16", "int8": "QT_8bit"}
METRICS = {"l2": faiss.METRIC_L2, "dot": faiss.METRIC_INNER_PRODUCT}


def clustered(n, dim=24, seed=0):
    """(n, dim): rows around centres, their coordinates ever narrower."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((50, dim))
    found = centres[rng.integers(0, 50, n)] + 0.4 * rng.standard_normal((n, dim))
    return (found * np.linspace(2, 0.3, dim)).astype(np.float32)


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def built(vectors, codes="int8", metric="dot", m=8):
    dim, measure = vectors.shape[1], METRICS[metric]
    if codes == "float32":
        index = faiss.IndexHNSWFlat(dim, m, measure)
    else:
        index = faiss.IndexHNSWSQ(dim, getattr(faiss.ScalarQuantizer, QUANTISERS[codes]), m, measure)
    index.train(vectors)
    index.add(vectors)
    return index


def walked(walker, queries, count, ef):
    into = np.empty((len(queries), count), np.int64)
    walker.walk(queries, count, ef, into)
    return into


def twin(index, queries, count, ef):
    return index.search(queries, count, params=faiss.SearchParametersHNSW(efSearch=ef))[1]


def exact(index, queries, count, metric):
    """What a scan of the rows as the graph stores them finds."""
    rows = index.reconstruct_n(0, index.ntotal).astype(np.float64)
    products = queries @ rows.T
    distances = -products if metric == "dot" else (rows**2).sum(1) - 2 * products
    return np.argsort(distances, axis=1, kind="stable")[:, :count]


def shared(one, other):
    return np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(one.tolist(), other.tolist(), strict=True)])


@pytest.fixture(params=["float32", "float16", "int8"])
def codes(request):
    return request.param


@pytest.fixture(params=["dot", "l2"])
def metric(request):
    return request.param


# ------------------------------------------------------------------------------------------------- the twin


def test_it_finds_what_faiss_finds(codes, metric):
    vectors, queries = unit(clustered(3000)), unit(clustered(200, seed=1))
    index = built(vectors, codes, metric)
    walker, truth = Walker.of(index), exact(index, queries, 10, metric)
    for ef in (10, 16, 37, 64):
        found, theirs = walked(walker, queries, 10, ef), twin(index, queries, 10, ef)
        assert shared(found, theirs) >= 0.95
        assert shared(found, truth) >= shared(theirs, truth) - 0.005


def test_with_room_for_all_it_is_a_scan_in_order(codes, metric):
    vectors, queries = clustered(300, dim=19), clustered(20, dim=19, seed=1)
    index = built(vectors, codes, metric, m=16)
    found, truth = walked(Walker.of(index), queries, 50, 300), exact(index, queries, 50, metric)
    assert (found == truth).mean() >= 0.99  # but for rounding


def test_an_index_that_is_mapped_gives_the_same(codes, tmp_path):
    vectors, queries = clustered(500), clustered(30, seed=1)
    index = built(vectors, codes)
    faiss.write_index(index, str(tmp_path / "graph"))
    mapped = faiss.read_index(str(tmp_path / "graph"), faiss.IO_FLAG_MMAP_IFC)
    assert not faiss.downcast_index(mapped.storage).codes.is_owned
    assert (walked(Walker.of(mapped), queries, 10, 40) == walked(Walker.of(index), queries, 10, 40)).all()


# ------------------------------------------------------------------------------------------------- laws


def test_the_index_lives_as_long_as_the_walker():
    queries, walker = clustered(5, seed=1), Walker.of(built(clustered(400)))
    before = walked(walker, queries, 5, 20)
    others = [built(clustered(400, seed=seed)) for seed in range(3)]  # takes the memory if it was given back
    assert (walked(walker, queries, 5, 20) == before).all()
    del others


def test_a_batch_is_its_queries_one_by_one_again_and_again():
    queries, walker = clustered(40, seed=1), Walker.of(built(clustered(2000)))
    together = walked(walker, queries, 10, 30)
    for _ in range(2):
        assert (np.vstack([walked(walker, query[None], 10, 30) for query in queries]) == together).all()


def test_threads_walk_at_once():
    queries, walker = clustered(64, seed=1), Walker.of(built(clustered(2000)))
    alone = walked(walker, queries, 10, 50)
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(lambda _: walked(walker, queries, 10, 50), range(40)):
            assert (found == alone).all()


def test_a_log_too_short_changes_nothing(monkeypatch):
    queries, index = clustered(40, seed=1), built(clustered(2000))
    long = walked(Walker.of(index), queries, 10, 200)
    monkeypatch.setattr(walking, "LOG", 1)  # of the scratch; rows seen are then more than it holds
    assert (walked(Walker.of(index), queries, 10, 200) == long).all()


def test_no_row_comes_twice_and_numbers_are_in_range():
    queries, walker = clustered(50, seed=1), Walker.of(built(clustered(1000)))
    found = walked(walker, queries, 60, 60)
    assert all(len(set(row)) == 60 for row in found.tolist())
    assert found.min() >= 0
    assert found.max() < 1000


@pytest.mark.parametrize("rows", [1, 2, 5, 9])
def test_fewer_rows_than_asked_for(rows, codes, metric):
    index, queries = built(clustered(rows), codes, metric), clustered(3, seed=1)
    found = walked(Walker.of(index), queries, 12, 4)
    assert (np.sort(found, axis=1)[:, -rows:] == np.arange(rows)).all()
    assert (found[:, rows:] == -1).all()


def test_no_queries():
    assert walked(Walker.of(built(clustered(9))), clustered(0), 3, 5).shape == (0, 3)


def test_equal_rows_come_in_order():
    index = built(np.ones((20, 4), np.float32), "float32", m=16)
    assert walked(Walker.of(index), np.ones((1, 4), np.float32), 20, 20)[0].tolist() == list(range(20))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 3e38])
def test_numbers_that_are_none_do_no_harm(value, codes, metric):
    walker, queries = Walker.of(built(clustered(300), codes, metric)), clustered(4, seed=1)
    before, queries[1, 3] = walked(walker, queries, 5, 20), value
    after = walked(walker, queries, 5, 20)
    assert (after[[0, 2, 3]] == before[[0, 2, 3]]).all()
    assert after.min() >= -1
    assert after.max() < 300


# ------------------------------------------------------------------------------------------------- parts


def test_an_eight_bit_code_stands_for_what_faiss_says():
    index = built(clustered(300))
    offsets, steps = graph(index).scales
    stored = faiss.vector_to_array(faiss.downcast_index(index.storage).codes).reshape(300, -1)
    assert np.allclose(offsets + steps * stored, index.reconstruct_n(0, 300), atol=1e-6)


def test_keys_shift_as_a_sorted_list():
    rng = np.random.default_rng(0)
    blocks = np.zeros((4, 8), np.uint64)
    blocks[1:] = np.iinfo(np.uint64).max
    held = []
    for key in rng.integers(1, 2**63, 200, dtype=np.uint64):
        place = walking._insert(blocks, key)
        held = sorted([*held, int(key)])[:24]
        assert place == (held.index(int(key)) if int(key) in held else 24)
        assert blocks[1:].ravel()[: len(held)].tolist() == held


def test_what_is_no_graph_here_is_left_to_faiss():
    flat = faiss.IndexFlatL2(8)
    other = faiss.IndexHNSWSQ(8, faiss.ScalarQuantizer.QT_4bit, 8)
    l1 = faiss.IndexHNSWFlat(8, 8, faiss.METRIC_L1)
    assert [Walker.of(index) for index in (flat, other, l1, built(clustered(0), "float32"), object())] == [None] * 5

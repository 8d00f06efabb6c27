"""Engines in memory: what they find among prefixes, against products of all of them."""

import numpy as np
import pytest

from mrl.errors import InputError
from mrl.retrieval import proposers
from mrl.retrieval.engine import HNSW, IVF, RaBitQ, Scan, engine_text
from mrl.retrieval.proposers import Proposer, built, cut, trained
from retrieval import made

KINDS = (
    HNSW(8, 40, 400, "float32"),
    HNSW(8, 40, 400, "float16"),
    HNSW(8, 40, 400, "int8"),
    *(IVF(12, 12, codes) for codes in ("float32", "float16", "int8", "1bit")),
    RaBitQ(),
)


def clustered(n, width=16, seed=0):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(9).standard_normal((20, width))
    return (centres[rng.integers(0, 20, n)] + 0.4 * rng.standard_normal((n, width))).astype(np.float32)


@pytest.mark.parametrize("engine", KINDS, ids=engine_text)
def test_every_kind_finds_the_nearest_prefixes(metric, engine):
    rows, queries = cut(clustered(800), 8, metric), cut(clustered(30, seed=1), 8, metric)
    proposer = Proposer(built(engine, rows, metric, 1))
    found = proposer.asked(engine, queries, 200)
    order = np.argsort(-made.scores(rows, queries, metric), axis=1)[:, :5]
    assert found.shape == (30, 200)
    assert np.mean([np.isin(best, row).mean() for best, row in zip(order, found, strict=True)]) >= 0.9
    bound = proposer.bound(engine, 200)
    assert [bound(query[None])[0].tolist() for query in queries] == found.tolist()


@pytest.mark.parametrize("engine", KINDS, ids=engine_text)
def test_beyond_the_rows_there_is_nothing(engine):
    rows = cut(clustered(15), 8, "cosine")
    found = Proposer(built(engine, rows, "cosine", 1)).asked(engine, rows[:3], 20)
    assert (found[:, 15:] == -1).all()
    assert all(len({*row.tolist()} - {-1}) == (row >= 0).sum() for row in found)


def test_rows_are_prefixes_as_the_metric_compares_them(metric):
    rows = made.uneven(40, 16)
    found, wanted = cut(rows, 8, metric), rows[:, :8].astype(float)
    if metric == "cosine":
        wanted /= np.linalg.norm(wanted, axis=1)[:, None]
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert (found.dtype, found.flags.c_contiguous) == (np.float32, True)
    np.testing.assert_allclose(cut(rows, 8, metric, 4.0), 4 * found, rtol=1e-6)
    assert cut(np.full((1, 4), 1e38, np.float32), 4, "l2", 2.0**10).tolist() == [[np.inf] * 4]


def test_what_cannot_be_made_is_refused():
    rows = cut(clustered(10), 8, "cosine")
    with pytest.raises(
        InputError, match=r"an IVF with 20 lists needs as many rows to fit them on, got 10; ask for few"
    ):
        built(IVF(20), rows, "cosine", 1)
    with pytest.raises(InputError, match=r"Scan\(\) has nothing to build: a scan reads the store"):
        trained(Scan(), 8, "cosine", rows)
    with pytest.raises(InputError, match=r"the engine compares 8 dims, got queries of shape \(10, 7\)"):
        Proposer(built(HNSW(), rows, "cosine", 1)).asked(HNSW(), np.ascontiguousarray(rows[:, :7]), 3)


def test_a_knob_beyond_what_was_built_is_all_there_is():
    rows = cut(clustered(200), 8, "cosine")
    proposer = Proposer(built(IVF(10, codes="int8"), rows, "cosine", 1))
    most = proposer.asked(IVF(10, 10, codes="int8"), rows[:9], 20)
    assert proposer.asked(IVF(10, 5000, codes="int8"), rows[:9], 20).tolist() == most.tolist()


def test_rows_are_added_in_batches():
    rows = cut(clustered(proposers.BATCH + 500), 8, "dot")
    found = Proposer(built(IVF(4, 4, "float32"), rows, "dot", 1)).asked(IVF(4, 4, "float32"), rows[-20:], 9)
    best = np.sort(rows[-20:] @ rows.T, axis=1)[:, -9:][:, ::-1]
    np.testing.assert_allclose((rows[-20:, None] * rows[found]).sum(-1), best, rtol=1e-5)

"""The quick way gives what the long way gives; whoever asks in a list goes the long way."""

import re

import numpy as np
import pyarrow as pa
import pytest

from mrl.errors import CardError, InputError, NestingError
from mrl.retrieval import Index, Plan
from mrl.retrieval.engine import HNSW, IVF, RaBitQ, engine_text
from mrl.retrieval.leading import fit_leading
from mrl.retrieval.quick import Quick
from mrl.vectors import Table
from retrieval import made

GRAPH = HNSW(m=8, ef_construction=40, codes="int8")
TEXT = "hnsw+m=8+ef_construction=40+codes=int8"
PLAN = f"8:40/{TEXT}+ef=60,16:10"
QUERIES = made.random(12, 16, 7)


def built(path, vectors=None, *, metric="cosine", engine=GRAPH, dim=8, cuts=(8, 16), turn=None, **known):
    index = made.index(path, made.random(900, 16) if vectors is None else vectors, cuts, metric, **known)
    index.add_engine(dim, engine, turn)
    return index


def bound(index, plan, k=10):
    """What the plan is bound to; None for the long way."""
    return Quick.of(index.snapshot, Plan.parse(str(plan)).at_k(k))


def check_same(index, query, plan, k=10):
    """Fail unless both ways find the same by the same work, and the quick one is gone."""
    one, other = index.search(query, k, plan=plan), index.search(np.asarray(query).tolist(), k, plan=plan)
    assert bound(index, plan, k).search(query) is not None
    assert one.ids.tolist() == other.ids.tolist()
    assert (one.ids.dtype.kind, one.ids.shape) == (other.ids.dtype.kind, other.ids.shape)
    assert (one.scores.dtype, one.scores.shape) == (other.scores.dtype, other.scores.shape)
    np.testing.assert_allclose(one.scores, other.scores, rtol=3e-6, atol=1e-7)
    assert one.counts.tolist() == other.counts.tolist()
    assert [each[:3] for each in one.work] == [each[:3] for each in other.work]
    names = ("metric", "dim", "plan", "promise", "notes", "stage")
    assert [getattr(one, name) for name in names] == [getattr(other, name) for name in names]
    assert all(each.seconds > 0 for each in one.work)


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    return built(tmp_path_factory.mktemp("quick") / "i", beside={"int8": 16, "int12": 16})


# ------------------------------------------------------------------------------------------------- the same


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", ">f4"])
def test_one_query_in_any_shape_and_type(tmp_path, metric, blocks, dtype):
    index = built(tmp_path / "i", metric=metric, blocks=blocks)
    for query in QUERIES.astype(dtype):
        check_same(index, query, PLAN)
        check_same(index, query[None], PLAN)


@pytest.mark.parametrize("engine", [GRAPH, HNSW(8, 40), IVF(20, 10, "int8"), IVF(20, 10, "1bit"), RaBitQ()],
                         ids=engine_text)  # fmt: skip
@pytest.mark.parametrize("scale", [1e-3, 1, 100])
def test_queries_of_any_length_with_every_engine(tmp_path, engine, scale):
    index = built(tmp_path / "i", engine=engine)
    for query in QUERIES:
        check_same(index, np.float32(scale) * query, f"8:40/{engine_text(engine)},16:10")


@pytest.mark.parametrize("rerank", ["16:20@int8,16:10", "16:20@int8,16:15@int12,16:10", "16:10@int12", "16:10@int8"])
def test_reranks_in_several_stages(index, rerank):
    for query in QUERIES:
        check_same(index, query, f"8:40/{TEXT}+ef=60,{rerank}")


def test_a_last_stage_below_the_full_width(tmp_path):
    """Scores are by the prefix, and so is the query's own length."""
    index = built(tmp_path / "i", made.random(900, 16), dim=4, cuts=(4, 8, 16))
    for query in QUERIES:
        check_same(index, query, f"4:40/{TEXT},8:10")
    check_same(index, QUERIES[0], f"4:40/{TEXT},4:10")


def test_a_query_of_which_the_last_stage_sees_nothing(tmp_path):
    index, query = built(tmp_path / "i", dim=4, cuts=(4, 8, 16)), QUERIES[0].copy()
    query[:8] = 0
    found = index.search(query, plan=f"4:40/{TEXT},8:10")
    assert found.scores.tolist() == [0.0] * 10 == index.search(query.tolist(), plan=f"4:40/{TEXT},8:10").scores.tolist()


@pytest.mark.parametrize("blocks", [1, 2])
def test_equal_scores_stand_by_their_ids(tmp_path, metric, blocks):
    """Rows come in an order in which positions and ids disagree, and strings in another than integers."""
    vectors = np.tile(made.random(120, 16), (3, 1))
    for kind, ids in (("numbers", np.arange(360)[::-1]), ("names", [f"r{n}" for n in range(360)])):
        index = built(tmp_path / kind, vectors, metric=metric, ids=ids, blocks=blocks)
        for query in QUERIES:
            check_same(index, query, PLAN)


def test_scores_that_a_long_query_makes_equal_stand_by_their_ids(tmp_path):
    """Short rows, far away: float32 does not tell their distances apart."""
    vectors = (1e-4 * made.random(300, 16)).astype(np.float32)
    index = built(tmp_path / "i", vectors, metric="l2", ids=np.arange(300)[::-1])
    for query in QUERIES:
        found = index.search(100 * query, plan=PLAN)
        assert (found.scores[1:] == found.scores[:-1]).any()
        check_same(index, 100 * query, PLAN)


def test_more_results_than_rows(tmp_path):
    index = built(tmp_path / "i", made.random(30, 16))
    for k in (10, 30, 39):
        check_same(index, QUERIES[0], PLAN, k)


def test_prefixes_are_raw_under_the_product(tmp_path):
    index = built(tmp_path / "i", made.uneven(600, 16), metric="dot", cuts=(4, 8, 16))
    for query in QUERIES:
        check_same(index, query, PLAN)


@pytest.mark.parametrize("engine", [GRAPH, HNSW(8, 40), IVF(20, 10, "1bit")], ids=engine_text)
def test_an_engine_with_a_map_of_its_own(tmp_path, metric, engine):
    vectors = made.random(900, 16)
    turn = fit_leading(vectors, 10)
    index = built(tmp_path / "i", vectors, metric=metric, engine=engine, dim=6, cuts=(16,), turn=turn)
    for query in QUERIES:
        check_same(index, 10 * query, f"{turn},6:60/{engine_text(engine)},16:10")


def test_a_plan_and_its_text(index):
    texts = index.search(QUERIES[0], plan=PLAN), index.search(QUERIES[0], plan=PLAN.replace(",", " → "))
    value = index.search(QUERIES[0], plan=Plan.parse(PLAN))
    assert all(each.ids.tolist() == value.ids.tolist() and each.plan == value.plan for each in texts)
    assert index.search(QUERIES[0], 3, plan=PLAN).ids.tolist() == value.ids[:3].tolist()


def test_results_are_the_callers_own(index):
    first = index.search(QUERIES[0], plan=PLAN)
    ids, scores = first.ids.tolist(), first.scores.tolist()
    first.ids[:], first.scores[:] = 0, 0
    again = index.search(QUERIES[0], plan=PLAN)
    assert (again.ids.tolist(), again.scores.tolist()) == (ids, scores)


# ------------------------------------------------------------------------------------------------- the long way


def test_newer_rows_go_the_long_way(tmp_path):
    index = built(tmp_path / "i")
    best = index.search(QUERIES[0], plan=PLAN).ids[0]
    index.add(QUERIES[:1], [5000])
    assert index.search(QUERIES[0], plan=PLAN).ids[:2].tolist() == [5000, best]
    assert bound(index, PLAN) is None
    index.delete([best])
    assert index.search(QUERIES[0], plan=PLAN).ids[0] == 5000
    assert best not in index.search(QUERIES[0], plan=PLAN).ids
    index.compact()
    assert bound(index, PLAN) is not None
    check_same(index, QUERIES[0], PLAN)


def test_what_others_commit_is_seen_after_refresh(tmp_path):
    index = built(tmp_path / "i")
    reader, query = Index.open(index.path), QUERIES[0]
    best = reader.search(query, plan=PLAN).ids[0]
    index.delete([best])
    index.compact()
    assert reader.search(query, plan=PLAN).ids[0] == best
    assert best not in reader.refresh().search(query, plan=PLAN).ids
    check_same(reader, query, PLAN)


def test_filters_go_the_long_way(tmp_path):
    index = built(tmp_path / "i", payload=pa.table({"even": np.arange(900) % 2 == 0}))
    assert all(row % 2 == 0 for row in index.search(QUERIES[0], plan=PLAN, where="even == true").ids)
    check_same(index, QUERIES[0], PLAN)


@pytest.mark.parametrize("blocks", [1, 3])
@pytest.mark.parametrize("share", [0.05, 0.2])
def test_deleted_rows_are_never_found(tmp_path, metric, blocks, share):
    index = built(tmp_path / "i", metric=metric, blocks=blocks)
    gone = np.random.default_rng(0).permutation(900)[: int(900 * share)]
    index.delete(gone)
    for query in QUERIES:
        check_same(index, query, PLAN)
        assert not np.isin(index.search(query, plan=PLAN).ids, gone).any()


@pytest.mark.parametrize("scale", [1e-3, 1, 300])
@pytest.mark.parametrize("codes", ["float16", "float32", "int8"])
def test_distances_of_any_size(tmp_path, scale, codes):
    """FAISS's vectors are scaled for float16, and so are queries."""
    engine, scale = HNSW(8, 40, codes=codes), np.float32(scale)
    index = built(tmp_path / "i", scale * made.random(900, 16), metric="l2", engine=engine)
    for query in QUERIES:
        check_same(index, scale * query, f"8:40/{engine_text(engine)},16:10")


@pytest.mark.parametrize("plan", ["8:40,16:10", f"8:10/{TEXT}", f"8:40/{TEXT},8:20,16:10"])
def test_plans_of_other_shapes_go_the_long_way(index, plan):
    assert bound(index, plan) is None
    assert index.search(QUERIES[0], plan=plan).ids.tolist() == index.search(QUERIES[0].tolist(), plan=plan).ids.tolist()


def test_an_index_with_a_map_goes_the_long_way(tmp_path):
    index = built(tmp_path / "i", map="pca")
    assert bound(index, PLAN) is None
    assert index.search(QUERIES[0], plan=PLAN).counts.tolist() == [10]


def test_many_queries_and_tables_go_the_long_way(tmp_path, index):
    together = index.search(QUERIES, plan=PLAN)
    assert together.ids.tolist() == [index.search(query, plan=PLAN).ids.tolist() for query in QUERIES]
    with Table.create(tmp_path / "t", made.card(16)) as writer:
        writer.add(QUERIES[:1], np.arange(1))
    assert index.search(Table.open(tmp_path / "t"), plan=PLAN).ids.tolist() == together.ids[:1].tolist()
    assert index.search(index.prepare(QUERIES), plan=PLAN).ids.tolist() == together.ids.tolist()


def unusual(value):
    query = QUERIES[0].astype(np.float64)
    query[3] = value
    return query


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1e300, 1e20, 1e13])
def test_numbers_that_are_not_usual_give_what_the_long_way_gives(tmp_path, metric, value):
    index, query = built(tmp_path / "i", metric=metric), unusual(value)
    assert bound(index, PLAN).search(query) is None
    check_both(index, query)


@pytest.mark.parametrize(
    "query",
    [
        np.zeros(16, np.float32),
        np.full(16, 1e-20, np.float32),
        np.ones((16, 1), np.float32),
        np.ones((1, 1, 16), np.float32),
        np.ones((2, 8), np.float32),
        np.ones(16, np.int64),
        np.ones(16, bool),
        np.ones(16, np.complex64),
        np.ones(15, np.float32),
        np.ones((0, 16), np.float32),
        np.ma.ones(16),
    ],
    ids=lambda query: f"{query.dtype}{query.shape}",
)
def test_queries_that_are_not_usual_give_what_the_long_way_gives(index, query):
    assert bound(index, PLAN).search(query) is None
    check_both(index, query)


def check_both(index, query):
    """Fail unless a query alone and as one of a list end in the same way."""
    said = []
    for each in (query, np.asarray(query).tolist() if query.size else query):
        try:
            found = index.search(each, plan=PLAN)
            said.append((found.ids.tolist(), found.scores.tolist(), found.counts.tolist()))
        except (InputError, CardError) as error:
            said.append(re.sub(r"(float|complex)\d+", r"\1", str(error)))
    assert said[0] == said[1]


def test_plans_that_the_index_cannot_run_are_refused_each_time(index):
    for _ in range(2):
        with pytest.raises(InputError, match="has no engine 8/hnsw"):
            index.search(QUERIES[0], plan="8:40/hnsw,16:10")
        with pytest.raises(NestingError, match="cut at 8,16, not at 12"):
            index.search(QUERIES[0], plan=f"8:40/{TEXT},12:10")
        with pytest.raises(InputError, match="cannot give k = 50 results"):
            index.search(QUERIES[0], 50, plan=PLAN)
        with pytest.raises(InputError, match="k must be an integer of at least 1, got 0"):
            index.search(QUERIES[0], 0, plan=PLAN)


def test_as_many_plans_as_you_like(index):
    """Only some stay bound."""
    plans = [f"8:{keep}/{TEXT},16:10" for keep in range(10, 90)]
    for plan in (*plans, *plans[:3]):
        index.search(QUERIES[0], plan=plan)
    assert 0 < len(index.snapshot.quick) <= 64

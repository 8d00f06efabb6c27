"""What a search refuses, and the shapes and order of what it gives."""

import re
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from mrl import Card, Nesting
from mrl.errors import CardError, InputError, NestingError
from mrl.retrieval import Index, Plan, Rows
from mrl.vectors import Table
from retrieval import made

WIDTH, CUTS = 16, (4, 8, 16)
QUERY = made.random(1, WIDTH, 9)[0]


@pytest.fixture(scope="module")
def index(tmp_path_factory):
    payload = pa.table({"price": np.arange(60) % 10})
    return made.index(tmp_path_factory.mktemp("s") / "i", made.random(60, WIDTH), CUTS, payload=payload, blocks=2)


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    return made.index(tmp_path_factory.mktemp("m") / "i", made.random(60, WIDTH), CUTS, map="pca")


def with_(value):
    queries = made.random(3, WIDTH, 9)
    queries[1, 5] = value
    return queries


# ------------------------------------------------------------------------------------------------- refused


@pytest.mark.parametrize("how", [{}, {"plan": "4:20,16:10"}])
@pytest.mark.parametrize(
    ("queries", "text"),
    [
        (with_(np.nan), "query 1 has a NaN or an Inf (1 in all are such); leave these out"),
        (with_(-np.inf), "query 1 has a NaN or an Inf"),
        (with_(1e20), "query 1 has length 1.0e+20; float32 products hold lengths from 1e-15 to 1e+15: rescale"),
        (with_(1.0) * np.float32(1e-25), "query 0 has length"),
        (np.ones((2, WIDTH), np.int64),
         "queries must be a float matrix (q, width) or one vector (width,), got int64 of shape"),
        (np.ones((2, WIDTH), complex), "got complex128 of shape (2, 16)"),
        (np.ones((1, 2, WIDTH), np.float32), "got float32 of shape (1, 2, 16)"),
        (np.float32(3), "got float32 of shape ()"),
        (["a", "b"], "got <U1 of shape (1, 2)"),
    ],
)  # fmt: skip
def test_queries_that_mean_nothing_are_refused(index, how, queries, text):
    with pytest.raises(InputError, match=re.escape(text).replace("querys", r"\w+")):
        index.search(queries, 3, **how)


@pytest.mark.parametrize("shape", [(15,), (17,), (2, 8), (0,), (2, 0)])
def test_queries_of_another_width_are_refused(index, shape):
    with pytest.raises(CardError, match=r"model has vectors of width 16, got shape .*; embed them with the same model"):
        index.search(np.ones(shape, np.float32), 3)


@pytest.mark.parametrize("k", [0, -1, 2.0, 2.5, "3", None, True, np.float64(3), [3]])
@pytest.mark.parametrize("plan", [None, "4:20,16:10"])
def test_k_that_is_no_count_is_refused(index, k, plan):
    with pytest.raises(InputError, match=re.escape(f"k must be an integer of at least 1, got {k!r}")):
        index.search(QUERY, k, plan=plan)


def test_k_may_be_any_integer(index):
    assert len(index.search(QUERY, np.int32(3)).ids) == len(index.search(QUERY, np.uint8(3), plan="16:1").ids) == 3


@pytest.mark.parametrize(
    ("plan", "error", "text"),
    [
        ("4:20,12:10", NestingError,
         "this index is cut at 4,8,16, not at 12; search at one of these dims, "
         "or make a copy that has the cut: mrl index relayout INDEX --out NEW --cuts 4,8,12,16"),
        ("4:20,32:10", NestingError, "this index is cut at 4,8,16, not at 32"),
        ("4:20@int8,16:10", InputError,
         "segment 0-4 of this index is stored as float32, not as int8; use one of these, "
         "or make a copy that has it: mrl index relayout INDEX --out NEW --beside int8"),
        ("pca:abcdef012345,4:20", CardError, "the plan is for vectors mapped by pca:abcdef012345, "),
        ("4:2,16:1", InputError, "4:2 → 16:1 cannot give k = 3 results: its last stage gets 2 candidates"),
        ("4:20/hnsw,16:10", InputError, "has no engine 4/hnsw"),
        ("four", InputError, "cannot read a stage from 'four'"),
    ],
)  # fmt: skip
def test_plans_that_the_index_cannot_run_are_refused(index, plan, error, text):
    with pytest.raises(error, match=re.escape(text)):
        index.search(QUERY, 3, plan=plan)


def test_a_plan_of_another_map_is_refused_and_its_own_is_run(index, mapped):
    plan = f"{mapped.snapshot.map},4:20,16:10"
    assert mapped.search(QUERY, 3, plan=plan).ids.tolist() == mapped.search(QUERY, 3, plan="4:20,16:10").ids.tolist()
    with pytest.raises(
        CardError, match=r"is for vectors mapped by pca:\w+, .* has no map; search with a plan for this index"
    ):
        index.search(QUERY, 3, plan=plan)
    with pytest.raises(CardError, match=rf"mapped by pca:abcdef012345, .* has {mapped.snapshot.map};"):
        mapped.search(QUERY, 3, plan="pca:abcdef012345,4:20")


@pytest.mark.parametrize("plan", ["4:20,16:10", Plan.parse("4:20,16:10")])
def test_exact_search_takes_no_plan(index, plan):
    message = "a search is exact, by a plan, or by need, got exact, plan; leave all but one out"
    with pytest.raises(InputError, match=message):
        index.search(QUERY, 3, plan=plan, exact=True)
    assert index.search(QUERY, 3, exact=True).plan == "exact"


@pytest.mark.parametrize("plan", [None, "4:20,16:10"])
def test_filters_on_columns_that_are_not_there_are_refused(index, plan):
    with pytest.raises(InputError, match=r"colour.*price"):
        index.search(QUERY, 3, plan=plan, where="colour == 'red'")


# ------------------------------------------------------------------------------------------------- queries of a table


def table(path, vectors, card):
    with Table.create(path, card) as writer:
        writer.add(vectors, np.arange(len(vectors)))
    return Table.open(path)


def test_queries_may_be_a_table_of_the_same_model(tmp_path, index):
    queries = made.random(4, WIDTH, 9)
    found = index.search(table(tmp_path / "t", queries, index.card), 3)
    assert (found.ids == index.search(queries, 3).ids).all()


OTHER = Card("other", WIDTH, Nesting((WIDTH,)))


@pytest.mark.parametrize(
    ("card", "what"),
    [
        (replace(OTHER, fingerprint="f00"), "fingerprint is  in one (model) and f00 in the other (other)"),
        (replace(OTHER, metric="dot"), "metric is cosine in one (model) and dot in the other (other)"),
        (replace(OTHER, nesting=Nesting((8, WIDTH))), "nesting is 16 in one (model) and 8,16 in the other (other)"),
        (replace(OTHER, maps=("pca:abcdef012345",)), "maps is"),
    ],
)
def test_a_table_of_another_model_is_refused(tmp_path, index, card, what):
    queries = table(tmp_path / "t", made.random(2, WIDTH), card)
    remedy = "(embed both with the same model|map both with the same map)"
    with pytest.raises(CardError, match=f"{re.escape(what)}.*{remedy}"):
        index.search(queries, 3)


def test_a_table_that_went_through_the_map_is_not_mapped_again(tmp_path, mapped):
    queries = made.random(4, WIDTH, 9)
    raw = table(tmp_path / "raw", queries, mapped.snapshot.raw_card())
    turned = table(tmp_path / "turned", mapped.snapshot.map.apply(queries), mapped.card)
    right = mapped.search(queries, 5)
    for asked in (raw, turned):
        found = mapped.search(asked, 5)
        assert (found.ids == right.ids).all()
        np.testing.assert_allclose(found.scores, right.scores, atol=1e-6)


# ------------------------------------------------------------------------------------------------- shapes and order


@pytest.mark.parametrize(
    "how", [{}, {"plan": "4:20,16:10"}, {"where": "price < 3"}, {"plan": "4:60", "where": "price < 3"}]
)
def test_one_vector_gives_the_row_of_its_matrix(index, how):
    many, one = index.search(QUERY[None], 5, **how), index.search(QUERY, 5, **how)
    assert (many.ids.shape, many.scores.shape) == ((1, 5), (1, 5))
    assert (one.ids.shape, one.scores.shape) == ((5,), (5,))
    assert (one.ids == many.ids[0]).all()
    assert (one.scores == many.scores[0]).all()
    assert one.counts.tolist() == many.counts.tolist() == [5]
    assert one.ids.dtype == many.ids.dtype == np.int64


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_any_float_type_and_memory_order_is_taken(index, dtype):
    queries = made.random(3, WIDTH, 9).astype(np.float16)
    right = index.search(queries.astype(np.float32), 5)
    for asked in (queries.astype(dtype), np.asfortranarray(queries.astype(dtype)), queries.astype(dtype)[::-1][::-1]):
        for plan in (None, "16:5"):
            assert (index.search(asked, 5, plan=plan).ids == right.ids).all()


def test_lists_are_taken_as_arrays(index):
    right = index.search(QUERY, 5)
    one, many = index.search(QUERY.tolist(), 5), index.search([QUERY.tolist()], 5)
    assert one.ids.tolist() == right.ids.tolist()
    assert many.ids.tolist() == [right.ids.tolist()]


def test_what_is_missing_is_padded_for_many_and_left_out_for_one(index):
    for how, count in [({"where": "price == 3"}, 6), ({"where": "price > 99"}, 0)]:
        for plan in (None, "4:60,16:20"):
            found = index.search(np.stack([QUERY, -QUERY]), 9, plan=plan, **how)
            assert (found.ids.shape, found.scores.shape, found.counts.tolist()) == ((2, 9), (2, 9), [count, count])
            assert (found.ids[:, count:] == -1).all()
            assert (found.scores[:, count:] == -np.inf).all()
            assert (found.ids[:, :count] % 10 == 3).all()
            one = index.search(QUERY, 9, plan=plan, **how)
            assert one.ids.tolist() == found.ids[0, :count].tolist()


def test_missing_ids_of_strings_are_empty(tmp_path):
    index = made.index(tmp_path / "i", made.random(2, WIDTH), CUTS, ids=["first", "second"])
    for plan in (None, "4:5,16:5"):
        assert index.search(QUERY[None], 4, plan=plan, where="id == 'first'").ids.tolist() == [["first", ""]]
        assert index.search(QUERY, 4, plan=plan, where="id == 'none'").ids.tolist() == []


def test_there_is_no_room_for_more_results_than_rows(index):
    for plan in (None, "4:60,16:20"):
        assert index.search(QUERY[None], 10**12, plan=None if plan is None else "16:1").ids.shape == (1, index.rows)


@pytest.mark.parametrize("plan", [None, "4:200,16:10", f"8:{10**12}"])
def test_an_empty_index_answers_with_nothing(tmp_path, plan, metric):
    index = Index.build(tmp_path / "i", Rows.of(np.empty((0, WIDTH), np.float32), made.card(WIDTH, metric)),
                        made.BuildSpec(made.layout(CUTS, beside={"int8": 16, "1bit": 16})))  # fmt: skip
    found = index.search(made.random(2, WIDTH), 3, plan=plan)
    assert found.ids.tolist() == found.scores.tolist() == [[], []]
    assert found.counts.tolist() == [0, 0]
    one = index.search(QUERY, 3, plan=plan)
    assert (one.ids.shape, one.counts.tolist()) == ((0,), [0])


@pytest.mark.parametrize("strings", [False, True])
@pytest.mark.parametrize("plan", [None, "8:60", "4:60,16:60", "8:60@int8,16:60"])
@pytest.mark.parametrize("queries", [1, 6])
def test_equal_scores_come_in_order_of_ids(tmp_path, metric, plan, queries, strings):
    ids = np.random.default_rng(0).permutation(60)
    names = np.array([f"n{i}" for i in ids]) if strings else ids
    index = made.index(
        tmp_path / "i", made.duplicated(60, WIDTH), CUTS, metric, ids=names, beside={"int8": 8}, blocks=3
    )
    found = index.search(made.random(queries, WIDTH, 1), 60, plan=plan)
    for q in range(queries):
        pairs = list(zip(-found.scores[q], found.ids[q].tolist(), strict=True))
        assert pairs == sorted(pairs)


def test_results_say_what_was_done(index):
    found = index.search(made.random(3, WIDTH), 5, plan="4:20,16:10")
    assert (found.metric, found.dim, found.plan, found.stage) == ("cosine", 16, "4:20 → 16:5", "16:5")
    assert [work.stage for work in found.work] == ["4:20", "16:5"]
    assert all(work.seconds >= 0 for work in found.work)
    head, *lines = found.explain().splitlines()
    assert head.split() == ["stage", "candidates", "MB", "read", "ms"]
    assert [line.split()[:2] for line in lines] == [["4:20", "180"], ["16:5", "60"]]
    exact = index.search(made.random(3, WIDTH), 5)
    assert [work.stage for work in exact.work] == ["exact 0-4", "exact 4-8", "exact 8-16"]
    assert (exact.dim, exact.plan, exact.work[0].candidates) == (16, "exact", 180)


def test_a_search_changes_neither_its_queries_nor_its_plan(index):
    queries, plan = made.random(3, WIDTH), Plan.parse("4:20,16:10")
    before = queries.copy()
    index.search(queries, 5, plan=plan)
    index.search(queries, 5)
    assert (queries == before).all()
    assert str(plan) == "4:20 → 16:10"

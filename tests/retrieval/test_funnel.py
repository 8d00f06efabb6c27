"""Plans equal a slow twin that scores every stage anew from dim 0, in float64."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from mrl import Nesting
from mrl.errors import InputError
from mrl.retrieval import BuildSpec, Index, Layout, Plan, Rows, Stage
from mrl.retrieval.encodings import BITS, ENCODINGS
from retrieval import made

KINDS = ("random", "zeros", "duplicates", "near duplicates", "uneven", "offset 1e3", "all equal")


@st.composite
def layouts(draw):
    """Any cuts of at most 12 dims, any reference for each segment, any coarser encodings beside it."""
    width = draw(st.integers(1, 12))
    cuts = sorted(draw(st.sets(st.integers(1, width), max_size=3)) | {width})
    reference = tuple(draw(st.sampled_from(["float32", "float32", "float16"])) for _ in cuts)
    beside = tuple(
        tuple(sorted(draw(st.sets(st.sampled_from([name for name in ENCODINGS if BITS[name] < BITS[record]])))))
        for record in reference
    )
    return Layout(Nesting(tuple(cuts)), reference, beside)


@st.composite
def plans(draw, layout):
    """One to four stages that this layout can run."""
    stages = []
    for dim in sorted(draw(st.lists(st.sampled_from(layout.cuts.dims), min_size=1, max_size=4))):
        encoding = draw(st.sampled_from(["reference", "reference", *ENCODINGS]))
        most = stages[-1].keep if stages else 40
        try:
            layout.reading(dim, encoding)
            made_so_far = Plan((*stages, Stage(dim, draw(st.integers(1, most)), encoding)))
        except InputError:
            continue
        stages = list(made_so_far.stages)
    assume(stages)
    return Plan(tuple(stages))


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_plan_on_any_index_equals_its_twin(tmp_path_factory, data):
    layout, metric = data.draw(layouts(), "layout"), data.draw(st.sampled_from(made.METRICS), "metric")
    n, kind = data.draw(st.integers(1, 60), "n"), data.draw(st.sampled_from(KINDS), "kind")
    rows = made.HOSTILE[kind](n, layout.cuts.width, data.draw(st.integers(0, 9), "seed"))
    payload = pa.table({"price": np.arange(n) % 7})
    path, spec = tmp_path_factory.mktemp("any") / "i", BuildSpec(layout)
    half = data.draw(st.integers(1, n), "first block")
    card = made.card(layout.cuts.width, metric)
    index = Index.build(path, Rows.of(rows[:half], card, None, payload[:half]), spec)
    if half < n:
        index.add(rows[half:], payload=payload[half:])
    gone = data.draw(st.sets(st.integers(0, n - 1), max_size=5), "deleted")
    if gone:
        index.delete(sorted(gone))
    most = data.draw(st.sampled_from([7, 7, 3, 0]), "price below")
    allowed = (np.arange(n) % 7 < most) & ~np.isin(np.arange(n), list(gone))
    queries = made.random(data.draw(st.sampled_from([1, 3, 6]), "queries"), layout.cuts.width, 99)
    plan = data.draw(plans(layout), "plan")
    where = None if most == 7 else f"price < {most}"
    found = index.search(queries, plan.stages[-1].keep, plan=plan, where=where)
    twin = made.run(index.snapshot, plan, queries, allowed)
    made.check_planned(found, twin, np.arange(n))
    check_work(found, index, plan, len(queries), allowed)


def check_work(found, index, plan, queries, allowed):
    """Candidates and bytes are those that the plan says beforehand, as far as it can know."""
    layout = index.snapshot.layout
    ends = dict(zip(layout.cuts.dims, layout.reference, strict=True))
    assert [work.stage for work in found.work] == list(map(str, plan.stages))
    blocks = [allowed[block.first : block.first + block.rows] for block in index.snapshot.blocks]
    read = sum(int(some.sum()) if 16 * some.sum() < len(some) else len(some) for some in blocks)
    there = [read, *(min(int(allowed.sum()), stage.keep) for stage in plan.stages)]
    for work, cost, candidates in zip(found.work, plan.cost(index.snapshot.positions, ends), there, strict=False):
        assert work.candidates == queries * candidates
        assert work.bytes == work.candidates * cost.bytes_each


# ------------------------------------------------------------------------------------------------- the paper's plans


@pytest.fixture(scope="module", params=made.METRICS)
def index(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("paper") / "i"
    return made.index(path, made.random(3000, 64), (4, 8, 16, 32, 64), request.param, beside={"int8": 8}, blocks=2)


QUERIES = made.random(7, 64, 1)


def test_adaptive_retrieval_reranks_a_shortlist(index):
    """A shortlist of 200 at one dim, of these the best 10 at another (§4.3.1)."""
    plan = Plan.adaptive(8, 64, keep=200, k=10)
    found = index.search(QUERIES, 10, plan=plan)
    made.check_planned(found, made.run(index.snapshot, plan, QUERIES), np.arange(3000))
    rows = index.snapshot.vectors_at(np.arange(3000)).astype(float)
    for q in range(7):
        narrow = made.scores(rows[:, :8], QUERIES[q : q + 1, :8], index.card.metric)[0]
        shortlist = np.argsort(-narrow, kind="stable")[:200]
        wide = made.scores(rows[shortlist], QUERIES[q : q + 1], index.card.metric)[0]
        assert found.ids[q].tolist() == shortlist[np.argsort(-wide, kind="stable")[:10]].tolist()


def test_the_funnel_halves_its_lists(index):
    plan = Plan.funnel(4, dims=(8, 16, 32, 64), lists=(200, 100, 50, 25), k=10)
    found = index.search(QUERIES, 10, plan=plan)
    made.check_planned(found, made.run(index.snapshot, plan, QUERIES), np.arange(3000))
    assert [work.candidates for work in found.work] == [7 * n for n in (3000, 200, 100, 50, 25)]
    assert found.plan == "4:200 → 8:100 → 16:50 → 32:25 → 64:10"


def test_no_dimension_is_read_twice(index):
    """Each stage reads of its candidates what lies between its cut and the one before, and a length of 4 bytes."""
    plan = Plan.funnel(4, dims=(8, 16, 32, 64), lists=(200, 100, 50, 25), k=10)
    found = index.search(QUERIES[0], 10, plan=plan)
    widths, counts = (4, 4, 8, 16, 32), (3000, 200, 100, 50, 25)
    assert [work.bytes for work in found.work] == [n * (4 * w + 4) for n, w in zip(counts, widths, strict=True)]
    assert [work.bytes for work in found.work] == [cost.bytes for cost in plan.cost(3000)]


def test_finer_codes_are_read_from_dim_0(index):
    """Scores of int8 codes are no part of exact ones: the stage after them starts anew."""
    found = index.search(QUERIES[0], 10, plan="8:100@int8,16:20,64:10")
    assert [work.bytes for work in found.work] == [3000 * (8 + 4), 100 * (16 * 4 + 4), 20 * (48 * 4 + 4)]


def test_a_funnel_that_keeps_all_is_the_search_at_the_last_dim(index):
    funnel = index.search(QUERIES, 10, plan="4:3000,16:3000,64:10")
    single, exact = index.search(QUERIES, 10, plan="64:10"), index.search(QUERIES, 10)
    np.testing.assert_allclose(funnel.scores, single.scores, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(single.scores, exact.scores, rtol=1e-5, atol=1e-5)
    assert (single.ids == exact.ids).all()
    assert (funnel.ids == exact.ids).all()


def test_a_query_alone_and_among_others_finds_the_same(index):
    for plan in ("4:200,64:10", "8:50@int8,64:10", "16:10"):
        many = index.search(QUERIES, 10, plan=plan)
        for q in range(7):
            one = index.search(QUERIES[q], 10, plan=plan)
            assert one.ids.tolist() == many.ids[q].tolist()
            np.testing.assert_allclose(one.scores, many.scores[q], rtol=1e-5, atol=1e-5)


def test_k_is_the_last_stages_keep(index):
    found = index.search(QUERIES, 3, plan="4:200,64:10")
    assert found.ids.tolist() == index.search(QUERIES, 10, plan="4:200,64:10").ids[:, :3].tolist()
    assert found.plan == "4:200 → 64:3"


def test_a_stage_may_keep_more_rows_than_there_are(index):
    plan = f"4:{10**12},64:10"
    assert (index.search(QUERIES, 10, plan=plan).ids == index.search(QUERIES, 10).ids).all()


def test_a_map_is_applied_to_queries_once(tmp_path, metric):
    rows = made.random(500, 16)
    index = made.index(tmp_path / "i", rows, (4, 16), metric, map="pca", blocks=2)
    queries = made.random(20, 16, 1)
    plan = Plan.parse(f"{index.snapshot.map},4:40,16:10")
    turned = index.snapshot.map.apply64(queries)
    for asked, wide in [(queries, turned), (queries[:5], turned[:5])]:
        found = index.search(asked, 10, plan=plan)
        made.check_planned(found, made.run(index.snapshot, plan, wide), np.arange(500))
    assert (
        index.search(queries, 10, plan="4:40,16:10").ids.tolist() == index.search(queries, 10, plan=plan).ids.tolist()
    )

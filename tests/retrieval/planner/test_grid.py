"""The full grid: everything in it can be built, asked and written down."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl.retrieval.engine import HNSW, IVF, RaBitQ, of_build
from mrl.retrieval.plan import Plan
from mrl.retrieval.planner import Terms, grid
from mrl.retrieval.planner.exploring import Explorer
from mrl.retrieval.planner.grid import Way
from mrl.retrieval.planner.material import material
from mrl.retrieval.planner.trial import Bench
from mrl.retrieval.proposers import built
from retrieval.planner.rows import clustered, held

WIDTHS = st.integers(1, 4096)
ROWS = clustered(2000, 16)


def engines(rows):
    """All that may be built over so many rows."""
    graphs = [HNSW(16, 40, codes="int8")]
    for change in grid.CHANGES:
        graphs += [replace(graph, **change) for graph in graphs]
    return [*graphs, *(IVF(lists, codes=codes) for lists in grid.lists(rows) for codes in grid.CODES), RaBitQ()]


@settings(max_examples=60)
@given(st.integers(1, 10**7), WIDTHS, st.integers(1, 600))
def test_every_plan_of_the_grid_is_one(rows, width, k):
    k = min(k, rows)
    for engine in engines(rows)[-8:]:
        way = Way(width > 1, grid.dims(width)[-1], engine)
        for asked in grid.asked(engine, rows, k):
            assert of_build(asked) == of_build(engine)
            longest = grid.longest(asked, rows, k)
            for keep in grid.keeps(longest, k)[:2]:
                assert k <= keep <= min(longest, rows)
                for chain in grid.CHAINS:
                    plan = grid.plan_of(way, asked, keep, chain, (width, k, "pca:ab12cd34ef56"))
                    assert Plan.parse(str(plan)) == plan == Plan.from_json(plan.to_json())
                    assert plan.at_k(k) == plan
                    assert plan.stages[-1].dim == width
                    assert plan.map == ("pca:ab12cd34ef56" if way.mapped else "")


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 10, 33])
def test_every_engine_can_be_built_over_few_rows(rows):
    vectors = np.random.default_rng(0).standard_normal((rows, 6)).astype(np.float32)
    for engine in engines(rows):
        assert built(engine, vectors, "cosine", 1).ntotal == rows


@given(WIDTHS)
def test_prefixes_that_are_tried_lie_below_the_width_or_are_it(width):
    dims = grid.dims(width)
    assert list(dims) == sorted(set(dims))
    assert all(2 * dim <= width for dim in dims) or dims == (width,)


def test_knobs_come_cheapest_first():
    assert [each.ef for each in grid.asked(HNSW(), 1000, 30)] == [32, 40, 48, 56, 64, 80, 96, 128, 192, 256, 384]
    assert [each.ef for each in grid.asked(HNSW(), 40, 10)] == [10, 16, 20, 24, 28, 32, 40]
    assert [each.probes for each in grid.asked(IVF(8), 1000, 10)] == [1, 2, 4, 8]
    assert grid.keeps(32, 10) == (10, 12, 14, 16, 18, 20, 22, 25, 28, 32)
    assert grid.keeps(300, 17)[:3] == (17, 18, 20)
    assert grid.keeps(16, 17) == ()


def test_many_results_have_longer_lists():
    assert [each.ef for each in grid.asked(HNSW(), 10_000, 350)] == [384, 512, 768, 1024, 1536]
    assert grid.keeps(1536, 350) == (350, 400, 600, 800, 1200)
    for k in (10, 75, 76, 300, 384, 385, 1000, 5000):
        assert grid.ladder(grid.KEEPS, k)[: len(grid.KEEPS)] == grid.KEEPS
        assert grid.longest(RaBitQ(), 10**6, k) >= 4 * k
        assert max(each.ef for each in grid.asked(HNSW(), 10**6, k)) >= 4 * k
        assert grid.keeps(grid.longest(IVF(8), 10**6, k), k)[-1] >= 4 * k
    assert grid.longest(RaBitQ(), 500, 400) == 500
    assert grid.longest(RaBitQ(), 500, 10) == 300


def test_plans_are_measured_for_many_results():
    terms = Terms(k=400, recall=0.9)
    known = Explorer(Bench.of(material(held(ROWS), held(ROWS[:60] + 0.01), terms), None), terms, np.arange(60), str)
    known.look(way := Way(False, 8, HNSW(16, 40)))
    keeps = {each.keep for each in known.candidates[way]}
    assert {400, 600} <= keeps
    assert max(known.quality(each) for each in known.candidates[way]) > 0.7


def test_memory_is_near_that_of_the_files():
    """Within a fifth, where there are enough rows for what an engine has once."""
    import faiss

    vectors = np.random.default_rng(0).standard_normal((4000, 48)).astype(np.float32)
    for engine in engines(4000):
        size = len(faiss.serialize_index(built(engine, vectors, "dot", 1)))
        assert 0.8 <= grid.engine_bytes(Way(False, 48, engine), 4000, 96) / size <= 1.25, engine
    assert grid.chain_bytes(("int8", "float32"), 1000, 100) == 1000 * (100 + 400 + 12)

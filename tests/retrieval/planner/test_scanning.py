"""Scans of codes among the plans: what is said of them is what an index finds, and they need no engine."""

import numpy as np
import pytest

from mrl.retrieval import Index, Plan, Rows, threads
from mrl.retrieval.building import BuildSpec
from mrl.retrieval.engine import HNSW, Scan
from mrl.retrieval.plan import REFERENCE
from mrl.retrieval.planner import Recall, Terms, Truth, grid, plan
from mrl.retrieval.planner.draft import layout_of, reads
from mrl.retrieval.planner.exploring import Explorer
from mrl.retrieval.planner.final import Run
from mrl.retrieval.planner.grid import Way
from mrl.retrieval.planner.material import material
from mrl.retrieval.planner.trial import Bench, Trial
from retrieval.planner.rows import card, clustered, held

ROWS, QUERIES, FRESH = clustered(1500, 32), clustered(300, 32, seed=1), clustered(600, 32, seed=2)
EVERY = np.arange(300)


def bench(metric="cosine", dims=(16,), rows=ROWS):
    return Bench.of(material(held(rows, metric, dims=dims), held(QUERIES, metric, dims=dims), Terms(k=5)), None)


@pytest.mark.parametrize("way", list(grid.scans(32, (16,))), ids=str)
def test_scans_are_worth_what_an_index_finds(tmp_path, metric, way):
    """More than a chunk of rows, which share their scales."""
    rows = clustered(4500, 32)
    trial = Trial.of(bench(metric, rows=rows), way)
    candidates = list(trial.candidates(EVERY))
    layout = layout_of([each.plan for each in candidates], 32)
    index = Index.build(tmp_path / "i", Rows.of(rows, card(32, metric, (16,))), BuildSpec(layout))
    chains = {each.chain: each for each in candidates if each.keep <= 12}
    assert set(chains) == set(grid.chains(way, 32))
    for candidate in chains.values():
        assert Plan.parse(str(candidate.plan)) == candidate.plan
        found = index.search(QUERIES, 5, plan=candidate.plan)
        np.testing.assert_allclose(trial.bench.material.worth.values(found.ids, EVERY), candidate.values, atol=0.21)
        assert abs(trial.bench.material.worth.values(found.ids, EVERY).mean() - candidate.values.mean()) < 0.002
        run = Run(candidate, trial)
        assert np.mean(run.found(QUERIES) == found.ids) > 0.95  # bits have many equals
        single = run.pipeline.run(QUERIES[:1])[0]
        assert np.mean(single == found.ids[:1]) >= 0.6
        assert min(*run.timed(), candidate.ms, candidate.seconds) > 0


def test_only_scans_that_see_more_follow():
    of = {str(way): grid.chains(way, 64) for way in grid.scans(64, (8, 32, 64))}
    assert list(of) == [*(f"a scan of 64@{name}" for name in grid.SCANNED),
                        *(f"a scan of 32@{name}" for name in grid.SCANNED), "a scan of 32"]  # fmt: skip
    assert of["a scan of 64@int8"] == ((), ("float32",), ("int12",))
    assert of["a scan of 64@int12"] == of["a scan of 64@float16"] == of["a scan of 32"] == ((), ("float32",))
    assert of["a scan of 32@int8"] == ((), *grid.CHAINS) == of["a scan of 64@1bit"]
    for way in grid.scans(64, (32,)):
        for chain in grid.chains(way, 64):
            whole = grid.plan_of(way, way.engine, 20, chain, (64, 10, ""))
            assert Plan.from_json(whole.to_json()) == whole
            assert whole.map == ""


def test_bytes_are_those_that_are_read():
    full, prefix = Way(False, 64, Scan(), "int8"), Way(False, 32, Scan(), "1bit")
    assert grid.plan_bytes(full, (), 100, 64) == 100 * (64 + 12)
    assert grid.plan_bytes(full, ("int12",), 100, 64) == 100 * (64 + 96 + 12)
    assert grid.plan_bytes(prefix, ("int8",), 100, 64) == 100 * (4 + 64 + 12 + 4)
    assert grid.plan_bytes(Way(False, 32, Scan(), "int8"), ("int8",), 100, 64) == 100 * (64 + 12 + 4)
    assert grid.plan_bytes(Way(False, 32, Scan(), REFERENCE), ("float32",), 100, 64) == 100 * (256 + 12 + 4)


@pytest.fixture(scope="module")
def draft():
    return plan(held(ROWS), held(QUERIES), Terms(recall=0.9, objective="bytes"))


def test_a_scan_of_codes_is_picked_where_memory_is_to_be_little(draft, tmp_path):
    """No engine beside the vectors' codes, which are enough by themselves."""
    pick = draft.planned.picked
    assert str(pick.plan) == "32:10@int8"
    assert pick.bytes == 1500 * (32 + 12)
    engines = [each for each in draft.planned.points if each.plan and not isinstance(each.plan.stages[0].engine, Scan)]
    assert all(pick.bytes < each.bytes and not each.ready for each in engines)
    assert (draft.made, draft.turn) == (None, None)
    index = draft.build(tmp_path / "i", Rows.of(ROWS, card(32)))
    assert index.snapshot.contents.engines == ()
    found = index.search(FRESH, recall=0.9)
    assert found.plan == "32:10@int8"
    assert Recall.of(Truth.of(FRESH, ROWS, 10, "cosine")).values(found.ids, np.arange(600)).mean() >= 0.9
    for point in index.planned.points:
        if point.ready:
            assert index.search(FRESH[0], 10, plan=point.plan).ids.shape == (10,)
    assert index.verify() == []


def test_prefixes_that_were_trained_need_a_cut_and_are_ready(tmp_path):
    """All that matters is in the first half: the rest is left out where it was trained that way."""
    rows, queries = (np.concatenate([each[:, :16], each[:, 16:] * 1e-3], 1) for each in (ROWS, QUERIES))
    terms = Terms(recall=0.9, objective="bytes")
    draft = plan(held(rows, dims=(16,)), held(queries, dims=(16,)), terms)
    assert str(draft.planned.picked.plan) == "16:10@int8"
    layout = draft.layout(32)
    assert layout.cuts.dims == (16, 32)
    assert "int8" in layout.encodings(0)
    index = draft.build(tmp_path / "i", Rows.of(rows, card(32, dims=(16,))))
    assert index.search(queries, recall=0.9).plan == "16:10@int8"


def test_every_objective_tries_them_unless_they_must_cost_far_more():
    for objective in ("latency", "bytes", "throughput"):
        terms = Terms(recall=0.9, objective=objective)
        known = Explorer(Bench.of(material(held(ROWS), held(QUERIES), terms), None), terms, EVERY[:40], str)
        best = known.scanned(Way(False, 32, HNSW(16, 40)))
        assert {way.encoding for way in known.trials if way.scans} == set(grid.SCANNED)
        assert best.scans or objective != "bytes"


def test_a_scan_of_many_rows_is_not_tried_where_an_engine_is_fast():
    terms, said = Terms(recall=0.5), []
    known = Explorer(Bench.of(material(held(ROWS), held(QUERIES), terms), None), terms, EVERY[:40], said.append)
    known.best(way := Way(False, 32, HNSW(16, 40)))
    known.bench.memory.vectors = np.broadcast_to(ROWS[:1], (10**9, 32))
    assert known.scanned(way) == way
    assert said == [str(way)]


def test_rows_beyond_float16_are_not_scanned_as_such():
    terms = Terms(recall=0.9, objective="bytes")
    found = material(held(ROWS * np.float32(1e6)), held(QUERIES), terms)
    known = Explorer(Bench.of(found, None), terms, EVERY[:40], str)
    known.scanned(Way(False, 32, HNSW(16, 40)))
    assert {way.encoding for way in known.trials if way.scans} == {"1bit", "int8", "int12"}


def test_a_store_reads_what_it_holds():
    layout = layout_of([Plan.parse("16:20@int8,32:10")], 32)
    assert layout.cuts.dims == (16, 32)
    assert reads(layout, Plan.parse("16:10@int8"))
    assert not reads(layout, Plan.parse("32:10@int8"))
    assert not reads(layout, Plan.parse("8:10"))


def test_one_query_is_timed_on_one_thread():
    before = threads.count()
    with threads.alone():
        assert threads.count() == 1
        with threads.alone():
            assert threads.count() == 1
        assert threads.count() == 1
    assert threads.count() == before

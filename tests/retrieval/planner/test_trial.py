"""What a trial says of a plan is what running the plan gives."""

import numpy as np
import pytest

from mrl.retrieval import Rows
from mrl.retrieval.building import BuildSpec
from mrl.retrieval.engine import HNSW, IVF, RaBitQ, engine_text
from mrl.retrieval.index import Index
from mrl.retrieval.leading import fit_leading
from mrl.retrieval.planner import Terms, grid
from mrl.retrieval.planner.final import Run, measured
from mrl.retrieval.planner.grid import Way
from mrl.retrieval.planner.material import material
from mrl.retrieval.planner.memory import Memory
from mrl.retrieval.planner.trial import Bench, Trial
from mrl.retrieval.rerank import Record
from retrieval import made
from retrieval.planner.rows import card, clustered, held

ROWS, QUERIES = clustered(900, 24), clustered(60, 24, seed=1)
TERMS = Terms(k=5, recall=0.9)
ENGINES = (HNSW(16, 40, codes="int8"), HNSW(16, 40), IVF(16, codes="int8"), IVF(16, codes="1bit"), RaBitQ())


def bench(metric="cosine", mapped=True):
    turn = fit_leading(ROWS, 12) if mapped else None
    return Bench.of(material(held(ROWS, metric), held(QUERIES, metric), TERMS), turn)


@pytest.mark.parametrize("engine", ENGINES, ids=engine_text)
@pytest.mark.parametrize("mapped", [True, False])
def test_candidates_are_worth_what_an_index_finds(tmp_path, metric, engine, mapped):
    """The engine that was tried is given to the index, and asked there as the plan says, one by one and together."""
    known, way = bench(metric, mapped), Way(mapped, 8, engine)
    trial = Trial.of(known, way)
    candidates = list(trial.candidates(np.arange(60)))
    layout = made.layout((24,) if mapped else (8, 24), beside={"int8": 24, "int12": 24})
    index = Index.build(tmp_path / "i", Rows.of(ROWS, card(24, metric)), BuildSpec(layout))
    index.add_engine(8, engine, known.turn, made=trial.proposer.index)
    for candidate in candidates[:: max(len(candidates) // 8, 1)]:
        found = index.search(QUERIES, 5, plan=candidate.plan)
        values = known.material.worth.values(found.ids, np.arange(60))
        np.testing.assert_allclose(values.mean(), candidate.values.mean(), atol=0.01)
        alone = np.stack([index.search(query, 5, plan=candidate.plan).ids for query in QUERIES[:10]])
        assert np.mean(alone == found.ids[:10]) >= 0.95
        final = Run(candidate, trial)
        np.testing.assert_allclose(final.values().mean(), values.mean(), atol=0.01)


def test_every_knob_every_list_and_every_chain_is_there_once():
    trial = Trial.of(bench(), Way(True, 8, IVF(16, codes="int8")))
    candidates = list(trial.candidates(np.arange(60)))
    assert len({each.plan for each in candidates}) == len(candidates)
    last = [each for each in candidates if each.engine.probes == candidates[-1].engine.probes]
    keeps = grid.keeps(max(each.keep for each in last), 5)
    short = [keep for keep in keeps if keep <= 10]  # too few for a stage between
    assert len(last) == len(keeps) * 5 - len(short) * 2
    assert all(each.ms > 0 and each.seconds > 0 and each.bytes > 0 for each in candidates)
    best = {each.engine.probes: each.values.mean() for each in candidates}
    assert max(best) < 16 or max(best.values()) > 0.99  # no wider search is tried than brings anything


def test_fewer_rows_than_are_asked_for():
    few = material(held(ROWS[:6]), held(QUERIES), TERMS)
    for engine in (ENGINES[0], *(IVF(lists, codes="int8") for lists in grid.lists(6)), RaBitQ()):
        trial = Trial.of(Bench.of(few, None), Way(False, 24, engine))
        candidates = list(trial.candidates(np.arange(60)))
        assert {each.keep for each in candidates} <= {5, 6}
        assert all(each.values.mean() >= 0.5 for each in candidates)


def test_what_is_left_is_measured_on_all_queries():
    trial = Trial.of(bench(), Way(True, 8, HNSW(16, 40, codes="int8")))
    tuned = list(trial.candidates(np.arange(10)))[:3]
    finals = measured([(each, trial) for each in tuned])
    assert [each.candidate for each in finals] == tuned
    for final in finals:
        assert final.values.shape == (60,)
        np.testing.assert_allclose(final.values[:10], final.candidate.values, atol=0.21)
        assert final.ms > 0
        assert final.qps > 0
        assert final.cost("bytes") == final.candidate.bytes
        assert final.cost("latency") == final.ms
        assert final.cost("throughput") == 1 / final.qps
    assert measured([]) == []


@pytest.mark.parametrize("encoding", ["float32", "float16", "int8", "int12"])
def test_rows_in_memory_lie_as_in_an_index(tmp_path, metric, encoding):
    """More than a chunk of them, which share their scales."""
    vectors = clustered(5000, 21)
    beside = {} if encoding == "float32" else {encoding: 21}
    snapshot = made.index(tmp_path / "i", vectors, (21,), metric, beside=beside).snapshot
    positions = np.random.default_rng(0).integers(0, 5000, (6, 40))
    one, other = Memory(vectors, metric).record(encoding), Record.of(snapshot, (encoding,))
    queries = clustered(6, 21, seed=2)
    mine, theirs = (each.reranked(metric, queries, positions, 12) for each in (one, other))
    assert mine.positions.tolist() == theirs.positions.tolist()
    assert mine.scores.tolist() == theirs.scores.tolist()

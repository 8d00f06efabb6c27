"""The way up the grid, against looking at all of it."""

import numpy as np
import pytest

from mrl.retrieval.engine import HNSW, IVF, RaBitQ
from mrl.retrieval.planner import Terms, grid
from mrl.retrieval.planner.exploring import FIRST, Explorer
from mrl.retrieval.planner.grid import Way
from mrl.retrieval.planner.material import material
from mrl.retrieval.planner.planning import explored, fitted_map, tuned
from mrl.retrieval.planner.trial import Bench
from retrieval.planner.rows import clustered, held

ROWS, QUERIES = clustered(1000, 64), clustered(200, 64, seed=1)
EVERY = np.arange(200)


def quiet(what):
    """Nobody is told."""


def explorer(terms, said=quiet, tune=EVERY):
    found = material(held(ROWS), held(QUERIES), terms)
    return Explorer(Bench.of(found, fitted_map(found)), terms, tune, said)


def test_an_engine_is_built_once():
    said = []
    known = explorer(Terms(recall=0.9), said.append)
    way = Way(True, 16, FIRST)
    assert known.best(way) == known.best(way)
    assert said == [str(way)] == ["16/hnsw+codes=int8+ef_construction=40+m=16 mapped"]


@pytest.mark.slow
def test_the_way_that_is_found_is_near_the_best_of_all_engines_and_dims():
    """By bytes, which are counted and not measured."""
    terms = Terms(recall=0.9, objective="bytes")
    known = explorer(terms)
    found = known.explore([True])
    tried = len(known.trials)
    graphs = [FIRST, HNSW(32, 40, codes="int8"), HNSW(16, 40)]
    lists = [IVF(count, codes=codes) for count in grid.lists(1000) for codes in grid.CODES]
    every = [Way(True, dim, engine) for dim in grid.dims(64) for engine in (*graphs, *lists, RaBitQ())]
    assert tried < len(every)
    short, cost = known.best(found)
    assert short == 0
    assert cost <= 1.15 * min(known.best(way) for way in every)[1]


def test_what_is_likely_has_room_for_chance():
    known = explorer(Terms(recall=0.9))
    known.look(Way(True, 16, FIRST))
    candidates = known.candidates[Way(True, 16, FIRST)]
    assert all(known.short(each) > 0 for each in candidates if each.values.mean() < 0.9)
    assert any(known.short(each) == 0 for each in candidates)
    for each in candidates:
        np.testing.assert_allclose(known.quality(each), each.values.mean())
        assert known.short(each) >= max(0.9 - each.values.mean(), 0)


def test_a_front_is_safest_first_and_each_cheaper():
    known = explorer(Terms(recall=0.9, objective="bytes"))
    known.look(Way(True, 16, RaBitQ()))
    front = known.front(known.candidates[Way(True, 16, RaBitQ())])
    assert len(front) > 1
    assert np.all(np.diff([each.bytes for each in front]) < 0)
    assert front[0].values.mean() >= front[-1].values.mean()
    assert known.front([]) == []


def test_terms_that_nothing_narrow_keeps_end_at_the_full_width():
    """Noise has no narrow prefix that finds anything."""
    rows, queries = np.random.default_rng(0).standard_normal((2, 1500, 64)).astype(np.float32)
    found = material(held(rows), held(queries[:60]), terms := Terms(recall=0.99))
    known = Explorer(Bench.of(found, fitted_map(found)), terms, np.arange(60), quiet)
    known.explore([True])
    assert Way(False, 64, FIRST) in known.trials


def test_vectors_that_were_trained_to_nest_are_cut_as_they_are_too():
    terms, said = Terms(recall=0.9), []
    found = material(held(ROWS, dims=(16, 32)), held(QUERIES, dims=(16, 32)), terms)
    explored(found, terms, np.arange(20), said.append, (900, 300))
    wanted = {Way(mapped, dim, FIRST) for dim in (24, 32) for mapped in (False, True)}
    assert set(map(str, wanted)) <= set(said)


def test_many_rows_are_explored_on_a_sample():
    terms, said = Terms(recall=0.9), []
    found = material(held(ROWS), held(QUERIES), terms)
    tune = tuned(found.same, 0)
    way, known = explored(found, terms, tune, said.append, (900, 400))
    assert [each for each in known.trials if not each.scans] == [way]
    assert len(said) > 3
    assert said[-1 - sum(each.scans for each in known.trials)] == str(way)
    assert known.bench.memory.rows == 1000
    assert known.trials[way].proposer.index.ntotal == 1000
    assert all(len(each.values) == len(tune) for each in known.candidates[way])


def test_a_seed_is_a_split():
    same = np.arange(300)
    one, again, other = tuned(same, 3), tuned(same, 3), tuned(same, 4)
    assert one.tolist() == again.tolist() != other.tolist()
    assert len(one) == 30
    copies = np.repeat(np.arange(100), 3)
    assert len(tuned(copies, 0)) == 30
    assert all(np.count_nonzero(np.isin(copies, number)) == 3 for number in copies[tuned(copies, 0)])

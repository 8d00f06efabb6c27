"""Engines propose, a scan is their slow twin: the same plan without the engine."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from mrl.errors import CardError, DamagedError, InputError, MissingError, NestingError
from mrl.retrieval import BuildSpec, Index, Plan
from mrl.retrieval.best import ALL
from mrl.retrieval.engine import HNSW, IVF, RaBitQ, Scan, engine_text
from mrl.retrieval.engines import propose, reach
from mrl.retrieval.leading import Leading, fit_leading
from mrl.retrieval.plan import Stage
from mrl.retrieval.proposers import built, cut
from retrieval import made

CUTS, KNOBS = (8, 16), HNSW(m=16, ef_construction=60)
GRAPH = "/hnsw+m=16+ef_construction=60"
GRAPHED, SCANNED = f"8:20{GRAPH}+ef=80,16:5", "8:20,16:5"


def clustered(n, width=16, seed=0, clusters=40):
    """Rows around centres, and which centre each has."""
    rng = np.random.default_rng(seed)
    centres, owner = np.random.default_rng(99).standard_normal((clusters, width)), rng.integers(0, clusters, n)
    return (centres[owner] + 0.4 * rng.standard_normal((n, width))).astype(np.float32), owner


def recall(found, truth):
    """The mean share of the true ids that were found."""
    each = [
        len(set(a) & set(b)) / max(len(set(b)), 1) for a, b in zip(found.ids.tolist(), truth.ids.tolist(), strict=True)
    ]
    return np.mean(each)


def with_graph(path, vectors, **known):
    index = made.index(path, vectors, CUTS, **known)
    index.add_engine(8, KNOBS)
    return index


def proposals(index, queries, stage, masks=None):
    """What the graph itself says, before anything is scanned."""
    snapshot = index.snapshot
    engine = snapshot.engine(stage.dim, stage.engine)
    return propose(engine, index.prepare(queries), stage, masks or [ALL] * len(snapshot.blocks), snapshot.blocks)


# ------------------------------------------------------------------------------------------------- the law


def test_a_graph_finds_what_a_scan_finds(tmp_path, metric):
    vectors, _ = clustered(4000)
    queries = clustered(60, seed=1)[0]
    index = with_graph(tmp_path / "i", vectors, metric=metric)
    plan = GRAPHED.replace("ef=80", "ef=160") if metric == "dot" else GRAPHED  # long rows are in everybody's way
    found, truth = index.search(queries, 5, plan=plan), index.search(queries, 5, plan=SCANNED)
    assert recall(found, truth) >= 0.95
    same = found.ids == truth.ids
    assert np.allclose(found.scores[same], truth.scores[same], rtol=1e-5, atol=1e-5)
    assert found.work[0].candidates == 60 * 20


# What each kind is asked for with `wide` candidates of some thousands of clustered rows.
KINDS = (
    HNSW(16, 60, 200, "float32"),
    HNSW(16, 60, 200, "int8"),
    IVF(20, 10, "float32"),
    IVF(20, 10, "float16"),
    IVF(20, 10, "int8"),
    IVF(20, 20, "1bit"),
    RaBitQ(),
)


@pytest.mark.parametrize("engine", KINDS, ids=engine_text)
def test_every_engine_proposes_what_a_scan_keeps(tmp_path, metric, engine):
    """One bit a coordinate tells little of eight: such lists are longer."""
    vectors, queries = clustered(3000)[0], clustered(40, seed=1)[0]
    index = made.index(tmp_path / "i", vectors, CUTS, metric=metric, blocks=2)
    index.add_engine(8, engine)
    wide = 600 if engine == RaBitQ() or engine.codes == "1bit" else 100
    found = index.search(queries, 5, plan=f"8:{wide}/{engine_text(engine)},16:5")
    truth = index.search(queries, 5, plan=f"8:{wide},16:5")
    assert recall(found, truth) >= 0.9
    assert "scanned" not in found.work[0].stage
    for query, ids in zip(queries[:5], found.ids, strict=False):
        assert index.search(query, 5, plan=f"8:{wide}/{engine_text(engine)},16:5").ids.tolist() == ids.tolist()


@pytest.mark.parametrize("engine", [KNOBS, IVF(20, 10), RaBitQ()], ids=engine_text)
def test_an_engine_after_a_map_of_its_own(tmp_path, metric, engine):
    """The store keeps the rows as they came, and scores them at the full width."""
    vectors, queries = clustered(3000)[0], clustered(40, seed=1)[0]
    index, turn = made.index(tmp_path / "i", vectors, (16,), metric=metric), fit_leading(vectors, 8)
    index.add_engine(6, engine, turn)
    found = index.search(queries, 5, plan=f"{turn},6:600/{engine_text(engine)},16:5")
    truth = index.search(queries, 5)
    assert recall(found, truth) >= 0.9
    same = found.ids == truth.ids
    assert np.allclose(found.scores[same], truth.scores[same], rtol=1e-5, atol=1e-4)
    again = Index.open(tmp_path / "i").copy(tmp_path / "copy")
    assert again.search(queries, 5, plan=f"{turn},6:600/{engine_text(engine)},16:5").ids.tolist() == found.ids.tolist()


def test_one_query_finds_what_it_finds_among_many(tmp_path, metric):
    index = with_graph(tmp_path / "i", clustered(2000)[0], metric=metric)
    queries = clustered(30, seed=1)[0]
    together = index.search(queries, 5, plan=GRAPHED)
    for query, ids in zip(queries, together.ids, strict=True):
        assert index.search(query, 5, plan=GRAPHED).ids.tolist() == ids.tolist()


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e12])
@pytest.mark.parametrize("metric", ["dot", "l2"])
def test_float16_holds_vectors_of_any_length(tmp_path, metric, scale):
    vectors, queries = clustered(2000)[0] * np.float32(scale), clustered(30, seed=1)[0] * np.float32(scale)
    index = with_graph(tmp_path / "i", vectors, metric=metric)
    assert proposals(index, queries, Stage(8, 20, engine=KNOBS)) is not None
    assert recall(index.search(queries, 5, plan=GRAPHED), index.search(queries, 5, plan=SCANNED)) >= 0.95


def test_a_query_too_far_for_float32_is_scanned_for(tmp_path):
    index = with_graph(tmp_path / "i", clustered(500)[0] * np.float32(1e-14), metric="l2")
    far = np.full((1, 16), 1e14, np.float32)
    assert index.search(far, 5, plan=GRAPHED).counts.tolist() == [5]


@pytest.mark.parametrize("hostile", sorted(made.HOSTILE))
def test_hostile_vectors_give_as_many_living_rows_as_a_scan(tmp_path, metric, hostile):
    vectors = made.HOSTILE[hostile](300, 16)
    index = with_graph(tmp_path / "i", vectors, metric=metric)
    queries = np.concatenate([vectors[:8], np.zeros((1, 16), np.float32)])
    found = index.search(queries, 5, plan=GRAPHED)
    assert found.counts.tolist() == [5] * 9
    assert all(len(set(ids)) == 5 for ids in found.ids.tolist())


@pytest.mark.parametrize("n", [1, 3, 19])
def test_fewer_rows_than_are_kept(tmp_path, metric, n):
    index = with_graph(tmp_path / "i", clustered(n)[0], metric=metric)
    queries = clustered(3, seed=1)[0]
    assert index.search(queries, 5, plan=GRAPHED).ids.tolist() == index.search(queries, 5, plan=SCANNED).ids.tolist()


def test_a_keep_beyond_all_rows_reserves_no_memory_for_it(tmp_path):
    index = with_graph(tmp_path / "i", clustered(50)[0])
    found = proposals(index, clustered(2, seed=1)[0], Stage(8, 10**15, engine=KNOBS))
    assert [sorted(row) for row in found.positions.tolist()] == [list(range(50))] * 2
    for engine in (GRAPH, ""):
        assert index.search(clustered(2)[0], 99, plan=f"8:{10**15}{engine},16:99").counts.tolist() == [50, 50]


def test_no_queries(tmp_path):
    found = proposals(
        with_graph(tmp_path / "i", clustered(50)[0]), np.empty((0, 16), np.float32), Stage(8, 5, engine=KNOBS)
    )
    assert found.positions.shape == (0, 5)


def test_threads_share_a_graph(tmp_path):
    index = with_graph(tmp_path / "i", clustered(2000)[0])
    queries = clustered(40, seed=1)[0]
    alone = index.search(queries, 5, plan=GRAPHED).ids.tolist()
    shared = Index.open(tmp_path / "i")  # whose graph nobody has read yet
    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(shared.search, queries, 5, plan=GRAPHED) for _ in range(16)]
    assert all(each.result().ids.tolist() == alone for each in found)


# ------------------------------------------------------------------------------------------------- changes


def test_positions_are_right_over_several_blocks_with_deletions(tmp_path, metric):
    vectors, _ = clustered(3000)
    index = with_graph(tmp_path / "i", vectors, metric=metric, blocks=3)
    gone = np.arange(0, 3000, 7)
    index.delete(gone)
    queries = vectors[:40]
    found, truth = index.search(queries, 5, plan=GRAPHED), index.search(queries, 5, plan=SCANNED)
    assert recall(found, truth) >= 0.95
    assert not set(found.ids.ravel().tolist()) & set(gone.tolist())


def test_rows_deleted_before_a_graph_was_built_are_never_found(tmp_path):
    vectors, _ = clustered(20_000)
    index = made.index(tmp_path / "i", vectors, CUTS)
    index.delete([5, 6])
    index.add_engine(8, KNOBS)
    stage = Stage(8, 5, engine=HNSW(16, 60, ef=10))
    masks = [block.alive for block in index.snapshot.blocks]
    found = proposals(index, vectors[:20], stage, masks)
    assert found is not None
    assert not {5, 6} & set(found.positions.ravel().tolist())


def test_new_rows_are_found_at_once_and_replaced_ones_once(tmp_path, metric):
    vectors, _ = clustered(1000)
    index = with_graph(tmp_path / "i", vectors, metric=metric)
    new = clustered(5, seed=7)[0] * (1 if metric == "cosine" else 3)
    index.add(new, ids=np.arange(5000, 5005))
    index.upsert(vectors[:3] * np.float32(1.01), ids=np.arange(3))
    queries = np.concatenate([new, vectors[:3]])
    found, truth = index.search(queries, 5, plan=GRAPHED), index.search(queries, 5, plan=SCANNED)
    assert found.ids[:, 0].tolist() == truth.ids[:, 0].tolist()
    assert recall(found, truth) >= 0.95
    rounding = 4 * np.finfo(np.float32).eps * float(np.square(queries).sum(1).max())  # products are summed otherwise
    assert np.allclose(found.scores[:, 0], truth.scores[:, 0], atol=rounding)
    assert all(len(set(ids)) == 5 for ids in found.ids.tolist())


def test_compact_builds_graphs_anew_with_the_new_rows_inside(tmp_path):
    vectors, _ = clustered(1000)
    index = with_graph(tmp_path / "i", vectors[:900])
    index.add(vectors[900:], ids=np.arange(900, 1000))
    index.delete(np.arange(10))
    before = index.snapshot.contents.engines[0].file
    said = []
    assert index.compact(lambda *what: said.append(what))
    (about,) = index.snapshot.contents.engines
    assert about.file != before
    assert not (tmp_path / "i" / before).exists()
    assert about.blocks == tuple(block.about.number for block in index.snapshot.blocks)
    assert said[-1] == ("engine", 990, 990)
    found = proposals(index, vectors[950:960], Stage(8, 1, engine=KNOBS))
    assert index.snapshot.ids_at(found.positions).ravel().tolist() == list(range(950, 960))
    assert not index.compact()


def test_a_plan_is_answered_while_compact_has_not_built_its_graph_yet(tmp_path):
    vectors, _ = clustered(300)
    index = with_graph(tmp_path / "i", vectors)
    index.delete(np.arange(10))

    def stopped(what, done, of):
        if what == "engine":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        index.compact(stopped)
    (about,) = index.snapshot.contents.engines
    assert (about.file, about.blocks) == ("", ())
    assert len(list((tmp_path / "i").glob("*.graph*"))) <= 1  # the one before; nothing of the one that was stopped
    queries = clustered(20, seed=1)[0]
    assert index.search(queries, 5, plan=GRAPHED).ids.tolist() == index.search(queries, 5, plan=SCANNED).ids.tolist()
    assert index.compact()
    assert index.snapshot.contents.engines[0].file
    assert recall(index.search(queries, 5, plan=GRAPHED), index.search(queries, 5, plan=SCANNED)) >= 0.95


def test_an_empty_index_notes_the_graph_and_compact_builds_it(tmp_path):
    index = with_graph(tmp_path / "i", np.empty((0, 16), np.float32), ids=np.empty(0, np.int64))
    queries = clustered(2, seed=1)[0]
    assert index.search(queries, 5, plan=GRAPHED).counts.tolist() == [0, 0]
    vectors = clustered(200)[0]
    index.add(vectors)
    assert index.search(queries, 5, plan=GRAPHED).ids.tolist() == index.search(queries, 5, plan=SCANNED).ids.tolist()
    assert index.compact()
    assert index.snapshot.contents.engines[0].file.endswith(".graph")
    assert recall(index.search(queries, 5, plan=GRAPHED), index.search(queries, 5, plan=SCANNED)) >= 0.9


def test_all_rows_may_be_deleted(tmp_path):
    index = with_graph(tmp_path / "i", clustered(50)[0])
    index.delete(np.arange(50))
    assert index.search(clustered(2, seed=1)[0], 5, plan=GRAPHED).counts.tolist() == [0, 0]
    index.compact()
    assert index.search(clustered(2, seed=1)[0], 5, plan=GRAPHED).counts.tolist() == [0, 0]


def test_a_graph_replaces_one_with_the_same_knobs_and_stands_beside_others(tmp_path):
    index = with_graph(tmp_path / "i", clustered(200)[0])
    index.add_engine(8, KNOBS)
    index.add_engine(8, HNSW(4, 20))
    abouts = index.snapshot.contents.engines
    assert [about.kind for about in abouts] == [HNSW(4, 20), KNOBS]
    assert sorted(path.name for path in (tmp_path / "i").glob("*.graph")) == sorted(about.file for about in abouts)
    again = Index.open(tmp_path / "i")
    assert again.search(clustered(1, seed=1)[0], 5, plan="8:5/hnsw+m=4+ef_construction=20").counts.tolist() == [5]
    assert again.copy(tmp_path / "copy").search(clustered(1)[0], 5, plan=GRAPHED).counts.tolist() == [5]


# ------------------------------------------------------------------------------------------------- filters


@pytest.fixture(scope="module")
def filtered(tmp_path_factory):
    """30,000 rows in 40 clusters, with a random number and the cluster of each."""
    vectors, owner = clustered(30_000)
    payload = pa.table({"u": np.random.default_rng(5).random(30_000), "cluster": owner})
    index = made.index(tmp_path_factory.mktemp("filtered") / "i", vectors, CUTS, payload=payload)
    index.add_engine(8, KNOBS)
    return index


@pytest.mark.parametrize("share", [0.9, 0.5, 0.25, 0.01])
def test_filtered_queries_keep_their_recall(filtered, share):
    queries, plan = clustered(100, seed=1)[0], f"8:5{GRAPH}+ef=10"
    plain = recall(filtered.search(queries, 5, plan=plan), filtered.search(queries, 5, plan="8:5"))
    where = f"u < {share}"
    found = filtered.search(queries, 5, plan=plan, where=where)
    assert recall(found, filtered.search(queries, 5, plan="8:5", where=where)) >= plain - 0.02
    if share >= 0.25:
        masks = [
            block.where(lambda rows: rows["u"].to_numpy() < share, ids=False) for block in filtered.snapshot.blocks
        ]
        assert proposals(filtered, queries, Stage(8, 5, engine=HNSW(16, 60, ef=10)), masks) is not None


@pytest.mark.parametrize("where", ["cluster == 3", "cluster != 3", "cluster < 20", "cluster < 0"])
def test_filters_that_hang_together_with_the_query_do_not_harm(filtered, where):
    """All the queries lie in cluster 3: the filter takes their neighbours alone, all but these, and so on."""
    vectors, owner = clustered(3000, seed=1)
    queries, plan = vectors[owner == 3], f"8:5{GRAPH}+ef=10"
    plain = recall(filtered.search(queries, 5, plan=plan), filtered.search(queries, 5, plan="8:5"))
    found, truth = (filtered.search(queries, 5, plan=each, where=where) for each in (plan, "8:5"))
    assert found.counts.tolist() == truth.counts.tolist()
    assert recall(found, truth) >= plain - 0.02 or truth.counts.max() == 0


def test_the_list_grows_as_fewer_rows_are_allowed_until_a_scan_is_cheaper():
    stage = Stage(8, 10, engine=HNSW(ef=64))
    reached = [reach(stage, allowed, 1_000_000) for allowed in (1_000_000, 999_999, 500_000, 100_000, 10_000, 0)]
    assert reached == [64, 65, 128, 640, 0, 0]
    assert reach(Stage(8, 100, engine=HNSW(ef=64)), 500_000, 1_000_000) == 288  # (100 + 4 · 10 + 4) · 2


# ------------------------------------------------------------------------------------------------- refusals


def test_a_damaged_graph_is_named_and_never_parsed(tmp_path):
    path = tmp_path / "i"
    name = with_graph(path, clustered(200)[0]).snapshot.contents.engines[0].file
    raw = bytearray((path / name).read_bytes())
    raw[3] ^= 1  # of the four letters that tell FAISS what to read
    (path / name).write_bytes(raw)
    index, queries = Index.open(path), clustered(2, seed=1)[0]
    assert index.search(queries, 5, plan=SCANNED).counts.tolist() == [5, 5]
    with pytest.raises(DamagedError, match=name):
        index.search(queries, 5, plan=GRAPHED)
    assert len(index.verify()) == 1


def test_a_plan_whose_graph_is_not_there_is_refused(tmp_path):
    index = with_graph(tmp_path / "i", clustered(50)[0])
    there = r"has no engine 16/hnsw\+.*m=16; it has 8/hnsw\+.*compact .* --engine 16/hnsw\+ef_construction=60\+m=16$"
    with pytest.raises(InputError, match=there):
        index.search(clustered(1)[0], 5, plan=f"16:5{GRAPH}")
    with pytest.raises(InputError, match="has no engine 8/ivf"):
        index.search(clustered(1)[0], 5, plan="8:5/ivf")
    with pytest.raises(NestingError, match="not at 9"):
        index.add_engine(9)
    with pytest.raises(InputError, match="has nothing to build: a scan reads the store"):
        index.add_engine(8, Scan())
    with pytest.raises(InputError, match="an IVF with 51 lists needs as many rows to fit them on, got 50; ask for few"):
        index.add_engine(8, IVF(lists=51))


def test_a_map_that_does_not_fit_is_refused(tmp_path):
    vectors = clustered(100)[0]
    index, turn = made.index(tmp_path / "i", vectors, CUTS), fit_leading(vectors, 4)
    with pytest.raises(NestingError, match="gives 4 dims, the engine wants 8; ask for at most 4"):
        index.add_engine(8, KNOBS, turn)
    with pytest.raises(CardError, match=r"the map turns 8 dims, .*/i has 16; fit another"):
        index.add_engine(4, KNOBS, fit_leading(vectors[:, :8], 4))
    index.add_engine(4, KNOBS, turn)
    with pytest.raises(CardError, match=r"the plan is for vectors mapped by pca:0a, .*/i has pca:"):
        index.search(vectors[:1], 5, plan=f"pca:0a,4:20{GRAPH},16:5")
    with pytest.raises(InputError, match="behind an engine with a map of its own stages read the full width, 16"):
        index.search(vectors[:1], 5, plan=f"{turn},4:20{GRAPH},8:5")
    with pytest.raises(InputError, match="add a stage at the full width, 16:10"):
        index.search(vectors[:1], 5, plan=f"{turn},4:20{GRAPH}")


def test_without_faiss_the_extra_is_named(tmp_path, monkeypatch):
    index = with_graph(tmp_path / "i", clustered(50)[0])
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(MissingError, match=r"pip install 'mrl\[search\]'"):
        index.add_engine(16)
    with pytest.raises(MissingError, match=r"pip install 'mrl\[search\]'"):
        index.search(clustered(1)[0], 5, plan=GRAPHED)
    assert index.search(clustered(1)[0], 5, plan=SCANNED).counts.tolist() == [5]


def test_faiss_keeps_the_threads_that_it_had(tmp_path):
    import faiss

    before = faiss.omp_get_max_threads()
    index = with_graph(tmp_path / "i", clustered(500)[0])
    index.search(clustered(40, seed=1)[0], 5, plan=Plan.parse(GRAPHED))
    assert faiss.omp_get_max_threads() == before


# ------------------------------------------------------------------------------------------------- maps of their own


def by_hand(index, turn, dim, engine, keep, queries, k):
    """Map, cut, ask FAISS, score the rows at the full width: the slow twin of such a plan. (q, k) ids."""
    built, metric = index.snapshot.engine(dim, engine, str(turn)), index.card.metric
    rows = index.get(np.arange(index.rows)).vectors
    lead = made_cut(queries.astype(float) @ turn.matrix[:, :dim], metric).astype(np.float32)
    numbers = built.proposer.asked(engine, lead, keep)
    scores = made.scores(rows, queries, metric)
    found = []
    for row, score in zip(numbers, scores, strict=True):
        there = row[row >= 0]
        found.append(there[np.lexsort((there, -score[there]))][:k])
    return np.array(found)


def made_cut(vectors, metric):
    return vectors / np.linalg.norm(vectors, axis=1)[:, None] if metric == "cosine" else vectors


@pytest.mark.parametrize("engine", [HNSW(8, 40, codes="int8"), HNSW(8, 40, codes="float32"), IVF(20, 10, "int8")],
                         ids=engine_text)  # fmt: skip
def test_a_plan_after_a_map_is_done_by_hand(tmp_path, metric, engine):
    vectors, queries = clustered(1500)[0], clustered(40, seed=1)[0]
    index, turn = made.index(tmp_path / "i", vectors, (16,), metric=metric), fit_leading(vectors, 8)
    index.add_engine(6, engine, turn)
    plan = f"{turn},6:40/{engine_text(engine)},16:5"
    wanted = by_hand(index, turn, 6, engine, 40, queries, 5)
    assert np.mean(index.search(queries, 5, plan=plan).ids == wanted) >= 0.99  # an int8 query may round otherwise
    alone = np.stack([index.search(query, 5, plan=plan).ids for query in queries])
    assert np.mean(alone == wanted) >= 0.99


@pytest.fixture
def turned(tmp_path):
    vectors = clustered(800)[0]
    payload = pa.table({"even": np.arange(800) % 2 == 0})
    index, turn = made.index(tmp_path / "i", vectors, (16,), payload=payload), fit_leading(vectors, 8)
    index.add_engine(6, KNOBS, turn)
    return index, f"{turn},6:60{GRAPH}+ef=100,16:5"


def check_truth(index, plan, share=0.9, **how):
    queries = clustered(40, seed=1)[0]
    found, truth = index.search(queries, 5, plan=plan, **how), index.search(queries, 5, **how)
    assert recall(found, truth) >= share
    assert found.counts.tolist() == truth.counts.tolist()
    return found


def test_changes_beside_a_map(turned):
    index, plan = turned
    queries = clustered(40, seed=1)[0]
    index.add(queries[:3], ids=[900, 901, 902], payload=pa.table({"even": [True, False, True]}))
    assert [row[0] for row in check_truth(index, plan).ids[:3].tolist()] == [900, 901, 902]
    index.delete([900])
    assert 900 not in check_truth(index, plan).ids
    index.upsert(queries[:1], ids=[7], payload=pa.table({"even": [False]}))
    assert check_truth(index, plan).ids[0, 0] == 7
    found = check_truth(index, plan, where="even == true")
    assert all(name % 2 == 0 for name in found.ids[found.ids >= 0])
    assert index.compact()
    after = check_truth(index, plan)
    assert "scanned" not in after.work[0].stage
    assert after.work[0].candidates == 40 * 60
    assert index.snapshot.engines[0].about.map_file in index.snapshot.folder.entries
    assert index.verify() == []


def test_all_rows_deleted_and_new_ones_beside_a_map(turned):
    index, plan = turned
    index.delete(np.arange(800))
    assert index.search(clustered(3, seed=1)[0], 5, plan=plan).counts.tolist() == [0, 0, 0]
    index.compact()
    index.add(clustered(50, seed=4)[0], ids=np.arange(50), payload=pa.table({"even": [True] * 50}))
    check_truth(index, plan)
    index.compact()
    check_truth(index, plan)


def test_copies_keep_engines_with_maps_and_other_layouts_leave_them(turned, tmp_path):
    index, plan = turned
    check_truth(index.copy(tmp_path / "copy"), plan)
    other = index.relayout(tmp_path / "other", BuildSpec(made.layout((8, 16))))
    narrow = index.migrate(tmp_path / "narrow", 8, untrained=True)
    for each in (other, narrow):
        assert each.snapshot.engines == ()
        assert not [name for name in each.snapshot.folder.entries if name.startswith("map-")]
        with pytest.raises(CardError, match=r"the plan is for vectors mapped by pca:\w+, .* has no map"):
            each.search(np.ones((1, each.card.width), np.float32), 5, plan=plan)


def test_engines_share_a_map_that_is_wide_enough(tmp_path):
    """A narrow part of a map has the name of the whole."""
    vectors, turn = clustered(600)[0], fit_leading(clustered(600)[0], 8)
    index = made.index(tmp_path / "i", vectors, (16,))
    for dim in (4, 3, 8, 6):
        index.add_engine(dim, KNOBS, Leading.of(turn, dim))
    files = {each.about.dim: each.about.map_file for each in index.snapshot.engines}
    assert files[4] == files[3] != files[8] == files[6]
    for dim in (3, 4, 6, 8):
        plan = f"{turn},{dim}:60{GRAPH}+ef=100,16:5"
        check_truth(index, plan, 0.6)
        check_truth(Index.open(index.path), plan, 0.6)
        assert index.search(clustered(1, seed=1)[0][0], 5, plan=plan).ids.shape == (5,)
    index.delete([3])
    index.compact()
    for dim in (3, 8):
        check_truth(index, f"{turn},{dim}:60{GRAPH}+ef=100,16:5", 0.6)
    assert index.verify() == []


@pytest.mark.parametrize("scale", [1e-3, 1, 300])
def test_an_engine_that_was_built_already_is_asked_as_it_was_built(tmp_path, metric, scale):
    """FAISS has its vectors as they are, and not as an index would scale them for float16."""
    vectors, queries = scale * clustered(800)[0], np.float32(scale) * clustered(40, seed=1)[0]
    index, turn = made.index(tmp_path / "i", vectors, (16,), metric=metric), fit_leading(vectors, 8)
    engine = HNSW(16, 60)
    index.add_engine(8, engine, turn, made=built(engine, cut(turn.apply32(vectors), 8, metric), metric, 1))
    found = index.search(queries, 5, plan=f"{turn},8:80/{engine_text(engine)}+ef=100,16:5")
    assert recall(found, index.search(queries, 5)) >= 0.9

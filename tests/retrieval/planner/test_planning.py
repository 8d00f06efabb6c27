"""`plan` from end to end: what is promised holds, what is built does what was measured, and what cannot be says so."""

import numpy as np
import pytest

from mrl.errors import InputError
from mrl.evaluation import Judgements
from mrl.retrieval import Index, Rows
from mrl.retrieval.engine import HNSW
from mrl.retrieval.planner import Planned, Recall, Terms, Truth, plan
from mrl.retrieval.planner.selection import parts
from mrl.vectors.copies import groups
from public import data
from retrieval import made
from retrieval.planner.rows import card, clustered, held

ROWS, QUERIES, FRESH = clustered(3000), clustered(300, seed=1), clustered(1500, seed=2)
FEW, ASKED = clustered(600, 24), clustered(150, 24, seed=1)


def recall(index, queries, rows, k=10, by="cosine", **how):
    """(q,) of a search, against the exact one."""
    found = index.search(queries, k, **how)
    return Recall.of(Truth.of(queries, rows, k, by)).values(found.ids, np.arange(len(queries)))


@pytest.fixture(scope="module")
def draft():
    return plan(held(ROWS), held(QUERIES, name="queries"), Terms(recall=0.9))


@pytest.fixture(scope="module")
def index(draft, tmp_path_factory):
    return draft.build(tmp_path_factory.mktemp("planned") / "i", Rows.of(ROWS, card(64)))


def test_the_pick_keeps_its_promise_on_fresh_queries(draft, index):
    planned = draft.planned
    assert planned.picked is not None
    assert planned.picked.plan is not None
    assert planned.picked.promised >= 0.9
    assert planned.promise.tolerance == 0.1
    fresh = recall(index, FRESH, ROWS, plan=planned.picked.plan)
    chance = 4 * fresh.std() / len(fresh) ** 0.5  # what is promised is the mean of all queries, not of these
    assert fresh.mean() + chance >= 0.9
    for point in planned.points:
        if point.ready and point.plan is not None:
            assert recall(index, FRESH, ROWS, plan=point.plan).mean() >= point.promised - 0.02


def test_the_index_finds_what_was_measured(draft, index):
    report = np.isin(groups(QUERIES), parts(300, 0)[2])
    for point in draft.planned.points:
        if point.ready:
            found = recall(index, QUERIES, ROWS, plan=point.plan)[report]
            np.testing.assert_allclose(found.mean(), point.quality, atol=0.005)
    assert draft.planned.points[-1].plan is None or draft.planned.picked.ms < 1


def test_what_was_planned_is_said_and_kept(draft, index):
    planned = draft.planned
    assert planned.sentences[0].startswith(f"take {planned.picked.plan}, ")
    assert "recall@10 ≥ 0.9 with 95 % confidence; the exact search costs" in planned.sentences[0]
    assert (planned.rows, planned.data, planned.queries, planned.full) == (3000, "rows", (30, 240, 30), 1.0)
    assert {"machine", "cores", "numpy", "numba", "faiss"} <= set(planned.about)
    assert planned == Planned.from_json(planned.to_json())
    assert [str(point) for point in index.planned.points if point.plan] == [
        str(point) for point in planned.points if point.plan
    ]
    assert Index.open(index.path).planned == index.planned
    assert index.verify() == []
    assert len({str(point) for point in planned.points}) == len(planned.points)
    ready = [point.plan.stages[0] for point in planned.points if point.ready and point.plan is not None]
    assert len({stage.dim for stage in ready}) == 1


def test_a_search_by_need_runs_what_is_ready(draft, index):
    query, pick = FRESH[0], draft.planned.picked
    found = index.search(query, recall=0.9)
    assert found.plan == str(draft.planned.at_recall(0.9).plan)
    assert found.ids.tolist() == index.search(query, plan=found.plan).ids.tolist()
    assert "loses at most 0.1 of recall@10 on average" in found.promise
    assert index.search(query, budget_ms=2 * pick.ms).ids.shape == (10,)
    assert index.search(query, recall=1.0).plan == "exact"
    with pytest.raises(InputError, match="no plan that is ready fits within 1e-06 ms; the fastest"):
        index.search(query, budget_ms=1e-6)
    with pytest.raises(InputError, match="no plan that is ready fits within 10 bytes; the fastest"):
        index.search(query, budget_bytes=10)


def test_promises_do_not_apply_elsewhere_and_go_stale(draft, index, tmp_path):
    copy = index.copy(tmp_path / "copy")
    (note,) = copy.search(FRESH[0], 5, recall=0.9).notes
    assert note.startswith("the promise does not apply: recall@10 was planned for, and 5 results")
    copy.delete(np.arange(300))
    assert not copy.stale
    assert copy.search(FRESH[:20], recall=0.9).promise
    copy.add(clustered(1, seed=5))
    assert copy.stale
    found = copy.search(FRESH[:20], recall=0.9)
    assert found.promise == ""
    assert found.notes[0].startswith("the promise is stale: 301 rows")
    copy.compact()
    assert copy.stale
    assert recall(copy, FRESH[:200], ROWS, recall=0.9).mean() > 0.5
    assert copy.verify() == []


def test_the_engine_of_the_plan_is_taken_for_the_same_rows_alone(draft, tmp_path):
    def told(what, done, of):
        said.append(what)

    said, other = [], ROWS[::-1].copy()
    assert draft.made.ntotal == 3000
    draft.build(tmp_path / "same", Rows.of(ROWS, card(64)), told)
    assert "engine" not in said
    turned = draft.build(tmp_path / "turned", Rows.of(other, card(64)), told)
    assert "engine" in said
    assert recall(turned, FRESH[:300], other, recall=0.9).mean() >= 0.88
    more = draft.build(tmp_path / "more", Rows.of(np.concatenate([ROWS, FRESH]), card(64)))
    assert recall(more, QUERIES, np.concatenate([ROWS, FRESH]), plan=draft.planned.picked.plan).mean() >= 0.8


def test_an_engine_of_other_rows_is_refused(draft, tmp_path):
    index = made.index(tmp_path / "i", ROWS[:100], (64,))
    stage = draft.planned.picked.plan.stages[0]
    with pytest.raises(InputError, match=rf"has 3,000 rows of {stage.dim} dims, .* has 100 and {stage.dim} are wanted"):
        index.add_engine(stage.dim, stage.engine, draft.turn, made=draft.made)


@pytest.mark.parametrize("by", ["dot", "l2"])
def test_other_metrics(tmp_path, by):
    rows = ROWS[:1200]
    draft = plan(held(rows, by), held(QUERIES, by), Terms(recall=0.9, objective="bytes"))
    index = draft.build(tmp_path / "i", Rows.of(rows, card(64, by)))
    found = recall(index, FRESH, rows, by=by, recall=0.9)
    assert draft.planned.at_recall(0.9).plan is not None
    assert found.mean() >= 0.89


def test_little_memory(tmp_path):
    rows = ROWS[:1000]
    draft = plan(held(rows), held(QUERIES), Terms(recall=0.9, objective="bytes"))
    pick, exact = draft.planned.picked, next(point for point in draft.planned.points if point.plan is None)
    assert pick.bytes < 0.6 * exact.bytes
    index = draft.build(tmp_path / "i", Rows.of(rows, card(64)))
    assert recall(index, FRESH, rows, recall=0.9).mean() >= 0.89
    assert index.search(FRESH[0], budget_bytes=pick.bytes).plan != "exact"
    assert index.search(FRESH[0], budget_bytes=10**9).plan == "exact"


def test_many_queries_a_second():
    draft = plan(held(FEW), held(ASKED), Terms(recall=0.8, objective="throughput"))
    costs = [1 / point.qps for point in draft.planned.points]
    assert costs == sorted(costs)
    assert "queries a second" in draft.planned.sentences[0]


def test_a_target_out_of_reach_names_the_best_and_its_cost(tmp_path):
    """Nothing can be promised to lose a ten-thousandth on 150 queries. Plans of the frontier still serve a budget."""
    draft = plan(held(ROWS), held(QUERIES[:150]), Terms(recall=0.9999))
    said = draft.planned.sentences[0]
    assert draft.planned.picked is None
    assert said.startswith("nothing but the exact search")
    assert "the best that is promised is recall@10 ≥ 0.9" in said
    assert "ms a query; the exact search costs" in said
    index = draft.build(tmp_path / "i", Rows.of(ROWS, card(64)))
    assert index.search(FRESH[0], recall=0.9999).plan == "exact"
    ready = [point for point in draft.planned.points if point.ready and point.plan is not None]
    assert ready
    found = index.search(FRESH[0], budget_ms=max(point.ms for point in ready), budget_bytes=10**9)
    assert found.ids.shape == (10,)
    assert all(index.search(FRESH[0], plan=point.plan).ids.shape == (10,) for point in ready)


def test_without_queries_rows_are_held_out(tmp_path):
    draft = plan(held(FEW), None, Terms(recall=0.8, objective="bytes"))
    planned = draft.planned
    assert planned.held_out
    assert "60 of 600 rows, drawn at random, were held out as queries" in planned.sentences
    assert planned.rows in (540, 600)
    assert draft.made is None
    index = draft.build(tmp_path / "i", Rows.of(FEW, card(24)))
    assert index.rows == 600
    assert recall(index, ASKED, FEW, recall=0.8).mean() >= 0.75


def test_queries_that_are_rows_are_said_and_all_rows_are_indexed(tmp_path):
    rows = np.concatenate([FEW, ASKED[:20]])
    draft = plan(held(rows), held(ASKED), Terms(recall=0.8, objective="bytes"))
    assert "20 rows are queries, too, and would find themselves: held out while planning" in draft.planned.sentences
    assert draft.made is None
    index = draft.build(tmp_path / "i", Rows.of(rows, card(24)))
    assert index.search(ASKED[3], exact=True).ids[0] == 603
    assert recall(index, ASKED, rows, recall=0.8).mean() >= 0.75


def test_copies_of_a_query_count_once():
    draft = plan(held(FEW), held(np.tile(ASKED[:60], (3, 1))), Terms(recall=0.8, objective="bytes"))
    assert sum(draft.planned.queries) == 60
    with pytest.raises(InputError, match="180 queries are only 20 different vectors, and a promise needs 50"):
        plan(held(FEW), held(np.tile(ASKED[:20], (9, 1))))
    with pytest.raises(InputError, match="a plan's promise needs at least 50 queries, got 49; give more"):
        plan(held(FEW), held(ASKED[:49]))


@pytest.mark.parametrize("rows", [np.tile(FEW[:30], (20, 1)), np.tile(FEW[:1], (600, 1)), np.zeros_like(FEW)],
                         ids=["copies", "all equal", "zeros"])  # fmt: skip
def test_copies_among_the_rows(tmp_path, rows):
    """Whichever of equal rows are found, none is missed."""
    draft = plan(held(rows), held(ASKED), Terms(recall=0.8, objective="bytes"))
    index = draft.build(tmp_path / "i", Rows.of(rows, card(24)))
    assert recall(index, ASKED, rows, recall=0.8).mean() >= 0.8


@pytest.mark.parametrize("width", [3, 8])
def test_narrow_vectors(tmp_path, width):
    rows, queries = clustered(600, width), clustered(150, width, seed=1)
    draft = plan(held(rows, "l2"), held(queries, "l2"), Terms(recall=0.8, objective="bytes"))
    assert draft.turn is None
    index = draft.build(tmp_path / "i", Rows.of(rows, card(width, "l2")))
    assert recall(index, queries, rows, by="l2", recall=0.8).mean() >= 0.78


@pytest.mark.parametrize(("n", "k"), [(1, 1), (2, 1), (3, 3), (12, 10)])
def test_few_rows(tmp_path, n, k):
    draft = plan(held(FEW[:n]), held(ASKED), Terms(recall=0.8, k=k))
    index = draft.build(tmp_path / "i", Rows.of(FEW[:n], card(24)))
    assert recall(index, ASKED, FEW[:n], k, recall=0.8).mean() >= 0.75


def test_more_results_than_lists_usually_have(tmp_path):
    draft = plan(held(FEW), held(ASKED), Terms(recall=0.8, k=450))
    index = draft.build(tmp_path / "i", Rows.of(FEW, card(24)))
    assert recall(index, ASKED, FEW, 450, recall=0.8).mean() >= 0.79


def test_classes(tmp_path):
    """mAP by label: a plan may find other rows of the class."""
    rows, queries = clustered(1200, 24, clusters=4), clustered(300, 24, seed=1, clusters=4)
    centres = np.random.default_rng(99).standard_normal((4, 24)) / np.sqrt(1 + np.arange(24))
    classes = [np.argmin(((each[:, None] - centres) ** 2).sum(-1), axis=1) for each in (rows, queries)]
    terms = Terms(measure="mAP", tolerance=0.05, objective="bytes")
    draft = plan(held(rows, labels=classes[0]), held(queries, labels=classes[1]), terms)
    planned = draft.planned
    assert (planned.measure, planned.picked is not None) == ("mAP@10", True)
    index = draft.build(tmp_path / "i", Rows.of(rows, card(24)))
    assert "mAP@10" in index.search(queries[0], tolerance=0.05).promise
    with pytest.raises(InputError, match="this was planned for mAP@10, so no recall is known; ask for a tolerance of"):
        index.search(queries[0], recall=0.9)
    with pytest.raises(InputError, match="has no labels, which this measures by; give them"):
        plan(held(rows), held(queries), terms)


def test_judgements(tmp_path):
    """The rows that are nearest are judged to be; queries that are not judged are left out."""
    near = np.argsort(-(ASKED[:120] @ FEW.T), axis=1)[:, :6].tolist()
    judged = Judgements.of([(q, row, 2 if place < 3 else 1) for q, rows in enumerate(near)
                            for place, row in enumerate(rows)])  # fmt: skip
    terms = Terms(measure="nDCG", tolerance=0.2, objective="bytes")
    draft = plan(held(FEW), held(ASKED), terms, judged)
    planned = draft.planned
    assert (planned.measure, sum(planned.queries)) == ("nDCG@10", 120)
    assert 0.5 < planned.full < 1
    index = draft.build(tmp_path / "i", Rows.of(FEW, card(24)))
    found = index.search(ASKED[0], tolerance=0.2)
    assert found.plan == "exact" or "nDCG@10" in found.promise
    with pytest.raises(InputError, match="judgements name queries of their own, and there are none; give the queries"):
        plan(held(FEW), None, terms, judged)
    strict = plan(held(FEW), held(ASKED), Terms(measure="nDCG", tolerance=0.01, objective="bytes"), judged).planned
    assert strict.picked is None
    assert "judged queries; about" in str(strict) or "nothing but the exact search reaches" in str(strict)


def test_the_same_seed_reports_the_same():
    one, again = (plan(held(FEW), held(ASKED), Terms(recall=0.8, objective="bytes", seed=5)).planned for _ in range(2))
    found, same = ({str(each.plan): each.quality for each in planned.points if each.ready} for planned in (one, again))
    both = set(found) & set(same)
    assert "None" in both
    assert {name: found[name] for name in both} == {name: same[name] for name in both}


@pytest.mark.slow
def test_product_features(tmp_path):
    """Features of MobileNet: 5,000 rows × 256 of its dims, and other products as queries."""
    with np.load(data("fashion-products", "mobilenetv1.npz")) as file:
        vectors = (file["q"][:7000, :256].astype(np.float32) - np.float32(file["zero"])) * file["scale"]
    rows, queries, fresh = vectors[:5000], vectors[5000:6000], vectors[6000:]
    draft = plan(held(rows), held(queries), Terms(recall=0.95))
    index = draft.build(tmp_path / "i", Rows.of(rows, card(256)))
    assert draft.planned.picked is not None
    assert isinstance(draft.planned.picked.plan.stages[0].engine, HNSW)
    assert recall(index, fresh, rows, recall=0.95).mean() >= 0.94


@pytest.mark.parametrize("terms", [Terms(recall=1.0), Terms(recall=1.0, objective="bytes")], ids=str)
@pytest.mark.parametrize("asked", [held(ASKED), None], ids=["queries", "none"])
def test_where_nothing_may_be_lost_nothing_is_measured(tmp_path, terms, asked):
    said = []
    draft = plan(held(FEW), asked, terms, progress=said.append)
    assert (draft.planned.picked, draft.turn, draft.made, said) == (None, None, None, [])
    assert "nothing else can promise recall@10 ≥ 1, so nothing else was measured" in draft.planned.sentences[0]
    index = draft.build(tmp_path / "i", Rows.of(FEW, card(24)))
    assert index.snapshot.contents.engines == ()
    assert index.search(ASKED[0], recall=1.0).plan == "exact"
    assert index.planned.points[0].ms > 0


def test_arrays_without_a_card_are_refused():
    with pytest.raises(
        InputError, match=r"need a card, .* got ndarray of shape \(600, 24\); give Held.of\(vectors, card"
    ):
        plan(FEW)
    with pytest.raises(InputError, match=r"queries need a card, .* got list; give Held.of\(vectors, card\)"):
        plan(held(FEW), [[1.0]])


def test_the_exact_search_is_timed_on_the_index_that_was_built(tmp_path):
    draft = plan(held(FEW), held(ASKED), Terms(recall=0.8, objective="bytes"))
    assert draft.asked.shape == (9, 24)
    planned = draft.build(tmp_path / "i", Rows.of(FEW, card(24))).planned
    before, after = (next(point.ms for point in each.points if point.plan is None) for each in (draft.planned, planned))
    assert before != after
    assert planned.pick == draft.planned.pick

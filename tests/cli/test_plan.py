"""`mrl plan`: what it builds, says and refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cli.crowds import ASKED, CARD, CLASSES, LABELS, QUERIES, ROWS, VECTORS, WANTED, WIDTH, clouds
from mrl import Card, Nesting, Table
from mrl.cli.index import index as index_verbs
from mrl.cli.migrate import migrate
from mrl.cli.plan import plan
from mrl.cli.search import search
from mrl.retrieval import BuildSpec, Index, Layout, Rows
from mrl.retrieval.planner import Planned

BYTES = ("--objective", "bytes")  # what is picked by times is another one on another day
APP = typer.Typer()
APP.command()(plan)
APP.command()(search)
APP.command()(migrate)
APP.add_typer(index_verbs, name="index")


def invoke(*words):
    return CliRunner().invoke(APP, [str(word) for word in words])


def done(*words):
    """What a command that must succeed prints, on stdout and on stderr."""
    result = invoke(*words)
    assert result.exit_code == 0, (words, result.output, result.exception)
    return result.stdout, result.stderr


def refused(*words):
    """What a plan that must be refused says."""
    result = invoke("plan", *words)
    assert result.exit_code == 1, (words, result.output)
    return str(result.exception)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Vectors, queries, the classes of both, and an index that was planned, all written once."""
    folder = tmp_path_factory.mktemp("planned")
    for name, values in (("v", VECTORS), ("q", QUERIES), ("labels", LABELS), ("wanted", WANTED)):
        np.save(folder / f"{name}.npy", values)
    (folder / "payload.jsonl").write_text("".join(f'{{"price": {row % 7}}}\n' for row in range(ROWS)))
    words = ("--queries", folder / "q.npy", "--recall", 0.9, "--payload", folder / "payload.jsonl", "--metric", "dot")
    result = invoke("plan", folder / "v.npy", "--out", folder / "ix", *words, *BYTES)
    assert result.exit_code == 0, (result.output, result.exception)
    (folder / "stdout").write_text(result.stdout)
    (folder / "stderr").write_text(result.stderr)
    return folder


@pytest.fixture
def here(folder, monkeypatch, tmp_path):
    """A folder of its own for each test, beside those files."""
    monkeypatch.chdir(tmp_path)
    return folder


def test_vectors_become_an_index_with_a_promise(here):
    index = Index.open(here / "ix")
    planned = index.planned
    assert (here / "stdout").read_text() == f"{here / 'ix'}\n"
    said = (here / "stderr").read_text().splitlines()
    assert said == [planned.promise.sentence, "", *planned.sentences, "", *planned.table()]
    assert said[2].startswith(f"take {planned.picked}, ")
    assert max(map(len, planned.table())) <= 100
    assert (planned.terms.text, planned.measure) == ("recall@10 ≥ 0.9", "recall@10")
    assert index.rows == ROWS
    assert index.card.metric == "dot"
    assert index.get([8]).payload.to_pylist() == [{"price": 1}]


def test_the_pick_is_ready_and_keeps_the_target_on_new_queries(here):
    index, new = Index.open(here / "ix"), clouds(400, 3)[0]
    found, truth = index.search(new, 10, plan=index.planned.picked.plan), index.search(new, 10)
    hits = [len({*mine} & {*exact}) for mine, exact in zip(found.ids.tolist(), truth.ids.tolist(), strict=True)]
    assert np.mean(hits) / 10 >= 0.88  # which 95 of 100 such promises would keep by far
    for point in index.planned.points:
        if point.ready:
            assert index.search(new, 10, plan=point.plan).ids.shape == (400, 10)


def test_rows_ask_where_there_are_no_queries(here, tmp_path):
    (tmp_path / "there.html").write_text("mine")
    words = ("plan", here / "v.npy", "--out", "ix", "--recall", 0.9, "--seed", 3, "--json", "--html")
    assert "there.html already exists" in str(invoke(*words, "there.html").exception)
    out, said = done(*words, "page.html")
    assert "page.html" in said.splitlines()
    assert "<svg" in (tmp_path / "page.html").read_text()
    document = json.loads(out)
    assert "100 of 1,000 rows, drawn at random, were held out as queries" in said
    index = Index.open("ix")
    assert (document.pop("path"), index.rows) == ("ix", ROWS)
    assert Planned.from_json(document) == index.planned
    assert index.planned.held_out
    assert not index.stale


def test_by_classes(here):
    labels = ("--labels", here / "labels.npy", "--query-labels", here / "wanted.npy")
    words = ("plan", here / "v.npy", "--queries", here / "q.npy", *labels, "--measure", "mAP@5", "--tolerance", 0.1)
    _, said = done(*words, *BYTES, "--out", "ix")
    planned = Index.open("ix").planned
    assert (planned.terms.text, planned.terms.objective) == ("mAP@5 within 0.1", "bytes")
    assert planned.promise.measure == "mAP@5"
    (heading,) = (line for line in said.splitlines() if line.startswith("  plan"))
    assert heading.split()[:6] == ["plan", "mAP@5", "95", "%", "loses", "≤"]


@pytest.mark.slow
@pytest.mark.parametrize("names", [(), tuple(f"class {n}" for n in range(CLASSES))])
def test_the_classes_of_an_index_are_those_of_its_payload(here, tmp_path, names):
    for name, vectors, labels in (("rows", VECTORS, LABELS), ("asks", QUERIES, WANTED)):
        with Table.create(tmp_path / name, CARD, names) as table:
            table.add(vectors, labels=labels)
    Index.build("ix", Table.open("rows"))
    done("plan", "ix", "--queries", "asks", "--measure", "mAP@5", "--tolerance", 0.2, *BYTES, "--out", "two")
    assert Index.open("two").planned.full > 0.2  # nearest ones are of one class far more often than one in 40


@pytest.mark.slow
def test_by_judgements(here, tmp_path):
    near = Index.open(here / "ix").search(QUERIES[:300], 10).ids.tolist()  # what the exact search finds is relevant
    (tmp_path / "qrels").write_text("\n".join(f"{i} 0 {d} 1" for i in range(300) for d in near[i]))
    words = ("plan", here / "v.npy", "--queries", here / "q.npy", "--judgements", tmp_path / "qrels", *BYTES, "--out")
    _, said = done(*words, "ix", "--tolerance", 0.1)
    assert Index.open("ix").planned.terms.text == "nDCG@10 within 0.1"
    assert f"100 of 400 queries of {here / 'q.npy'} are not judged: left out" in said
    assert "nDCG@10 has no target of its own; give a tolerance" in refused(*words[1:], "two")
    _, said = done(*words, "two", "--tolerance", 0.01)
    assert "not enough queries to tell whether" in said
    assert " keeps nDCG@10 within 0.01: 300 judged queries; about " in said
    assert " would do" in said


def test_an_index_is_planned_where_it_is(here):
    layout = Layout.of(Nesting((8, 16, 24, WIDTH)), beside={"int8": WIDTH, "int12": WIDTH})
    index = Index.build("ix", Rows.of(VECTORS, CARD), BuildSpec(layout))
    index.delete(np.arange(9))
    out, said = done("plan", "ix", "--queries", here / "q.npy", "--recall", 0.9, *BYTES)
    assert out == "ix\n"
    index.refresh()
    assert index.planned.promise.sentence in said
    assert index.search(QUERIES, 10, plan=index.planned.picked.plan).counts.tolist() == [10] * ASKED


def test_what_was_planned_is_not_copied_into_another_layout(here):
    _, said = done("index", "relayout", here / "ix", "--out", "other", "--cuts", f"8,{WIDTH}", "--beside", "none")
    assert "what was planned was not copied, nor is anything promised of the copy; plan it: mrl plan other\n" in said
    _, said = done(
        "migrate", here / "ix", "--dim", 8, "--untrained", "--out", "narrow", "--cuts", 8, "--beside", "none"
    )
    assert "nor is anything promised of the copy; plan it: mrl plan narrow\n" in said


@pytest.mark.slow
def test_an_index_is_planned_again_where_it_is(here):
    """The engine of the first plan goes with it."""
    index = Index.open(here / "ix").copy("ix")
    before = len(index.snapshot.contents.engines)
    done("plan", "ix", "--queries", here / "q.npy", "--recall", 0.7, "--k", 3, *BYTES)
    index.refresh()
    assert (before, len(index.snapshot.contents.engines)) == (1, 1)
    for point in index.planned.points:
        if point.ready:
            assert index.search(QUERIES, 3, plan=point.plan).counts.tolist() == [3] * ASKED


@pytest.mark.slow
def test_an_index_is_planned_as_a_copy(here):
    index = Index.build("ix", Rows.of(VECTORS, CARD))
    index.delete(np.arange(9))
    out, _ = done("plan", "ix", "--queries", here / "q.npy", "--recall", 0.8, *BYTES, "--out", "copy")
    assert out == "copy\n"
    copy = Index.open("copy")
    assert (copy.rows, copy.planned.terms.recall) == (ROWS - 9, 0.8)
    assert copy.search(QUERIES, 10, plan=copy.planned.picked.plan).counts.tolist() == [10] * ASKED


@pytest.mark.slow
def test_an_index_without_what_the_cheapest_plan_reads(here):
    """The cheapest that it has all for is taken, and where there is none a copy is what helps."""
    words = ("--queries", here / "q.npy", "--recall", 0.9, *BYTES)
    wanted = Index.open(here / "ix").planned.picked.plan
    assert str(wanted).endswith("@int8")
    Index.build("finer", Rows.of(VECTORS, CARD), BuildSpec(Layout.of(Nesting((8, 16, WIDTH)), beside={"int12": WIDTH})))
    _, said = done("plan", "finer", *words)
    planned = Index.open("finer").planned
    assert f"finer has not all that it reads, so {planned.picked} was taken in its place" in said
    assert {stage.encoding for stage in planned.picked.plan.stages} == {"reference", "int12"}
    assert planned.picked.promised >= 0.9
    for point in planned.points:
        if point.ready:
            assert Index.open("finer").search(QUERIES, 10, plan=point.plan).counts.tolist() == [10] * ASKED
    Index.build("plain", Rows.of(VECTORS, CARD), BuildSpec(Layout.of(Nesting((8, 16, WIDTH)))))
    why = "plain has not all the cuts and encodings that it reads; plan into a copy that has: mrl plan plain --out NEW"
    assert why in refused("plain", *words)
    assert Index.open("plain").planned is None


@pytest.mark.slow
def test_a_target_that_nothing_reaches(here):
    """The best that is reached, and its cost, are said; the index is built, and searched exactly."""
    _, said = done("plan", here / "v.npy", "--queries", here / "q.npy", "--recall", 1, *BYTES, "--out", "ix")
    assert "nothing but the exact search reaches recall@10 ≥ 1; the best that is promised is recall@10 ≥ 0.9" in said
    assert "the exact search costs 0.1 MB" in said
    index = Index.open("ix")
    assert (index.rows, index.planned.pick, index.planned.promise) == (ROWS, None, None)


@pytest.mark.slow
def test_queries_that_are_rows_are_held_out(here, tmp_path):
    np.save(tmp_path / "own.npy", np.concatenate([QUERIES, VECTORS[:30]]))
    _, said = done("plan", here / "v.npy", "--queries", "own.npy", "--recall", 0.9, "--out", "ix")
    assert "30 rows are queries, too, and would find themselves: held out while planning" in said
    assert Index.open("ix").rows == ROWS


@pytest.mark.slow
def test_vectors_that_occur_often(here, tmp_path):
    np.save(tmp_path / "twice.npy", np.concatenate([VECTORS[:500], VECTORS[:500]]))
    _, said = done("plan", "twice.npy", "--queries", here / "q.npy", "--recall", 0.9, *BYTES, "--out", "ix")
    assert Index.open("ix").planned.promise.sentence in said


def test_what_cannot_be_planned_is_refused_and_leaves_nothing(here, tmp_path):
    np.save(tmp_path / "few.npy", QUERIES[:40])
    np.save(tmp_path / "alike.npy", np.repeat(QUERIES[:20], 20, axis=0))
    np.save(tmp_path / "small.npy", VECTORS[:400])
    np.save(tmp_path / "narrow.npy", QUERIES[:, :8])
    (tmp_path / "short.jsonl").write_text('{"price": 1}\n')
    bad = QUERIES.copy()
    bad[7, 3] = np.nan
    np.save(tmp_path / "bad.npy", bad)
    rows, asks = here / "v.npy", ("--queries", here / "q.npy")
    for words, why in (
        ((rows, "--queries", "few.npy"), "a plan's promise needs at least 50 queries, got 40; give more"),
        ((rows, "--queries", "alike.npy"), "400 queries are only 20 different vectors, and a promise needs 50; give"),
        (
            (rows, "--queries", rows),
            "and would find themselves; give queries that are no rows, or none: then some rows",
        ),
        (("small.npy",), "without queries a tenth of the rows is held out as such, and a plan needs 50"),
        ((rows, "--queries", "narrow.npy"), "do not belong together: width is 32"),
        ((rows, "--queries", "bad.npy"), "row 7 has a NaN or an Inf"),
        ((rows, *asks, "--recall", 0.9, "--tolerance", 0.1), "recall 0.9 and tolerance 0.1 are two targets; give one"),
        ((rows, *asks, "--recall", 1.5), "recall must be > 0 and ≤ 1, got 1.5"),
        (
            (rows, *asks, "--measure", "precision"),
            "unknown measure 'precision'; known are recall, mAP, nDCG, MRR, with",
        ),
        ((rows, *asks, "--measure", "recall@5", "--k", 9), "--measure recall@5 and --k 9 are two numbers of rows"),
        (
            (rows, *asks, "--measure", "nDCG@5", "--tolerance", 0.1),
            "nDCG@5 is measured by judgements, and there are no",
        ),
        ((rows, *asks, "--measure", "mAP@5", "--tolerance", 0.1), "q.npy has no labels, which this measures by; give"),
        ((rows, *asks, "--objective", "money"), "unknown objective 'money'; known are latency, bytes, throughput"),
        ((rows, *asks, "--confidence", 1), "confidence must be ≥ 0.5 and < 1, got 1"),
        ((rows, *asks, "--k", 0), "k must be an integer ≥ 1, got 0"),
        ((rows, *asks, "--k", 5000), "k must lie between 1 and the 1000 rows that are searched, got 5000"),
        ((rows, *asks, "--payload", "short.jsonl"), "short.jsonl has 1 row and there are 1,000 vectors"),
        ((rows, "--judgements", "qrels"), "--judgements speak of queries, and there are none; give --queries"),
        ((rows, "--query-labels", "labels.npy"), "--query-labels belongs to --queries, which are not there; leave it"),
        (("gone",), "gone is no mrl-table"),
    ):
        assert why in refused(*words, "--out", "two"), words
        assert not (tmp_path / "two" / "manifest.json").exists(), words
    assert "v.npy is no index, and a new one needs a place; give --out INDEX" in refused(rows, *asks)
    assert "already exists" in refused(rows, *asks, "--out", here / "ix")


def test_what_cannot_be_planned_of_an_index(here, tmp_path):
    asks = ("--queries", here / "q.npy")
    Index.build("turned", Rows.of(VECTORS, CARD), BuildSpec(map="pca"))
    Index.build("none", Rows.of(VECTORS[:0], CARD))
    with Table.create(tmp_path / "other", Card("other", WIDTH, Nesting((8, WIDTH)))) as table:
        table.add(QUERIES)
    for words, why in (
        (("turned", *asks), "as a whole, and a plan finds a map of its own; plan the vectors: mrl plan VECTORS --out"),
        (
            (here / "ix", *asks, "--metric", "dot"),
            "is an index, which has all that goes with its vectors; leave --metric",
        ),
        ((here / "ix", *asks, "--out", here / "ix"), "already exists"),
        ((here / "ix", "--queries", "other"), "do not belong together"),
        (("none", *asks), "none has no rows; add some"),
    ):
        assert why in refused(*words), words


# ------------------------------------------------------------------------------------------------- search by need


def needed(folder, *words):
    """The lines of a search by need, and what it said."""
    out, said = done("search", folder / "ix", folder / "q.npy", *words)
    return [json.loads(line)["ids"] for line in out.splitlines()], said.splitlines()


def test_a_recall_is_answered_by_the_cheapest_plan_that_promises_it(here):
    index = Index.open(here / "ix")
    for recall in (0.5, 0.9):
        point = index.planned.at_recall(recall)
        lines, said = needed(here, "--recall", recall)
        assert lines == index.search(QUERIES, 10, plan=point.plan).ids.tolist()
        assert said == [f"searched by {point.plan}", index.planned.promise_for(point, recall).sentence]
    lines, said = needed(here, "--recall", 1)
    assert lines == index.search(QUERIES, 10).ids.tolist()
    assert said == ["searched exactly: nothing is lost"]


def test_a_tolerance_of_nothing_is_the_exact_search(here):
    """For a search as for a plan."""
    lines, said = needed(here, "--tolerance", 0)
    assert lines == Index.open(here / "ix").search(QUERIES, 10).ids.tolist()
    assert said == ["searched exactly: nothing is lost"]
    done("plan", here / "v.npy", "--queries", here / "q.npy", "--tolerance", 0, *BYTES, "--out", "ix")
    assert Index.open("ix").planned.pick is None


def test_info_says_what_was_planned(here, tmp_path):
    index = Index.open(here / "ix").copy(tmp_path / "ix")
    planned, index_plan = index.planned, json.loads(done("index", "info", "ix", "--json")[0])["planned"]
    assert index_plan == {
        "target": "recall@10 ≥ 0.9",
        "objective": "bytes",
        "confidence": 0.95,
        "plan": planned.picked.plan.spec,
        "promised": planned.picked.promised,
        "tolerance": 0.1,
        "rows": ROWS,
        "changed": 0,
        "stale": False,
    }
    (line,) = (line for line in done("index", "info", "ix")[0].splitlines() if line.startswith("planned "))
    assert line.startswith(
        f"planned    for recall@10 ≥ 0.9: {planned.picked.plan.spec}, which loses at most 0.1 with 95 %"
    )
    assert line.endswith(" with 95 % confidence; not stale, 0 of 1,000 rows changed")
    index.delete(np.arange(ROWS // 5))
    assert "; stale, 200 of 1,000 rows changed\n" in done("index", "info", "ix")[0]
    index.keep_planned(replace(planned, pick=None, promise=None))
    assert "≥ 0.9: the exact search, as nothing else is known to keep it; not" in done("index", "info", "ix")[0]
    Index.build("plain", Rows.of(VECTORS, CARD))
    assert json.loads(done("index", "info", "plain", "--json")[0])["planned"] is None
    assert "planned" not in done("index", "info", "plain")[0]


def test_budgets_are_answered_by_the_best_plan_within_them(here):
    index = Index.open(here / "ix")
    cheapest = next(point for point in index.planned.points if point.ready)
    for name, value in (("budget_ms", 1.05 * cheapest.ms), ("budget_bytes", 1.05 * cheapest.bytes)):
        point = index.planned.within(**{name: value})
        lines, said = needed(here, f"--{name.replace('_', '-')}", value)
        assert lines == index.search(QUERIES, 10, plan=point.plan).ids.tolist()
        assert said[0] == (f"searched by {point.plan}" if point.plan else "searched exactly: nothing is lost")


def test_a_promise_does_not_apply_to_filtered_queries(here):
    lines, said = needed(here, "--recall", 0.9, "--where", "price < 3")
    assert all(row % 7 < 3 for line in lines for row in line)
    assert any("does not apply" in line for line in said), said


def test_a_stale_promise_is_said(here, tmp_path):
    index = Index.open(here / "ix").copy(tmp_path / "ix")
    index.delete(np.arange(ROWS // 5))
    np.save(tmp_path / "q.npy", QUERIES)
    _, said = needed(tmp_path, "--recall", 0.9)
    assert any("stale" in line for line in said), said


def test_needs_that_nothing_answers(here):
    Index.build("plain", Rows.of(VECTORS, CARD))
    for words, why in (
        ((here / "ix", "--budget-ms", 1e-9), "no plan that is ready fits within 1e-09 ms; the fastest"),
        ((here / "ix", "--budget-bytes", 5), "no plan that is ready fits within 5 bytes; the fastest"),
        ((here / "ix", "--recall", 2), "recall must be > 0 and ≤ 1, got 2"),
        (
            (here / "ix", "--recall", 0.9, "--exact"),
            "--recall 0.9 takes one of the plans that were measured, and so does",
        ),
        ((here / "ix", "--budget-ms", 3, "--plan", "32:5"), "and so does not go with --plan 32:5; give one"),
        (("plain", "--recall", 0.9), "plain was not planned"),
    ):
        result = invoke("search", words[0], here / "q.npy", *words[1:])
        assert result.exit_code == 1, (words, result.output)
        assert why in str(result.exception), words

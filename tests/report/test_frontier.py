"""A plan's page: one file that loads nothing, with every search that was measured and the way to search by the pick."""

from __future__ import annotations

import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import pytest
import typer
from typer.testing import CliRunner

from mrl.cli.report import report
from mrl.errors import ExistsError, InputError
from mrl.promise import Estimate, Parts, Promise
from mrl.report.frontier import page, write_frontier, write_page
from mrl.report.frontier_figure import EXACT, MEASURED, TESTED, figure, kind_of, shown
from mrl.report.frontier_table import told, whole
from mrl.retrieval import Plan
from mrl.retrieval.planner import Planned, Point, Terms

PARTS = Parts(100, 600, 100)
PICK = Plan.parse("pca:ab12 → 64:20/hnsw+codes=int8+m=16 → 512:20@int8 → 512:10")
OTHER = Plan.parse("64:20/rabitq,512:10")
POINTS = (
    Point(PICK, 0.991, 0.987, 0.994, 0.985, 0.08, 20_000, 2_000_000, True, 1.5),
    Point(OTHER, 0.95, 0.94, 0.96, None, 0.2, 9_000, 1_000_000, False, 0.1),
    Point(None, 1.0, 1.0, 1.0, 1.0, 2.5, 900, 9_000_000),
)
PROMISE = Promise(str(PICK), "recall@10", 0.02, 0.95, Estimate(0.009, 0.006, 0.013), PARTS, "a <b> & c", 2000, "ab")
FOUND = Planned(
    terms=Terms(recall=0.98),
    measure="recall@10",
    points=POINTS,
    pick=0,
    promise=PROMISE,
    sentences=(f"take {PICK}, 0.08 ms a query: recall@10 ≥ 0.98", "200 rows were held out"),
    queries=PARTS,
    data="a <b> & c",
    rows=2000,
    digest="ab",
    about={"cores": "2"},
)
NOTHING = replace(FOUND, points=POINTS[2:], pick=None, promise=None, sentences=())


def by(objective):
    """The same, planned for another objective."""
    points = tuple(sorted(POINTS, key=lambda point: point.cost(objective)))
    terms = Terms(recall=0.98, objective=objective)
    return replace(FOUND, terms=terms, points=points, pick=points.index(POINTS[0]))


class Reader(HTMLParser):
    """The texts of a page; every element that is opened is closed, in order."""

    def __init__(self):
        super().__init__()
        self.open: list[str] = []
        self.texts: list[str] = []

    def handle_starttag(self, name, attributes):
        if name not in ("meta", "wbr"):
            self.open.append(name)

    def handle_startendtag(self, name, attributes):
        pass

    def handle_endtag(self, name):
        assert self.open.pop() == name

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)


def text_of(markup):
    reader = Reader()
    reader.feed(markup)
    assert reader.open == []
    return re.sub(r"\s+", " ", "".join(reader.texts).replace("\u2011", "-"))


def test_the_page_says_what_is_promised_first_and_loads_nothing():
    html = page(FOUND, where="here")
    assert not re.search(r'(src|href)="(?!#)', html)
    assert "<b> & c" not in html
    text = text_of(html)
    headline = "With 95 % confidence recall@10 ≥ 0.98, at 0.08 ms a query: 31.2× faster than the exact search."
    assert text.index(headline) < text.index(PROMISE.sentence) < text.index(FOUND.sentences[0][1:])
    assert "a <b> & c: 2,000 rows, 800 queries." in text
    assert "Given: 100 chose the engine and the order, 600 tested what is promised, 100 gave the figures" in text
    assert "1 thread, cores 2." in text


@pytest.mark.parametrize("objective", ["latency", "bytes", "throughput"])
def test_the_table_has_every_figure_of_every_point(objective):
    planned = by(objective)
    html = page(planned)
    rows = re.findall(r'<tr[^>]*><th scope="row".*?</tr>', html)
    assert len(rows) == len(POINTS)
    assert [str(POINTS[0]) in text_of(row) for row in rows].count(True) == 1
    for point in POINTS:
        (row,) = (text_of(row) for row in rows if str(point) in text_of(row))
        for cell in point.cells("promised").values():
            assert cell in row or point.plan is None  # the exact search has no interval
    (picked,) = (row for row in rows if 'class="picked"' in row)
    assert str(PICK) in text_of(picked)
    assert str(OTHER) in text_of(rows[-1])  # what was only measured comes last
    assert html.count("<figure>") == 2


def test_of_other_measures_the_table_says_what_is_lost_at_most():
    terms = Terms(measure="nDCG", tolerance=0.02)
    text = text_of(page(replace(FOUND, terms=terms, measure="nDCG@10", full=0.6)))
    assert "plannDCG@10loses ≤msqueries/sMBbuild s" in text
    assert "0.99100.9870 … 0.99400.0150" in text
    assert "loses ≤The mean loss against the exact search that is surely not exceeded. One level" in text
    assert "planrecall@10promisedmsqueries/sMBbuild s" in text_of(page(FOUND))


def test_every_command_is_one_that_can_be_given():
    html = page(FOUND, where="here")
    commands = [unescape(text) for text in re.findall("<code>(.*?)</code>", html)]
    assert commands == [
        "mrl search here QUERIES -k 10 --recall 0.98",
        "mrl.retrieval.Index.open('here').search(queries, 10, recall=0.98).ids",
        f"mrl search here QUERIES -k 10 --plan {PICK.spec}",
        "mrl recheck here NEW_QUERIES",
    ]
    assert Plan.parse(commands[2].split()[-1]) == PICK
    assert "mrl recheck 'my index' NEW" in unescape(page(FOUND, where="my index"))
    terms = Terms(measure="nDCG", tolerance=0.02)
    judged = page(replace(FOUND, terms=terms, measure="nDCG@10", full=0.6, held_out=True))
    assert "--tolerance 0.02" in judged
    assert "rows held out as queries" in judged


def test_nothing_but_the_exact_search():
    text = text_of(page(NOTHING))
    assert "Nothing but the exact search is known to keep recall@10 ≥ 0.98." in text
    assert "mrl search INDEX QUERIES -k 10" in text
    assert "recheck" not in text
    assert "picked" not in text.lower()


@pytest.mark.parametrize(
    ("across", "costs"),
    [("latency", [0.08, 0.2, 2.5]), ("bytes", [1.0, 2.0, 9.0]), ("throughput", [900, 9_000, 20_000])],
)
def test_the_figure_shows_every_plan_at_its_cost(across, costs):
    (axes,) = figure(FOUND, across).axes
    lines = {line.get_label().split(",")[0]: line for line in axes.lines}
    assert sorted(x for kind in (TESTED, MEASURED, EXACT) for x in lines[kind].get_xdata()) == pytest.approx(costs)
    assert list(lines["picked"].get_ydata()) == [pytest.approx(99.1)]
    assert list(lines["promised: recall@10 ≥ 0.98"].get_ydata()) == [pytest.approx(98)] * 2
    assert axes.get_xscale() == "log"


def test_the_figure_says_what_its_marks_are():
    def legend(planned):
        (found,) = figure(planned).legends
        return [text.get_text() for text in found.get_texts()]

    everything = ["picked, 0.08 ms", "promised: recall@10 ≥ 0.98", TESTED, f"{EXACT}, 2.5 ms", MEASURED]
    assert legend(FOUND) == everything
    assert legend(NOTHING) == ["asked: recall@10 ≥ 0.98", f"{EXACT}, 2.5 ms"]


def test_the_level_of_a_measure_lies_under_what_the_exact_search_has():
    terms = Terms(measure="mAP", tolerance=0.1)
    (axes,) = figure(replace(FOUND, terms=terms, measure="mAP@10", full=0.6)).axes
    (level,) = (line for line in axes.lines if line.get_label() == "promised: mAP@10 within 0.1")
    assert list(level.get_ydata()) == [pytest.approx(50)] * 2


def test_points_far_below_are_in_the_table_alone():
    low = replace(POINTS[0], plan=OTHER, quality=0.5, low=0.4, high=0.6, ms=0.07, promised=0.3)
    planned = replace(FOUND, points=(low, *POINTS), pick=1)
    assert shown(planned) == list(POINTS)
    assert "1 far below what was asked are in the table alone" in text_of(page(planned))
    lows = tuple(replace(low, ms=0.01 * place) for place in range(1, 6))
    crowd = replace(FOUND, points=(*lows, *POINTS), pick=5)
    assert shown(crowd) == list(crowd.points)  # else hardly anything would be left
    assert [kind_of(point) for point in POINTS] == [TESTED, MEASURED, EXACT]


def test_plans_break_where_they_have_a_joint():
    assert text_of(whole(str(PICK))) == str(PICK)
    assert whole(str(PICK)).count('class="stage"') == 4
    said = f"take {PICK}, 0.08 ms: recall@10 ≥ 0.98 of <b>, at 95 %"
    assert text_of(told(said)) == said
    assert told(said).count('class="plan"') == 1
    assert 'class="plan"' not in told("recall@10: 984 queries; about 2,900 would do")


def test_files(tmp_path):
    path = write_page(tmp_path / "plan.html", FOUND, where="here")
    assert path.read_text() == page(FOUND, where="here")
    with pytest.raises(ExistsError):
        write_page(path, FOUND)
    written = write_frontier(tmp_path / "out", FOUND, "Words")
    names = [
        "planned.json",
        *(f"quality-by-{across}.{end}" for end in ("svg", "png") for across in ("latency", "bytes")),
    ]
    assert [file.name for file in written] == [*names, "report.html"]
    assert Planned.load(written[0]) == FOUND
    with pytest.raises(ExistsError):
        write_frontier(tmp_path / "out", FOUND)


@pytest.fixture
def verb():
    app = typer.Typer()
    app.command()(report)
    return lambda *words: CliRunner().invoke(app, [str(word) for word in words])


def test_report_draws_a_file_of_what_was_planned(verb, tmp_path):
    FOUND.save(tmp_path / "planned.json")
    result = verb(tmp_path / "planned.json", "--out", tmp_path / "out", "--title", "Words")
    assert result.stdout == f"{tmp_path / 'out' / 'report.html'}\n"
    assert (tmp_path / "out" / "report.html").read_text() == page(FOUND, "Words")
    result = verb(tmp_path / "planned.json", tmp_path / "rows.jsonl", "--out", tmp_path / "two")
    assert isinstance(result.exception, InputError)
    assert "makes a page of its own, got 2 paths; give it alone" in str(result.exception)


def test_report_draws_an_index_that_was_planned(verb, tmp_path):
    import numpy as np

    from mrl import Card, Nesting
    from mrl.retrieval import Index, Rows

    vectors = np.random.default_rng(0).normal(size=(20, 8)).astype(np.float32)
    index = Index.build(tmp_path / "ix", Rows.of(vectors, Card("any", 8, Nesting((8,)))))
    result = verb(tmp_path / "ix", "--out", tmp_path / "out")
    assert f"ix was not planned, so there is nothing to show; plan it: mrl plan {tmp_path / 'ix'}" in str(
        result.exception
    )
    index.keep_planned(FOUND)
    result = verb(tmp_path / "ix", "--out", tmp_path / "out")
    assert result.exit_code == 0, result.exception
    assert f"mrl recheck {tmp_path / 'ix'} NEW_QUERIES" in (tmp_path / "out" / "report.html").read_text()

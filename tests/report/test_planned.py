"""A plan's page: one file that loads nothing, with every plan that was measured."""

from __future__ import annotations

import re

import pytest

from mrl.errors import ExistsError
from mrl.promise import Estimate, Parts, Promise
from mrl.report.planned import frontier_figure, write_planned
from mrl.retrieval import Plan
from mrl.retrieval.planner import Planned, Point, Terms

PARTS = Parts(100, 600, 100)
PICK = Plan.parse("64:20/hnsw+m=16,512:10@int8")
POINTS = (
    Point(PICK, 0.991, 0.987, 0.994, 0.985, 0.08, 20_000, 2_000_000, True, 1.5),
    Point(Plan.parse("64:20/rabitq,512:10"), 0.95, 0.94, 0.96, None, 0.2, 9_000, 1_000_000, False, 0.1),
    Point(None, 1.0, 1.0, 1.0, 1.0, 2.5, 900, 9_000_000),
)
PROMISE = Promise(str(PICK), "recall@10", 0.02, 0.95, Estimate(0.009, 0.006, 0.013), PARTS, "a <b> & c", 2000, "ab")


def planned(**changed):
    known = {
        "terms": Terms(recall=0.98),
        "measure": "recall@10",
        "points": POINTS,
        "pick": 0,
        "promise": PROMISE,
        "sentences": (f"take {PICK}", "200 rows were held out"),
        "queries": PARTS,
        "data": "a <b> & c",
        "rows": 2000,
        "digest": "ab",
        "about": {"cores": "2"},
    }
    return Planned(**{**known, **changed})


def test_the_page_says_what_was_found_and_loads_nothing(tmp_path):
    found = planned()
    text = write_planned(tmp_path / "plan.html", found).read_text()
    assert (
        "a &lt;b&gt; &amp; c: 2,000 rows. 800 queries: 100 tuned, 600 tested, 100 gave the figures. 1 threads" in text
    )
    assert "<b> & c" not in text
    assert not re.search(r'(src|href)="(?!#)', text)
    assert text.count("<figure>") == 1
    assert text.count("<li>") == 3  # the sentences and the promise
    assert text.count('<th scope="row"') == len(POINTS)
    assert f"<b>{PICK}</b>" in text
    for point in POINTS:
        for cell in point.cells(picked=False)[1:]:
            assert f">{cell}</" in text
    with pytest.raises(ExistsError):
        write_planned(tmp_path / "plan.html", found)


@pytest.mark.parametrize(
    ("objective", "across"),
    [("latency", [0.08, 0.2, 2.5]), ("bytes", [1.0, 2.0, 9.0]), ("throughput", [1 / 20, 1 / 9, 1 / 0.9])],
)
def test_the_figure_shows_every_plan_at_its_cost(objective, across):
    points = tuple(sorted(POINTS, key=lambda point: point.cost(objective)))
    found = planned(terms=Terms(recall=0.98, objective=objective), points=points, pick=points.index(POINTS[0]))
    (axes,) = frontier_figure(found).axes
    shown = {line.get_label(): line for line in axes.lines}
    places = [x for name in ("built and tested", "only measured", "exact search") for x in shown[name].get_xdata()]
    assert sorted(places) == pytest.approx(across)
    assert list(shown["picked"].get_ydata()) == [pytest.approx(99.1)]
    assert shown["recall@10 ≥ 0.98"].get_ydata() == [pytest.approx(98), pytest.approx(98)]


def test_nothing_but_the_exact_search(tmp_path):
    found = planned(points=POINTS[2:], pick=None, promise=None, sentences=())
    text = write_planned(tmp_path / "plan.html", found).read_text()
    assert "exact search" in text
    assert "picked" not in text

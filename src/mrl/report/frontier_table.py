"""The table of a plan's page: every search that was measured, and plans that break where they have a joint."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from mrl.report.css import themed
from mrl.report.frontier_figure import KINDS, MEASURED, TITLES, kind_of
from mrl.report.markup import Markup, join, tag
from mrl.report.parts import unbroken
from mrl.retrieval.planner.planned import Planned
from mrl.retrieval.planner.points import Point
from mrl.retrieval.planner.table import heading_of

ARROW = " → "
COLUMNS = ("ms", "queries/s", "MB", "build s")
_PLAN = re.compile(r"((?:[a-z][a-z0-9-]*:[0-9a-f]+ → )?\d+:\d+[^\s,]*(?: → \d+:\d+[^\s,]*)*)")


def plans(planned: Planned) -> Markup:
    """What can be searched by and the exact search, cheapest first; then what was only measured."""
    columns = ("plan", planned.measure, *_figures(planned))
    top = [tag("th", name, scope="col", **({} if place else {"class_": "run"})) for place, name in enumerate(columns)]
    caption = tag("caption", f"Every search that was measured, by {TITLES[planned.terms.objective]}", class_="hidden")
    known = [point for point in planned.points if kind_of(point) != MEASURED]
    others = [point for point in planned.points if kind_of(point) == MEASURED]
    bodies = [_body(planned, known), *([_body(planned, others, len(columns))] if others else [])]
    table = tag("table", caption, tag("thead", tag("tr", *top)), *bodies, class_="plans")
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label="All plans")


def told(text: str) -> Markup:
    """A sentence whose plans break between stages, or before a knob."""
    return join(*(whole(part) if place % 2 else unbroken(part) for place, part in enumerate(_PLAN.split(text))))


def whole(plan: str) -> Markup:
    """A plan's text, its stages whole where they fit a line."""
    first, *others = plan.split(ARROW)
    stages = (join(" ", tag("span", ARROW.lstrip(), *_knobs(stage), class_="stage")) for stage in others)
    return tag("span", tag("span", *_knobs(first), class_="stage"), *stages, class_="plan")


def _knobs(stage: str) -> Iterator[str]:
    first, *others = re.split(r"(?=[+/@])", stage)
    yield first
    for part in others:
        yield from (Markup("<wbr>"), part)


def _body(planned: Planned, points: Sequence[Point], columns: int = 0) -> Markup:
    """columns: how many the heading of those that were only measured spans; 0 for no heading."""
    said = "Only measured: their engines were not built for the index, and nothing is promised of them"
    head = [tag("tr", tag("th", said, scope="rowgroup", colspan=str(columns), class_="group"))] if columns else []
    return tag("tbody", *head, *(_line(planned, point, picked=point == planned.picked) for point in points))


def _figures(planned: Planned) -> tuple[str, ...]:
    """The names of the columns after the mean, beneath which its interval stands."""
    return heading_of(planned.terms), *COLUMNS


def _line(planned: Planned, point: Point, *, picked: bool) -> Markup:
    """A row: the plan, then its figures."""
    names = _figures(planned)
    cells = point.cells(names[0])
    interval = "" if point.plan is None else cells["95 %"]
    mean = tag("td", tag("span", _strong(cells["mean"], picked), class_="value"), tag("small", interval))
    figures = (tag("td", _strong(cells[name], picked)) for name in names)
    return tag("tr", _name(point, picked=picked), mean, *figures, **({"class_": "picked"} if picked else {}))


def _name(point: Point, *, picked: bool) -> Markup:
    """The plan behind its dot, and in words what the dot and the colours say."""
    look = KINDS[kind_of(point)]
    paint = themed(look["color"])
    fill = f"color:{paint};background:{'none' if 'markerfacecolor' in look else paint}"
    dot = tag("span", class_="dot", style=fill, aria_hidden="true")
    name = join(str(point)) if point.plan is None else whole(str(point))
    said = tag("small", tag("b", "picked")) if picked else tag("span", f" {kind_of(point)}", class_="hidden")
    return tag("th", dot, name, said, scope="row", class_="run")


def _strong(text: str, picked: bool) -> str:
    return tag("b", text) if picked else text

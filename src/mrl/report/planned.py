"""A plan's page: the frontier of cost and quality, what was picked of it, and what that promises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mrl.disk import absent, write
from mrl.report.figures import svg
from mrl.report.look import COLOURS, FAINT, PAPER, RING, style
from mrl.report.markup import Markup, tag
from mrl.report.parts import drawn, opening, shell, unbroken
from mrl.retrieval.planner.planned import Planned
from mrl.retrieval.planner.points import COLUMNS, Point

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FRONTIER = "frontier"
TITLE = "The cheapest search that keeps its promise"
ACROSS = {"latency": "milliseconds for one query", "bytes": "MB of memory", "throughput": "milliseconds, in batches"}
SCALE = {"latency": 1.0, "bytes": 1e-6, "throughput": 1e3}  # from `Point.cost` to that
# How points are drawn, by what is known of them: tested ones, those that were only measured, and the exact search.
KINDS: dict[str, dict[str, Any]] = {
    "built and tested": {"color": COLOURS[0], "marker": "o"},
    "only measured": {"color": FAINT, "marker": "o", "markerfacecolor": PAPER},
    "exact search": {"color": COLOURS[1], "marker": "D"},
}


def write_planned(path: str | Path, planned: Planned, heading: str = TITLE) -> Path:
    """Write one HTML file that loads nothing. ExistsError if something is there, MissingError without matplotlib."""
    absent(Path(path))
    page = planned_page(planned, heading, svg(frontier_figure(planned)))
    write(Path(path), page.encode())
    return Path(path)


def planned_page(planned: Planned, heading: str, drawing: str) -> str:
    """The whole document. drawing: the frontier as an `<svg>` element."""
    promise = () if planned.promise is None else (planned.promise.sentence,)
    found = tag("ul", *(tag("li", unbroken(each)) for each in (*planned.sentences, *promise)), class_="found")
    return shell(
        heading,
        opening(heading, _headline(planned), _facts(planned)),
        tag("h2", "What was found"),
        found,
        tag("h2", "Cost and quality"),
        tag("div", drawn(FRONTIER, drawing, _told(planned), _below(planned)), class_="figures"),
        tag("h2", "All plans"),
        _table(planned),
    )


def frontier_figure(planned: Planned) -> Figure:
    """The measure of every plan against its cost, on a log axis; the pick is ringed."""
    with style():
        from matplotlib.figure import Figure

        result, objective = Figure(), planned.terms.objective
        axes = result.add_subplot()
        for kind in KINDS:
            _draw(axes, [point for point in planned.points if _kind(point) == kind], planned, kind)
        if planned.picked is not None:
            axes.plot(*_place(planned.picked, planned), zorder=5, label="picked", **RING)
        if planned.terms.allowed:
            level = (planned.full - planned.terms.allowed) * 100
            axes.axhline(level, color=FAINT, linewidth=0.9, linestyle=(0, (1, 2)), zorder=2, label=planned.terms.text)
        axes.set_xscale("log")
        axes.set_xlabel(ACROSS[objective])
        axes.yaxis.set_major_formatter("{x:g} %")
        axes.set_title(f"{planned.measure} against cost")
        result.legend(loc="outside lower left", ncols=2)
        return result


def _draw(axes: Axes, points: Sequence[Point], planned: Planned, kind: str) -> None:
    """Points with their intervals."""
    if not points:
        return
    look = KINDS[kind]
    x, y = zip(*(_place(point, planned) for point in points), strict=True)
    axes.vlines(x, [p.low * 100 for p in points], [p.high * 100 for p in points], color=look["color"], linewidth=1.1)
    axes.plot(x, y, linestyle="", zorder=4, label=kind, **look)


def _place(point: Point, planned: Planned) -> tuple[float, float]:
    objective = planned.terms.objective
    return point.cost(objective) * SCALE[objective], point.quality * 100


def _kind(point: Point) -> str:
    if point.plan is None:
        return "exact search"
    return "built and tested" if point.ready and point.promised is not None else "only measured"


def _headline(planned: Planned) -> str:
    return planned.sentences[0][:1].upper() + planned.sentences[0][1:] + "." if planned.sentences else TITLE


def _facts(planned: Planned) -> str:
    queries, about = planned.queries, ", ".join(f"{name} {value}" for name, value in planned.about.items())
    said = f"{planned.data}: {planned.rows:,} rows. {sum(queries):,} queries: {queries.tune:,} tuned, "
    said += f"{queries.calibrate:,} tested, {queries.report:,} gave the figures. {planned.threads} threads"
    return f"{said}; {about}." if about else f"{said}."


def _told(planned: Planned) -> str:
    """For those who cannot see the figure."""
    return f"Scatter chart: {planned.measure} of {len(planned.points)} plans against {ACROSS[planned.terms.objective]}."


def _below(planned: Planned) -> str:
    cost = planned.terms.cost_text
    named = [f"{point}: {cost(point.cost(planned.terms.objective))}" for point in _named(planned)]
    return "; ".join(named) + ". Lines are 95 % intervals."


def _named(planned: Planned) -> Iterator[Point]:
    """The pick and the exact search."""
    if planned.picked is not None:
        yield planned.picked
    yield from (point for point in planned.points if point.plan is None)


def _table(planned: Planned) -> Markup:
    heads = ("plan", planned.measure, *COLUMNS)
    top = [tag("th", head, scope="col", **({} if number else {"class_": "run"})) for number, head in enumerate(heads)]
    lines = [_line(point, picked=place == planned.pick) for place, point in enumerate(planned.points)]
    table = tag("table", tag("thead", tag("tr", *top)), tag("tbody", *lines))
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label="All plans")


def _line(point: Point, *, picked: bool) -> Markup:
    name, *figures = point.cells(picked=picked)
    name = name.removeprefix("* ").strip()
    head = tag("th", tag("b", name) if picked else name, scope="row", class_="run")
    return tag("tr", head, *(tag("td", tag("b", each) if picked else each) for each in figures))

"""The frontier of a plan: what every search that was measured is worth against what it costs, on a log axis.

Filled circles are built and tested, hollow ones were only measured, the diamond is the exact search; bars are 95 %
intervals. The pick is ringed, and a dotted line is the level that it promises.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mrl.report.look import COLOURS, FAINT, PAPER, RING, style
from mrl.retrieval.planner.planned import Planned
from mrl.retrieval.planner.points import EXACT, Point
from mrl.retrieval.planner.terms import Objective

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TESTED, MEASURED = "built and tested", "only measured"
# How points are drawn, by what is known of them; the first one ends up on top.
KINDS: dict[str, dict[str, Any]] = {
    TESTED: {"color": COLOURS[0], "marker": "o"},
    EXACT: {"color": COLOURS[1], "marker": "D", "markersize": 6.0},
    MEASURED: {"color": FAINT, "marker": "o", "markersize": 5.0, "markerfacecolor": PAPER, "markeredgewidth": 1.1},
}
TITLES: dict[Objective, str] = {"latency": "time", "bytes": "memory", "throughput": "speed in batches"}
ACROSS: dict[Objective, str] = {
    "latency": "milliseconds for one query alone",
    "bytes": "MB of memory that searches read from",
    "throughput": "queries a second, in batches",
}
BELOW = 5  # times the allowed loss: how far under the asked level a figure goes on
TICKS = (1, 2, 5)


def figure(planned: Planned, across: Objective | None = None) -> Figure:
    """Quality of every plan against one cost. across: which, default the objective. MissingError without matplotlib."""
    across = planned.terms.objective if across is None else across
    with style():
        from matplotlib.figure import Figure

        result = Figure()
        axes = result.add_subplot()
        for kind in reversed(KINDS):
            _draw(axes, [point for point in shown(planned) if kind_of(point) == kind], kind, across)
        _mark(axes, planned, across)
        _dress(axes, across)
        axes.set_title(f"{planned.measure} against {TITLES[across]}")
        result.legend(*_legend(axes), loc="outside lower left", ncols=2)
        return result


def shown(planned: Planned) -> list[Point]:
    """The points near the asked level, as those far below would leave no room for these; all if few would be left."""
    least = planned.full - (BELOW + 1) * planned.terms.allowed
    near = [point for point in planned.points if point.quality >= least or point == planned.picked]
    return near if 2 * len(near) > len(planned.points) else list(planned.points)


def kind_of(point: Point) -> str:
    """One of KINDS."""
    if point.plan is None:
        return EXACT
    return TESTED if point.ready and point.promised is not None else MEASURED


def cost_text(point: Point, across: Objective) -> str:
    """`0.0818 ms`, `178 MB`, `19,900 queries/s`: three figures."""
    cost = place(point, across)[0]
    unit = {"latency": "ms", "bytes": "MB", "throughput": "queries/s"}[across]
    return f"{float(f'{cost:.3g}'):,.12g} {unit}"


def place(point: Point, across: Objective) -> tuple[float, float]:
    """(cost in the axis's unit, quality in percent)."""
    cost = {"latency": point.ms, "bytes": point.bytes / 1e6, "throughput": point.qps}[across]
    return cost, point.quality * 100


def _draw(axes: Axes, points: Sequence[Point], kind: str, across: Objective) -> None:
    """Points with their intervals; the exact search has none, and is named with its cost."""
    if not points:
        return
    look = KINDS[kind]
    x, y = zip(*(place(point, across) for point in points), strict=True)
    low, high = [point.low * 100 for point in points], [point.high * 100 for point in points]
    axes.vlines(x, low, high, color=look["color"], linewidth=1.1, alpha=0.55, zorder=3)
    label = f"{kind}, {cost_text(points[0], across)}" if kind == EXACT else kind
    axes.plot(x, y, linestyle="", zorder=4, label=label, **look)


def _mark(axes: Axes, planned: Planned, across: Objective) -> None:
    """A ring around the pick, and a thin line at what is promised of it, or was asked for where nothing is."""
    if planned.picked is not None:
        label = f"picked, {cost_text(planned.picked, across)}"
        axes.plot(*place(planned.picked, across), zorder=5, label=label, **RING | {"markersize": 11})
    level = (planned.full - planned.terms.allowed) * 100
    label = f"{'asked' if planned.promise is None else 'promised'}: {planned.terms.text}"
    axes.axhline(level, color=FAINT, linewidth=1.1, linestyle=(0, (1, 2)), zorder=2, label=label)


def _dress(axes: Axes, across: Objective) -> None:
    """A log axis with plain numbers, as many as there is room for."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axes.set_xscale("log")
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(10, subs=TICKS if math.log10(high / low) < len(TICKS) else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.12g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(ACROSS[across])
    axes.yaxis.set_major_formatter("{x:g} %")


def _legend(axes: Axes) -> tuple[list[Any], list[str]]:
    """What is marked and what is promised, then the kinds of points."""
    handles, labels = axes.get_legend_handles_labels()
    pairs = list(zip(handles, labels, strict=True))
    kinds = sum(label.startswith(tuple(KINDS)) for label in labels)
    ordered = [*pairs[kinds:], *reversed(pairs[:kinds])]
    return [handle for handle, _ in ordered], [label for _, label in ordered]

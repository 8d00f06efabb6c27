"""Figures from rows: quality against dim, and against bytes per vector.

Filled markers are dims that were trained, hollow ones were only read. Circles are the saved head or neighbours,
diamonds on a dashed line are fitted probes. Bands are 95 % intervals. Colours follow the series through all figures.
"""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mrl.evaluation.rows import Row
from mrl.report.findings import KEEP, findings
from mrl.report.look import FAINT, PAPER, PROBE, RING, look, style
from mrl.report.series import Curve, Plot, check, curves, is_share, plots, printable, series, title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

NAME, TITLE = 28, 40  # longest run name and title in a figure, characters
LABELS = 10  # most labels on the lower axis


def figures(rows: Sequence[Row]) -> dict[Plot, Figure]:
    """All figures of a report, as `plots` lists them. InputError if `check` refuses the rows."""
    check(rows)
    return {plot: figure(rows, plot) for plot in plots(rows)}


def figure(rows: Sequence[Row], plot: Plot, report: Sequence[Row] = ()) -> Figure:
    """One measure of every series against the prefix's width or its bytes, on a log2 axis.

    report: all rows of the report, whose series have the same colours in every figure; default `rows`.
    """
    with style():
        from matplotlib.figure import Figure

        names, shown = series(report or rows), curves(rows, plot.measure)
        result = Figure()
        axes = result.add_subplot()
        for curve in reversed(shown):  # the first series ends up on top
            _draw(axes, curve, plot.across, look(names, curve))
        ringed = _mark_goal(axes, rows, plot)
        _dress(axes, [row for curve in shown for row in curve.rows], plot.across)
        axes.yaxis.set_major_formatter("{x:g} %" if is_share(plot.measure) else "{x:g}")
        axes.set_title(_heading(plot))
        _explain(result, names, shown, ringed)
        return result


def svg(figure: Figure) -> str:
    """The figure as one `<svg>` element, the same characters every time."""
    text = _saved(figure, "svg", {"Date": None, "Creator": None, "Format": None, "Type": None}).decode()
    return text[text.index("<svg") :]


def png(figure: Figure) -> bytes:
    """The figure as PNG, 200 dots an inch, the same bytes every time."""
    return _saved(figure, "png", {"Software": None})


def _draw(axes: Axes, curve: Curve, across: str, look: dict[str, Any]) -> None:
    x = [getattr(row, across) for row in curve.rows]
    y = [row.value * 100 for row in curve.rows]
    low, high = [row.low * 100 for row in curve.rows], [row.high * 100 for row in curve.rows]
    axes.fill_between(x, low, high, color=look["color"], alpha=0.1, linewidth=0)
    if len(x) == 1:  # a band of no width
        axes.vlines(x, low, high, color=look["color"], linewidth=1.2)
    axes.plot(x, y, zorder=3, **look | {"marker": ""})
    for trained in (False, True):
        here = [i for i, row in enumerate(curve.rows) if row.trained == trained]
        face = look["color"] if trained else PAPER
        points = [x[i] for i in here], [y[i] for i in here]
        axes.plot(*points, zorder=4, **look | {"linestyle": "", "markerfacecolor": face})


def _mark_goal(axes: Axes, rows: Sequence[Row], plot: Plot) -> bool:
    """A thin line at the share of the widest run's value that the headline asks for, and a ring where it is met."""
    found = [finding for finding in findings(rows) if finding.full.measure == plot.measure]
    for finding in found:
        level = KEEP * finding.full.value * 100
        axes.axhline(level, color=FAINT, linewidth=0.9, linestyle=(0, (1, 2)), zorder=2)
        named = f"{printable(finding.full.run)} at {finding.full.dim:,} dims"
        text = f"{KEEP * 100:g} % of {named if len(named) <= 18 else 'full width'}"
        place: dict[str, Any] = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points"}
        axes.annotate(text, (1, level), (-2, -4), ha="right", va="top", fontsize=8.5, color=FAINT, zorder=5, **place)
        axes.plot([getattr(finding.cut, plot.across)], [finding.cut.value * 100], zorder=5, **RING)
    return bool(found)


def _dress(axes: Axes, rows: Sequence[Row], across: str) -> None:
    """A log2 axis labelled with the values themselves."""
    from matplotlib.ticker import MaxNLocator

    values = sorted({getattr(row, across) for row in rows})
    shown = _spaced(sorted({getattr(row, across) for row in rows if row.trained}), values)
    axes.set_xscale("log", base=2)
    axes.set_xticks(shown, [f"{value:,}" for value in shown])
    axes.set_xticks([value for value in values if value not in shown], minor=True)
    axes.xaxis.set_minor_formatter("")
    axes.set_xlim(values[0] / 1.13, values[-1] * 1.13)
    axes.set_xlabel("dims of the vector" if across == "dim" else "bytes per stored vector")
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))


def _spaced(trained: Sequence[int], values: Sequence[int]) -> list[int]:
    """Values whose labels do not touch on a log axis: from the widest trained down, then the others between."""
    gap = math.log2(values[-1] / values[0]) / LABELS
    kept: list[int] = []
    for value in (*reversed(trained), *reversed(values)):
        if value not in kept and all(abs(math.log2(other / value)) >= gap for other in kept):
            kept.append(value)
    return sorted(kept)


def _explain(figure: Figure, names: Sequence[str], shown: Sequence[Curve], ringed: bool) -> None:
    """A legend below the axes: lines of series, then lines of what the markers found in this figure mean."""
    looks = {curve.series: look(names, curve) | {"marker": ""} for curve in reversed(shown)}
    lines = [(_sample(**looks[name]), _short(name)) for name in names if name in looks]
    longest = max(len(name) for _, name in lines)
    columns = 4 if longest <= 8 else 3 if longest <= 14 else 2
    rows = [*_filled(lines, columns), *_filled(_marks(shown, ringed), columns)]
    entries = [row[column] for column in range(columns) for row in rows]  # a legend is filled column by column
    figure.legend(*zip(*entries, strict=True), loc="outside lower left", ncols=columns)


def _marks(shown: Sequence[Curve], ringed: bool) -> list[tuple[Line2D, str]]:
    trained = {row.trained for curve in shown for row in curve.rows}
    grey = {"color": FAINT, "marker": "o", "linestyle": ""}
    probe = {"color": FAINT, "marker": "D", "markersize": 5.6, "linestyle": PROBE}
    found = [
        (_sample(**grey), "trained", True in trained),
        (_sample(**grey, markerfacecolor=PAPER), "only read", False in trained),
        (_sample(**probe, markerfacecolor=PAPER), "probe", any(curve.method == "probe" for curve in shown)),
        (_sample(**RING | {"markersize": 10}), f"keeps {KEEP * 100:g} %", ringed),
    ]
    return [(sample, text) for sample, text, occurs in found if occurs]


def _filled(entries: Sequence[tuple[Line2D, str]], columns: int) -> list[list[tuple[Line2D, str]]]:
    """The entries in lines of `columns`, the last one filled up with blanks."""
    blank = (_sample(linestyle=""), "")
    lines = [list(entries[start : start + columns]) for start in range(0, len(entries), columns)]
    return [line + [blank] * (columns - len(line)) for line in lines]


def _sample(**look: Any) -> Line2D:
    from matplotlib.lines import Line2D

    return Line2D([], [], **look)


def _heading(plot: Plot) -> str:
    return _short(title(plot.measure), TITLE) if plot.across == "dim" else f"{_short(plot.measure)} against bytes"


def _short(name: str, longest: int = NAME) -> str:
    name = printable(name)
    name = name if len(name) <= longest else f"{name[: longest - 1]}…"
    return f"\u200b{name}" if name.startswith("_") else name  # matplotlib leaves out labels that begin with `_`


def _saved(figure: Figure, kind: str, metadata: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    with style(), warnings.catch_warnings():
        # names in scripts that the bundled font lacks: drawn as boxes in PNG, whole in SVG
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure.savefig(buffer, format=kind, dpi=200, metadata=metadata)
    return buffer.getvalue()

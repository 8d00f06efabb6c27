"""A cascade's figures: accuracy against dims, is its confidence right, and who stops where.

Blue is the cascade, orange its levels when all rows are answered at one, green the oracle, near black fixed-feature
models; a line with a band is the full width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mrl.classify.curve import Point
from mrl.classify.measured import Level, Measured
from mrl.classify.slices import Groups
from mrl.evaluation.rows import Row
from mrl.report.findings import dims
from mrl.report.look import BASELINE, COLOURS, FAINT, PAPER, RING, style
from mrl.report.series import FIXED, curves, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CASCADE, LEVELS, ORACLE, GREEDY = COLOURS[0], COLOURS[1], COLOURS[2], COLOURS[4]
RIVALS = (COLOURS[3], COLOURS[5])  # of models beside it that are no FF
HOLLOW: dict[str, Any] = {"linestyle": "", "markerfacecolor": PAPER}
EACH, NAME = 3, 20  # bars at either end of the classes; longest name of a bar, characters
FEWEST = 5  # rows of a class that is named for stopping early or late
ROOM = 4  # percent around dots at 0 and 100
PALE = 0.14  # opacity of the first level's bars; the last one is opaque


def tradeoff(measured: Measured, beside: Sequence[Row] = ()) -> Figure:
    """Accuracy against the mean of the last dim used, on a log2 axis. MissingError without matplotlib."""
    with style():
        from matplotlib.figure import Figure

        result = Figure(figsize=(5.6, 4.6))
        axes = result.add_subplot()
        _full(axes, measured)
        _draw(axes, oracle(measured), "oracle, level by level", color=ORACLE, marker="^", linestyle=(0, (1, 1.2)))
        fixed = [Point(level.dim, level.dim, level.accuracy.mean) for level in measured.levels]
        _draw(axes, fixed, "one level for all rows", color=LEVELS, marker="o", markersize=5.0, linestyle="-.")
        _beside(axes, beside)
        _chosen(axes, measured)
        _log2(axes, [level.dim for level in measured.levels])
        axes.yaxis.set_major_formatter("{x:g} %")
        axes.set_title("Accuracy against dims")
        result.legend(loc="outside lower left", ncols=2)
        return result


def oracle(measured: Measured) -> list[Point]:
    """The oracle that may use the levels up to each. Rows that none of these has right count at the last of them, as in
    the paper (arXiv 2205.13147 §4.2.1)."""
    found, right, spent = [], 0.0, 0.0
    for level, first in zip(measured.levels, measured.oracle.first, strict=True):
        right, spent = right + first, spent + first * level.dim
        dims = spent + (1 - right) * level.dim
        found.append(Point(dims, dims, right))
    return found


def calibration(measured: Measured) -> Figure:
    """Of each level, the share that is right against the confidence, one small figure each."""
    with style():
        from matplotlib.figure import Figure

        count = len(measured.levels)
        columns = min(count, 2 if count <= 4 else 3)
        lines = -(-count // columns)
        result = Figure(figsize=(5.6, 1.1 + 1.62 * lines * 3 / columns))
        grid = list(result.subplots(lines, columns, sharex=True, sharey=True, squeeze=False).flat)
        for axes, level in zip(grid, measured.levels, strict=False):
            _bins(axes, level)
        for place, axes in enumerate(grid):
            axes.tick_params(labelbottom=place + columns >= count)
        for axes in grid[count:]:
            axes.set_axis_off()
        result.supxlabel("confidence", color=FAINT, fontsize=10.5)
        result.suptitle("Right, against confidence", x=0.02, ha="left", fontsize=12.5, fontweight="bold")
        return result


def stops(measured: Measured) -> Figure:
    """The share of rows that stops at each level: of all, of every slice, and of the classes at both ends."""
    with style():
        from matplotlib.figure import Figure

        bars = list(bars_of(measured))
        result = Figure(figsize=(5.6, 1.7 + 0.3 * len(bars)))
        axes = result.add_subplot()
        for level, at in enumerate(measured.levels):
            left = [100 * sum(bar.stopped[:level]) for bar in bars]
            wide = [100 * bar.stopped[level] for bar in bars]
            paint: Any = {"color": CASCADE, "alpha": opacity(level, len(measured.levels))}
            axes.barh([bar.place for bar in bars], wide, 0.78, left, label=f"{at.dim:,}", linewidth=0, **paint)
        axes.set_yticks([bar.place for bar in bars], [bar.name for bar in bars])
        axes.invert_yaxis()
        axes.grid(visible=False)
        axes.set_xlim(0, 100)
        axes.xaxis.set_major_formatter("{x:g} %")
        axes.set_title("Where rows stop")
        tight = {"handlelength": 1.0, "columnspacing": 1.1, "handletextpad": 0.5}
        columns = min(len(measured.levels), 9)
        result.legend(loc="outside lower left", ncols=columns, title="dims", alignment="left", **tight)
        return result


class Bar(NamedTuple):
    """One bar of `stops`: its place from the top, its name, and the share of its rows that stops at each level."""

    place: float
    name: str
    stopped: tuple[float, ...]


def bars_of(measured: Measured) -> Iterator[Bar]:
    """All rows, then the groups of every slice and the classes at both ends, a gap before each."""
    yield Bar(0, "all rows", tuple(level.stopped for level in measured.levels))
    place = 0.4
    for groups in (*measured.slices, measured.classes):
        for group in ends(groups):
            place += 1
            yield Bar(place, _short(groups.names[group]), tuple(groups.stopped[group].tolist()))
        place += 0.4


def ends(groups: Groups, each: int = EACH) -> list[int]:
    """The groups that stop earliest and latest among those of at least FEWEST rows; all if these are few."""
    order = [int(group) for group in groups.order() if groups.rows[group] >= FEWEST]
    return order if len(order) <= 2 * each else [*order[:each], *order[-each:]]


def opacity(level: int, count: int) -> float:
    """Of a level's bars: the wider the level, the darker."""
    return 1.0 if count == 1 else PALE + (1 - PALE) * level / (count - 1)


def _full(axes: Axes, measured: Measured) -> None:
    full = measured.full
    axes.axhspan(100 * full.low, 100 * full.high, color=FAINT, alpha=0.12, linewidth=0)
    axes.axhline(100 * full.mean, color=FAINT, linewidth=1.1, zorder=2, label=f"full width, {100 * full.mean:.1f} %")


def _draw(axes: Axes, points: Sequence[Point], label: str, **look: Any) -> None:
    x, y = [point.last for point in points], [100 * point.accuracy for point in points]
    usual: dict[str, Any] = {"markerfacecolor": PAPER, "zorder": 3, "linewidth": 1.3, "markeredgewidth": 1.1}
    axes.plot(x, y, label=label, **usual | look)


def _beside(axes: Axes, beside: Sequence[Row]) -> None:
    """Other models' own accuracy at each of their dims."""
    rivals = iter(RIVALS)
    for curve in curves(beside, "top-1"):
        paint = BASELINE if curve.series == FIXED else next(rivals, None)
        if paint is not None:
            points = [Point(row.dim, row.dim, row.value) for row in curve.rows]
            _draw(axes, points, _short(curve.series), color=paint, marker="D", markersize=4.6, linestyle="-")


def _chosen(axes: Axes, measured: Measured) -> None:
    """The cascade's path and, ringed, itself; hollow at all dims that it multiplies, where these are more."""
    cost, mine = measured.cost, measured.accuracy
    at = sorted(measured.path)
    axes.plot([p.last for p in at], [100 * p.accuracy for p in at], color=CASCADE, zorder=4)
    axes.vlines(cost.last, 100 * mine.low, 100 * mine.high, color=CASCADE, linewidth=1.1, alpha=0.55, zorder=4)
    label = f"cascade, {cost.last:.1f} dims"
    axes.plot([cost.last], [100 * mine.mean], color=CASCADE, marker="o", zorder=6, label=label)
    axes.plot([cost.last], [100 * mine.mean], zorder=6, **RING | {"markersize": 11})
    if cost.read > cost.last * 1.001:
        label = f"all its dims, {cost.read:.1f}"
        axes.plot([cost.read], [100 * mine.mean], color=CASCADE, marker="o", zorder=5, label=label, **HOLLOW)
    if measured.greedy is not None:
        _draw(axes, [measured.greedy], "greedy thresholds", color=GREEDY, marker="s", linestyle="", zorder=7)


def _log2(axes: Axes, levels: Sequence[int]) -> None:
    """A log2 axis labelled with the levels."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(levels, [f"{dim:,}" for dim in levels])
    axes.set_xticks([], minor=True)
    low, high = axes.get_xlim()
    axes.set_xlim(min(low, levels[0] / 1.13), max(high, levels[-1] * 1.13))
    axes.set_xlabel("expected dims: mean of the last dim used")


def _bins(axes: Axes, level: Level) -> None:
    found = level.reliability
    axes.plot([0, 100], [0, 100], color=FAINT, linewidth=0.9, linestyle=(0, (1, 2)))
    x, y = [100 * each.confidence for each in found.bins], [100 * each.accuracy for each in found.bins]
    axes.plot(x, y, color=CASCADE, marker="o", markersize=3.4, linewidth=1.2)
    axes.set_title(f"{dims(level.dim)}: {100 * found.error:.1f} % off", fontsize=9.5, fontweight="normal", pad=7)
    axes.set_xlim(-ROOM, 100 + ROOM)
    axes.set_ylim(-ROOM, 100 + ROOM)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g} %")
        axis.set_ticks([0, 50, 100])


def _short(name: str) -> str:
    name = printable(name)
    name = name if len(name) <= NAME else f"{name[: NAME - 1]}…"
    return f"\u200b{name}" if name.startswith("_") else name  # matplotlib leaves out labels that begin with `_`

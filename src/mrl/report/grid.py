"""The full table of a report: dim by dim and run by run, every measure with its interval."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from mrl.evaluation.rows import Row
from mrl.report.css import themed
from mrl.report.look import colour
from mrl.report.markup import Markup, join, tag
from mrl.report.series import best, digits, measures, printable, series, series_of

TO = "\u2013"
COSTS = {"head": "linear", "probe": "linear", "pairs": "one pair"}


def grid(rows: Sequence[Row]) -> Markup:
    """A table with one body per dim, in it one line per series; the best value of each dim and measure is bold."""
    names, kinds = series(rows), list(dict.fromkeys(_cost(row) for row in rows))
    heads = ["bytes per vector", *measures(rows), *(f"multiply-adds per query, {kind}" for kind in kinds)]
    top = [tag("th", "dim", scope="col", class_="dim"), tag("th", "run", scope="col", class_="run")]
    top += [tag("th", printable(head), scope="col") for head in heads]
    caption = tag("caption", "Every measure of every run at every dim, times 100", class_="hidden")
    bodies = [_body(rows, names, kinds, dim) for dim in sorted({row.dim for row in rows})]
    table = tag("table", caption, tag("thead", tag("tr", *top)), *bodies)
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label="All numbers")


def count(number: int) -> str:
    """A number of operations in four figures: `640`, `76.8 k`, `2.624 G`."""
    step = min((len(str(number)) - 1) // 3, 4)
    return f"{number / 1000**step:.4g}{('', ' k', ' M', ' G', ' T')[step]}"


def _body(rows: Sequence[Row], names: Sequence[str], kinds: Sequence[str], dim: int) -> Markup:
    here = [row for row in rows if row.dim == dim]
    present = [name for name in names if any(series_of(row) == name for row in here)]
    first = tag("th", f"{dim:,}", scope="rowgroup", rowspan=str(len(present)), class_="dim")
    lines = []
    for name in present:
        mine = [row for row in here if series_of(row) == name]
        cells = [_bytes(mine), *_values(rows, here, mine), *(_macs(mine, kind) for kind in kinds)]
        start = [first] if name == present[0] else []
        lines.append(tag("tr", *start, _run(names, name, mine[0].trained), *cells))
    return tag("tbody", *lines)


def _run(names: Sequence[str], name: str, trained: bool) -> Markup:
    paint = themed(colour(names, name))
    fill = f"color:{paint};background:{paint if trained else 'none'}"
    dot = tag("span", class_="dot", style=fill, aria_hidden="true")
    word = tag("span", " trained" if trained else " only read, not trained", class_="hidden")
    return tag("th", dot, printable(name), word, scope="row", class_="run")


def _values(rows: Sequence[Row], here: Sequence[Row], mine: Sequence[Row]) -> list[Markup]:
    winners, decimals = best(here), digits(rows)
    columns = [[row for row in mine if row.measure == measure] for measure in measures(rows)]
    return [tag("td", *(_value(row, row in winners, decimals) for row in column)) for column in columns]


def _value(row: Row, best: bool, decimals: int) -> Markup:
    number = f"{row.value * 100:.{decimals}f}"
    low, high = f"{row.low * 100:.{decimals}f}", f"{row.high * 100:.{decimals}f}"
    interval = "" if math.isnan(row.low) or math.isnan(row.high) else tag("small", f"{low}{TO}{high}")
    probe = tag("small", "probe") if row.method == "probe" else ""
    return join(tag("span", tag("b", number) if best else number, class_="value"), interval, probe)


def _bytes(mine: Sequence[Row]) -> Markup:
    return _several(f"{row.bytes:,}" for row in mine)


def _macs(mine: Sequence[Row], kind: str) -> Markup:
    return _several(count(row.macs) for row in mine if _cost(row) == kind)


def _several(texts: Iterable[str]) -> Markup:
    return tag("td", " / ".join(dict.fromkeys(texts)))


def _cost(row: Row) -> str:
    return COSTS.get(row.method, printable(row.method))

"""The tables of a cascade's page: level by level, group by group, and which superclass is taken for which."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from mrl.classify.measured import Level, Measured
from mrl.classify.slices import Groups
from mrl.classify.superclasses import Superclasses
from mrl.promise import Estimate
from mrl.report.cascade_figures import ends
from mrl.report.grid import TO
from mrl.report.markup import Markup, join, tag
from mrl.report.series import printable

MOST = 12  # superclasses in the table


def levels_table(measured: Measured) -> Markup:
    """Every level: who stops there, and what it is worth."""
    kinds = measured.superclasses
    heads = ["dim", "dims multiplied", "stop here", "right of these", "right, if all stopped here"]
    heads += [
        "answers as the last level",
        "narrowest right",
        "confidence off by",
        *(["superclass right, if all stopped here"] if kinds else []),
    ]
    lines = []
    for place, level in enumerate(measured.levels):
        more = [_estimate(kinds.accuracy[place])] if kinds else []
        shares = float(measured.agreement[place, -1]), measured.oracle.first[place], level.reliability.error
        lines.append(_level(level, shares, more))
    return _table("Levels", heads, lines)


def groups_table(measured: Measured) -> Markup:
    """Every slice, and the classes that stop earliest and latest."""
    heads = ["group", "rows", "expected dims", "right", "right at the full width", "points lost"]
    bodies = [_body(groups, range(len(groups)), len(heads)) for groups in measured.slices]
    chosen = ends(measured.classes)
    if chosen:
        bodies.append(_body(measured.classes, chosen, len(heads)))
    return _framed("Slices and classes", heads, *bodies)


def confusion_table(kinds: Superclasses) -> Markup:
    """How the rows of each superclass are answered by the cascade, in percent; of many, the largest ones."""
    largest = np.sort(np.argsort(-kinds.answers.sum(1), kind="stable")[:MOST])
    totals = np.maximum(kinds.answers.sum(1, keepdims=True), 1)
    shares = 100 * kinds.answers / totals
    lines = []
    for true in largest:
        cells = (_share(shares[true, told], bold=bool(true == told)) for told in largest)
        lines.append(tag("tr", _name(kinds.names[true]), tag("td", f"{kinds.answers[true].sum():,}"), *cells))
    return _table("Superclasses", ["superclass", "rows", *(printable(kinds.names[n]) for n in largest)], lines)


def percent(value: float) -> str:
    """`81.2 %`."""
    return f"{100 * value:.1f}\u00a0%"


def _level(level: Level, shares: Sequence[float], more: Sequence[Markup]) -> Markup:
    cells = [
        tag("td", f"{level.read:,}"),
        tag("td", percent(level.stopped)),
        tag("td", "") if level.among is None else _estimate(level.among),
        _estimate(level.accuracy),
        *(tag("td", percent(share)) for share in shares),
    ]
    return tag("tr", tag("th", f"{level.dim:,}", scope="row", class_="dim"), *cells, *more)


def _estimate(found: Estimate) -> Markup:
    low, high = f"{100 * found.low:.1f}", f"{100 * found.high:.1f}"
    return tag("td", tag("span", percent(found.mean), class_="value"), tag("small", f"{low}{TO}{high}"))


def _body(groups: Groups, chosen: Iterable[int], columns: int) -> Markup:
    chosen = list(chosen)
    said = "classes" if groups.column == "class" else printable(groups.column)
    if len(chosen) < len(groups):
        said += f": {len(chosen)} of {len(groups):,}, those that stop earliest and latest"
    head = tag("tr", tag("th", said, scope="rowgroup", colspan=str(columns), class_="group"))
    return tag("tbody", head, *(_group(groups, group) for group in chosen))


def _group(groups: Groups, group: int) -> Markup:
    right, full = float(groups.accuracy[group]), float(groups.full[group])
    texts = (f"{groups.rows[group]:,}", f"{groups.last[group]:.1f}", percent(right), percent(full))
    lost = f"{100 * (full - right):.1f}".replace("-0.0", "0.0").replace("-", "\u2212")
    return tag("tr", _name(groups.names[group]), *(tag("td", text) for text in (*texts, lost)))


def _name(name: str) -> Markup:
    return tag("th", printable(name), scope="row", class_="run")


def _share(percent: float, *, bold: bool) -> Markup:
    text = f"{percent:.1f}"
    return tag("td", tag("b", text) if bold else text)


def _table(label: str, heads: Sequence[str], lines: Sequence[Markup]) -> Markup:
    return _framed(label, heads, tag("tbody", *lines))


def _framed(label: str, heads: Sequence[str], *bodies: Markup) -> Markup:
    first = "dim" if heads[0] == "dim" else "run"
    top = [tag("th", head, scope="col", **({} if place else {"class_": first})) for place, head in enumerate(heads)]
    caption = tag("caption", label, class_="hidden")
    table = tag("table", caption, tag("thead", tag("tr", *top)), join(*bodies))
    return tag("div", table, class_="scroll", tabindex="0", role="region", aria_label=label)

"""The report as one HTML page that loads nothing: what was found, figures, every number, definitions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from html import escape

from mrl.evaluation.rows import Row
from mrl.report.css import sheet, themed
from mrl.report.findings import (
    KEEP,
    Finding,
    amount,
    dims,
    findings,
    headline,
    kept,
    nested_run,
    ratio,
    sentence,
)
from mrl.report.glossary import glossary
from mrl.report.grid import grid
from mrl.report.markup import Markup, join, tag
from mrl.report.series import TIMES, Plot, curves, printable, series, series_of, title


def page(rows: Sequence[Row], heading: str, drawings: Mapping[Plot, str]) -> str:
    """The whole document. drawings: an `<svg>` element for each figure."""
    head = tag(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", printable(heading)),
        tag("style", Markup(sheet())),
    )
    drawn = tag("div", *(_figure(rows, plot, drawing) for plot, drawing in drawings.items()), class_="figures")
    main = tag(
        "main",
        _opening(rows, heading),
        _tiles(rows),
        tag("h2", "Quality, prefix by prefix"),
        drawn,
        tag("h2", "All numbers"),
        grid(rows),
        glossary(rows),
    )
    return "<!doctype html>\n" + tag("html", head, tag("body", main), lang="en") + "\n"


def _opening(rows: Sequence[Row], heading: str) -> Markup:
    queries = sorted({row.queries for row in rows})
    asked = f"{queries[0]:,}" if len(queries) == 1 else f"{queries[0]:,} to {queries[-1]:,}"
    count = len({row.dim for row in rows})
    kinds = {"pairs" if row.method == "pairs" else "queries" for row in rows}
    facts = f"{', '.join(map(printable, series(rows)))}. {count} dims, {asked} {' or '.join(sorted(kinds))}."
    return tag(
        "header",
        tag("p", printable(heading), class_="eyebrow"),
        tag("h1", _unbroken(f"{headline(rows)}.")),
        tag("p", facts, class_="facts"),
    )


def _unbroken(text: str) -> str:
    """The same words, but `98 %` and `1-NN` stay whole at the end of a line."""
    return re.sub(r"(?<=\w)-(?=\w)", "\u2011", text).replace(" %", "\u00a0%")


def _tiles(rows: Sequence[Row]) -> Markup:
    found = findings(rows)
    if not found:
        return Markup()
    rule = (
        f"Each card: the narrowest trained dim of {printable(nested_run(rows) or '')} at which it, and every wider "
        f"trained dim, keeps at least {KEEP * 100:g} % of the full width's mean; in brackets, 95 % intervals. The same "
        "queries chose the dim and measured it: this describes them, and promises nothing about others."
    )
    return join(tag("div", *map(_tile, found), class_="tiles"), tag("p", _unbroken(rule), class_="note"))


def _tile(finding: Finding) -> Markup:
    full, cut = finding.full, finding.cut
    share = f"width:{100 * cut.dim / full.dim:.4g}%"
    gain = f"{kept(finding)} kept, {ratio(finding.smaller)}{TIMES} smaller vectors" if cut != full else "nothing to cut"
    return tag(
        "section",
        tag("h3", printable(title(full.measure))),
        tag("p", f"{cut.dim:,}", tag("small", f" of {dims(full.dim)}"), class_="big"),
        tag("span", tag("span", style=share), class_="bar", aria_hidden="true"),
        tag("p", _unbroken(gain)),
        tag("p", _unbroken(sentence(finding)), class_="said"),
        class_="tile",
    )


def _figure(rows: Sequence[Row], plot: Plot, drawing: str) -> Markup:
    against = "dims" if plot.across == "dim" else "bytes per stored vector"
    told = f"Line chart: {printable(title(plot.measure))} against {against}. {_ends(rows, plot.measure)}"
    return tag("figure", _inline(plot.name, drawing, told), tag("figcaption", _unbroken(_ranking(rows, plot))))


def _inline(name: str, drawing: str, told: str) -> Markup:
    """An SVG as part of the page: in the page's colours, described, its ids made its own; its texts as they were."""

    def own(element: re.Match[str]) -> str:
        return re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{name}.", themed(element[0]))

    described = f'<svg role="img" aria-label="{escape(told)}" '
    return Markup(re.sub(r"<[^>]+>", own, drawing).replace("<svg ", described, 1))


def _ends(rows: Sequence[Row], measure: str) -> str:
    """Each curve's first and last value, for those who cannot see it."""
    told = []
    for curve in curves(rows, measure):
        first, last = curve.rows[0], curve.rows[-1]
        name = f"{printable(curve.series)}{' (probe)' if curve.method == 'probe' else ''}"
        end = "" if first == last else f", {amount(last)} at {dims(last.dim)}"
        told.append(f"{name}: {amount(first)} at {dims(first.dim)}{end}.")
    return " ".join(told)


def _ranking(rows: Sequence[Row], plot: Plot) -> str:
    """Who is ahead where it is hardest: at the narrowest dim, or the fewest bytes."""
    mine = [row for row in rows if row.measure == plot.measure]
    least = min(getattr(row, plot.across) for row in mine)
    there = sorted((row for row in mine if getattr(row, plot.across) == least), key=lambda row: -row.value)
    where = dims(least) if plot.across == "dim" else f"{least:,} bytes"
    return f"At {where}: {', '.join(f'{printable(series_of(row))} {amount(row)}' for row in there)}."

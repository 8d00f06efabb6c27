"""What every page is made of: its frame, its heading, and figures that can be read without being seen."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

from mrl.evaluation.rows import Row
from mrl.report.css import sheet, themed
from mrl.report.findings import amount, dims
from mrl.report.markup import Markup, tag
from mrl.report.series import Plot, curves, printable, series_of, title


def shell(heading: str, *content: Markup) -> str:
    """The whole document around its content."""
    head = tag(
        "head",
        Markup('<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'),
        tag("title", printable(heading)),
        tag("style", Markup(sheet())),
    )
    return "<!doctype html>\n" + tag("html", head, tag("body", tag("main", *content)), lang="en") + "\n"


def opening(heading: str, headline: str, facts: str) -> Markup:
    """The words above, the sentence that matters most, and what was looked at."""
    return tag(
        "header",
        tag("p", printable(heading), class_="eyebrow"),
        tag("h1", unbroken(headline)),
        tag("p", facts, class_="facts"),
    )


def unbroken(text: str) -> str:
    """The same words, but `98 %` and `1-NN` stay whole at the end of a line."""
    return re.sub(r"(?<=\w)-(?=\w)", "\u2011", text).replace(" %", "\u00a0%")


def figure_of(rows: Sequence[Row], plot: Plot, drawing: str) -> Markup:
    """A figure of rows, told too, and who is ahead in it."""
    against = "dims" if plot.across == "dim" else "bytes per stored vector"
    told = f"Line chart: {printable(title(plot.measure))} against {against}. {_ends(rows, plot.measure)}"
    return drawn(plot.name, drawing, told, _ranking(rows, plot))


def drawn(name: str, drawing: str, told: str, below: str) -> Markup:
    """An `<svg>` as a figure. told: what it shows, to those who cannot see it. below: its caption."""
    return tag("figure", _inline(name, drawing, told), tag("figcaption", unbroken(below)))


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
    where = dims(least) if plot.across == "dim" else f"{least:,} byte{'s' * (least != 1)}"
    return f"At {where}: {', '.join(f'{printable(series_of(row))} {amount(row)}' for row in there)}."

"""The report as one HTML page that loads nothing: what was found, figures, every number, definitions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mrl.evaluation.rows import Row
from mrl.report.findings import (
    KEEP,
    Finding,
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
from mrl.report.parts import figure_of, opening, shell, unbroken
from mrl.report.series import TIMES, Plot, printable, series, title


def page(rows: Sequence[Row], heading: str, drawings: Mapping[Plot, str]) -> str:
    """The whole document. drawings: an `<svg>` element for each figure."""
    return shell(
        heading,
        _opening(rows, heading),
        _tiles(rows),
        tag("h2", "Quality, prefix by prefix"),
        tag("div", *(figure_of(rows, plot, drawing) for plot, drawing in drawings.items()), class_="figures"),
        tag("h2", "All numbers"),
        grid(rows),
        glossary(rows),
    )


def _opening(rows: Sequence[Row], heading: str) -> Markup:
    queries = sorted({row.queries for row in rows})
    asked = f"{queries[0]:,}" if len(queries) == 1 else f"{queries[0]:,} to {queries[-1]:,}"
    count = len({row.dim for row in rows})
    kinds = {"pairs" if row.method == "pairs" else "queries" for row in rows}
    facts = f"{', '.join(map(printable, series(rows)))}. {count} dims, {asked} {' or '.join(sorted(kinds))}."
    return opening(heading, f"{headline(rows)}.", facts)


def _tiles(rows: Sequence[Row]) -> Markup:
    found = findings(rows)
    if not found:
        return Markup()
    rule = (
        f"Each card: the narrowest trained dim of {printable(nested_run(rows) or '')} at which it, and every wider "
        f"trained dim, keeps at least {KEEP * 100:g} % of the full width's mean; in brackets, 95 % intervals. The same "
        "queries chose the dim and measured it: this describes them, and promises nothing about others."
    )
    return join(tag("div", *map(_tile, found), class_="tiles"), tag("p", unbroken(rule), class_="note"))


def _tile(finding: Finding) -> Markup:
    full, cut = finding.full, finding.cut
    share = f"width:{100 * cut.dim / full.dim:.4g}%"
    gain = f"{kept(finding)} kept, {ratio(finding.smaller)}{TIMES} smaller vectors" if cut != full else "nothing to cut"
    return tag(
        "section",
        tag("h3", printable(title(full.measure))),
        tag("p", f"{cut.dim:,}", tag("small", f" of {dims(full.dim)}"), class_="big"),
        tag("span", tag("span", style=share), class_="bar", aria_hidden="true"),
        tag("p", unbroken(gain)),
        tag("p", unbroken(sentence(finding)), class_="said"),
        class_="tile",
    )

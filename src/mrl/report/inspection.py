"""An inspection's page: what the vectors are, where their energy lies, what every prefix keeps, and what that says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from mrl.advise.energy import Energy
from mrl.advise.facts import Facts
from mrl.advise.inspect import Inspection
from mrl.advise.measured import PCA, PLAIN
from mrl.evaluation.rows import Row
from mrl.report.glossary import glossary
from mrl.report.grid import grid
from mrl.report.markup import Markup, tag
from mrl.report.parts import drawn as figure
from mrl.report.parts import figure_of, opening, shell, unbroken
from mrl.report.series import Plot, plots, printable

ENERGY = "energy-by-dim"
TITLE = "How far can these vectors be cut?"
VERDICTS = {"nested": "yes", "by energy": "ordered by energy", "no": "no", "cannot tell": "cannot tell"}


def shown(rows: Sequence[Row], plot: Plot) -> list[Row]:
    """The rows of one figure: against dims the finest encoding of each version, against bytes all of them."""
    return [row for row in rows if plot.across == "bytes" or row.run in (PLAIN, PCA)]


def short(found: Inspection) -> list[list[Row]]:
    """The rows worth a table on a terminal: all measures as floats, and the first one in fewer bits."""
    whole = [row for row in found.rows if row.run in (PLAIN, PCA)]
    fewer = [row for row in found.rows if row.run.endswith((", int8", ", 1bit")) and row.measure == found.measures[0]]
    return [rows for rows in (whole, fewer) if rows]


def figures_of(found: Inspection) -> list[Plot]:
    """Every measure against dims, then the one that matters most against bytes."""
    if not found.rows:
        return []
    first = [row for row in found.rows if row.measure == found.measures[0]]
    return [*(plot for plot in plots(found.rows) if plot.across == "dim"), plots(first)[-1]]


def inspection_page(found: Inspection, heading: str, energy: str | None, drawings: Mapping[Plot, str]) -> str:
    """The whole document. energy, drawings: an `<svg>` element of each figure."""
    facts = found.facts
    drawn = [figure_of(shown(found.rows, plot), plot, svg) for plot, svg in drawings.items()]
    if energy is not None and facts.energy is not None:
        drawn.insert(len(found.measures), _energy(facts.energy, energy))
    return shell(
        heading,
        _header(found, heading),
        tag("div", *_tiles(facts), *_shape_tiles(facts), class_="tiles"),
        tag("h2", "What was found"),
        tag("ul", *(tag("li", unbroken(each)) for each in (*found.findings, *found.notes)), class_="found"),
        tag(
            "p", "In square brackets: 95 % intervals, for one difference at a time, of the same queries.", class_="note"
        ),
        *([tag("h2", "Quality and energy, prefix by prefix"), tag("div", *drawn, class_="figures")] if drawn else []),
        *([tag("h2", "All numbers"), grid(found.rows), glossary(found.rows)] if found.rows else []),
    )


def _header(found: Inspection, heading: str) -> Markup:
    sound = found.facts.soundness
    first = found.findings[0] if found.findings else "Nothing can be measured."
    queries = f"{found.rows[0].queries:,} queries asked" if found.rows else "no queries"
    said = f"{printable(found.model)}: {sound.rows:,} vectors of {sound.width:,} dims, {sound.dtype}. {queries}."
    return opening(heading, first, said)


def _tiles(facts: Facts) -> Iterator[Markup]:
    sound = facts.soundness
    yield _tile("Vectors", f"{sound.rows:,}", f"{sound.width:,} dims, {sound.dtype}; {facts.sampled:,} looked at")
    length = "1" if sound.unit else f"{sound.median:.3g}"
    yield _tile("Length", length, f"median; from {sound.shortest:.4g} to {sound.longest:.4g}")
    odd = sound.not_finite.count + sound.zero.count + sound.extreme.count
    named = f"NaN or Inf: {sound.not_finite}; zero: {sound.zero}; repeated rows: {sound.repeats.count:,}"
    yield _tile("Rows that are damaged or empty", f"{odd:,}", named)
    if facts.order is not None:
        yield _tile("Trained to nest?", VERDICTS[facts.order.verdict], str(facts.order))


def _shape_tiles(facts: Facts) -> Iterator[Markup]:
    shape, energy = facts.shape, facts.energy
    if shape is None or energy is None:
        return
    axes = "" if shape.participation is None else f"; {shape.participation:.0f} axes share the variance"
    yield _tile("Intrinsic dimension", _number(shape.intrinsic, ".1f"), f"TwoNN, on {shape.rows:,} rows{axes}")
    yield _tile(
        "Mean cosine of two rows",
        _number(shape.cosine, ".2f"),
        f"0 where they point everywhere; their mean direction has length {shape.resultant:.2f}",
    )
    orphans = "" if shape.orphans is None else f"; {shape.orphans * 100:.1f} % are nobody's neighbour"
    yield _tile("Hubs", _number(shape.hubness, ".1f"), f"skewness of N_10, 0 without hubs{orphans}")
    largest = ", ".join(f"{place} ({share * 100:.2g} %)" for place, share in energy.dominant[:3])
    yield _tile("Coordinates with half the energy", f"{energy.half:,}", f"the largest: {largest}")


def _tile(name: str, value: str, said: str) -> Markup:
    return tag(
        "section",
        tag("h3", name),
        tag("p", unbroken(value), class_="big"),
        tag("p", unbroken(said), class_="said"),
        class_="tile",
    )


def _number(value: float | None, form: str) -> str:
    return "cannot tell" if value is None else format(value, form)


def _energy(energy: Energy, svg: str) -> Markup:
    short = (
        f"At {energy.cuts[0]:,} dims: {PCA} {energy.pca[0] * 100:.1f} %, {PLAIN} {energy.plain[0] * 100:.1f} % of the "
        "squared length."
    )
    return figure(ENERGY, svg, f"Line chart: share of the squared length within the first dims. {short}", short)

"""A cascade's page: what it keeps at what cost, what is promised, its figures, and every level and group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from mrl.classify.cascade import Cascade
from mrl.classify.measured import Measured
from mrl.classify.sentences import beyond, points, promised, rows
from mrl.evaluation.rows import Row
from mrl.promise import Estimate
from mrl.report.cascade_commands import FOLDER, commands
from mrl.report.cascade_figures import FEWEST, calibration, stops, tradeoff
from mrl.report.cascade_table import MOST, confusion_table, groups_table, levels_table, percent
from mrl.report.cascade_words import classifier_of, words
from mrl.report.grid import count
from mrl.report.markup import Markup, join, tag
from mrl.report.parts import drawn, opening, shell, unbroken
from mrl.report.series import TIMES, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Narrow heads first"
TRADEOFF, CALIBRATION, STOPS = "accuracy-by-dims", "reliability", "stops-by-level"


def figures_of(measured: Measured, beside: Sequence[Row] = ()) -> dict[str, Figure]:
    """The page's figures by name. MissingError without matplotlib."""
    return {TRADEOFF: tradeoff(measured, beside), CALIBRATION: calibration(measured), STOPS: stops(measured)}


def cascade_page(
    measured: Measured,
    cascade: Cascade,
    drawings: Mapping[str, str],
    heading: str = TITLE,
    where: str = FOLDER,
    by: str = "",
) -> str:
    """The whole document. drawings: an `<svg>` element of each of `figures_of`. where: the cascade's folder. by: that
    of the map that vectors go through first."""
    kinds = measured.superclasses
    told = [tag("h2", "Superclasses"), *_superclasses(measured)] if kinds is not None else []
    notes = tag("ul", *(tag("li", unbroken(_sentence(note))) for note in measured.notes), class_="found")
    return shell(
        heading,
        opening(heading, headline(measured), _facts(measured, cascade)),
        tag("div", *_tiles(measured, cascade), class_="tiles"),
        tag("h2", "What is promised"),
        tag("p", unbroken(_promise(cascade)), class_="promise"),
        *(tag("p", unbroken(each)) for each in _broken(measured, cascade)),
        *([tag("h2", "What to know"), notes] if measured.notes else []),
        tag("h2", "Where it stops, and what that keeps"),
        tag("div", *_figures(measured, drawings), class_="figures"),
        tag("h2", "Level by level"),
        levels_table(measured),
        tag("h2", "Slices and classes"),
        groups_table(measured),
        *told,
        _how(measured, cascade),
        tag("h2", "To classify by it"),
        *commands(cascade, where, by),
    )


def headline(measured: Measured) -> str:
    """What it keeps, at what cost, in one line."""
    lost, cost = measured.lost.mean, measured.cost
    kept = "exactly as often as" if lost == 0 else f"{_points(abs(lost))} {'less' if lost > 0 else 'more'} often than"
    fewer = f", with {1 / cost.share:.1f}{TIMES} fewer dims" if cost.share < 1 / 1.1 else ""
    return f"Right in {percent(measured.accuracy.mean)}, {kept} at full width{fewer}."


def _facts(measured: Measured, cascade: Cascade) -> str:
    levels, count = ", ".join(f"{level.dim:,}" for level in measured.levels), cascade.classifier.count
    return (
        f"{printable(measured.data)}: {rows(measured.count)}, {count:,} class{'es' * (count != 1)}. "
        f"Level{'s' * (len(measured.levels) != 1)} {levels}, {classifier_of(cascade)}; rows stop by {cascade.rule}."
    )


def _tiles(measured: Measured, cascade: Cascade) -> Iterator[Markup]:
    cost, promise, oracle = measured.cost, cascade.promise, measured.oracle
    every = f"All dims multiplied: {cost.read:.1f}, {percent(cost.read_share)}{_dearer(measured)}."
    said = f"{percent(cost.share)} of the width, by the last dim used. {every}"
    yield _tile("Expected dims", f"{cost.last:.1f}", f" of {cost.width:,}", said, cost.share)
    full = f"At full width {_told(measured.full)}; {_points(measured.lost.mean)} lost {_range(measured.lost)}."
    yield _tile("Accuracy", percent(measured.accuracy.mean), f" {_range(measured.accuracy)}", full)
    if promise is not None:
        most, unit = points(promise.tolerance).split()
        sure = f"With {100 * promise.confidence:g} % confidence, against the full width."
        yield _tile("Promised loss", f"\u2264 {most}", f" {unit}", sure)
    adds = f"of {count(cost.full_macs)} at full width, for one row."
    yield _tile("Multiply-adds", count(round(cost.macs)), "", adds, min(1.0, cost.macs / cost.full_macs))
    best = f"If the narrowest right level were known, at {oracle.last:.1f} dims. No thresholds reach more."
    yield _tile("Oracle", percent(oracle.accuracy), "", best)


def _tile(name: str, value: str, small: str, said: str, share: float | None = None) -> Markup:
    bar = Markup()
    if share is not None:
        width = f"width:{100 * min(share, 1):.4g}%"
        bar = tag("span", tag("span", style=width), class_="bar", aria_hidden="true")
    big = tag("p", value, tag("small", unbroken(small)), class_="big")
    return tag("section", tag("h3", name), big, bar, tag("p", unbroken(said), class_="said"), class_="tile")


def _promise(cascade: Cascade) -> str:
    if cascade.promise is not None:
        return promised(cascade.promise)
    if cascade.rule == "lossless":
        return "Rows stop only where nothing in the remaining dims can change the answer: nothing is lost."
    return "Nothing. The figures below describe these rows."


def _broken(measured: Measured, cascade: Cascade) -> Iterator[str]:
    """What there is to say where more is lost here than was promised."""
    if cascade.promise is not None:
        yield from beyond(measured.lost, cascade.promise.tolerance)


def _dearer(measured: Measured) -> str:
    return "; the full width alone would cost less" if measured.cost.read_share > 1 else ""


def _figures(measured: Measured, drawings: Mapping[str, str]) -> Iterator[Markup]:
    mine, cost = measured.accuracy, measured.cost
    ends = f"Cascade: {percent(mine.mean)} at {cost.last:.1f} dims. Full width: {percent(measured.full.mean)}."
    below = f"{ends} Band and bar are 95 % intervals."
    yield drawn(TRADEOFF, drawings[TRADEOFF], f"Line chart: accuracy against expected dims. {ends}", below)
    first, last = measured.levels[0], measured.levels[-1]
    said = " ".join(f"At {at.dim:,} dims {percent(at.reliability.error)} off." for at in dict.fromkeys((first, last)))
    bins = f"{said} {rows(measured.count)}, as many in each dot; on the dotted line, confidence is right."
    yield drawn(CALIBRATION, drawings[CALIBRATION], f"Line charts: share right against confidence. {said}", bins)
    stopped = f"{percent(first.stopped)} of all rows stop at {first.dim:,} dims, {percent(last.stopped)} at the last."
    few = f" Classes of at least {FEWEST} rows, those that stop earliest and latest."
    yield drawn(STOPS, drawings[STOPS], f"Bar chart: share of rows stopping at each level. {stopped}", stopped + few)


def _superclasses(measured: Measured) -> Iterator[Markup]:
    kinds = measured.superclasses
    if kinds is None:
        return
    yield confusion_table(kinds)
    shown = f" The {MOST} largest of {len(kinds.names)}." if len(kinds.names) > MOST else ""
    said = (
        "Of the rows of each superclass, first column, the percentage that the cascade answers with a class of each. "
        f"The superclass is right in {_told(kinds.cascade)}.{shown}"
    )
    yield tag("p", unbroken(said), class_="note")


def _how(measured: Measured, cascade: Cascade) -> Markup:
    entries = (join(tag("dt", term), tag("dd", unbroken(text))) for term, text in words(measured, cascade))
    return tag("section", tag("h2", "How it was measured"), tag("footer", tag("dl", *entries)))


def _points(share: float) -> str:
    return f"{100 * share:.2f} points".replace("-", "\u2212")


def _range(found: Estimate) -> str:
    return f"[{100 * found.low:.2f}, {100 * found.high:.2f}]".replace("-", "\u2212")


def _told(found: Estimate) -> str:
    return f"{percent(found.mean)} {_range(found)}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."

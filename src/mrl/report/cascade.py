"""A cascade's page: what it keeps at what cost, what is promised, its figures, and every level and group."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from shlex import quote
from typing import TYPE_CHECKING

from mrl.classify.cascade import Cascade
from mrl.classify.measured import Measured
from mrl.evaluation.rows import Row
from mrl.promise import Estimate
from mrl.report.cascade_figures import FEWEST, calibration, stops, tradeoff
from mrl.report.cascade_table import MOST, confusion_table, groups_table, levels_table, percent
from mrl.report.findings import ratio
from mrl.report.grid import count
from mrl.report.markup import Markup, join, tag
from mrl.report.parts import drawn, opening, shell, unbroken
from mrl.report.series import TIMES, printable

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLE = "Narrow heads first"
TRADEOFF, CALIBRATION, STOPS = "accuracy-by-dims", "reliability", "stops-by-level"
FOLDER = "CASCADE"  # where nobody said which one


def figures_of(measured: Measured, beside: Sequence[Row] = ()) -> dict[str, Figure]:
    """The page's figures by name. MissingError without matplotlib."""
    return {TRADEOFF: tradeoff(measured, beside), CALIBRATION: calibration(measured), STOPS: stops(measured)}


def cascade_page(
    measured: Measured, cascade: Cascade, drawings: Mapping[str, str], heading: str = TITLE, where: str = FOLDER
) -> str:
    """The whole document. drawings: an `<svg>` element of each of `figures_of`. where: the cascade's folder."""
    kinds = measured.superclasses
    told = [tag("h2", "Superclasses"), *_superclasses(measured)] if kinds is not None else []
    notes = tag("ul", *(tag("li", unbroken(_sentence(note))) for note in measured.notes), class_="found")
    return shell(
        heading,
        opening(heading, headline(measured), _facts(measured, cascade)),
        tag("div", *_tiles(measured, cascade), class_="tiles"),
        tag("h2", "What is promised"),
        tag("p", unbroken(_promise(cascade)), class_="promise"),
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
        *_commands(where),
    )


def headline(measured: Measured) -> str:
    """What it keeps, at what cost, in one line."""
    lost, cost = measured.lost.mean, measured.cost
    kept = "exactly as often as" if lost == 0 else f"{_points(abs(lost))} {'less' if lost > 0 else 'more'} often than"
    fewer = f", with {ratio(1 / cost.share)}{TIMES} fewer dims" if cost.share < 1 / 1.1 else ""
    return f"Right in {percent(measured.accuracy.mean)}, {kept} at full width{fewer}."


def _facts(measured: Measured, cascade: Cascade) -> str:
    kind = "one classifier for all levels" if cascade.tied else "a classifier for each level"
    levels = ", ".join(f"{level.dim:,}" for level in measured.levels)
    return (
        f"{printable(measured.data)}: {measured.count:,} rows, {cascade.classifier.count:,} classes. Levels {levels}, "
        f"{kind}; rows stop by {cascade.rule}."
    )


def _tiles(measured: Measured, cascade: Cascade) -> Iterator[Markup]:
    cost, promise, oracle = measured.cost, cascade.promise, measured.oracle
    every = f"All dims multiplied: {cost.read:.1f}, {percent(cost.read_share)}."
    said = f"{percent(cost.share)} of the width, by the last dim used. {every}"
    yield _tile("Expected dims", f"{cost.last:.1f}", f" of {cost.width:,}", said, cost.share)
    full = f"At full width {_told(measured.full)}; {_points(measured.lost.mean)} lost {_range(measured.lost)}."
    yield _tile("Accuracy", percent(measured.accuracy.mean), f" {_range(measured.accuracy)}", full)
    if promise is not None:
        most, sure = f"\u2264 {100 * promise.tolerance:g}", f"With {100 * promise.confidence:g} % confidence"
        yield _tile("Promised loss", most, " points", f"{sure}, against the full width.")
    adds = f"of {count(cost.full_macs)} at full width, for one row."
    yield _tile("Multiply-adds", count(round(cost.macs)), "", adds, min(1.0, cost.macs / cost.full_macs))
    best = f"If the narrowest right level were known, at {oracle.least:.1f} dims. No cascade is above."
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
        return cascade.promise.sentence
    if cascade.rule == "lossless":
        return "Rows stop only where nothing in the remaining dims can change the answer: nothing is lost."
    return "Nothing. The figures below describe these rows."


def _figures(measured: Measured, drawings: Mapping[str, str]) -> Iterator[Markup]:
    mine, cost = measured.accuracy, measured.cost
    ends = f"Cascade: {percent(mine.mean)} at {cost.last:.1f} dims. Full width: {percent(measured.full.mean)}."
    below = f"{ends} Band and bar are 95 % intervals."
    yield drawn(TRADEOFF, drawings[TRADEOFF], f"Line chart: accuracy against expected dims. {ends}", below)
    first, last = measured.levels[0], measured.levels[-1]
    said = " ".join(f"At {at.dim:,} dims {percent(at.reliability.error)} off." for at in dict.fromkeys((first, last)))
    bins = f"{said} {measured.count:,} rows, as many in each dot; on the dotted line, confidence is right."
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
    entries = (join(tag("dt", term), tag("dd", unbroken(text))) for term, text in _words(measured, cascade))
    return tag("section", tag("h2", "How it was measured"), tag("footer", tag("dl", *entries)))


def _words(measured: Measured, cascade: Cascade) -> Iterator[tuple[str, str]]:
    yield "rows", f"{measured.count:,} that had no part in the fit, the same for every figure here."
    yield "expected dims", "The mean over rows of the last dim used; all dims multiplied are told beside it."
    yield "full width", f"The last level, {measured.cost.width:,} dims, asked about every row."
    yield "lost", "Accuracy of the full width less that of the cascade, of the same rows; intervals of 95 %."
    yield (
        "confidence off by",
        "Expected calibration error: mean |confidence − share right| of 15 groups of as many rows.",
    )
    paper = f"Rows that no level has right counted at full width, as the paper does, {measured.oracle.last:.1f} dims"
    yield "oracle", f"The narrowest level that is right, else the first one. {paper}."
    yield "vote", f"The answer of most levels, the widest's where they tie, is right in {_told(measured.vote)}."
    if cascade.keep is not None:
        yield (
            "keep",
            f"Only the best {cascade.keep:,} of the first level go on: the greedy thresholds are without that.",
        )
    yield "paper", "Matryoshka Representation Learning, arXiv 2205.13147 §4.2.1."


def _commands(where: str) -> Iterator[Markup]:
    folder = quote(where)
    yield from _command("", f"mrl classify predict {folder} VECTORS")
    yield from _command("From Python.", f"mrl.classify.Cascade.load({where!r}).predict(vectors).labels")
    yield from _command("Does the promise still hold? New labelled rows tell.", f"mrl recheck {folder} NEW_ROWS")


def _command(said: str, text: str) -> Iterator[Markup]:
    if said:
        yield tag("p", said, class_="how")
    yield tag("pre", tag("code", text), tabindex="0")


def _points(share: float) -> str:
    return f"{100 * share:.2f} points".replace("-", "\u2212")


def _range(found: Estimate) -> str:
    return f"[{100 * found.low:.2f}, {100 * found.high:.2f}]".replace("-", "\u2212")


def _told(found: Estimate) -> str:
    return f"{percent(found.mean)} {_range(found)}"


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."

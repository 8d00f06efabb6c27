"""What the rows say in plain words: how far a nested embedding can be cut, and what that keeps."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mrl.evaluation.rows import Row
from mrl.report.series import FIXED, TIMES, Curve, curves, is_share, main_measures, noun, printable, series_of

KEEP = 0.98


@dataclass(frozen=True)
class Finding:
    """One measure of one nested run: `full` at its widest trained dim, `cut` at the narrowest that keeps enough."""

    full: Row
    cut: Row

    @property
    def kept(self) -> float:
        """Share of the full width's value that the cut keeps."""
        return self.cut.value / self.full.value

    @property
    def kept_at_worst(self) -> float:
        """That share when both intervals are taken at their unfavourable ends; NaN without intervals."""
        return self.cut.low / self.full.high if self.full.high else math.nan

    @property
    def smaller(self) -> float:
        """How many times fewer bytes a vector has."""
        return self.full.bytes / self.cut.bytes


def findings(rows: Sequence[Row], keep: float = KEEP) -> list[Finding]:
    """One Finding per main measure of the widest nested run (see `nested_run`); [] if nothing is nested.

    The cut is the narrowest trained dim that keeps `keep` of the full width's value and above which every trained
    dim does too: a lucky narrow dim below one that fails does not count.
    """
    run = nested_run(rows)
    return [_finding(curve, keep) for curve in _ladders(rows) if curve.series == run]


def nested_run(rows: Sequence[Row]) -> str | None:
    """The run with the widest trained dim among those with several trained dims; the first of equals. Never FF."""
    ladders = _ladders(rows)
    widest = max((curve.rows[-1].dim for curve in ladders), default=None)
    order = dict.fromkeys(series_of(row) for row in rows)
    return next((name for name in order if (name, widest) in {(c.series, c.rows[-1].dim) for c in ladders}), None)


def headline(rows: Sequence[Row], keep: float = KEEP) -> str:
    """One sentence about all main measures at once: the dim at which every one of them keeps enough."""
    found = findings(rows, keep)
    if not found:
        top = max((row for row in rows if row.measure == main_measures(rows)[0]), key=lambda row: row.value)
        return f"{_name(top)} reaches {amount(top)} {noun(top.measure)} at {dims(top.dim)}"
    worst = max(found, key=lambda finding: finding.cut.dim)
    full, cut = worst.full, worst.cut
    quality = noun(full.measure) if len(found) == 1 else _quality(found)
    if cut == full:
        return f"{_name(full)} needs all of its {dims(full.dim)} to keep {keep * 100:g} % of its {quality}"
    kept = f"{_floor(worst.kept)} %" if len(found) == 1 else f"at least {keep * 100:g} %"
    times = f"{ratio(worst.smaller)}{TIMES} smaller vectors" if worst.smaller > 1 else "vectors of the same size"
    return f"{_name(full)} keeps {kept} of its {full.dim:,}-dim {quality} at {dims(cut.dim)}: {times}"


def sentence(finding: Finding) -> str:
    """What one Finding says, with its intervals."""
    full, cut = finding.full, finding.cut
    if full == cut:
        return (
            f"No narrower trained dim keeps {KEEP * 100:g} % of the {amount(full)}{_interval(full)} "
            f"at {dims(full.dim)}."
        )
    said = f"{amount(cut)}{_interval(cut)} against {amount(full)}{_interval(full)} at {dims(full.dim)}."
    if math.isnan(finding.kept_at_worst):
        return said
    worst = max(0.0, finding.kept_at_worst)  # a correlation's interval may reach below 0
    return f"{said} At the unfavourable ends of both intervals, {_floor(worst)} % is kept."


def kept(finding: Finding) -> str:
    """The share kept, rounded down: `98.6 %`."""
    return f"{_floor(finding.kept)} %"


def amount(row: Row) -> str:
    """The row's value for people: `81.2 %`, or `81.2` where it is no share."""
    return f"{row.value * 100:.1f}{' %' if is_share(row.measure) else ''}"


def dims(count: int) -> str:
    return "1 dim" if count == 1 else f"{count:,} dims"


def ratio(value: float) -> str:
    """`8`, `2.7`: one decimal at most, rounded down."""
    return f"{math.floor(value * 10 + 1e-9) / 10:,g}"


def _ladders(rows: Sequence[Row]) -> list[Curve]:
    """The trained rows of every main measure and every run that has several: by one method, `head` if there is one."""
    found: dict[tuple[str, str], Curve] = {}
    for measure in main_measures(rows):
        for curve in curves((row for row in rows if row.trained), measure):
            if curve.series != FIXED and len(curve.rows) > 1 and curve.rows[-1].value > 0:
                found.setdefault((curve.series, measure), curve)
    return list(found.values())


def _finding(curve: Curve, keep: float) -> Finding:
    full = cut = curve.rows[-1]
    for row in reversed(curve.rows):
        if row.value < keep * full.value:
            break
        cut = row
    return Finding(full, cut)


def _quality(found: Sequence[Finding]) -> str:
    names = [noun(finding.full.measure) for finding in found]
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _interval(row: Row) -> str:
    return "" if math.isnan(row.low) or math.isnan(row.high) else f" ({row.low * 100:.1f} to {row.high * 100:.1f})"


def _floor(share: float) -> str:
    return f"{math.floor(share * 1000 + 1e-9) / 10:.1f}"


def _name(row: Row) -> str:
    return printable(series_of(row))

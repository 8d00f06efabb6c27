"""From what every query is worth to a choice: tune, calibrate, report.

The queries are dealt into three parts. *Tune* finds which candidates are worth a test and puts them in order, safest
first. *Calibrate* tests them in that order, each against "it loses the tolerance or more", and stops at the first that
fails: that is fixed-sequence testing, where one level serves them all, and the last that passed is the smallest with a
promise. *Report* has chosen nothing and gives the figures that are shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from mrl.advise.candidates import Measured, Z, margins, sequence
from mrl.advise.choice import Choice, Finding, Untold, Verdict
from mrl.advise.terms import Terms
from mrl.card import Card
from mrl.nesting import Nesting
from mrl.promise import Parts, Promise, difference, fixed_sequence, gap, gap_bound, needed, p_value, split
from mrl.promise.testing import FEWEST

SHARES = (0.2, 0.6, 0.2)  # most to the tests: a promise needs queries, an order few, a figure is only looked at
ENOUGH = ceil(FEWEST / min(SHARES))  # queries, for three parts
MORE = 1.25  # times the queries there were, at least, where these did not do


@dataclass(frozen=True)
class About:
    """What was measured.

    data, digest, rows: the name of the rows that are searched, a digest of what they are, and how many. card: the raw
    vectors'. stored: that of what would be stored, mapped or not.
    """

    data: str
    digest: str
    rows: int
    measure: str
    card: Card
    stored: Card
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class Dealt:
    """The parts of what was measured."""

    tune: Measured
    calibrate: Measured
    report: Measured

    @classmethod
    def of(cls, seen: Measured, seed: int) -> Dealt:
        return cls(*(seen.only(part) for part in split(len(seen.full), seed, SHARES)))

    @property
    def sizes(self) -> Parts:
        return Parts(*(len(part.full) for part in (self.tune, self.calibrate, self.report)))


@dataclass(frozen=True)
class Trial:
    """order: candidates by number, safest first. p_values: of those tested, the last one may have failed. passed: how
    many did not."""

    order: tuple[int, ...]
    p_values: tuple[float, ...]
    passed: int

    @property
    def chosen(self) -> int | None:
        """The last that passed."""
        return self.order[self.passed - 1] if self.passed else None

    @property
    def failed(self) -> int | None:
        """The first that did not pass."""
        return self.order[self.passed] if self.passed < len(self.order) else None


def check_enough(queries: int) -> None:
    """InputError for fewer queries than the three parts need."""
    split(queries, 0, SHARES)


def tried(tune: Measured, calibrate: Measured, below: int, tolerance: float, alpha: float) -> Trial:
    """Order by one part, test by the other. below: bytes of a full vector, which a candidate must not reach."""
    order, found = [] if hollow(tune, tolerance) else sequence(tune, tolerance, below), list[float]()
    for c in order:
        found.append(p_value(gap(calibrate.full, calibrate.values[c]), gap_bound(tolerance), alpha))
        if found[-1] > alpha:
            break
    return Trial(tuple(order), tuple(found), fixed_sequence(found, alpha))


def hollow(tune: Measured, tolerance: float) -> bool:
    """Whether the full width itself is not surely worth more than may be lost: then finding nothing would keep that."""
    return bool(margins(-tune.full, -tolerance) < Z)


def selected(seen: Measured, about: About, terms: Terms) -> Choice:
    """The choice, with all that was measured. InputError for fewer queries than three parts need."""
    dealt, full, alpha = Dealt.of(seen, terms.seed), 4 * about.card.width, 1 - terms.confidence
    result = tried(dealt.tune, dealt.calibrate, full, terms.tolerance, alpha)
    far = [bool(margin < -Z) for margin in margins(dealt.calibrate.gaps, terms.tolerance)]
    return Choice(
        about.measure,
        about.card.metric,
        terms.tolerance,
        terms.confidence,
        about.card.width,
        about.rows,
        dealt.sizes,
        float(dealt.report.full.mean()),
        _findings(dealt, _verdicts(dealt.tune, result, full, terms.tolerance, far), result, about.stored.nesting),
        _promise(dealt, result, about, terms),
        _untold(dealt, result, about, terms, far),
        (*about.notes, *_hollow(dealt.tune, about, terms)),
        maps=about.stored.maps,
    )


def _verdicts(tune: Measured, result: Trial, full: int, tolerance: float, far: list[bool]) -> list[Verdict]:
    """One for each candidate. far: whether the calibrate part, too, sees it beyond the tolerance."""
    verdicts: list[Verdict] = ["outdone"] * len(tune.candidates)
    for c, margin in enumerate(margins(tune.gaps, tolerance)):
        if tune.candidates[c].bytes >= full:
            verdicts[c] = "no smaller"
        elif hollow(tune, tolerance):
            verdicts[c] = "not tested"
        elif margin < -Z:
            verdicts[c] = "too far"
    for place, c in enumerate(result.order):
        verdicts[c] = "promised" if place < result.passed else "not reached"
    if result.failed is not None:
        verdicts[result.failed] = "too far" if far[result.failed] else "not shown"
    if result.chosen is not None:
        verdicts[result.chosen] = "chosen"
    return verdicts


def _hollow(tune: Measured, about: About, terms: Terms) -> tuple[str, ...]:
    """Why nothing was tested, and what to do."""
    if not hollow(tune, terms.tolerance):
        return ()
    return (
        f"nothing was tested: on the tune part's {len(tune.full):,} queries the full width itself has "
        f"{about.measure} = {tune.full.mean():.4f}, not surely more than the {terms.tolerance:g} that may go, so "
        "vectors that find nothing would do; give a tolerance well below it, or a measure at "
        "which the full width does better",
    )


def _findings(dealt: Dealt, verdicts: list[Verdict], result: Trial, trained: Nesting) -> tuple[Finding, ...]:
    """Most bytes first."""
    report, tuned = dealt.report, dealt.tune.gaps.mean(-1)
    p_values = dict(zip(result.order, result.p_values, strict=False))
    found = [
        Finding(
            each.dim,
            each.encoding,
            each.bytes,
            trained.trained(each.dim),
            float(report.values[c].mean()),
            *difference(report.full, report.values[c]),
            float(tuned[c]),
            p_values.get(c),
            verdicts[c],
        )
        for c, each in enumerate(report.candidates)
    ]
    return tuple(sorted(found, key=lambda each: (-each.bytes, -each.dim)))


def _promise(dealt: Dealt, result: Trial, about: About, terms: Terms) -> Promise | None:
    """What is said of the chosen one; None where none was."""
    if result.chosen is None:
        return None
    report, one = dealt.report, dealt.report.candidates[result.chosen]
    after = f" after {', '.join(about.stored.maps)}" if about.stored.maps else ""
    return Promise(
        subject=f"{one.dim} dims in {one.encoding}{after}",
        measure=about.measure,
        tolerance=terms.tolerance,
        confidence=terms.confidence,
        lost=difference(report.full, report.values[result.chosen]),
        queries=dealt.sizes,
        data=about.data,
        rows=about.rows,
        digest=about.digest,
    )


def _untold(dealt: Dealt, result: Trial, about: About, terms: Terms, far: list[bool]) -> Untold | None:
    """The step after the choice, where the queries cannot decide it."""
    c, seen = result.failed, dealt.calibrate
    if c is None or far[c]:
        return None
    before = f"{about.card.width} × float32" if result.chosen is None else str(seen.candidates[result.chosen])
    losses, bound = gap(seen.full, seen.values[c]), gap_bound(terms.tolerance)
    count, tests = sum(dealt.sizes), needed(losses, bound, 1 - terms.confidence)
    more = None if tests is None else _rounded_up(max(tests / SHARES[1], count * MORE))
    return Untold(str(seen.candidates[c]), before, count, more)


def _rounded_up(count: float) -> int:
    """To two digits, which is more than is known of it."""
    step = int(10 ** max(len(str(int(count))) - 2, 0))
    return ceil(count / step) * step

"""From what every query is worth to a pick: tune, calibrate, report.

The queries are dealt into three parts. *Tune* finds which candidates are worth a test, and puts them in order, safest
first. *Calibrate* gives each a bound of what it loses. *Report* has chosen nothing and gives the figures shown.

**What a candidate promises** is the least of its own level and of those of all before it in the order, where a level is
1 minus the bound of the mean loss. For any one level that was asked for before the calibrate part was looked at, the
candidates that promise it are those that pass fixed-sequence testing (Learn-then-Test, arXiv 2110.01052): the betting
bound is the place where its tests cross over (`promise.betting`, "One crossing"), so a level lies at or below the
candidate's own if and only if the test of that level passes, and below the least of all so far if and only if none
before it failed. So with the stated confidence all candidates that promise a level keep it, and the cheapest of them
may be taken, or any. One who asks for several levels has that confidence for each, not for all of them at once.

**How many queries.** A target passes four times in five where the true recall is at least (real plans, k = 10):

    target   300 queries    1,000    3,000
    0.95          0.970     0.960    0.956
    0.98          0.996     0.987    0.984
    0.99          never     0.996    0.993
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from math import ceil
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.promise import Estimate, Parts, gap, gap_bound, needed, split, upper_bound
from mrl.promise.bootstrap import interval
from mrl.promise.testing import FEWEST
from mrl.retrieval.planner.points import ROUNDING
from mrl.retrieval.planner.terms import Terms

SHARE = 0.1  # to order, and as much to report; the tests get the rest, since a promise needs queries most
ENOUGH = 5 * FEWEST  # queries, for three parts
MORE = 1.25  # times the queries there were, at least, where these did not do
APART = 1.25  # times the cost, between candidates that are equally safe
Z = 1.6448536269514722  # 95 % quantile of the normal distribution

Values = npt.NDArray[np.floating[Any]]
Numbers = npt.NDArray[np.int64]
Outcome = Literal["picked", "out of reach", "not enough queries"]


@dataclass(frozen=True, eq=False)
class Seen:
    """What candidates are worth, and what they cost.

    full: (n,), what every query is worth at the exact search, in [0, 1]. values: (candidates, n), theirs. costs:
    (candidates,), the objective's, as `Terms.cost_text` takes them. names: of the candidates. exact: the place of the
    exact search among them, whose values are `full`.
    """

    full: Values
    values: Values
    costs: Values
    names: tuple[str, ...]
    exact: int

    def __post_init__(self) -> None:
        shape = (len(self.costs), len(self.full))
        if self.values.shape != shape or len(self.names) != len(self.costs):
            raise InputError(
                f"{len(self.costs)} candidates of {len(self.names)} names and {len(self.full)} queries have values "
                f"{shape}, got {self.values.shape}; measure each candidate at each query"
            )
        if not 0 <= self.exact < len(self.costs) or not (self.values[self.exact] == self.full).all():
            raise InputError("the exact search must be among the candidates, with the values of the full width")

    @cached_property
    def sharp(self) -> bool:
        """Whether the exact search is worth 1 at every query, as recall is: then a loss is 1 − value."""
        return bool((self.full == 1).all())

    def losses(self, c: int) -> Values:
        """(n,) in [0, 1]: what candidate c loses; as `gap` has it where the exact search is not always worth 1."""
        return 1 - self.values[c] if self.sharp else gap(self.full, self.values[c])

    def bound(self, allowed: float) -> float:
        """The bound on a mean of `losses` that says: at most so much lost on average."""
        return allowed if self.sharp or allowed <= 0 else gap_bound(allowed)

    def only(self, numbers: Numbers) -> Seen:
        """The same for some of the queries, or for one of them many times."""
        return replace(self, full=self.full[numbers], values=self.values[:, numbers])

    def merged(self, same: Numbers) -> Seen:
        """Queries that share a number as one, worth their mean, in the order of these. same: (n,) from 0 on, none left
        out."""
        counts = np.bincount(same)
        merged = np.stack([np.bincount(same, row) for row in (self.full, *self.values)]) / counts
        return replace(self, full=merged[0].clip(0, 1), values=merged[1:].clip(0, 1))


@dataclass(frozen=True)
class Figure:
    """One candidate of the frontier. number: among those seen. quality: its mean over the report part, with the 95 %
    interval, paired with the exact search. promised: 1 minus the mean loss that it surely does not exceed. calibrated:
    its mean loss on the queries that gave this."""

    number: int
    quality: Estimate
    promised: float
    calibrated: float


@dataclass(frozen=True)
class Step:
    """What the queries cannot tell: whether a candidate, by its number, keeps the terms, as it seems to. enough: about
    how many queries would."""

    number: int
    enough: int


@dataclass(frozen=True)
class Selection:
    """What was found.

    outcome: picked; out of reach (nothing but the exact search seems to keep the terms, let alone surely); or not
    enough queries (for a promise of what seems to). figures: of the frontier, in the order of the tests: safest and
    dearest first, so the exact search, which needs no test, leads. pick: the cheapest that keeps the terms, by its
    number; the exact search where nothing else is known to. queries: of each part. full: the exact search's mean over
    the report part. step: what seems to keep the terms, too, and would be known with the fewest more queries. least:
    about how many would show that the terms are kept by something that loses nothing; 0 where no number would.
    """

    outcome: Outcome
    figures: tuple[Figure, ...]
    pick: int
    queries: Parts
    full: float
    step: Step | None
    least: int = 0


def selected(seen: Seen, terms: Terms, same: Numbers | None = None) -> Selection:
    """Deal, order, test, report. same: (n,) numbers that copies of a query share (`vectors.copies.groups`): they count
    as one query, by their mean. InputError for fewer than 50 different queries."""
    if same is not None:
        check_enough(len(same), int(same.max(initial=-1)) + 1)
        seen = seen.merged(same)
    check_enough(len(seen.full))
    tune, calibrate, report = (seen.only(part) for part in parts(len(seen.full), terms.seed))
    _check_hollow(tune, terms)
    order = sequence(tune, len(calibrate.full))
    levels = promised(calibrate, order, 1 - terms.confidence)
    figures = tuple(
        Figure(c, _quality(report, c), level, float((calibrate.full - calibrate.values[c]).mean()))
        for c, level in zip(order, levels, strict=True)
    )
    step = next_step(calibrate, figures, terms, len(seen.full))
    return Selection(
        outcome=_outcome(figures, step, terms),
        figures=figures,
        pick=kept(figures, terms)[-1].number,
        queries=Parts(len(tune.full), len(calibrate.full), len(report.full)),
        full=float(report.full.mean()),
        step=step,
        least=_least(calibrate, terms),
    )


def check_enough(queries: int, different: int | None = None) -> None:
    """InputError for fewer queries, or different ones, than the three parts need."""
    if queries < ENOUGH:
        raise InputError(f"a plan's promise needs at least {ENOUGH} queries, got {queries}; give more")
    if different is not None and different < ENOUGH:
        raise InputError(
            f"{queries:,} queries are only {different:,} different vectors, and a promise needs {ENOUGH}; give more "
            "different ones"
        )


def parts(queries: int, seed: int) -> tuple[Numbers, ...]:
    """The numbers of the queries that tune, calibrate and report.

    A tenth orders, and a tenth reports, but no fewer than ten. On losses of real plans (PCA, 110 of them, 1,000
    queries) the pick for recall 0.99 then cost 6 % more than the cheapest that keeps it, and 13 % with a fifth each.
    """
    edge = max(SHARE, FEWEST / queries)
    return split(queries, seed, (edge, 1 - 2 * edge, edge))


def sequence(tune: Seen, tests: int) -> list[int]:
    """Which candidates are worth a test, safest first: the front of cost against the level that is likely to be shown.

    That level is the mean value minus Z standard errors of as many queries as the tests will have, so that a candidate
    that fails some queries badly does not go before one that loses a little at many, where it would hide it. Ordered
    by it, whatever does not cost less than all before it is left out. The exact search comes first: it loses nothing.
    It needs no target, so one sequence serves every level that may be asked for.

    tune: the queries that order. tests: how many test.
    """
    gaps, n = tune.full - tune.values, len(tune.full)
    likely = -gaps.mean(-1) - Z * np.sqrt(gaps.var(-1) / tests + 1 / n**2)  # 1 / n: what n that agree have not shown
    front = [tune.exact]
    for c in np.lexsort((-tune.costs, -likely)).tolist():  # of equal ones the dearest first
        if tune.costs[c] < tune.costs[front[-1]]:
            front.append(c)
    return [tune.exact, *_thinned(front[1:], likely, tune.costs)]


def _thinned(front: Sequence[int], likely: Values, costs: Values) -> list[int]:
    """Of those that are equally likely the cheapest, and each dearer one by a quarter or more: on a few queries many
    lose nothing, and the cheapest of them is not the safest."""
    kept: list[int] = []
    for c in reversed(front):
        if not kept or likely[c] != likely[kept[-1]] or costs[c] >= APART * costs[kept[-1]]:
            kept.append(c)
    return kept[::-1]


def promised(calibrate: Seen, order: Sequence[int], alpha: float) -> list[float]:
    """What each candidate of the order promises (see the module), in [0, 1]; the exact search, if it leads, 1."""
    levels = (1.0 if c == calibrate.exact else _level(calibrate, c, alpha) for c in order)
    return list(accumulate(levels, min))


def _level(part: Seen, c: int, alpha: float) -> float:
    """1 minus the mean loss that candidate c exceeds with a chance of at most alpha, in [0, 1]."""
    bound = upper_bound(part.losses(c), alpha)
    return 1 - bound if part.sharp else min(max(2 - 2 * bound, 0.0), 1.0)


def _quality(report: Seen, c: int) -> Estimate:
    """The mean on the report part, with the 95 % interval of what is lost taken from the exact search's mean.

    By the bootstrap, or Wilson's where losses are all or nothing: few queries report, and the promise is elsewhere.
    """
    full, lost = float(report.full.mean()), report.full - report.values[c]
    if c == report.exact:
        return Estimate(full, full, full)
    low, high, _ = interval(lost)
    return Estimate(float(report.values[c].mean()), *(float(np.clip(full - end, 0, 1)) for end in (high, low)))


def kept(figures: Sequence[Figure], terms: Terms) -> list[Figure]:
    """Those that keep the terms: the exact search first, the cheapest last, since costs fall along the order.

    Where nothing may be lost, that is the exact search alone.
    """
    if not terms.allowed:
        return list(figures[:1])
    return [figure for figure in figures if figure.promised >= 1 - terms.allowed - ROUNDING]


def next_step(calibrate: Seen, figures: Sequence[Figure], terms: Terms, queries: int) -> Step | None:
    """Of those that keep the terms on these queries' mean, but not surely, the one that needs the fewest more.

    queries: of all three parts.
    """
    beyond = [figure.number for figure in figures[len(kept(figures, terms)) :]] if terms.allowed else []
    bound, alpha = calibrate.bound(terms.allowed), 1 - terms.confidence
    tests = {c: count for c in beyond if (count := needed(calibrate.losses(c), bound, alpha)) is not None}
    if not tests:
        return None
    c = min(tests, key=lambda c: tests[c])
    return Step(c, _rounded_up(max(tests[c] / (1 - 2 * SHARE), MORE * queries)))


def _least(calibrate: Seen, terms: Terms) -> int:
    """See `Selection`: as many as a test needs of queries that lose nothing, and those of the other parts."""
    if not terms.allowed:
        return 0
    nothing, bound = calibrate.losses(calibrate.exact), calibrate.bound(terms.allowed)
    return _rounded_up((needed(nothing, bound, 1 - terms.confidence) or 0) / (1 - 2 * SHARE))


def _outcome(figures: Sequence[Figure], step: Step | None, terms: Terms) -> Outcome:
    if len(kept(figures, terms)) > 1:
        return "picked"
    return "out of reach" if step is None else "not enough queries"


def _check_hollow(tune: Seen, terms: Terms) -> None:
    """InputError where the exact search is not surely worth more than may be lost: finding nothing would keep that."""
    n, mean = len(tune.full), float(tune.full.mean())
    if mean - terms.allowed < Z * np.sqrt(tune.full.var() / n + 1 / n**2):
        raise InputError(
            f"on {n:,} queries the exact search itself has {terms.name} = {mean:.4f}, not surely more than the "
            f"{terms.allowed:g} that may be lost, so finding nothing would do; give a tolerance well below it, or a "
            "measure at which the exact search does better"
        )


def _rounded_up(count: float) -> int:
    """To two digits, which is more than is known of it."""
    step = int(10 ** max(len(str(int(count))) - 2, 0))
    return ceil(count / step) * step

"""Thresholds with a promise: at most so much accuracy is lost against the full width.

The points of a path are tested in its order, safest first, each against "it loses the tolerance or more", until the
first that fails: fixed-sequence testing (Learn-then-Test, arXiv 2110.01052). The order comes from the tune part and the
tests from the calibrate part, so with the stated confidence no point that passed breaks the promise, and the last of
them, which needs the least dims, is taken.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.policies import SHARES, Picked, nobody
from mrl.classify.seen import Seen
from mrl.classify.selecting import Numbers, Thresholds, Trail, best, ratio, stopped, trail
from mrl.classify.terms import Terms
from mrl.errors import InputError
from mrl.promise import fixed_sequence, gap, gap_bound, needed, p_value

MORE = 1.25  # times the rows there were, at least, where these did not do

Losses = npt.NDArray[np.floating[Any]]


def by_promise(tune: Seen, calibrate: Seen, costs: Numbers, terms: Terms, copies: float = 1.0) -> Picked:
    """The last of the best score's path that passes its test, each before it having passed.

    costs: (levels,) dims. copies: how many rows there were for each different one. Where none passes: InputError saying
    how many rows would do, unless all surely lose more than the tolerance; then nobody leaves early, and there is no
    promise.
    """
    trails = [trail(tune, score, costs, len(calibrate)) for score in terms.scores()]
    trial, factor = Trial(terms, best(trails, terms.tolerance), tune, calibrate, copies), ratio(trails, terms.tolerance)
    tried = {each.score: each.cheapest(terms.tolerance, factor) for each in trails}
    return trial.passed(tried) if trial.count else trial.failed(tried)


@dataclass(frozen=True, eq=False)
class Trial:
    """One path, chosen on the tune part, against the calibrate part."""

    terms: Terms
    trail: Trail
    tune: Seen
    calibrate: Seen
    copies: float = 1.0

    @property
    def narrowed(self) -> bool:
        """Whether the last level itself may lose: where only some prototypes were kept."""
        return not bool((self.tune.full == self.tune.right[-1]).all())

    @cached_property
    def points(self) -> Thresholds:
        """What is tested."""
        return self.trail.sequence()

    @cached_property
    def losses(self) -> list[Losses]:
        """As `gap` gives them, of each point on the calibrate part."""
        stops = stopped(self.calibrate, self.trail.score, self.trail.gain, self.points)
        return [gap(self.calibrate.full, values) for values in self.calibrate.at(stops)]

    @cached_property
    def p_values(self) -> tuple[float, ...]:
        return p_values(self.losses, self.terms.tolerance, self.terms.confidence)

    @property
    def count(self) -> int:
        """How many points pass."""
        return fixed_sequence(self.p_values, 1 - self.terms.confidence)

    def passed(self, tried: dict[Any, float]) -> Picked:
        """The last point that passes."""
        pick = self.count - 1
        calibrated = float(2 * self.losses[pick].mean() - 1)
        return Picked(
            self.trail.score, self.points, pick, self.trail.gain, self.p_values, calibrated, tried, self._reach()
        )

    def _reach(self) -> tuple[str, ...]:
        """What more rows might give."""
        enough = self.enough(self.losses[self.count :])
        if enough is None:
            return ()
        return (f"with about {enough:,} rows like these fewer dims would keep the promise, as it seems",)

    def failed(self, tried: dict[Any, float]) -> Picked:
        """InputError, or that nobody leaves early."""
        terms, rows = self.terms, self.rows
        enough = self.enough(self.losses[:1]) or self.enough(self.losses)
        lost = self.narrowed and float(self.calibrate.loss[-1].mean()) > terms.tolerance
        if enough is None and not self.hopeless and not lost:
            enough = self.enough([self.halfway])
        if enough is not None:
            raise InputError(
                f"{rows:,} rows are not enough for that promise (at most {terms.tolerance:g} lost with "
                f"{100 * terms.confidence:g} % confidence); about {enough:,} would do; give more, a larger tolerance "
                "or less confidence"
            )
        if self.narrowed:
            raise InputError(
                f"keeping {terms.keep} of the first level alone loses {self.calibrate.loss[-1].mean():.4f} on "
                f"{len(self.calibrate):,} rows, and at most {terms.tolerance:g} may be lost; keep more, or raise the "
                "tolerance"
            )
        note = (
            f"nothing but the full width keeps {terms.tolerance:g}: the safest thresholds that let a row stop early "
            "lose more on the rows that test, so no row does"
        )
        points, p_values = np.concatenate([nobody(len(self.tune.right)), self.points]), (0.0, *self.p_values)
        return Picked(self.trail.score, points, 0, self.trail.gain, p_values, None, tried, (note,))

    @property
    def hopeless(self) -> bool:
        """Whether more rows would not help: every point surely loses more than the tolerance, or there is none, since
        leaving early never pays."""
        bound, alpha = gap_bound(self.terms.tolerance), 1 - self.terms.confidence
        return all(p_value(1 - each, 1 - bound, alpha) <= alpha for each in self.losses)

    @property
    def halfway(self) -> Losses:
        """Losses of the safest point, as if they were half the tolerance on average: so many rows tell at least."""
        losses = self.losses[0]
        wanted = 0.5 + self.terms.tolerance / 4
        moved: Losses = (losses - losses.mean() + wanted).clip(0, 1)
        return moved

    @property
    def rows(self) -> int:
        """About how many were given, for all parts, with their copies."""
        return round(self.copies * (len(self.tune) + len(self.calibrate)) / (1 - SHARES[2]))

    def enough(self, losses: Sequence[Losses]) -> int | None:
        """About how many rows would show that one of these points keeps the tolerance; None where none seems to."""
        bound, alpha = gap_bound(self.terms.tolerance), 1 - self.terms.confidence
        tests = [count for each in losses if (count := needed(each, bound, alpha)) is not None]
        return rounded_up(max(self.copies * min(tests) / SHARES[1], MORE * self.rows)) if tests else None


def p_values(losses: Sequence[Losses], tolerance: float, confidence: float) -> tuple[float, ...]:
    """p-values of losses (n,), as `gap` gives them, in their order, up to the first that does not pass."""
    found: list[float] = []
    for each in losses:
        found.append(p_value(each, gap_bound(tolerance), 1 - confidence))
        if found[-1] > 1 - confidence:
            break
    return tuple(found)


def rounded_up(count: float) -> int:
    """To two digits, which is more than is known of it."""
    step = int(10 ** max(len(str(int(count))) - 2, 0))
    return ceil(count / step) * step

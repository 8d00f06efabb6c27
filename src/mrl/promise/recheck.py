"""Does a promise still hold? New queries tell, or say how many more it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import ceil, log
from statistics import NormalDist
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.options import check_choices, check_number
from mrl.promise.betting import MOST_LOST, Estimate, check_values, estimate, needed, p_value
from mrl.promise.promise import Promise
from mrl.promise.testing import gap_bound

Values = npt.NDArray[np.floating[Any]]
Verdict = Literal["kept", "broken", "unsure"]

RAISED = 0.9  # of the cases, in which an alarm is to be raised
START = 40  # queries until the stakes are worth something; fitted to simulations, with `alarm_needed`
UNKNOWN = 0.25  # mean square of a loss over its mean, where no query lost anything


@dataclass(frozen=True)
class Recheck:
    """What new queries say of a promise.

    verdict: kept or broken, each wrong with a chance of at most 1 − confidence, or unsure. queries: how many were
    asked. lost: their mean loss, in [-1, 1], with its 95 % interval. kept_p, broken_p: the p-values of "the promise is
    broken" and of "it is kept". enough: about how many queries like these would tell; None where none would. drop,
    alarm: if the mean loss were so much above the tolerance, about so many queries would find the promise broken in
    nine of ten cases; None where nobody asked. unit: what queries are called here.
    """

    verdict: Verdict
    queries: int
    tolerance: float
    confidence: float
    lost: Estimate
    kept_p: float
    broken_p: float
    enough: int | None
    drop: float | None = None
    alarm: int | None = None
    unit: str = "queries"

    def __post_init__(self) -> None:
        check_choices(self, {"verdict": Verdict})

    @property
    def sentence(self) -> str:
        """The verdict in plain words, with what it rests on."""
        lost = self.lost
        found = (
            f"Over {self.queries:,} new {self.unit} the mean loss is {lost.mean:.4f} "
            f"[{lost.low:.4f}, {lost.high:.4f}], and at most {self.tolerance:g} was promised"
        )
        sure = f"with {100 * self.confidence:g} % confidence"
        return f"{found}: {self._verdict(sure)}.{self._alarm()}"

    def _verdict(self, sure: str) -> str:
        if self.verdict != "unsure":
            return f"the promise is {self.verdict}, {sure}"
        more = "no number of them would tell" if self.enough is None else f"about {self.enough:,} would do"
        return f"not enough {self.unit} to tell {sure}; {more}"

    def _alarm(self) -> str:
        """What so few queries would not have noticed."""
        if self.drop is None or self.alarm is None or self.verdict == "broken" or self.queries >= self.alarm:
            return ""
        return (
            f" About {self.alarm:,} {self.unit} would raise an alarm for a drop of {100 * self.drop:g} points in nine "
            "of ten cases."
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "lost": self.lost._asdict()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Recheck:
        try:
            return cls(**{**document, "lost": Estimate(**document["lost"])})
        except (KeyError, TypeError) as error:
            raise InputError(f"cannot read a re-check from {dict(document)}: {error}") from None


def recheck(promise: Promise, losses: Values, *, plain: bool = False, drop: float | None = None) -> Recheck:
    """Whether new queries' losses (n,) keep the promise, break it, or cannot tell.

    losses: as `gap` gives them; or, if `plain`, what each query lost, in [0, 1], which is sharper where the full width
    is worth 1 at every query, as recall is. drop: how far beyond the tolerance an alarm is wanted, in (0, 1).
    """
    losses, bound = check_values(losses, "losses"), promise.tolerance if plain else gap_bound(promise.tolerance)
    alpha, lost = 1 - promise.confidence, estimate(losses)
    kept, broken = p_value(losses, bound, alpha), p_value(1 - losses, 1 - bound, alpha)
    return Recheck(
        verdict=_verdict(kept <= alpha, broken <= alpha),
        queries=len(losses),
        tolerance=promise.tolerance,
        confidence=promise.confidence,
        lost=lost if plain else Estimate(*(2 * end - 1 for end in lost)),
        kept_p=kept,
        broken_p=broken,
        enough=needed(losses, bound, alpha) or needed(1 - losses, 1 - bound, alpha),
        drop=drop,
        alarm=None if drop is None else alarm_needed(promise, losses if plain else 2 * losses - 1, drop),
        unit=promise.unit,
    )


def alarm_needed(promise: Promise, lost: Values, drop: float) -> int:
    """About how many queries find a promise broken in nine of ten cases, where the mean loss is so much above it.

    As many as a normal test needs for losses of that mean, which are taken to be as large as those of `lost` (n,), in
    [-1, 1], and only more of them, and some to start with. Simulated for promises of 0.95, 0.98 and 0.99 with losses of
    tenths, of real searches, and of all or nothing, such numbers raised an alarm in 91 to 99 of 100 cases.
    """
    check_number("the drop", drop, 0, 1, above=True, below=True)
    mean, squares, sizes = promise.tolerance + drop, float(np.square(lost).mean()), float(np.abs(lost).mean())
    each = squares / sizes if sizes else UNKNOWN
    spread = max(each * (sizes + max(mean - float(np.mean(lost)), 0.0)) - mean**2, 0.0)
    alpha, quantile = 1 - promise.confidence, NormalDist().inv_cdf
    normal = (quantile(1 - alpha) + quantile(RAISED)) ** 2 * spread / drop**2
    return ceil(normal + log(1 / alpha) * promise.tolerance / (MOST_LOST * drop)) + START


def _verdict(kept: bool, broken: bool) -> Verdict:
    """Queries that prove both, as those of changing times may, prove nothing."""
    return "unsure" if kept == broken else "kept" if kept else "broken"

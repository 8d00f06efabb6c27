"""Does a promise still hold? New queries tell, or say how many more it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.options import check_choices
from mrl.promise.betting import Estimate, check_values, estimate, needed, p_value
from mrl.promise.promise import Promise
from mrl.promise.testing import gap_bound

Values = npt.NDArray[np.floating[Any]]
Verdict = Literal["kept", "broken", "unsure"]


@dataclass(frozen=True)
class Recheck:
    """What new queries say of a promise.

    verdict: kept or broken, each wrong with a chance of at most 1 − confidence, or unsure. queries: how many were
    asked. lost: their mean loss, in [-1, 1], with its 95 % interval. kept_p, broken_p: the p-values of "the promise is
    broken" and of "it is kept". enough: about how many queries like these would tell; None where none would.
    """

    verdict: Verdict
    queries: int
    tolerance: float
    confidence: float
    lost: Estimate
    kept_p: float
    broken_p: float
    enough: int | None

    def __post_init__(self) -> None:
        check_choices(self, {"verdict": Verdict})

    @property
    def sentence(self) -> str:
        """The verdict in plain words, with what it rests on."""
        lost = self.lost
        found = (
            f"Over {self.queries:,} new queries the mean loss is {lost.mean:.4f} [{lost.low:.4f}, {lost.high:.4f}], "
            f"and at most {self.tolerance:g} was promised"
        )
        sure = f"with {100 * self.confidence:g} % confidence"
        return f"{found}: {self._verdict(sure)}."

    def _verdict(self, sure: str) -> str:
        if self.verdict != "unsure":
            return f"the promise is {self.verdict}, {sure}"
        more = "no number of them would tell" if self.enough is None else f"about {self.enough:,} would do"
        return f"not enough queries to tell {sure}; {more}"

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "lost": self.lost._asdict()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Recheck:
        try:
            return cls(**{**document, "lost": Estimate(**document["lost"])})
        except (KeyError, TypeError) as error:
            raise InputError(f"cannot read a re-check from {dict(document)}: {error}") from None


def recheck(promise: Promise, losses: Values) -> Recheck:
    """Whether new queries' losses (n,), as `gap` gives them, keep the promise, break it, or cannot tell."""
    losses, bound = check_values(losses, "losses"), gap_bound(promise.tolerance)
    alpha = 1 - promise.confidence
    kept, broken = p_value(losses, bound, alpha), p_value(1 - losses, 1 - bound, alpha)
    return Recheck(
        verdict=_verdict(kept <= alpha, broken <= alpha),
        queries=len(losses),
        tolerance=promise.tolerance,
        confidence=promise.confidence,
        lost=Estimate(*(2 * end - 1 for end in estimate(losses))),
        kept_p=kept,
        broken_p=broken,
        enough=needed(losses, bound, alpha) or needed(1 - losses, 1 - bound, alpha),
    )


def _verdict(kept: bool, broken: bool) -> Verdict:
    """Queries that prove both, as those of changing times may, prove nothing."""
    return "unsure" if kept == broken else "kept" if kept else "broken"

"""The gate that a map must pass before it is kept: surely better than every simpler way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.promise.betting import Estimate, check_level, needed
from mrl.promise.testing import difference, gap

Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Gate:
    """What a gate found.

    passed: whether ours is surely ahead of every baseline. queries: how many were asked. confidence: of each baseline's
    one-sided comparison. leads: per baseline how far ours is ahead on average, in [-1, 1], with the two-sided interval
    whose ends are each wrong with a chance of at most 1 − confidence. better: the baseline with the larger mean.
    enough: about how many queries like these would pass four times in five; None where ours is not ahead of all.
    """

    passed: bool
    queries: int
    confidence: float
    leads: dict[str, Estimate]
    better: str
    enough: int | None

    @property
    def sentence(self) -> str:
        """What was compared, how far ours is ahead, and what follows from it."""
        leads = " and ".join(f"{lead_text(lead)} of {name}" for name, lead in self.leads.items())
        share = 100 * (2 * self.confidence - 1)
        found = f"Over {self.queries:,} queries, ours is ahead by {leads} ({share:g} % intervals, paired)"
        return f"{found}. {self._verdict()}"

    def _verdict(self) -> str:
        if self.passed:
            rank = "" if len(self.leads) == 1 else ", the better baseline,"
            return f"It passes: the lead over {self.better}{rank} is above 0 at the lower end too."
        if self.enough is None:
            return f"It does not pass: its mean is no higher than that of {self.better}; more queries would not help."
        unsure = " and ".join(name for name, lead in self.leads.items() if lead.low <= 0)
        return (
            f"It does not pass: the interval of its lead over {unsure} holds 0. If the leads are what they seem, "
            f"about {self.enough:,} queries would do."
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "leads": {name: lead._asdict() for name, lead in self.leads.items()}}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Gate:
        try:
            leads = {name: Estimate(**lead) for name, lead in document["leads"].items()}
            return cls(**{**document, "leads": leads})
        except (AttributeError, KeyError, TypeError) as error:
            raise InputError(f"cannot read a gate from {dict(document)}: {error}") from None


def gate(ours: Values, baselines: Mapping[str, Values], *, confidence: float = 0.975) -> Gate:
    """Whether ours is better than every baseline, for sure: all are values (n,) in [0, 1] of the same n queries.

    It passes if the lower bound of its paired lead over every baseline is above 0. No correction for several baselines
    is needed (an intersection-union test: Berger, Technometrics 24, 1982): where ours is not better than all, there is
    a baseline that it does not beat; to pass it would have to pass that one comparison too, whose chance is at most
    1 − confidence. So the better baseline need not be known beforehand. InputError for values that do not pair.
    """
    check_level("the confidence", confidence)
    if not confidence > 0.5:
        raise InputError(f"the confidence must be above 0.5, got {confidence}; 0.975 allows 2.5 % wrong passes")
    if not baselines:
        raise InputError("a gate compares with at least one baseline, got none; give the values of plain truncation")
    leads = {name: difference(ours, values, 2 * confidence - 1) for name, values in baselines.items()}
    return Gate(
        passed=all(lead.low > 0 for lead in leads.values()),
        queries=len(ours),
        confidence=confidence,
        leads=leads,
        better=min(leads, key=lambda name: leads[name].mean),
        enough=_enough(ours, baselines, 1 - confidence),
    )


def lead_text(lead: Estimate) -> str:
    """`0.0123 [0.0045, 0.0201]`."""
    return f"{lead.mean:.4f} [{lead.low:.4f}, {lead.high:.4f}]"


def _enough(ours: Values, baselines: Mapping[str, Values], alpha: float) -> int | None:
    """The most that any one comparison needs; None if one needs more than any number."""
    counts = [needed(gap(values, ours), 0.5, alpha) for values in baselines.values()]
    return None if None in counts else max(count for count in counts if count is not None)

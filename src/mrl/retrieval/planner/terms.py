"""What a plan is to keep, and what is to be little."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from mrl.errors import InputError
from mrl.options import check_choices, check_count, check_number

Objective = Literal["latency", "bytes", "throughput"]
Measure = Literal["recall", "mAP", "nDCG", "MRR"]

RECALL = 0.98  # where nothing is asked
REMEDIES = {
    "recall": "0.95 asks for 95 of 100 rows",
    "tolerance": "0.02 allows two hundredths to be lost",
    "confidence": "0.95 is wrong at most five times in a hundred",
    "budget_ms": "give milliseconds for one query",
    "budget_bytes": "give bytes of memory",
}


@dataclass(frozen=True)
class Terms:
    """recall: of recall@k against the exact full width, at least so much on average, in (0, 1]; 0.98 where no tolerance
    is given. tolerance: instead of it, in [0, 1): at most so much of a measure is lost against the exact full width on
    average. measure: recall, mAP (by class), nDCG or MRR (by judgements), all at k. objective: what is to be little:
    latency (of one query alone), bytes (that searches read from), or throughput (seconds a query in batches).
    confidence: how sure the promise is to be, from 0.5 up to 1. seed: which queries tune, calibrate and report.
    InputError for what lies outside, or says two things at once.
    """

    k: int = 10
    recall: float | None = None
    tolerance: float | None = None
    objective: Objective = "latency"
    confidence: float = 0.95
    seed: int = 0
    measure: Measure = "recall"

    def __post_init__(self) -> None:
        check_count("k", self.k, 1)
        check_count("seed", self.seed)
        check_choices(self, {"objective": Objective, "measure": Measure})
        check_term("confidence", self.confidence)
        self._check_target()
        if self.recall is None and self.tolerance is None:
            object.__setattr__(self, "recall", RECALL)

    def _check_target(self) -> None:
        if self.recall is not None and self.tolerance is not None:
            raise InputError(
                f"recall {self.recall} and tolerance {self.tolerance} are two targets; give one, as a tolerance of "
                "0.02 is a recall of 0.98"
            )
        if self.measure != "recall" and self.tolerance is None:
            raise InputError(
                f"{self.name} has no target of its own; give a tolerance: how much of it may be lost on average"
            )
        if self.recall is not None:
            check_term("recall", self.recall)
        if self.tolerance is not None:
            check_term("tolerance", self.tolerance)

    @property
    def name(self) -> str:
        """Of the measure, as `recall@10`."""
        return f"{self.measure}@{self.k}"

    @property
    def allowed(self) -> float:
        """The mean loss that is allowed: the tolerance, or what recall leaves of 1, to ten digits."""
        return self.tolerance if self.tolerance is not None else round(1 - (self.recall or 0.0), 10)

    @property
    def text(self) -> str:
        """`recall@10 ≥ 0.98`, or `nDCG@10 within 0.02`."""
        if self.measure == "recall":
            return f"{self.name} ≥ {round(1 - self.allowed, 10):g}"
        return f"{self.name} within {self.allowed:g}"

    def cost_text(self, cost: float) -> str:
        """A cost by the objective, in words: milliseconds, bytes, or seconds a query."""
        return {
            "latency": f"{cost:.3g} ms a query",
            "bytes": f"{cost / 1e6:,.1f} MB",
            "throughput": f"{1 / max(cost, 1e-12):,.0f} queries a second",
        }[self.objective]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def check_term(name: str, value: float) -> None:
    """InputError for what is no recall, tolerance, confidence or budget, with an example of one.

    A recall of 1 and a tolerance of 0 are kept by the exact search alone.
    """
    try:
        if name.startswith("budget"):
            check_number(name, value, 0, float("inf"), above=True)
        elif name == "recall":
            check_number(name, value, 0, 1, above=True)
        else:
            check_number(name, value, 0.5 if name == "confidence" else 0, 1, below=True)
    except InputError as error:
        raise InputError(f"{error}; {REMEDIES[name]}") from None


def cost_by(objective: Objective, ms: float, size: float, seconds: float) -> float:
    """What is to be little: ms of one query alone, bytes of memory, or seconds of a query in a batch."""
    return {"latency": ms, "bytes": float(size), "throughput": seconds}[objective]

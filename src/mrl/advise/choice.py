"""What was chosen, everything that was measured on the way, and the sentences that say so."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from mrl.advise.cost import Bill, Cost, said
from mrl.disk import absent, read_json, write_json
from mrl.errors import InputError
from mrl.nesting import Metric
from mrl.promise import Parts, Promise

KIND = "mrl-choice"

Verdict = Literal["chosen", "promised", "not shown", "not reached", "outdone", "too far", "no smaller", "not tested"]


@dataclass(frozen=True)
class Finding:
    """One candidate.

    bytes: of one vector. trained: whether its dim was. value: the measure's mean over the report part; gap: how much
    less that is than the full width's, with its 95 % interval low … high. tuned: the gap on the tune part. p: of the
    test on the calibrate part, None where none was made. verdict: chosen; promised (keeps the tolerance, too, with
    more bytes); not shown (tested, and not enough for a promise); not reached (one before it failed); outdone (another
    is smaller and was safer on the tune part); too far (loses more than the tolerance on the tune part); no smaller
    (than the full width in float32); not tested (as the full width itself is worth no more than the tolerance).
    """

    dim: int
    encoding: str
    bytes: int
    trained: bool
    value: float
    gap: float
    low: float
    high: float
    tuned: float
    p: float | None
    verdict: Verdict

    @property
    def name(self) -> str:
        return f"{self.dim} × {self.encoding}"


@dataclass(frozen=True)
class Untold:
    """What the data cannot tell: whether `smaller` keeps the tolerance as `larger` does.

    queries: that there were. needed: about how many would do; None where no number would, as its gap is measured.
    """

    smaller: str
    larger: str
    queries: int
    needed: int | None

    def __str__(self) -> str:
        would = "and its gap is too near the tolerance to say how many would do"
        if self.needed is not None:
            would = f"about {self.needed:,} would do"
        return f"not enough data to tell {self.smaller} from {self.larger}: {self.queries:,} queries, {would}"


@dataclass(frozen=True)
class Choice:
    """The smallest bytes per vector that keep a measure within a tolerance of the full width in float32.

    measure: its name. metric: how prefixes are compared. tolerance, confidence: what was asked. width: of the full
    vectors. rows: that were searched. queries: how they were used. full: the measure at the full width, on the report
    part. findings: every candidate, most bytes first. promise: what holds of the chosen one; None where none was
    chosen and the full width stays. untold: the step that the data cannot decide. notes: what was left out. bill: what
    is to be stored, which says what the choice costs; None: nobody said. maps: those that the vectors went through.
    """

    measure: str
    metric: Metric
    tolerance: float
    confidence: float
    width: int
    rows: int
    queries: Parts
    full: float
    findings: tuple[Finding, ...]
    promise: Promise | None = None
    untold: Untold | None = None
    notes: tuple[str, ...] = ()
    bill: Bill | None = None
    maps: tuple[str, ...] = ()

    @property
    def chosen(self) -> Finding | None:
        """The candidate that was chosen; None: stay at the full width."""
        return next((each for each in self.findings if each.verdict == "chosen"), None)

    @property
    def costs(self) -> tuple[Cost, Cost] | None:
        """(of what was chosen, of the full width); None without a bill."""
        if self.bill is None:
            return None
        full, one = Cost.of(self.width, "float32", self.bill), self.chosen
        return (full if one is None else Cost.of(one.dim, one.encoding, self.bill)), full

    def __str__(self) -> str:
        """What is to be said, a sentence a line."""
        untold = [] if self.untold is None else [str(self.untold)]
        cost = [] if self.bill is None or self.costs is None else said(*self.costs, self.bill)
        return "\n".join([self._sentence(), *untold, *self.notes, *cost])

    def _sentence(self) -> str:
        one = self.chosen
        share = f" ({_percent(self.tolerance / self.full)})" if self.full > 0 else ""
        full = (
            f"{self.measure} is {self.full:.4f} at {self.width} × float32, and {self.tolerance:g} of it{share} may go"
        )
        if one is None or self.promise is None:
            return (
                f"stay at {self.width} × float32, {4 * self.width:,} bytes a vector. {full}: of nothing smaller can "
                f"that be promised with {100 * self.confidence:g} % confidence."
            )
        return f"take {one.name}, {one.bytes:,} bytes a vector. {full}. {self.promise.sentence}"

    def to_json(self) -> dict[str, Any]:
        costs = self.costs and dict(zip(("chosen", "full"), (each.to_json() for each in self.costs), strict=True))
        promise = self.promise and self.promise.to_json()
        return {**asdict(self), "queries": self.queries._asdict(), "promise": promise, "costs": costs}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Choice:
        """InputError for what is no choice."""
        try:
            fields = {name: value for name, value in document.items() if name != "costs"}
            read = {name: kind(fields[name]) for name, kind in _KINDS.items() if fields[name] is not None}
            return cls(**{**fields, **read})
        except (AttributeError, KeyError, TypeError) as error:
            raise InputError(f"cannot read a choice: {error}; give a file that `mrl choose --out` wrote") from None

    def save(self, path: str | Path) -> None:
        """Write a sealed JSON file, atomically. ExistsError if something is there."""
        absent(Path(path))
        write_json(Path(path), self.to_json(), KIND)

    @classmethod
    def load(cls, path: str | Path) -> Choice:
        """Read it back. StorageError, DamagedError if it changed, InputError for what is no choice."""
        return cls.from_json(read_json(Path(path), KIND))


def _percent(share: float) -> str:
    """To two digits, never as a power of ten."""
    return f"{100 * share:.2g} %" if share < 0.995 else f"{100 * share:,.0f} %"


_KINDS: dict[str, Callable[[Any], Any]] = {
    "queries": lambda sizes: Parts(**sizes),
    "findings": lambda found: tuple(Finding(**each) for each in found),
    "promise": Promise.from_json,
    "untold": lambda step: Untold(**step),
    "notes": tuple,
    "maps": tuple,
    "bill": lambda bill: Bill(**bill),
}

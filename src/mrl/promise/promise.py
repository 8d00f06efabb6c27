"""A Promise: at most so much is lost on average, with what confidence, measured on which data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from mrl.disk import read_json, write_json
from mrl.errors import InputError
from mrl.options import check_number
from mrl.promise.betting import Estimate, check_level

KIND = "mrl-promise"
STALE = 0.1


class Parts(NamedTuple):
    """How many queries were in each part."""

    tune: int
    calibrate: int
    report: int


@dataclass(frozen=True)
class Promise:
    """With so much confidence, the mean loss of `subject` against the full width is at most `tolerance`.

    subject: who keeps it, such as "64 dims in int8". measure: of what, such as "recall@10". tolerance: in (0, 1].
    confidence: that the promise is true. lost: the mean loss on the report part, in [-1, 1], with its 95 % interval.
    queries: of each part. data, rows, digest: the vectors' name, how many there were, and the digest of what they were.
    change: the share of the rows that may change before the promise is stale. calibrated: the mean loss on the queries
    that gave the promise, None where nobody kept it. unit: what queries are called here.
    """

    subject: str
    measure: str
    tolerance: float
    confidence: float
    lost: Estimate
    queries: Parts
    data: str
    rows: int
    digest: str
    change: float = STALE
    calibrated: float | None = None
    unit: str = "queries"

    def __post_init__(self) -> None:
        check_number("the tolerance", self.tolerance, 0, 1, above=True)
        check_level("the confidence", self.confidence)
        check_number("the share of rows that may change", self.change, 0, 1)
        check_number("the number of rows", self.rows, 1, float("inf"))

    def stale(self, rows_now: int, changed: int = 0) -> bool:
        """Whether more than the stated share of the rows changed since.

        rows_now: how many there are. changed: how many were added, deleted or rewritten; at least the difference of
        the counts is taken.
        """
        check_number("the number of rows now", rows_now, 0, float("inf"))
        check_number("the number of changed rows", changed, 0, float("inf"))
        return max(changed, abs(rows_now - self.rows)) > self.change * self.rows

    @property
    def sentence(self) -> str:
        """The promise in plain words."""
        return (
            f"With {100 * self.confidence:g} % confidence, {self.subject} loses at most {self.tolerance:g} of "
            f"{self.measure} on average against the full width. {self._measured()} {self._scope()}"
        )

    def _scope(self) -> str:
        """For what it holds. Rows that were classified are not searched: nothing about them goes stale."""
        if self.unit != "queries":
            return f"It holds for {self.unit} like those of {self.data} ({self.rows:,})."
        return (
            f"It holds for queries like these on {self.data} ({self.rows:,} rows) until more than "
            f"{100 * self.change:g} % of the rows change."
        )

    def _measured(self) -> str:
        lost, others = self.lost, f"{self.queries.calibrate:,} others"
        given = f"{others} gave the promise"
        if self.calibrated is not None:
            given = f"on the {others}, which gave the promise, it is {self.calibrated:.4f}"
        return (
            f"On {self.queries.report:,} {self.unit} that had no part in the choice, the loss is {lost.mean:.4f} "
            f"[{lost.low:.4f}, {lost.high:.4f}]; {given}."
        )

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "lost": self.lost._asdict(), "queries": self.queries._asdict()}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Promise:
        try:
            lost, queries = Estimate(**document["lost"]), Parts(**document["queries"])
            return cls(**{**document, "lost": lost, "queries": queries})
        except (KeyError, TypeError) as error:
            raise InputError(f"cannot read a promise from {dict(document)}: {error}") from None

    def save(self, path: str | Path) -> None:
        """Write a sealed JSON file, atomically."""
        write_json(Path(path), self.to_json(), KIND)

    @classmethod
    def load(cls, path: str | Path) -> Promise:
        """Read it back. StorageError, DamagedError if it changed, InputError for what is no promise."""
        return cls.from_json(read_json(Path(path), KIND))

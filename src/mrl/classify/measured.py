"""Measuring a cascade on labelled rows: what it keeps of the full width, and at what cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.classify.answers import Answers, last_dims, read_dims
from mrl.classify.cascade import Cascade
from mrl.classify.costs import Cost, cost_of
from mrl.classify.curve import Oracle, Point, greedy_of, oracle_of, path_of
from mrl.classify.hearing import Heard, heard
from mrl.classify.prototypes import Prototypes
from mrl.classify.reliability import Reliability, reliability
from mrl.classify.signals import Signals
from mrl.classify.slices import Groups, Outcomes, sliced
from mrl.classify.superclasses import Superclasses, check_superclasses, share, superclassed
from mrl.classify.unseen import Unseen, unseen
from mrl.evaluation.rows import Row
from mrl.nesting import Nesting
from mrl.promise import Estimate, difference
from mrl.vectors import Embedded

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Level:
    """One level. dim: its own. read: all dims multiplied up to it, without levels that are not looked at. trained:
    whether this dim had a loss of its own. stopped: the share of rows that stops here. accuracy: of all rows, were all
    answered here. among: of those that stop here; None where nobody does. reliability: of the confidence here, of all
    rows."""

    dim: int
    read: int
    trained: bool
    stopped: float
    accuracy: Estimate
    among: Estimate | None
    reliability: Reliability


@dataclass(frozen=True, eq=False)
class Measured:
    """What a cascade is worth on some rows; intervals are of 95 %.

    run: its name in rows. data: where the rows come from. count: how many were measured. notes: what was left out.
    accuracy: of the cascade. full: of its full width. lost: the second less the first, of the same rows, in [-1, 1].
    cost: what it multiplied. levels: each. reliability: of the cascade's own confidence. oracle: the narrowest level
    that is right (arXiv 2205.13147 §4.2.1). agreement: (levels, levels), the share of rows that two levels answer
    alike. vote: of the answer that most levels give, among equal ones that of the widest. path: other thresholds that
    were considered in the fit, here. greedy: the paper's policy here, where the fit tried it. classes, slices: by class
    and by each column. superclasses: where there are any. method, itemsize: of rows.
    """

    run: str
    data: str
    count: int
    notes: tuple[str, ...]
    accuracy: Estimate
    full: Estimate
    lost: Estimate
    cost: Cost
    levels: tuple[Level, ...]
    reliability: Reliability
    oracle: Oracle
    agreement: npt.NDArray[np.float64]
    vote: Estimate
    path: tuple[Point, ...]
    greedy: Point | None
    classes: Groups
    slices: tuple[Groups, ...]
    superclasses: Superclasses | None
    method: str = "head"
    itemsize: int = 4

    @property
    def sentence(self) -> str:
        """What matters most, in plain words."""
        mine, full, lost = (f"{100 * each.mean:.2f} %" for each in (self.accuracy, self.full, self.lost))
        return (
            f"Over {self.count:,} rows the cascade is right in {mine} at {self.cost.last:.1f} of {self.cost.width:,} "
            f"dims, and the full width in {full}: {lost.removesuffix(' %')} points lost "
            f"[{100 * self.lost.low:.2f}, {100 * self.lost.high:.2f}]."
        )

    def rows(self) -> list[Row]:
        """The accuracy of each level for all rows, `top-1`; of superclasses, `superclass top-1`. A cascade has no dim,
        and so no Row."""
        found = [self._row("top-1", level, level.accuracy) for level in self.levels]
        if self.superclasses is not None:
            pairs = zip(self.levels, self.superclasses.accuracy, strict=True)
            found += [self._row("superclass top-1", level, accuracy) for level, accuracy in pairs]
        return found

    def _row(self, measure: str, level: Level, accuracy: Estimate) -> Row:
        return Row(
            run=self.run,
            measure=measure,
            dim=level.dim,
            trained=level.trained,
            value=accuracy.mean,
            low=accuracy.low,
            high=accuracy.high,
            interval="wilson",
            method=self.method,
            queries=self.count,
            bytes=level.dim * self.itemsize,
            macs=level.dim * self.cost.prototypes,
        )

    def to_json(self) -> dict[str, Any]:
        """All of it, arrays as lists."""
        document: dict[str, Any] = _plain(self)
        return document


def measure(
    cascade: Cascade,
    rows: Embedded,
    slices: Mapping[str, npt.ArrayLike] | None = None,
    superclasses: Sequence[str] | None = None,
    run: str = "",
) -> Measured:
    """Measure a cascade on labelled rows; those that it was fitted on are left out.

    slices: columns (n,) that name a group of each row. superclasses: a name for each class of the classifier. run: the
    name in rows, default the model's. Classes that the classifier does not know count as missed, and rows without a
    label (−1) are left out; the notes say how many. InputError for rows
    without labels and where all were part of the fit, CardError for vectors of another model or width.
    """
    if superclasses is not None:
        check_superclasses(superclasses, cascade.classifier.count)
    new = unseen(cascade, rows)
    said = heard(cascade.levels, new.vectors, cascade.temperatures, cascade.keep)
    seen = _Seen(cascade, new, cascade.predict(new.vectors), said)
    kinds = None
    if superclasses is not None:
        kinds = superclassed(superclasses, new.labels, said.told.labels, seen.answers.labels)
    return _measured(seen, run or cascade.card.model, sliced(seen.outcomes, slices or {}, new.given), kinds)


class _Seen(NamedTuple):
    """What a cascade and each of its levels said of the rows."""

    cascade: Cascade
    new: Unseen
    answers: Answers
    said: Heard

    @property
    def told(self) -> Signals:
        return self.said.told

    @property
    def full(self) -> Array:
        """(n,) whether the full width is right."""
        right: Array = self.said.every[-1] == self.new.labels
        return right

    @property
    def mine(self) -> Array:
        """(n,) whether the cascade is right."""
        right: Array = self.answers.labels == self.new.labels
        return right

    @property
    def right(self) -> Array:
        """(levels, n) whether each level is."""
        right: Array = self.told.labels == self.new.labels
        return right

    @property
    def outcomes(self) -> Outcomes:
        return Outcomes(self.answers.levels, self.mine, self.full, last_dims(self.cascade.dims))


def _measured(seen: _Seen, run: str, slices: tuple[Groups, ...], kinds: Superclasses | None) -> Measured:
    cascade, new, answers, told = seen.cascade, seen.new, seen.answers, seen.told
    mine, right, full = seen.mine, seen.right, seen.full
    return Measured(
        run=run,
        data=new.name,
        count=len(new),
        notes=new.notes,
        accuracy=share(mine),
        full=share(full),
        lost=difference(full.astype(np.float64), mine.astype(np.float64)),
        cost=cost_of(cascade, answers),
        levels=tuple(_levels(seen)),
        reliability=reliability(answers.confidence, mine),
        oracle=oracle_of(right, cascade.dims),
        agreement=np.array([[np.mean(a == b) for b in told.labels] for a in told.labels]),
        vote=share(voted(told.labels) == new.labels),
        path=path_of(cascade, told, right),
        greedy=greedy_of(cascade, seen.said, new.vectors, new.labels),
        classes=_classes(seen),
        slices=slices,
        superclasses=kinds,
        method="prototypes" if isinstance(cascade.classifier, Prototypes) else "head",
        itemsize=new.vectors.dtype.itemsize,
    )


def voted(labels: Array) -> Array:
    """(levels, n) -> (n,): the answer that most levels give, among equal ones that of the widest."""
    votes = np.stack([(labels == level).sum(0) for level in labels[::-1]])
    chosen: Array = labels[::-1][votes.argmax(0), np.arange(labels.shape[1])]
    return chosen


def _levels(seen: _Seen) -> Iterator[Level]:
    cascade, answers, told = seen.cascade, seen.answers, seen.told
    mine, right = seen.mine, seen.right
    reads = read_dims(cascade.dims, cascade.tied, answers.looked).tolist()
    for level, (dim, read) in enumerate(zip(cascade.dims.dims, reads, strict=True)):
        here = answers.levels == level
        yield Level(
            dim=dim,
            read=read,
            trained=cascade.classifier.nesting.trained(dim),
            stopped=float(here.mean()),
            accuracy=share(right[level]),
            among=share(mine[here]) if here.any() else None,
            reliability=reliability(told.probability[level], right[level]),
        )


def _classes(seen: _Seen) -> Groups:
    names = seen.cascade.classes or tuple(map(str, range(seen.cascade.classifier.count)))
    return seen.outcomes.groups("class", names, seen.new.labels)


def _plain(value: Any) -> Any:
    """As JSON can hold it."""
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Nesting):
        return str(value)
    if hasattr(value, "_asdict"):
        return {name: _plain(part) for name, part in value._asdict().items()}
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    return [_plain(part) for part in value] if isinstance(value, tuple) else value

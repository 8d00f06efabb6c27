"""What adaptive_classification.py tells of cascades: gaps, dims, and dims at equal accuracy, over splits of rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from classification_sets import Subject

from mrl.classify.levels import Levels
from mrl.classify.signals import signals
from mrl.promise import bootstrap

SHARE = 0.5  # of the held-out rows, to fit on
DRAWS = 1000  # of splits
ROUGH = 400  # dims at which curves are averaged, between the narrowest and the full one


@dataclass(frozen=True, eq=False)
class Bench:
    """A subject measured once. right: (levels, n). reference: (n,) of the best full width, and its name."""

    subject: Subject
    right: np.ndarray
    reference: np.ndarray
    name: str

    @classmethod
    def of(cls, found: Subject) -> Bench:
        levels = Levels.of(found.head)
        told = signals(levels, found.rows.vectors, [1.0] * len(levels.dims))
        right = told.labels == found.rows.need_labels()
        fulls = {"head": right[-1], **found.raw}
        name = max(fulls, key=lambda each: float(fulls[each].mean()))
        return cls(found, right, fulls[name], name)

    @property
    def dims(self) -> np.ndarray:
        return np.array(self.subject.head.nesting.dims)


@dataclass(frozen=True, eq=False)
class Split:
    """Rows to fit on and to measure on, by number."""

    fit: np.ndarray
    test: np.ndarray

    @classmethod
    def of(cls, rows: int, seed: int) -> Split:
        order = np.random.default_rng(seed).permutation(rows)
        count = round(SHARE * rows)
        return cls(np.sort(order[:count]), np.sort(order[count:]))


@dataclass(frozen=True, eq=False)
class Outcome:
    """One cascade on one split's test rows. dims: (n,) last ones. right: (n,), whether its answer is."""

    split: Split
    dims: np.ndarray
    right: np.ndarray
    rule: str


def grid(bench: Bench) -> np.ndarray:
    return np.geomspace(bench.dims[0], bench.dims[-1], ROUGH)


def told_of(bench: Bench, outcomes: list[Outcome], splits: int) -> dict[str, Any]:
    """Gap and dims of one policy, over the splits in which it could be fitted."""
    gaps = np.array([each.right.mean() - bench.reference[each.split.test].mean() for each in outcomes])
    own = np.array([each.right.mean() - bench.right[-1, each.split.test].mean() for each in outcomes])
    dims = np.array([each.dims.mean() for each in outcomes])
    width = bench.dims[-1]
    return {
        "splits": f"{len(outcomes)} of {splits}",
        "accuracy": points(np.mean([each.right.mean() for each in outcomes])),
        "gap": interval(100 * gaps),
        "gap over rows": by_rows(bench, outcomes),
        "gap to its own full width": interval(100 * own),
        "expected dims": interval(dims),
        "share of the width": f"1/{width / dims.mean():.1f}",
        "splits that lose more than 0.5 points": int((gaps < -0.005).sum()),
        "scores": {rule: sum(each.rule == rule for each in outcomes) for rule in {each.rule for each in outcomes}},
        "shown": bool(bootstrap(gaps)[0] > -0.005 and dims.mean() <= width / 8),
    }


def by_rows(bench: Bench, outcomes: list[Outcome]) -> list[float]:
    """The gap again, with an interval over rows: a row's value is its mean over the splits that tested it."""
    total, count = np.zeros(len(bench.reference)), np.zeros(len(bench.reference))
    for each in outcomes:
        total[each.split.test] += each.right.astype(float) - bench.reference[each.split.test]
        count[each.split.test] += 1
    return interval(100 * total[count > 0] / count[count > 0])


def equal(bench: Bench, curves: np.ndarray, capped: np.ndarray) -> list[dict[str, Any]]:
    """The paper's policy at each cap, and the dims at which ours is as accurate. curves: (splits, ROUGH). capped:
    (splits, caps, 2)."""
    return [equal_at(bench, int(dim), curves, capped[:, cap]) for cap, dim in enumerate(bench.dims[1:])]


def equal_at(bench: Bench, cap: int, curves: np.ndarray, theirs: np.ndarray) -> dict[str, Any]:
    """theirs: (splits, 2), dims and accuracy. The ratio's interval is bootstrapped over the splits."""
    own = as_accurate(bench, curves, theirs)
    draws = np.random.default_rng(0).integers(0, len(curves), (DRAWS, len(curves)))
    drawn = [as_accurate(bench, curves[d], theirs[d]) / theirs[d, 0].mean() for d in draws]
    ratio = None
    if np.isfinite(own):
        ends = np.nanpercentile(drawn, [2.5, 97.5])
        ratio = [round(float(each), 3) for each in (own / theirs[:, 0].mean(), *ends)]
    reference = np.mean([bench.reference[Split.of(len(bench.reference), s).test].mean() for s in range(len(curves))])
    return {
        "cap": cap,
        "expected dims": interval(theirs[:, 0]),
        "accuracy": points(theirs[:, 1].mean()),
        "gap to the reference": points(theirs[:, 1].mean() - reference),
        "ours at equal accuracy": round(float(own), 1) if np.isfinite(own) else None,
        "ours / greedy": ratio,
    }


def as_accurate(bench: Bench, curves: np.ndarray, theirs: np.ndarray) -> float:
    """The least dims at which the mean curve has the mean accuracy; NaN below its first point, and above its best."""
    there = ~np.isnan(curves).any(0)
    mean, wanted = np.maximum.accumulate(curves[:, there].mean(0)), theirs[:, 1].mean()
    if not mean[0] < wanted <= mean[-1]:
        return float("nan")
    return float(np.interp(wanted, mean, grid(bench)[there]))


def interval(values: np.ndarray) -> list[float]:
    """Mean, and the ends of its 95 % interval."""
    return [round(float(each), 3) for each in (values.mean(), *bootstrap(values))]


def points(shares: Any) -> Any:
    """Shares as points, two digits."""
    return np.round(100 * np.asarray(shares, float), 2).tolist()

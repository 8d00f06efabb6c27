"""The record of a fit: what was chosen, and what the rows that had no part in the choice say of it, as JSON."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.answers import last_dims, looked, read_dims
from mrl.classify.policies import Picked
from mrl.classify.seen import Seen, Values
from mrl.classify.selecting import stopped
from mrl.classify.sentences import sentences
from mrl.classify.terms import Terms
from mrl.nesting import Nesting
from mrl.promise import Estimate, Parts, Promise, bootstrap, difference, wilson

DIGITS = 6
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Setting:
    """What does not depend on the choice. parts: sizes. data: the name of the rows. missing: classes without a row.
    temperatures: (levels). greedy: the paper's thresholds on all rows, for comparison. notes: on the rows."""

    dims: Nesting
    tied: bool
    terms: Terms
    parts: Parts
    data: str
    rows: int
    missing: tuple[str, ...]
    temperatures: tuple[float, ...]
    greedy: tuple[float, ...]
    notes: tuple[str, ...]

    @property
    def cost(self) -> Numbers:
        """(levels,) the dims that count. By `read` every level counts, though one that nobody stops at is not computed:
        while thresholds are chosen it is not known which these are. What is told of them in the end knows it."""
        return last_dims(self.dims) if self.terms.cost == "last" else read_dims(self.dims, self.tied)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of the report rows. stops: (n,), where each stopped. right: (n,) in [0, 1], how right its answer is,
    which under `lossless` need not be that of its level."""

    stops: Numbers
    right: Values


def record(setting: Setting, picked: Picked, report: Seen, outcome: Outcome, promise: Promise | None) -> dict[str, Any]:
    """report: rows that had no part in the choice, or all for the paper's policy."""
    stops, mine = outcome.stops, outcome.right
    lost = difference(report.full, mine)
    path = [] if picked.rule == "lossless" else list(_path(setting, picked, report))
    found: dict[str, Any] = {
        "policy": setting.terms.policy,
        "terms": asdict(setting.terms),
        "data": setting.data,
        "rows": setting.rows,
        "parts": setting.parts._asdict(),
        "measured": len(report),
        "score": picked.rule,
        "scores": {name: _plain(dims) for name, dims in picked.tried.items()},
        "width": setting.dims.width,
        **_costs(setting, stops, looked(picked.rule, picked.thresholds, setting.terms.keep)),
        "accuracy": _estimate(_mean(mine)),
        "full": _estimate(_mean(report.full)),
        "lost": _estimate(lost),
        "levels": list(_levels(setting, picked, report, stops)),
        "reached": dict(picked.reached),
        "path": path,
        "pick": picked.pick,
        "oracle": _oracle(setting, report),
        "greedy": {"thresholds": _plains(setting.greedy), "temperatures": [1.0] * len(setting.dims)},
        "missing": {"count": len(setting.missing), "first": list(setting.missing[:20])},
        "notes": [*setting.notes, *picked.notes],
    }
    return {**found, "sentences": list(sentences(found, promise))}


def _path(setting: Setting, picked: Picked, report: Seen) -> Iterator[dict[str, Any]]:
    """Each point of the path, on the report rows; losses with a bootstrap interval, paired over all points."""
    stops = stopped(report, picked.rule, picked.gain, picked.points)  # type: ignore[arg-type]
    values = report.at(stops)
    lost = report.full - values
    low, high = bootstrap(lost)
    for point, thresholds in enumerate(picked.points):
        yield {
            **_costs(setting, stops[point], looked(picked.rule, thresholds.tolist(), setting.terms.keep)),
            "accuracy": round(float(values[point].mean()), DIGITS),
            "lost": _estimate(Estimate(float(lost[point].mean()), float(low[point]), float(high[point]))),
            "p_value": round(picked.p_values[point], DIGITS) if point < len(picked.p_values) else None,
            "thresholds": _plains(thresholds.tolist()),
        }


def _levels(setting: Setting, picked: Picked, report: Seen, stops: Numbers) -> Iterator[dict[str, Any]]:
    share = np.bincount(stops, minlength=len(setting.dims)) / len(stops)
    limits = [*picked.thresholds, None]
    for level, dim in enumerate(setting.dims.dims):
        yield {
            "dim": dim,
            "accuracy": _estimate(_mean(report.right[level])),
            "temperature": setting.temperatures[level],
            "threshold": None if limits[level] is None else _plain(limits[level] or 0.0),
            "stops": round(float(share[level]), DIGITS),
        }


def _oracle(setting: Setting, report: Seen) -> dict[str, float]:
    """Where the narrowest level that is right answers; what none has right goes to the full width, as in the paper."""
    solved = report.right.max(0)
    level = np.where(solved > 0, report.right.argmax(0), len(setting.dims) - 1)
    return {"accuracy": round(float(solved.mean()), DIGITS), **_costs(setting, level)}


def _costs(setting: Setting, stops: Numbers, met: tuple[int, ...] = ()) -> dict[str, float]:
    """Expected dims, told both ways. met: the levels that are computed; (): all."""
    last, read = last_dims(setting.dims)[stops].mean(), read_dims(setting.dims, setting.tied, met)[stops].mean()
    return {"last": round(float(last), 3), "read": round(float(read), 3)}


def _mean(values: Values) -> Estimate:
    """With Wilson's interval; shares of copies count as one answer."""
    mean = values.mean()
    return Estimate(float(mean), *(float(end) for end in wilson(np.asarray(mean), len(values))))


def _estimate(found: Estimate) -> dict[str, float]:
    return {name: round(value, DIGITS) for name, value in found._asdict().items()}


def _plain(value: float) -> float | None:
    return None if value == inf else value


def _plains(values: Any) -> list[float | None]:
    return [_plain(float(value)) for value in values]

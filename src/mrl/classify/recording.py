"""The record of a fit: what was chosen, and what the rows that had no part in the choice say of it, as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from math import inf
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.answers import last_dims, looked, read_dims
from mrl.classify.policies import Picked
from mrl.classify.seen import Seen, Values
from mrl.classify.selecting import stopped
from mrl.classify.terms import Terms
from mrl.nesting import Nesting
from mrl.promise import Estimate, Parts, Promise, bootstrap, difference, wilson

DIGITS = 6
BY = {
    "probability": "its largest probability",
    "margin": "the lead of its largest probability over the second",
    "entropy": "the entropy of its probabilities",
    "agreement": "its largest probability where the level before agrees",
    "gain": "what the full width is expected to gain",
}
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
        """(levels,) the dims that count."""
        return last_dims(self.dims) if self.terms.cost == "last" else read_dims(self.dims, self.tied)


def record(setting: Setting, picked: Picked, report: Seen, stops: Numbers, promise: Promise | None) -> dict[str, Any]:
    """report: rows that had no part in the choice, or all for the paper's policy. stops: (n,) where each stops."""
    mine, lost = report.at(stops), difference(report.full, report.at(stops))
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
        "path": path,
        "pick": picked.pick,
        "oracle": _oracle(setting, report),
        "greedy": {"thresholds": _plains(setting.greedy), "temperatures": [1.0] * len(setting.dims)},
        "missing": {"count": len(setting.missing), "first": list(setting.missing[:20])},
        "notes": [*setting.notes, *picked.notes],
    }
    return {**found, "sentences": list(sentences(found, promise))}


def sentences(found: Mapping[str, Any], promise: Promise | None) -> Iterator[str]:
    """The record in plain words."""
    yield _how(found)
    which = "that had no part in the choice" if found["policy"] != "greedy" else "that it was fitted on"
    share = found["width"] / found["last"]
    yield (
        f"On {found['measured']:,} rows {which} it uses {found['last']:.1f} of {found['width']:,} dims on average by "
        f"the last dim used (1/{share:.3g} of the width), and {found['read']:.1f} when every dim read counts."
    )
    mine, full, lost = (found[name] for name in ("accuracy", "full", "lost"))
    yield (
        f"Its accuracy there is {mine['mean']:.4f}, and {full['mean']:.4f} at the full width: {lost['mean']:.4f} is "
        f"lost [{lost['low']:.4f}, {lost['high']:.4f}]."
    )
    oracle = found["oracle"]
    best = f"{oracle['accuracy']:.4f} at {oracle['last']:.1f} dims"
    yield f"An oracle that stops at the narrowest level that is right would reach {best}."
    if promise is not None:
        yield promise.sentence
    yield from (f"{note[0].upper()}{note[1:]}." for note in found["notes"])


def _how(found: Mapping[str, Any]) -> str:
    """What was chosen."""
    if found["policy"] == "lossless":
        return "A row stops as soon as nothing in the remaining dims can change its answer."
    if found["policy"] == "greedy":
        return "A row stops by its largest probability; each threshold was chosen against the next level alone."
    said = f"A row stops by {BY[found['score']]}"
    if len(found["scores"]) > 1:
        dims = ", ".join(f"{name} {'—' if d is None else f'{d:.1f}'}" for name, d in found["scores"].items())
        said += f", which needed the least dims on the tune part ({dims})"
    return f"{said}."


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

"""Fitting a cascade: temperatures, thresholds and what may be promised, from labelled rows.

The rows must not have trained the classifier. They are dealt into three parts. *Tune* gives the temperatures, the
coefficients of the score `gain` and a path of thresholds. *Calibrate* tests the path. *Report* has chosen nothing and
gives the figures that are shown.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.classify.asked import ENOUGH, check, check_enough, check_full, missing, numbered
from mrl.classify.cascade import Cascade
from mrl.classify.hearing import Heard, heard
from mrl.classify.levels import Classifier, Levels, is_tied
from mrl.classify.policies import SHARES, Picked, by_target, by_tolerance, greedy, lossless
from mrl.classify.promising import by_promise
from mrl.classify.recording import Outcome, Setting, record
from mrl.classify.seen import Material, Seen
from mrl.classify.selecting import stopped
from mrl.classify.signals import signals
from mrl.classify.temperature import temperatures
from mrl.classify.terms import Terms
from mrl.promise import Estimate, Parts, Promise, difference, split
from mrl.vectors import Embedded

__all__ = ["ENOUGH", "fit"]
TILE = 4096

Told = Callable[[str], object]
Numbers = npt.NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class Task:
    """What is fitted, on what. levels: that rows stop at. material: the rows, each different vector once. parts: of its
    vectors, by number."""

    classifier: Classifier
    levels: Levels
    rows: Embedded
    terms: Terms
    material: Material
    parts: tuple[Numbers, ...]

    @property
    def whole(self) -> bool:
        """Whether all rows choose, and none is left to report: the paper's policy."""
        return self.terms.policy == "greedy"

    @property
    def sizes(self) -> Parts:
        return Parts(len(self.material), 0, 0) if self.whole else Parts(*map(len, self.parts))

    @property
    def report(self) -> Numbers:
        """Which vectors the figures are of."""
        return np.arange(len(self.material)) if self.whole else self.parts[2]


def fit(classifier: Classifier, rows: Embedded, terms: Terms | None = None, told: Told = lambda _: None) -> Cascade:
    """A cascade over the classifier's levels that keeps the terms, with the promise that the rows allow.

    rows: labelled, and not those that trained the classifier. told: hears what is being done. Copies of a vector count
    as one row, by their mean. InputError for too few rows, for labels that the classifier does not know, and where the
    rows are not enough for the promise; CardError for rows of another model; NestingError for levels that the
    classifier does not have.
    """
    terms = Terms() if terms is None else terms
    levels = Levels.of(classifier, terms.nesting(classifier.nesting))
    check(classifier, levels, rows, terms)
    if terms.policy != "greedy":  # the paper's has caps, and promises nothing
        check_full(classifier, levels.dims)
    labels = numbered(classifier, rows)
    material = Material.of(rows.vectors, labels)
    check_enough(len(rows), len(material), terms)
    levels = levels.widest() if terms.policy == "lossless" else levels
    task = Task(classifier, levels, rows, terms, material, split(len(material), terms.seed, SHARES))
    setting, seen = _setting(task, missing(classifier, labels), told)
    told("thresholds")
    picked = _picked(task, seen, setting)
    made = _cascade(task, setting, picked)
    told("the record")
    return _told(task, made, setting, picked, seen.only(task.report))


def _setting(task: Task, gone: tuple[str, ...], told: Told) -> tuple[Setting, Seen]:
    """Temperatures, what every level says of every row, and the paper's thresholds, which others are compared with."""
    levels, material, tune = task.levels, task.material, task.material.only(task.parts[0])
    told("temperatures")
    cold = (1.0,) * len(levels.dims)
    heat = cold if task.whole else temperatures(levels, tune.vectors, tune.labels, tune.same)
    told("what every level says of every row")
    said = heard(levels, material.vectors, heat, task.terms.keep)
    return Setting(
        dims=levels.dims,
        tied=levels.tied,
        terms=task.terms,
        parts=task.sizes,
        data=str(task.rows.path),
        rows=len(task.rows),
        missing=gone,
        temperatures=heat,
        greedy=_greedy(task, said).thresholds,
        notes=_notes(task, gone),
    ), Seen.by(said, material)


def _greedy(task: Task, said: Heard) -> Picked:
    """The paper's, on all rows and classes: of the heads themselves, where `lossless` has the widest one's alone."""
    answers, probability = said.every, said.cold
    if task.levels.tied != is_tied(task.classifier):
        levels = Levels.of(task.classifier, task.levels.dims)
        answers, probability = signals(levels, task.material.vectors, (1.0,) * len(levels.dims))[:2]
    return greedy(probability, task.material.right(answers))


def _notes(task: Task, gone: tuple[str, ...]) -> tuple[str, ...]:
    """What is to be known of the rows."""
    found, rows, different = [], len(task.rows), len(task.material)
    if different < rows:
        found.append(f"{rows:,} rows are {different:,} different vectors: copies count as one, by their mean")
    if gone:
        some = f"{', '.join(gone[:5])}{', …' if len(gone) > 5 else ''}"
        found.append(f"{len(gone):,} classes have no row, so nothing that is said here is said of them: {some}")
    return tuple(found)


def _picked(task: Task, seen: Seen, setting: Setting) -> Picked:
    """What the policy chooses."""
    tune, calibrate = (seen.only(part) for part in task.parts[:2])
    policy, terms = task.terms.policy, task.terms
    if policy == "promise":
        return by_promise(tune, calibrate, setting.cost, terms, len(task.rows) / len(task.material))
    if policy == "target" and terms.target is None:
        return by_tolerance(seen.only(np.union1d(*task.parts[:2])), setting.cost, terms)
    if policy == "target":
        return by_target(tune, seen.only(np.union1d(*task.parts[:2])), setting.cost, terms)
    return greedy(seen.told.probability, seen.right) if policy == "greedy" else lossless(len(setting.dims))


def _cascade(task: Task, setting: Setting, picked: Picked) -> Cascade:
    """What was chosen, without what is said of it."""
    return Cascade(
        task.classifier,
        task.rows.card,
        setting.dims,
        picked.rule,
        setting.temperatures,
        picked.thresholds,
        picked.gain,
        task.terms.keep,
        known=task.material.names,
    )


def _told(task: Task, made: Cascade, setting: Setting, picked: Picked, report: Seen) -> Cascade:
    """The cascade with its promise and its record."""
    outcome, promise = _outcome(task, made, picked, report), None
    if picked.calibrated is not None:
        promise = _promise(task, setting, picked.calibrated, difference(report.full, outcome.right))
    return replace(made, promise=promise, record=record(setting, picked, report, outcome, promise))


def _outcome(task: Task, made: Cascade, picked: Picked, report: Seen) -> Outcome:
    """What becomes of the report rows."""
    if picked.rule == "lossless":
        material = task.material.only(task.report)
        answers = made.predict(np.ascontiguousarray(material.vectors))
        return Outcome(answers.levels, material.right(answers.labels[None])[0])
    stops = stopped(report, picked.rule, picked.gain, picked.points[[picked.pick]])[0]
    return Outcome(stops, report.at(stops))


def _promise(task: Task, setting: Setting, calibrated: float, lost: Estimate) -> Promise:
    """What is said of the chosen thresholds."""
    dims = setting.dims.dims
    return Promise(
        subject=f"the cascade over {dims[0]} … {dims[-1]}",
        measure="accuracy",
        tolerance=task.terms.tolerance,
        confidence=task.terms.confidence,
        lost=lost,
        queries=setting.parts,
        data=setting.data,
        rows=setting.rows,
        digest=_digest(task.rows.vectors),
        calibrated=calibrated,
        unit="rows",
    )


def _digest(vectors: npt.NDArray[Any]) -> str:
    """SHA-256 of all rows as float32."""
    found = hashlib.sha256()
    for start in range(0, len(vectors), TILE):
        found.update(np.ascontiguousarray(vectors[start : start + TILE], np.float32).data)
    return found.hexdigest()

"""Cascade: a nested classifier that looks at narrow prefixes first and stops when it is sure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.classify.answers import Answers
from mrl.classify.labelled import check_embedded
from mrl.classify.levels import Classifier, Levels
from mrl.classify.prototypes import Prototypes
from mrl.classify.signals import FEATURES, SCORES, check_rows
from mrl.classify.temperature import COLDEST, HOTTEST
from mrl.disk import Folder, read_tensors, sealed_tensors
from mrl.errors import CardError, InputError, NestingError, StorageError
from mrl.heads import HeadWeights
from mrl.nesting import Nesting
from mrl.options import check_count
from mrl.promise import Promise
from mrl.vectors import Embedded
from mrl.vectors.copies import Digests, digests

if TYPE_CHECKING:
    from mrl.classify.terms import Terms

KIND = "mrl-cascade"
FIELDS = ("card", "dims", "rule", "temperatures", "thresholds", "gain", "keep", "promise", "record")
HEAD, PROTOTYPES, SEEN = "head.safetensors", "prototypes.safetensors", "seen.safetensors"


Rule = Literal["probability", "margin", "entropy", "agreement", "gain", "lossless"]
Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False, repr=False)
class Cascade:
    """Levels of a nested classifier, and when to stop at each (arXiv 2205.13147 §4.2.1).

    classifier: a head (MRL or MRL-E) or prototypes. card: of the vectors that it takes. dims: its levels; the last one
    is the full width of the classifier unless the cascade was capped, which `lossless` cannot be. rule: by which score
    a row stops (see `signals`), or `lossless`: as soon as nothing in the remaining dims can change the answer.
    temperatures: (levels), what logits are divided by. thresholds: (levels − 1), a row stops where its score is at
    least this; ∞: nobody does. gain: (levels − 1) of 8 coefficients of the score `gain`. keep: how many of the best
    prototypes, or classes, of the first level go on to the next ones; None: all. promise: what is promised, if anything
    is. record: how it was fitted and what was measured, as JSON. known: digests of the rows that it was fitted on,
    sorted.

    CASCADE/manifest.json         sealed: all of this but the arrays
    CASCADE/head.safetensors      sealed; or prototypes.safetensors; and seen.safetensors
    """

    classifier: Classifier
    card: Card
    dims: Nesting
    rule: Rule = "probability"
    temperatures: tuple[float, ...] = ()
    thresholds: tuple[float, ...] = ()
    gain: tuple[tuple[float, ...], ...] = ()
    keep: int | None = None
    promise: Promise | None = None
    record: Mapping[str, Any] = field(default_factory=dict)
    known: Digests = field(default_factory=lambda: np.empty(0, np.uint64))

    def __post_init__(self) -> None:
        count = len(self.dims)
        plain = {
            "temperatures": tuple(map(float, self.temperatures)) or (1.0,) * count,
            "thresholds": tuple(map(float, self.thresholds)) or (inf,) * (count - 1),
            "gain": tuple(tuple(map(float, each)) for each in self.gain),
        }
        for name, value in plain.items():
            object.__setattr__(self, name, value)
        self._check_numbers(count)
        self._check_rule()
        self.levels  # noqa: B018  NestingError where the classifier does not serve a level

    def _check_numbers(self, count: int) -> None:
        """InputError for numbers that do not belong to so many levels."""
        if len(self.temperatures) != count or not all(COLDEST <= t <= HOTTEST for t in self.temperatures):
            raise InputError(
                f"{count} levels need {count} temperatures from {COLDEST:g} to {HOTTEST:g}, got "
                f"{self.temperatures}; rescale the classifier where its logits need others"
            )
        if len(self.thresholds) != count - 1 or any(t != t for t in self.thresholds):
            raise InputError(f"{count} levels need {count - 1} thresholds, got {self.thresholds}")
        if self.keep is not None:
            keep = int(self.keep) if isinstance(self.keep, np.integer) else self.keep
            check_count("keep", keep, 1)
            object.__setattr__(self, "keep", keep)

    def _check_rule(self) -> None:
        """InputError for an unknown rule, and for what a rule cannot do without."""
        if self.rule not in (*SCORES, "lossless"):
            raise InputError(f"unknown rule {self.rule!r}; known are {', '.join(SCORES)} and lossless")
        shape = [len(each) for each in self.gain]
        if self.rule == "gain" and shape != [FEATURES] * (len(self.dims) - 1):
            raise InputError(
                f"the rule gain needs {FEATURES} coefficients for each of {len(self.dims) - 1} levels, got {shape}; "
                "fit the cascade, or take another rule"
            )
        if self.rule == "lossless" and self.dims.width < self.classifier.nesting.width:
            raise NestingError(
                f"the rule lossless keeps the answer of the full width {self.classifier.nesting.width}, and the levels "
                f"{self.dims} end before it; add it, or take a classifier that is no wider"
            )

    def __repr__(self) -> str:
        return f"Cascade({self.classifier.count} classes, dims {self.dims}, {self.rule})"

    @cached_property
    def levels(self) -> Levels:
        """What is computed: by the widest head alone where nothing may be lost."""
        levels = Levels.of(self.classifier, self.dims)
        return levels.widest() if self.rule == "lossless" else levels

    @property
    def tied(self) -> bool:
        """Whether a level continues the products of the level before."""
        return self.levels.tied

    @property
    def classes(self) -> tuple[str, ...]:
        return self.classifier.classes

    def predict(self, vectors: Embedded | Array) -> Answers:
        """Label, level and confidence of every row, (n, width) or (width,), or of a table's rows.

        A plain array has no card, and is taken as embedded and mapped already as the rows of the fit were. CardError
        for vectors of another model or width; InputError naming the first row with a NaN or an Inf, or of scores that
        float32 may not hold.
        """
        from mrl.classify.running import run

        return run(self, self.matrix(vectors))

    def matrix(self, vectors: Embedded | Array) -> Array:
        """The rows (n, width), once it is known that they are what this was fitted for."""
        if not isinstance(vectors, np.ndarray):
            check_embedded(vectors, "vectors to classify", "an array (n, width), or ")
            self.check(vectors.card, str(vectors.path))
            vectors = vectors.vectors
        if not 1 <= vectors.ndim <= 2:
            raise InputError(
                f"vectors to classify must have the shape (n, {self.card.width}) or ({self.card.width},), got "
                f"{vectors.shape}; give one row for each"
            )
        rows = vectors[None] if vectors.ndim == 1 else vectors
        self.card.check_vectors(rows)
        check_rows(rows, self.dims.width, None if self.rule == "lossless" else self.levels.limit)
        return rows

    def check(self, card: Card, name: str = "these vectors") -> None:
        """Raise CardError unless vectors of this card are what the cascade was fitted for."""
        metric = ("metric",) if isinstance(self.classifier, Prototypes) else ()
        for part in ("width", *metric, "normalised", "maps", "fingerprint"):
            mine, theirs = getattr(self.card, part), getattr(card, part)
            unsaid = part == "fingerprint" and "" in (mine, theirs)
            if mine != theirs and not unsaid:
                raise CardError(
                    f"{name} and the cascade do not belong together: {part} is {theirs!r}, and it was fitted for "
                    f"{mine!r} ({self.card.model}); embed and map them as those that it was fitted on"
                )

    def seen(self, vectors: Array) -> npt.NDArray[np.bool_]:
        """(n,): which of these rows it was fitted on."""
        return np.isin(digests(vectors), self.known)

    @staticmethod
    def fit(classifier: Classifier, rows: Embedded, terms: Terms | None = None) -> Cascade:
        """Choose temperatures and thresholds on labelled rows that the classifier was not trained on. See
        `mrl.classify.fit`."""
        from mrl.classify.fitting import fit

        return fit(classifier, rows, terms)

    def with_thresholds(self, thresholds: tuple[float, ...]) -> Cascade:
        """The same with others, and without a promise or a record, which were of the old ones."""
        return replace(self, thresholds=thresholds, promise=None, record={})

    # ------------------------------------------------------------------------------------------------ storage

    def save(self, path: str | Path) -> Path:
        """Write the folder. ExistsError if something is there."""
        folder = Folder.create(Path(path), KIND)
        name = PROTOTYPES if isinstance(self.classifier, Prototypes) else HEAD
        files: dict[str, Any] = {name: self.classifier.sealed()}
        if len(self.known):
            files[SEEN] = sealed_tensors({"digests": self.known.view(np.int64)}, {}, "mrl-seen")
        with folder.lock():
            folder.commit(files, self._about(), keep=lambda _: True)
        return folder.path

    def _about(self) -> dict[str, Any]:
        return {
            "card": self.card.to_json(),
            "dims": str(self.dims),
            "rule": self.rule,
            "temperatures": list(self.temperatures),
            "thresholds": [_written(t) for t in self.thresholds],
            "gain": [list(each) for each in self.gain],
            "keep": self.keep,
            "promise": None if self.promise is None else self.promise.to_json(),
            "record": dict(self.record),
        }

    @classmethod
    def load(cls, path: str | Path) -> Cascade:
        """Read one back. StorageError if there is none or if a field is missing, DamagedError naming the file whose
        bytes changed."""
        folder = Folder.open(Path(path), KIND)
        about = folder.manifest
        if gone := [name for name in FIELDS if name not in about]:
            raise StorageError(
                f"the manifest of {path} has no {', '.join(gone)}: another version wrote it; fit it again"
            )
        kind: type[HeadWeights] | type[Prototypes] = Prototypes if PROTOTYPES in folder.entries else HeadWeights
        name = PROTOTYPES if kind is Prototypes else HEAD
        known = np.empty(0, np.uint64)
        if SEEN in folder.entries:
            known = read_tensors(folder.verified(SEEN), "mrl-seen")[0]["digests"].view(np.uint64)
        return cls(
            kind.load(folder.verified(name)),
            Card.from_json(about["card"]),
            Nesting.parse(about["dims"]),
            about["rule"],
            tuple(about["temperatures"]),
            tuple(inf if t is None else float(t) for t in about["thresholds"]),
            tuple(tuple(each) for each in about["gain"]),
            about["keep"],
            None if about["promise"] is None else Promise.from_json(about["promise"]),
            about["record"],
            known,
        )


def _written(threshold: float) -> float | str | None:
    """As JSON holds it, which has no ∞."""
    return None if threshold == inf else str(threshold) if threshold == -inf else threshold

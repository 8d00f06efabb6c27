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
from mrl.classify.levels import Classifier, Levels, is_tied
from mrl.classify.prototypes import Prototypes
from mrl.classify.signals import SCORES, check_rows
from mrl.disk import Folder, read_tensors, sealed_tensors
from mrl.errors import CardError, InputError
from mrl.heads import HeadWeights
from mrl.nesting import Nesting
from mrl.promise import Promise
from mrl.vectors import Embedded
from mrl.vectors.copies import Digests, digests

if TYPE_CHECKING:
    from mrl.classify.terms import Terms

KIND = "mrl-cascade"
HEAD, PROTOTYPES, SEEN = "head.safetensors", "prototypes.safetensors", "seen.safetensors"

Rule = Literal["probability", "margin", "entropy", "agreement", "gain", "lossless"]
Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False, repr=False)
class Cascade:
    """Levels of a nested classifier, and when to stop at each (arXiv 2205.13147 §4.2.1).

    classifier: a head (MRL or MRL-E) or prototypes. card: of the vectors that it takes. dims: its levels, the last one
    the full width of the classifier. rule: by which score a row stops (see `signals`), or `lossless`: as soon as
    nothing in the remaining dims can change the answer. temperatures: (levels), what logits are divided by.
    thresholds: (levels − 1), a row stops where its score is at least this; ∞: nobody does. gain: (levels − 1) of
    coefficients of the score `gain`. keep: how many of the best prototypes, or classes, of the first level go on to
    the next ones; None: all. promise: what is promised, if anything is. record: how it was fitted and what was
    measured, as JSON. known: digests of the rows that it was fitted on, sorted.

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
        object.__setattr__(self, "temperatures", tuple(self.temperatures) or (1.0,) * count)
        object.__setattr__(self, "thresholds", tuple(self.thresholds) or (inf,) * (count - 1))
        if self.rule not in (*SCORES, "lossless"):
            raise InputError(f"unknown rule {self.rule!r}; known are {', '.join(SCORES)} and lossless")
        if len(self.temperatures) != count or not all(0 < t < inf for t in self.temperatures):
            raise InputError(f"{count} levels need {count} finite temperatures > 0, got {self.temperatures}")
        if len(self.thresholds) != count - 1 or any(t != t for t in self.thresholds):
            raise InputError(f"{count} levels need {count - 1} thresholds, got {self.thresholds}")
        if self.keep is not None and not self.keep >= 1:
            raise InputError(f"keep must be at least 1, got {self.keep}; leave it out to keep all classes")
        self.levels  # noqa: B018  NestingError where the classifier does not serve a level

    def __repr__(self) -> str:
        return f"Cascade({self.classifier.count} classes, dims {self.dims}, {self.rule})"

    @cached_property
    def levels(self) -> Levels:
        """What is computed."""
        return Levels.of(self.classifier, self.dims)

    @property
    def tied(self) -> bool:
        """Whether a level continues the products of the level before."""
        return is_tied(self.classifier)

    @property
    def classes(self) -> tuple[str, ...]:
        return self.classifier.classes

    def predict(self, vectors: Embedded | Array) -> Answers:
        """Label, level and confidence of every row, (n, width) or (width,), or of a table's rows.

        CardError for vectors of another model or width; InputError naming the first row with a NaN or an Inf.
        """
        from mrl.classify.running import run

        return run(self, self.matrix(vectors))

    def matrix(self, vectors: Embedded | Array) -> Array:
        """The rows (n, width), once it is known that they are what this was fitted for."""
        if not isinstance(vectors, np.ndarray):
            self.check(vectors.card, str(vectors.path))
            vectors = vectors.vectors
        rows = vectors[None] if vectors.ndim == 1 else vectors
        self.card.check_vectors(rows)
        check_rows(rows, self.dims.width)
        return rows

    def check(self, card: Card, name: str = "these vectors") -> None:
        """Raise CardError unless vectors of this card are what the cascade was fitted for."""
        for part in ("width", "maps", "fingerprint"):
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
        """The same with others, and without a promise."""
        return replace(self, thresholds=thresholds, promise=None)

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
            "thresholds": [None if t == inf else t for t in self.thresholds],  # JSON has no ∞
            "gain": [list(each) for each in self.gain],
            "keep": self.keep,
            "promise": None if self.promise is None else self.promise.to_json(),
            "record": dict(self.record),
        }

    @classmethod
    def load(cls, path: str | Path) -> Cascade:
        """Read one back. StorageError if there is none, DamagedError naming the file whose bytes changed."""
        folder = Folder.open(Path(path), KIND)
        about = folder.manifest
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
            tuple(inf if t is None else t for t in about["thresholds"]),
            tuple(tuple(each) for each in about["gain"]),
            about["keep"],
            None if about["promise"] is None else Promise.from_json(about["promise"]),
            about["record"],
            known,
        )

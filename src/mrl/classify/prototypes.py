"""Prototypes: a nested classifier by the nearest prototype: the class means, or all labelled rows (1-NN)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.disk import read_tensors, sealed_tensors, write
from mrl.errors import InputError
from mrl.nesting import Metric, Nesting, metric, unit_prefix

KIND = "mrl-prototypes"
Array = npt.NDArray[np.floating[Any]]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Prototypes:
    """A class is as near as the nearest of its prototypes, at every prefix, by the metric.

    nesting: the trained dims; every dim between is served too. vectors: (p, width) float32, raw. labels: (p,) int64,
    the class of each, in 0 … classes − 1. metric: by which prefixes are compared. classes: the classes' names, or ().
    fingerprint: of the encoder whose vectors these are, or "" where that is unknown.

    InputError for prototypes that are not finite, without a class, or of classes that have none.
    """

    nesting: Nesting
    vectors: npt.NDArray[np.float32]
    labels: Labels
    metric: Metric = "cosine"
    classes: tuple[str, ...] = ()
    fingerprint: str = ""

    def __post_init__(self) -> None:
        metric(self.metric)
        _check_kinds(np.asarray(self.vectors), np.asarray(self.labels))
        object.__setattr__(self, "vectors", np.ascontiguousarray(self.vectors, np.float32))
        object.__setattr__(self, "labels", np.asarray(self.labels, np.int64))
        if self.vectors.ndim != 2 or not len(self.vectors) or self.labels.shape != (len(self.vectors),):
            raise InputError(
                f"prototypes are a matrix (p, width) and p labels, got {self.vectors.shape} and {self.labels.shape}"
            )
        self.nesting.check_width(self.vectors.shape[1])
        bad = np.flatnonzero(~np.isfinite(self.vectors).all(1))
        if len(bad):
            raise InputError(f"prototype {bad[0]} has a NaN or an Inf ({len(bad)} such prototypes); leave these out")
        numbers = self.labels.min() >= 0 and self.labels.max() < len(self.labels)
        there = np.bincount(self.labels) if numbers else np.zeros(1)
        if not there.all() or (self.classes and len(self.classes) != len(there)):
            raise InputError(
                f"labels of prototypes must be 0 … classes − 1 with a prototype for each class, got "
                f"{len(np.unique(self.labels))} classes from {self.labels.min()} to {self.labels.max()} among "
                f"{len(self.labels)} prototypes, and {len(self.classes)} names; number those that have one"
            )

    @property
    def count(self) -> int:
        """Number of classes."""
        return int(self.labels.max()) + 1

    def serves(self, dim: int) -> bool:
        """Whether this classifies at dim: at every dim from the narrowest trained one to the width."""
        return self.nesting.dims[0] <= dim <= int(self.vectors.shape[1])

    @classmethod
    def means(cls, vectors: Array, labels: npt.ArrayLike, nesting: Nesting, **about: Any) -> Prototypes:
        """One prototype a class: the mean of its rows, each at length 1 under cosine (nearest class mean).

        vectors: (n, width). labels: (n,) in 0 … classes − 1. about: metric, classes, fingerprint.
        """
        given = np.asarray(labels)
        _check_kinds(vectors, given)
        if vectors.ndim != 2 or not len(vectors) or given.shape != (len(vectors),) or given.min() < 0:
            raise InputError(
                f"means are of a matrix (n, width) and n labels ≥ 0, got {vectors.shape} and {given.shape}"
                + (f" from {given.min()}" if given.size else "")
                + "; leave rows without a label out"
            )
        if given.max() >= len(vectors):
            raise InputError(f"{len(vectors)} rows cannot have {given.max() + 1} classes; number those that have some")
        numbers = given.astype(np.int64)
        rows = unit_prefix(vectors, vectors.shape[1]) if about.get("metric", "cosine") == "cosine" else vectors
        sums = np.zeros((int(numbers.max(initial=-1)) + 1, vectors.shape[1]))
        np.add.at(sums, numbers, rows.astype(np.float64))
        counts = np.bincount(numbers, minlength=len(sums))
        if not counts.all():
            gone = np.flatnonzero(counts == 0)
            raise InputError(f"class {gone[0]} has no rows ({len(gone)} such classes); number those that have some")
        return cls(nesting, (sums / counts[:, None]).astype(np.float32), np.arange(len(sums)), **about)

    def sealed(self) -> bytes:
        """The bytes of the prototypes' own file."""
        about = {"nesting": str(self.nesting), "metric": self.metric, "classes": list(self.classes)}
        about |= {"fingerprint": self.fingerprint}
        return sealed_tensors({"vectors": self.vectors, "labels": self.labels}, about, KIND)

    def save(self, path: str | Path) -> None:
        """Write one sealed safetensors file, atomically."""
        write(Path(path), self.sealed())

    @classmethod
    def load(cls, path: str | Path) -> Prototypes:
        """Read one back. DamagedError if a byte changed."""
        tensors, about = read_tensors(Path(path), KIND)
        names: Sequence[str] = about["classes"]
        nesting = Nesting.parse(about["nesting"])
        return cls(nesting, tensors["vectors"], tensors["labels"], about["metric"], tuple(names), about["fingerprint"])


def _check_kinds(vectors: npt.NDArray[Any], labels: npt.NDArray[Any]) -> None:
    """InputError for vectors that are no floats, and labels that are no integers."""
    if vectors.dtype.kind != "f" or labels.dtype.kind not in "iu":
        raise InputError(
            f"prototypes are of float vectors and integer labels, got {vectors.dtype} and {labels.dtype}; convert them"
        )

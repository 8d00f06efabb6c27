"""HeadWeights: a nested linear classifier as plain arrays; what measuring and serving need without torch."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mrl.disk import Content, Folder, read_tensors, sealed_tensors, write
from mrl.errors import InputError, NestingError, StorageError
from mrl.nesting import Nesting, prefix

KIND = "mrl-head"
IN_MAP = "head.safetensors"  # the file of a head in a map's folder
Kind = Literal["mrl", "mrl-e", "ff"]  # one classifier a dim, one for all, or one at a single dim
Array = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class HeadWeights:
    """The classifier of a nested embedding (arXiv 2205.13147 §3).

    nesting: the trained dims. tied: MRL-E, one matrix whose first m columns serve dim m; else MRL, one matrix a dim.
    weights: tied, one (classes, width); else one (classes, m) per dim m. biases: one (classes,) per weight, or ().
    classes: the classes' names, or (). fingerprint: of the encoder it was trained with, or "" where that is unknown.
    """

    nesting: Nesting
    tied: bool
    weights: tuple[Array, ...]
    biases: tuple[Array, ...] = ()
    classes: tuple[str, ...] = ()
    fingerprint: str = ""

    def __post_init__(self) -> None:
        dims = self.nesting.dims[-1:] if self.tied else self.nesting.dims
        count = len(self.weights[0]) if self.weights else 0
        got = [w.shape for w in self.weights]
        if got != [(count, dim) for dim in dims]:
            raise NestingError(
                f"{'a tied head' if self.tied else 'separate heads'} at dims {self.nesting} need weights "
                f"{[('classes', dim) for dim in dims]}, got {got}"
            )
        if self.biases and [b.shape for b in self.biases] != [(count,)] * len(dims):
            raise InputError(
                f"biases must be {len(dims)} arrays of shape ({count},), got {[b.shape for b in self.biases]}"
            )
        if not all(np.isfinite(array).all() for array in (*self.weights, *self.biases)):
            raise InputError("a head with a NaN or an Inf classifies nothing; take an earlier state of the run")
        if self.classes and len(self.classes) != count:
            raise InputError(f"{len(self.classes)} class names for {count} classes")

    @property
    def count(self) -> int:
        """Number of classes."""
        return len(self.weights[0])

    def serves(self, dim: int) -> bool:
        """Whether this head classifies at dim: at the trained dims, and tied ones at every dim between too."""
        return dim in self.nesting.dims or (self.tied and self.nesting.dims[0] <= dim <= self.nesting.width)

    def at(self, dim: int) -> tuple[Array, Array | None]:
        """(weight (classes, dim), bias (classes,) or None) for one dim. NestingError where the head has none."""
        if not self.serves(dim):
            raise NestingError(
                f"this head was trained at {self.nesting} and has no weights for dim {dim}; "
                "take one of these dims, or train a tied head (MRL-E), which serves every dim between"
            )
        level = 0 if self.tied else self.nesting.dims.index(dim)
        return prefix(self.weights[level], dim), self.biases[level] if self.biases else None

    def logits(self, vectors: Array, dim: int) -> Array:
        """(..., d) -> (..., classes) from the first `dim` coordinates, as they are."""
        weight, bias = self.at(dim)
        product = prefix(vectors, dim) @ weight.T
        return product if bias is None else product + bias

    def only(self, classes: Sequence[str]) -> HeadWeights:
        """The rows of these classes, in this order: what classifies when no other class can occur.

        InputError for none, for one that is named twice, and for one that the head does not have.
        """
        unknown = [name for name in classes if name not in self.classes]
        if unknown:
            raise InputError(
                f"this head has no classes {', '.join(map(repr, unknown[:5]))} among its {len(self.classes)} named "
                "ones; give names of its own"
            )
        if not classes or len(set(classes)) < len(classes):
            raise InputError(f"a head needs at least one class and each once, got {', '.join(classes[:5]) or 'none'}")
        at = {name: row for row, name in enumerate(self.classes)}
        rows = [at[name] for name in classes]
        weights, biases = (tuple(array[rows] for array in arrays) for arrays in (self.weights, self.biases))
        return replace(self, weights=weights, biases=biases, classes=tuple(classes))

    def sealed(self) -> bytes:
        """The bytes of the head's own file."""
        tensors = {f"weight.{i}": w for i, w in enumerate(self.weights)}
        tensors |= {f"bias.{i}": b for i, b in enumerate(self.biases)}
        about = {"nesting": str(self.nesting), "tied": self.tied, "classes": list(self.classes)}
        about |= {"fingerprint": self.fingerprint}
        return sealed_tensors(tensors, about, KIND)

    def save(self, path: str | Path) -> None:
        """Write one sealed safetensors file, atomically."""
        content: Content = self.sealed()
        write(Path(path), content)

    @classmethod
    def load(cls, path: str | Path, *, best: bool = False) -> HeadWeights:
        """Read one back from its file, that of a map's folder, or the newest one of a run's. DamagedError if a byte
        changed.

        best: of a run, that of the best validation accuracy; StorageError if none was measured.
        """
        path = Path(path)
        if (path / IN_MAP).is_file():
            path = path / IN_MAP
        elif path.is_dir():
            run = Folder.open(path, "mrl-run")
            name = chosen(run, best=best)["head"]
            if name is None:
                raise InputError(f"{path} was trained to compare texts, so it has no classifiers; leave the head out")
            path = run.verified(name)
        tensors, about = read_tensors(path, KIND)
        weights = tuple(tensors[f"weight.{i}"] for i in range(sum(name.startswith("weight.") for name in tensors)))
        biases = tuple(tensors[f"bias.{i}"] for i in range(len(tensors) - len(weights)))
        nesting, classes = Nesting.parse(about["nesting"]), tuple(about["classes"])
        return cls(nesting, about["tied"], weights, biases, classes, about["fingerprint"])

    @classmethod
    def from_reference(cls, state: Mapping[str, npt.ArrayLike], nesting: Nesting | None = None) -> HeadWeights:
        """Weights of the paper's own code: `[…]nesting_classifier_0.weight`, `….bias`, and so on, one per dim.

        A single classifier under several dims is MRL-E; its dims are not in the file, so `nesting` must name them.
        `[…]fc.weight` and `….bias` are those of a fixed-feature (FF) model, which has one dim.
        """
        found = _reference_layers(state)
        weights = [found[i, "weight"] for i in range(sum(part == "weight" for _, part in found))]
        biases = [found[i, "bias"] for i in range(len(weights)) if (i, "bias") in found]
        own = tuple(w.shape[1] for w in weights)
        if nesting is None and len(weights) == 1 and any("nesting_classifier_" in name for name in state):
            raise NestingError(
                f"one classifier of width {own[0]}: is it MRL-E? name its dims, as in nesting=8..{own[0]}"
            )
        nesting = nesting or Nesting(own)
        return cls(nesting, len(weights) == 1 < len(nesting), tuple(weights), tuple(biases))


def chosen(run: Folder, *, best: bool) -> Mapping[str, str]:
    """What names `encoder` and `head` of a run's newest state, or of its best one."""
    if not best:
        return run.manifest
    if run.manifest["best"] is None:
        raise StorageError(f"{run.path} has no best state: no validation accuracy was measured; take the newest")
    return dict(run.manifest["best"])


def _reference_layers(state: Mapping[str, npt.ArrayLike]) -> dict[tuple[int, str], Array]:
    pattern = re.compile(r"(?:^|\.)(?:nesting_classifier_(\d+)|fc)\.(weight|bias)$")
    found = {(int(m[1] or 0), m[2]): np.asarray(a) for name, a in state.items() if (m := pattern.search(name))}
    indices = sorted(i for i, part in found if part == "weight")
    if not indices or indices != list(range(len(indices))):
        raise InputError(
            f"no nesting_classifier_0.weight, nesting_classifier_1.weight … in {sorted(state)[:6]}; "
            "give the state dict of the reference implementation's head"
        )
    return found

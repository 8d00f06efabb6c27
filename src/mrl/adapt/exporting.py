"""A map in the words of other programs: each way in a module of its own, found here by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from mrl.disk import absent
from mrl.errors import InputError, NestingError
from mrl.maps import AnyMap, Linear, Residual, Rotation
from mrl.nesting import Metric, Nesting, metric, rescales

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ExportSpec:
    """What is to come out of an exported map.

    metric: by which its images are compared; where it is cosine they are rescaled to length 1 after the cut. nesting:
    the dims that the map was fitted for, None if nothing is known. dim: cut to it for good; None keeps the whole width.
    model: the sentence-transformers folder to which the map is appended; no other way takes one.
    """

    metric: Metric = "cosine"
    nesting: Nesting | None = None
    dim: int | None = None
    model: str | Path | None = None

    def __post_init__(self) -> None:
        metric(self.metric)

    @property
    def rescaled(self) -> bool:
        return rescales(self.metric)

    def cut(self, turn: AnyMap) -> int:
        """The dims of an image. NestingError for more than the map has, or fewer than were fitted."""
        if self.nesting is not None:
            self.nesting.check_width(turn.out)
            self.nesting.check_readable(turn.out if self.dim is None else self.dim, turn.out)
        elif self.dim is not None and not 1 <= self.dim <= turn.out:
            raise NestingError(f"cannot cut {self.dim} dims from the map {turn}; 1 ≤ dim ≤ {turn.out}")
        return turn.out if self.dim is None else self.dim

    def dims(self, turn: AnyMap) -> tuple[int, ...]:
        """The fitted dims that an image still has."""
        return () if self.nesting is None else tuple(dim for dim in self.nesting.dims if dim <= self.cut(turn))


class Export(Protocol):
    """Write a map to a path that is free, as the spec says; the path."""

    def __call__(self, turn: AnyMap, path: Path, spec: ExportSpec) -> Path: ...


def _found(module: str, name: str) -> Export:
    """An exporter that is imported when it is called."""

    def export(turn: AnyMap, path: Path, spec: ExportSpec) -> Path:
        chosen: Callable[[AnyMap, Path, ExportSpec], Path] = getattr(import_module(f"mrl.adapt.{module}"), name)
        return chosen(turn, path, spec)

    return export


EXPORTS: Mapping[str, Export] = {
    "onnx": _found("export_onnx", "to_onnx"),
    "sentence-transformers": _found("export_sentence", "to_sentence_transformers"),
    "faiss": _found("export_faiss", "to_faiss"),
    "sql": _found("export_sql", "to_sql"),
}


def export_map(turn: AnyMap, to: str, path: str | Path, spec: ExportSpec | None = None) -> Path:
    """Write a map in the words of another program, one of `EXPORTS`; its path. Whole or not at all.

    InputError for an unknown way, for one that cannot express the map, and for a model where none is taken;
    NestingError for dims that the map does not have; ExistsError if anything is at the path; MissingError if the
    package of the other program is needed and absent.
    """
    spec = ExportSpec() if spec is None else spec
    if to not in EXPORTS:
        raise InputError(f"unknown export {to!r}; known are {', '.join(EXPORTS)}")
    if spec.model is not None and to != "sentence-transformers":
        raise InputError(f"a map is appended to a model for sentence-transformers only, not for {to}; leave model out")
    spec.cut(turn)
    absent(Path(path))
    return EXPORTS[to](turn, Path(path), spec)


def linear_matrix(turn: AnyMap, dim: int, to: str) -> Floats:
    """The first columns of a rotation's or linear map's matrix, (width, dim) float32. InputError for a residual map."""
    if isinstance(turn, Residual):
        raise InputError(
            f"{turn} has a hidden layer, which {to} cannot express; export it to onnx or sentence-transformers, "
            "or fit a linear map or a rotation"
        )
    return _columns(turn, dim)


def _columns(turn: Rotation | Linear, dim: int) -> Floats:
    return np.ascontiguousarray(turn.matrix[:, :dim], np.float32)

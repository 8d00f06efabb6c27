"""What a file of vectors was found to hold, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.errors import InputError

Array = npt.NDArray[Any]
VECTORS = ("vectors", "embeddings", "vector", "embedding")  # what arrays and columns of vectors are called
IDS, LABELS = ("ids", "id"), ("labels", "label")


class Reader(Protocol):
    """Reads a file's rows in order. rows: how many. width: of each. named: whether they have ids."""

    @property
    def rows(self) -> int: ...

    @property
    def width(self) -> int: ...

    @property
    def named(self) -> bool: ...

    def pieces(self, start: int, size: int) -> Iterator[tuple[Array, Array | None]]:
        """(vectors (n, width) as they are stored, ids (n,) or None) from row `start` on, n at most `size` and > 0."""
        ...


class Found(NamedTuple):
    """reader: of the vectors. ids: (rows,) where they are not read along with these. labels: (rows,) integers or
    strings. card, label_names, prompt: of a table, which says them."""

    reader: Reader
    ids: Array | None = None
    labels: Array | None = None
    card: Card | None = None
    label_names: tuple[str, ...] = ()
    prompt: str = ""


def check_floats(where: str, dtype: Any, shape: Sequence[int]) -> None:
    """InputError unless this is a matrix of floats of 2, 4 or 8 bytes. where: the file, and the array's name in it."""
    kind = np.dtype(dtype) if not isinstance(dtype, str) else None
    if len(shape) != 2 or kind is None or kind.kind != "f" or kind.itemsize > 8 or not shape[1]:
        raise InputError(
            f"{where} must be a float matrix (n, width), got {dtype} of shape {tuple(shape)}; "
            "save it as one, in float32 say: .astype(numpy.float32)"
        )


def chosen(path: Path, names: Sequence[str], fitting: Sequence[str], key: str | None, what: str = "array") -> str:
    """Which of a file's arrays are the vectors: the one named by `key`, or by custom, or the only one that fits.

    InputError lists what there is.
    """
    listed = ", ".join(names) or "none"
    if key is not None:
        if key not in names:
            raise InputError(f"{path} has no {what} {key!r}, only {listed}; name one of these as key")
        return key
    usual = [name for name in VECTORS if name in names]
    if usual or len(fitting) == 1:
        return [*usual, *fitting][0]
    if fitting:
        raise InputError(f"{path} has several {what}s of vectors, {', '.join(fitting)}; name the one meant as key")
    raise InputError(f"{path} has no {what} of float vectors among {listed}; save them as float32, named vectors")


def first_of(names: Sequence[str], usual: Sequence[str]) -> str | None:
    """The first of the usual names that is there."""
    return next((name for name in usual if name in names), None)


def no_key(path: Path, key: str | None) -> None:
    """InputError for a key where there is nothing to choose from."""
    if key is not None:
        raise InputError(f"{path} holds its vectors alone, so there is nothing to choose as key {key!r}; leave it out")

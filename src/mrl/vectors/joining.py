"""Labels whose file names the ids that they are of, in the order of the vectors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.vectors.keys import digests

Array = npt.NDArray[Any]


def places(named: Array, wanted: Array, path: Path) -> npt.NDArray[np.intp]:
    """(n,) where each of the vectors' ids is among those that a file names.

    named: (n,) integers or strings, of the file `path`. wanted: (n,) ids of the vectors, of the same kind. InputError
    names an id that one of them lacks, or has twice.
    """
    _check_once(named, f"in {path}")
    _check_once(wanted, "among the vectors")
    if named.dtype.kind != wanted.dtype.kind and len(named):
        raise _stranger(named[0].item(), path)
    keys, asked = digests(named), digests(wanted)
    strange, missing = ~np.isin(keys, asked), ~np.isin(asked, keys)
    if strange.any():
        raise _stranger(named[np.argmax(strange)].item(), path)
    if missing.any():
        count = int(missing.sum())
        raise InputError(
            f"{path} has no label for id {wanted[np.argmax(missing)].item()!r} ({count:,} vector{'s' * (count != 1)} "
            "without one); labels with a column id are found by it: give one for every vector"
        )
    order = np.argsort(keys, kind="stable")
    return order[np.searchsorted(keys[order], asked)]


def _check_once(ids: Array, where: str) -> None:
    order = np.argsort(ids, kind="stable")
    twice = order[1:][ids[order[1:]] == ids[order[:-1]]]
    if len(twice):
        raise InputError(
            f"id {ids[twice.min()].item()!r} occurs twice {where}; labels with a column id are found by it: keep one "
            "row of each id, or leave that column out"
        )


def _stranger(name: object, path: Path) -> InputError:
    """For an id that no vector has."""
    return InputError(
        f"no vector has the id {name!r} of {path}; labels with a column id are found by it: give the vectors the same "
        "ids with --ids, or leave that column out where rows are in the order of the vectors"
    )

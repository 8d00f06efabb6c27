"""The files of a table's folder: their names, their columns, and what a writer that was stopped leaves behind."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.disk import MANIFEST, Folder

KIND = "mrl-table"

_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{12}-(manifest\.json|\d{6,}\.(vectors|ids|labels)\.npy)")
_COLUMN = re.compile(r"\d{6,}\.(vectors|ids|labels)\.npy")


class Block(NamedTuple):
    """The rows that were committed together. vectors: (n, width). ids: (n,). labels: (n,) int64 or None."""

    vectors: npt.NDArray[np.floating[Any]]
    ids: npt.NDArray[Any]
    labels: npt.NDArray[np.int64] | None


def file_name(block: int, column: str) -> str:
    return f"{block:06d}.{column}.npy"


def column(folder: Folder, block: int, name: str) -> npt.NDArray[Any]:
    """One column of a block, mapped from disk once its bytes were compared with their checksum."""
    array: npt.NDArray[Any] = np.load(folder.verified(file_name(block, name)), mmap_mode="r", allow_pickle=False)
    return array


def begun(path: Path) -> bool:
    """Whether a writer began here: a table, or nothing but the files of a writer that was stopped before it committed.

    An empty folder is nobody's.
    """
    if (path / MANIFEST).is_file():
        return True
    found = [file.name for file in path.iterdir()] if path.is_dir() else []
    return bool(found) and all(_TEMPORARY.fullmatch(name) or _COLUMN.fullmatch(name) for name in found)


def remove_temporaries(path: Path) -> None:
    """Give back the space of half-written files. Columns that no manifest names stay: the next block replaces them."""
    for file in list(path.iterdir()):
        if _TEMPORARY.fullmatch(file.name):
            with contextlib.suppress(OSError):
                file.unlink()

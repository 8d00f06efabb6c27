"""The files of a table's folder: their names and their columns."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.disk import Folder

KIND = "mrl-table"

OWNED = re.compile(r"\d{6,}\.(vectors|ids|labels)\.npy")


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

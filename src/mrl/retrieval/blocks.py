"""A block: rows that were committed together and never change. One file per segment and encoding.

000003.0-32.float32.npy          (n, 32) codes of segment 0–32
000003.0-32.int8.npy             a coarser copy of it, with
000003.0-32.int8.scales.npy      (chunks, 2, 32) offsets and steps
000003.norms.npy                 (cuts, n) float32 lengths of the prefixes of the reference encodings
000003.ids.npy                   (n,) int64 or strings
000003.keys.npy                  (n,) the ids sorted (strings: their digests), with
000003.places.npy                (n,) where in the block each of them is
000003.payload.arrow             columns of the rows, where there are any
000003.deleted-00000007.npy      positions that are deleted since state 7
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mrl.disk import Folder
from mrl.errors import StorageError
from mrl.retrieval.encodings import AFFINE, Coded, Floats
from mrl.retrieval.layout import Layout

if TYPE_CHECKING:
    import pyarrow

OWNED = re.compile(
    r"\d{6,}\.(norms|ids|keys|places|deleted-\d+|\d+-\d+\.\w+(\.scales)?)\.npy|\d{6,}\.payload\.arrow"
    r"|map-\d{6,}\.safetensors|\d{6,}\.graph|\d{6,}\.planned\.json"
)

SMALL = 1 << 16  # bytes up to which a file is read: one that is mapped stays open, and a process may open few

Positions = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


def file_name(block: int, what: str) -> str:
    return f"{block:06d}.{what}.npy"


def payload_name(block: int) -> str:
    return f"{block:06d}.payload.arrow"


@dataclass(frozen=True)
class About:
    """What the manifest says of a block. deleted: the file of deleted positions, "" for none."""

    number: int
    rows: int
    deleted: str = ""
    dead: int = 0


def deleted_name(about: About, state: int) -> str:
    """The file of deleted positions that comes next; after the one before even in a copy, whose states begin anew."""
    before = int(about.deleted.split("-")[1].split(".")[0]) if about.deleted else 0
    return file_name(about.number, f"deleted-{max(state, before + 1):08d}")


class Block:
    """A block opened for reading: every file is compared with its checksum before its first use, then mapped
    or, if it is small, read.

    first: the position of its first row in the whole snapshot.
    """

    def __init__(self, folder: Folder, layout: Layout, about: About, first: int, *, payload: bool) -> None:
        self._folder, self._layout, self._payload = folder, layout, payload
        self.about, self.first, self.rows = about, first, about.rows
        self._segments: dict[tuple[int, str], Coded] = {}
        self._opening = threading.Lock()

    def segment(self, level: int, encoding: str) -> Coded:
        """The coordinates between the cut of `level` and the one before it."""
        key = level, encoding
        if key not in self._segments:
            with self._opening:
                if key not in self._segments:  # never opened anew: `record` has the addresses of what is kept here
                    self._segments[key] = self._open_segment(level, encoding)
        return self._segments[key]

    def _open_segment(self, level: int, encoding: str) -> Coded:
        name = f"{self._layout.segment(level)}.{encoding}"
        start, stop = self._layout.cuts.segments[level]
        codes = self._mapped(name)
        scales = self._mapped(f"{name}.scales") if encoding in AFFINE else np.empty((0, 2, 0), np.float32)
        return Coded(encoding, stop - start, codes, scales)

    @cached_property
    def norms(self) -> Floats:
        """(cuts, rows): the length of every prefix."""
        return self._mapped("norms")

    @cached_property
    def record(self) -> tuple[npt.NDArray[np.uint64], Mask]:
        """(cuts,) where in memory each segment's encoding of record is mapped, and whether it is float16."""
        parts = [self.segment(level, name) for level, name in enumerate(self._layout.reference)]
        at = np.array([part.codes.ctypes.data for part in parts], np.uint64)
        return at, np.array([part.encoding == "float16" for part in parts])

    @cached_property
    def ids(self) -> npt.NDArray[Any]:
        return self._mapped("ids")

    @cached_property
    def keys(self) -> npt.NDArray[Any]:
        return self._mapped("keys")

    @cached_property
    def places(self) -> npt.NDArray[np.int32]:
        return self._mapped("places")

    @cached_property
    def deleted(self) -> Positions:
        """Sorted positions within the block."""
        if not self.about.deleted:
            return np.empty(0, np.int64)
        deleted: Positions = np.load(self._folder.verified(self.about.deleted), allow_pickle=False)
        return deleted

    @cached_property
    def alive(self) -> npt.NDArray[np.bool_]:
        """(rows,), or (0,) if all are."""
        if not self.about.dead:
            return np.empty(0, np.bool_)
        alive = np.ones(self.rows, np.bool_)
        alive[self.deleted] = False
        return alive

    @cached_property
    def payload(self) -> pyarrow.Table | None:
        """The columns of the rows, mapped; None if they have none."""
        import pyarrow

        if not self._payload:
            return None
        path = self._folder.verified(payload_name(self.about.number))
        with _opened(path) as mapped:
            source = pyarrow.memory_map(str(path)) if mapped else pyarrow.BufferReader(path.read_bytes())
        return pyarrow.ipc.open_file(source).read_all()

    @property
    def schema(self) -> pyarrow.Schema:
        return self.payload.schema  # type: ignore[union-attr]

    def decoded(self, rows: slice | Positions, stop: int | None = None) -> Floats:
        """(m, dim of level `stop`): the vectors of the encodings of record."""
        levels = range(len(self._layout.cuts) if stop is None else stop + 1)
        parts = [self.segment(level, self._layout.reference[level]).decoded(rows) for level in levels]
        return np.concatenate(parts, axis=1)

    def where(self, wanted: Callable[[pyarrow.Table], npt.NDArray[np.bool_]], ids: bool) -> npt.NDArray[np.bool_]:
        """(rows,): which living rows a condition on the payload accepts. ids: whether it asks for the ids, too."""
        import pyarrow

        columns = self.payload
        if columns is None or not columns.num_columns:
            columns = pyarrow.table({"id": self.ids})
        elif ids:
            columns = columns.append_column("id", pyarrow.array(self.ids))
        mask = np.asarray(wanted(columns), np.bool_)
        return mask & self.alive if self.about.dead else mask

    def _mapped(self, name: str) -> npt.NDArray[Any]:
        path = self._folder.verified(file_name(self.about.number, name))
        with _opened(path) as mapped:
            array: npt.NDArray[Any] = np.asarray(np.load(path, mmap_mode="r" if mapped else None, allow_pickle=False))
        return array


@contextmanager
def _opened(path: Path) -> Iterator[bool]:
    """Whether a file is large enough to be mapped. StorageError where the system opens no more."""
    try:
        yield path.stat().st_size > SMALL
    except OSError as error:
        raise StorageError(
            f"cannot read {path}: {error.strerror or error}; where too many files are open, compact the index or raise "
            "the limit (ulimit -n)"
        ) from error

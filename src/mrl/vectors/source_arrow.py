"""Vectors in a column of lists of an Arrow file or stream. Ids are read along with them, labels at the door.

One batch may be the whole file. So the file is mapped, rows are copied out of it, and its pages are given back after
each piece: what was read counts as memory only as long as somebody holds it. Batches that are compressed are unpacked
one at a time.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mrl.errors import InputError
from mrl.vectors.beside import as_keys, check_keys
from mrl.vectors.found import Array, Found
from mrl.vectors.source_columns import Columns, after, damaged, first_width, need_pyarrow, read_rows

if TYPE_CHECKING:
    import pyarrow

PADDED = b"ARROW1\0\0"  # what an Arrow file begins with


@dataclass(frozen=True, eq=False)
class Arrow:
    """An Arrow file or stream. counts: rows of each of its batches."""

    path: Path
    counts: tuple[int, ...]
    columns: Columns
    width: int

    @property
    def rows(self) -> int:
        return sum(self.counts)

    @property
    def named(self) -> bool:
        return self.columns.ids is not None

    def pieces(self, start: int, size: int) -> Iterator[tuple[Array, Array | None]]:
        """See `Reader`. Memory holds a piece, and of a compressed file one of its own batches."""
        ends = list(accumulate(self.counts))
        before = next((number for number, end in enumerate(ends) if start < end), len(ends))
        skipped, space = start - (ends[before - 1] if before else 0), _mapped(self.path)
        for first, batch in after(batches(self.path, self.columns.read_along, before, space), skipped, start):
            for at in range(0, batch.num_rows, size):
                rows = read_rows(batch.slice(at, size), self.columns, self.width, self.path, first + at)
                vectors, ids = np.array(rows[0]), None if rows[1] is None else np.array(rows[1])
                del rows
                _give_back(space)
                yield vectors, ids
            del batch  # before the next one is unpacked


def batches(
    path: Path, names: Sequence[str], skipped: int = 0, space: mmap.mmap | None = None
) -> Iterator[pyarrow.RecordBatch]:
    """The batches of an Arrow file or stream from one on, with these columns; InputError for what is none.

    space: the file, mapped.
    """
    pyarrow = need_pyarrow()
    from pyarrow import ipc

    try:
        space = _mapped(path) if space is None else space
        file = pyarrow.BufferReader(pyarrow.py_buffer(space))
        begin = len(PADDED) if _in_places(file.read(len(PADDED))) else 0
        file.seek(begin)
        schema = ipc.open_stream(file).schema
        file.seek(begin)  # a file is a stream between two magics; of an `open_file` each batch would be copied whole
        options = ipc.IpcReadOptions(included_fields=[schema.names.index(name) for name in names])
        for batch in islice(ipc.open_stream(file, options=options), skipped, None):
            yield batch
            del batch  # before the next one is unpacked
            _give_back(space)
    except (pyarrow.ArrowException, OSError) as error:
        raise damaged(path, error) from None


def read_arrow(path: Path, key: str | None) -> Found:
    """The column of vectors of an Arrow file or stream (.arrow, .feather, .ipc)."""
    columns = Columns.of(path, _schema(path), key)
    light = columns.labels or columns.ids or columns.vectors  # read once, for the number of rows
    counts: list[int] = []
    labels: list[Array] = []
    for batch in batches(path, [light]):
        counts.append(batch.num_rows)
        if columns.labels is not None:
            labels.append(as_keys(check_keys(batch.column(0), light, path)))
        del batch
    width = first_width((batch.column(0) for batch in batches(path, [columns.vectors])), path)
    return Found(Arrow(path, tuple(counts), columns, width), labels=np.concatenate(labels) if labels else None)


def _schema(path: Path) -> pyarrow.Schema:
    pyarrow = need_pyarrow()
    from pyarrow import ipc

    with path.open("rb") as file:
        head = file.read(6)
    if head[:4] == b"FEA1":
        raise InputError(f"{path} is Feather of version 1; write it with pyarrow.feather.write_feather, version 2")
    try:
        with pyarrow.OSFile(str(path)) as source:
            return (ipc.open_file if _in_places(head) else ipc.open_stream)(source).schema
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path} is no Arrow file or stream: {error}; write it with pyarrow.ipc") from None


def _in_places(head: bytes) -> bool:
    """Whether a file that begins so is an Arrow file, whose batches have known places, and no stream."""
    return head.startswith(PADDED[:6])


def _mapped(path: Path) -> mmap.mmap:
    with path.open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def _give_back(space: mmap.mmap) -> None:
    """Let go of the pages that were read; whoever reads them again gets them again."""
    if hasattr(mmap, "MADV_DONTNEED"):
        space.madvise(mmap.MADV_DONTNEED)

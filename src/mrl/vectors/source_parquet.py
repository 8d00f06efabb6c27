"""Vectors in a column of lists of a Parquet, one file or many. Ids are read along with them, labels at the door."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from mrl.errors import InputError
from mrl.vectors.beside import as_keys, check_keys
from mrl.vectors.found import Array, Found
from mrl.vectors.source_columns import Columns, after, damaged, first_width, need_pyarrow, read_rows

LOOK = 256  # rows read at once until one has a vector


@dataclass(frozen=True, eq=False)
class Parquet:
    """Files of the same columns, one after the other. counts: rows of each."""

    files: tuple[Path, ...]
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
        """See `Reader`. Memory holds about one batch, and one page of each column as it was compressed."""
        first = 0
        for path, count in zip(self.files, self.counts, strict=True):
            if start < first + count:
                yield from self._of_file(path, max(start - first, 0), size)
            first += count

    def _of_file(self, path: Path, start: int, size: int) -> Iterator[tuple[Array, Array | None]]:
        with opened(path) as file:
            skipped, groups = _groups(file, start)
        for first, batch in after(batches(path, self.columns.read_along, size, groups), skipped, start):
            yield read_rows(batch, self.columns, self.width, path, first)

    def labels(self) -> Array | None:
        if self.columns.labels is None:
            return None
        parts = [_column(path, opened(path).read([self.columns.labels]), self.columns.labels) for path in self.files]
        return np.concatenate(parts)


def opened(path: Path) -> Any:
    """A Parquet file, read through a small buffer and not mapped. InputError for what is none."""
    pyarrow = need_pyarrow()
    from pyarrow import parquet

    with path.open("rb"):  # so that one that is not there is called by its name
        try:
            return parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False, memory_map=False)
        except pyarrow.ArrowException as error:
            raise InputError(f"{path} is no Parquet: {error}; write it again") from None


def batches(path: Path, names: Sequence[str], size: int, groups: Sequence[int] | None = None) -> Iterator[Any]:
    """Some columns of a Parquet, of some row groups or of all, `size` rows at once."""
    pyarrow = need_pyarrow()
    try:
        with opened(path) as file:
            yield from file.iter_batches(size, row_groups=groups, columns=names)
    except (pyarrow.ArrowException, OSError) as error:
        raise damaged(path, error) from None


def read_parquet(path: Path, key: str | None, files: Sequence[Path] = ()) -> Found:
    """The column of vectors of a Parquet, or of all those of `files`, one after the other."""
    paths = tuple(files) or (path,)
    columns = Columns.of(path, opened(paths[0]).schema_arrow, key)
    for each in paths[1:]:
        if Columns.of(each, opened(each).schema_arrow, columns.vectors) != columns:
            raise InputError(f"{each} has other columns than {paths[0]}; write all of {path} with the same ones")
    counts = tuple(opened(each).metadata.num_rows for each in paths)
    looked = (batch.column(0) for each in paths for batch in batches(each, [columns.vectors], LOOK))
    reader = Parquet(paths, counts, columns, first_width(looked, path))
    return Found(reader, labels=reader.labels())


def _column(path: Path, table: Any, name: str) -> Array:
    return as_keys(check_keys(table.column(name).combine_chunks(), name, path))


def _groups(file: Any, start: int) -> tuple[int, list[int]]:
    """Rows to skip, and the row groups from the one on that has row `start`."""
    counts = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
    ends = list(accumulate(counts))
    before = next((number for number, end in enumerate(ends) if start < end), len(ends))
    return start - (ends[before - 1] if before else 0), list(range(before, len(ends)))

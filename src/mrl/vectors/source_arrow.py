"""Vectors in a column of lists: Parquet, one file or many, and Arrow's files and streams.

Ids are read along with the vectors, labels at the door. A null, or a null within a list, counts as NaN.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mrl.errors import InputError, MissingError
from mrl.vectors.beside import as_keys, check_keys
from mrl.vectors.found import IDS, LABELS, Array, Found, chosen, first_of

if TYPE_CHECKING:
    import pyarrow


class Columns(NamedTuple):
    """Names of a table's columns."""

    vectors: str
    ids: str | None
    labels: str | None

    @classmethod
    def of(cls, path: Path, schema: pyarrow.Schema, key: str | None) -> Columns:
        """InputError unless one column of lists of floats is meant."""
        fitting = [each.name for each in schema if _is_list(each.type) and _is_float(each.type.value_type)]
        name = chosen(path, schema.names, fitting, key, "column")
        if name not in fitting:
            raise InputError(
                f"the column {name} of {path} must be lists of floats, got {schema.field(name).type}; "
                "cast it to lists of float32"
            )
        return cls(name, first_of(schema.names, IDS), first_of(schema.names, LABELS))

    @property
    def read_along(self) -> list[str]:
        return [self.vectors] if self.ids is None else [self.vectors, self.ids]


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
        import pyarrow

        try:
            with opened(path) as file:
                skipped, groups = _groups(file, start)
                batches = file.iter_batches(size, row_groups=groups, columns=self.columns.read_along)
                for first, batch in _from(batches, skipped, start):
                    yield _read(batch, self.columns, self.width, path, first)
        except (pyarrow.ArrowException, OSError) as error:
            raise _damaged(path, error) from None

    def labels(self) -> Array | None:
        if self.columns.labels is None:
            return None
        parts = [_column(path, opened(path).read([self.columns.labels]), self.columns.labels) for path in self.files]
        return np.concatenate(parts)


def opened(path: Path) -> Any:
    """A Parquet file, read through a small buffer and not mapped. InputError for what is none."""
    pyarrow = _pyarrow()
    from pyarrow import parquet

    with path.open("rb"):  # so that one that is not there is called by its name
        try:
            return parquet.ParquetFile(path, buffer_size=1 << 20, pre_buffer=False, memory_map=False)
        except pyarrow.ArrowException as error:
            raise InputError(f"{path} is no Parquet: {error}; write it again") from None


def read_parquet(path: Path, key: str | None, files: Sequence[Path] = ()) -> Found:
    """The column of vectors of a Parquet, or of all those of `files`, one after the other."""
    paths = tuple(files) or (path,)
    columns = Columns.of(path, opened(paths[0]).schema_arrow, key)
    for each in paths[1:]:
        if Columns.of(each, opened(each).schema_arrow, columns.vectors) != columns:
            raise InputError(f"{each} has other columns than {paths[0]}; write all of {path} with the same ones")
    counts = tuple(opened(each).metadata.num_rows for each in paths)
    if not sum(counts):
        raise InputError(f"{path} has no rows, so that the width of its vectors is not known; give one with rows")
    first = next(each for each, count in zip(paths, counts, strict=True) if count)
    width = _first_width(first, next(opened(first).iter_batches(1, columns=[columns.vectors])).column(0))
    reader = Parquet(paths, counts, columns, width)
    return Found(reader, labels=reader.labels())


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
        """See `Reader`. Memory holds one of the file's own batches."""
        ends = list(accumulate(self.counts))
        before = next((number for number, end in enumerate(ends) if start < end), len(ends))
        skipped = start - (ends[before - 1] if before else 0)
        for first, batch in _from(batches(self.path, self.columns.read_along, before), skipped, start):
            for at in range(0, batch.num_rows, size):
                yield _read(batch.slice(at, size), self.columns, self.width, self.path, first + at)


def batches(path: Path, names: Sequence[str] | None = None, skipped: int = 0) -> Iterator[pyarrow.RecordBatch]:
    """The batches of an Arrow file or stream from one on, with these columns or all; InputError for what is none."""
    pyarrow = _pyarrow()
    from pyarrow import ipc

    with path.open("rb") as head:
        in_places = head.read(6) == b"ARROW1"
    try:
        with pyarrow.OSFile(str(path)) as file:
            schema = (ipc.open_file if in_places else ipc.open_stream)(file).schema
            file.seek(0)
            options = ipc.IpcReadOptions(included_fields=[schema.names.index(name) for name in names or schema.names])
            if in_places:
                reader = ipc.open_file(file, options=options)
                yield from map(reader.get_batch, range(skipped, reader.num_record_batches))
            else:
                yield from _after(ipc.open_stream(file, options=options), skipped)
    except (pyarrow.ArrowException, OSError) as error:
        raise _damaged(path, error) from None


def read_arrow(path: Path, key: str | None) -> Found:
    """The column of vectors of an Arrow file or stream (.arrow, .feather, .ipc)."""
    columns = Columns.of(path, _schema(path), key)
    light = columns.labels or columns.ids or columns.vectors  # read once, for the number of rows
    counts: list[int] = []
    labels: list[Array] = []
    width = 0
    for batch in batches(path, [light]):
        counts.append(batch.num_rows)
        if columns.labels is not None:
            labels.append(as_keys(check_keys(batch.column(0), light, path)))
    for batch in batches(path, [columns.vectors]):
        if batch.num_rows:
            width = _first_width(path, batch.column(0).slice(0, 1))
            break
    if not width:
        raise InputError(f"{path} has no rows, so that the width of its vectors is not known; give one with rows")
    return Found(Arrow(path, tuple(counts), columns, width), labels=np.concatenate(labels) if labels else None)


def _schema(path: Path) -> pyarrow.Schema:
    pyarrow = _pyarrow()
    from pyarrow import ipc

    with path.open("rb") as file:
        head = file.read(6)
    if head[:4] == b"FEA1":
        raise InputError(f"{path} is Feather of version 1; write it with pyarrow.feather.write_feather, version 2")
    try:
        with pyarrow.OSFile(str(path)) as source:
            return (ipc.open_file if head == b"ARROW1" else ipc.open_stream)(source).schema
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{path} is no Arrow file or stream: {error}; write it with pyarrow.ipc") from None


# ---------------------------------------------------------------------------------------------------- columns


def _read(batch: Any, columns: Columns, width: int, path: Path, first: int) -> tuple[Array, Array | None]:
    vectors = matrix(batch.column(columns.vectors), width, path, first)
    if columns.ids is None:
        return vectors, None
    return vectors, as_keys(check_keys(batch.column(columns.ids), columns.ids, path))


def matrix(column: Any, width: int, path: Path, first: int) -> Array:
    """(n, width) of a column of lists, whose row 0 is the file's row `first`. InputError for a row of another width."""
    if column.null_count:
        there = np.asarray(column.is_valid().to_numpy(zero_copy_only=False))
        rows = np.full((len(column), width), np.nan, column.type.value_type.to_pandas_dtype())
        rows[there] = matrix(column.drop_null(), width, path, first)
        return rows
    from pyarrow import compute

    widths = compute.list_value_length(column).to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero(widths != width)
    if len(wrong):
        raise InputError(
            f"{path}: row {first + wrong[0]} has width {widths[wrong[0]]}, and the first row has {width}; "
            "vectors have one width: write it again"
        )
    values = np.asarray(column.flatten().to_numpy(zero_copy_only=False))
    return values.reshape(len(column), width)


def _first_width(path: Path, column: Any) -> int:
    from pyarrow import types

    if types.is_fixed_size_list(column.type):
        return int(column.type.list_size)
    width = len(column[0].values) if column[0].is_valid else 0
    if not width:
        raise InputError(f"{path} has no vector in its first row, which says the width; leave that row out")
    return width


def _column(path: Path, table: pyarrow.Table, name: str) -> Array:
    return as_keys(check_keys(table.column(name).combine_chunks(), name, path))


def _from(found: Iterator[Any], skipped: int, first: int) -> Iterator[tuple[int, Any]]:
    """(number of its first row, batch) without the first `skipped` rows and without empty ones."""
    for batch in found:
        rest = batch.slice(skipped)
        skipped = max(skipped - batch.num_rows, 0)
        if rest.num_rows:
            yield first, rest
            first += rest.num_rows


def _after(found: Iterator[Any], skipped: int) -> Iterator[Any]:
    return (batch for number, batch in enumerate(found) if number >= skipped)


def _groups(file: Any, start: int) -> tuple[int, list[int]]:
    """Rows to skip, and the row groups from the one on that has row `start`."""
    counts = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
    ends = list(accumulate(counts))
    before = next((number for number, end in enumerate(ends) if start < end), len(ends))
    return start - (ends[before - 1] if before else 0), list(range(before, len(ends)))


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_float(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_floating(kind))


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read to its end: {error}; it was cut off or damaged: write it again")


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise MissingError("Parquet and Arrow need pyarrow: pip install 'mrl[evaluate]', or save an .npy") from None
    return pyarrow

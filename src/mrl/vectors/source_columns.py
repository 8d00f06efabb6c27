"""Vectors in a column of lists, whichever file it is in. A null, or a null within a list, counts as NaN."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from mrl.errors import InputError, MissingError
from mrl.vectors.beside import as_keys, check_keys
from mrl.vectors.found import IDS, LABELS, Array, chosen, first_of

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


def read_rows(batch: Any, columns: Columns, width: int, path: Path, first: int) -> tuple[Array, Array | None]:
    """The vectors and the ids of a batch, whose row 0 is the file's row `first`."""
    vectors = matrix(batch.column(columns.vectors), width, path, first)
    if columns.ids is None:
        return vectors, None
    return vectors, as_keys(check_keys(batch.column(columns.ids), columns.ids, path))


def matrix(column: Any, width: int, path: Path, first: int) -> Array:
    """(n, width) of a column of lists, whose row 0 is the file's row `first`. InputError for a row of another width."""
    from pyarrow import compute

    there = _valid(column)
    dense = column.drop_null() if column.null_count else column
    widths = compute.list_value_length(dense).to_numpy(zero_copy_only=False)
    wrong = np.flatnonzero(widths != width)
    if len(wrong):
        raise InputError(
            f"{path}: row {first + there[wrong[0]]} has width {widths[wrong[0]]}, and the first vector has {width}; "
            "vectors have one width: write it again"
        )
    values = np.asarray(dense.flatten().to_numpy(zero_copy_only=False)).reshape(len(dense), width)
    if len(dense) == len(column):
        return values
    rows = np.full((len(column), width), np.nan, column.type.value_type.to_pandas_dtype())
    rows[there] = values
    return rows


def first_width(columns: Iterable[Any], path: Path) -> int:
    """The width of the first vector that is not null. InputError where there is none, and for an empty one."""
    from pyarrow import types

    first = 0
    for column in columns:
        there = _valid(column)
        fixed = types.is_fixed_size_list(column.type)
        if len(there) or (fixed and len(column)):
            width = int(column.type.list_size) if fixed else len(column[int(there[0])].values)
            return _checked_width(width, path, first + int(there[0]) if len(there) else first)
        first += len(column)
    has = f"no vector in any of its {first} rows" if first else "no rows"
    raise InputError(f"{path} has {has}, so that the width of its vectors is not known; give one with rows")


def _checked_width(width: int, path: Path, row: int) -> int:
    if not width:
        raise InputError(f"{path}: row {row}, whose vector says the width, is an empty list; leave that row out")
    return width


def _valid(column: Any) -> Array:
    """Rows that are not null."""
    if not column.null_count:
        return np.arange(len(column))
    return np.flatnonzero(column.is_valid().to_numpy(zero_copy_only=False))


def after(found: Iterator[Any], skipped: int, first: int) -> Iterator[tuple[int, Any]]:
    """(number of its first row, batch) without the first `skipped` rows and without empty ones."""
    for batch in found:
        rest, rows = batch.slice(skipped), max(batch.num_rows - skipped, 0)
        skipped = max(skipped - batch.num_rows, 0)
        if rows:
            yield first, rest
            first += rows
        del batch, rest  # before the next one is read


def _is_list(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))


def _is_float(kind: Any) -> bool:
    from pyarrow import types

    return bool(types.is_floating(kind))


def damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} cannot be read to its end: {error}; it was cut off or damaged: write it again")


def need_pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError:
        raise MissingError("Parquet and Arrow need pyarrow: pip install 'mrl[evaluate]', or save an .npy") from None
    return pyarrow

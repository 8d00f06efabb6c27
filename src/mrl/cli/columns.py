"""Ids and payloads that come in files of their own."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError

if TYPE_CHECKING:
    import pyarrow

Ids = npt.NDArray[Any]
ENDINGS = (".parquet", ".csv", ".jsonl")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")  # one way to write each, so that 007 stays a text


def read_ids(path: Path) -> Ids:
    """(n,) ids: an .npy, the column `id` of a .parquet, .csv or .jsonl, or a text with one a line.

    Text is read as integers if every one of them is an integer.
    """
    if path.suffix == ".npy":
        return array(path)
    if path.suffix in ENDINGS:
        table = read_columns(path)
        if "id" not in table.column_names:
            raise InputError(
                f"{path} has no column id, only {', '.join(table.column_names)}; rename the one of the ids"
            )
        column = _id_column(table, path)
        return typed(column.to_pylist()) if path.suffix == ".csv" else as_ids(column)
    try:
        return typed(path.read_text(encoding="utf-8").splitlines())
    except UnicodeDecodeError:
        raise InputError(f"{path} is no UTF-8 text; ids are an .npy, a column id, or a text with one a line") from None


def typed(texts: list[str]) -> Ids:
    """Texts as ids: integers if all are, else strings."""
    integers = all(map(_INTEGER.fullmatch, texts))
    return np.array([int(text) for text in texts], np.int64) if integers else np.array(texts, np.str_)


def of_kind(ids: Ids, strings: bool | None, where: Path) -> Ids:
    """Ids that were written as text, as strings or as integers; None: as they are."""
    if strings is None or strings == (ids.dtype.kind == "U"):
        return ids
    if strings:
        return ids.astype(np.str_)
    wrong = next(text for text in ids.tolist() if not _INTEGER.fullmatch(text))
    raise InputError(f"the ids of {where} are integers, got {wrong!r}; check the id")


def array(path: Path) -> npt.NDArray[Any]:
    """An .npy mapped from disk."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"{path} is no .npy of numbers or strings: {error}; write it with numpy.save") from None
    if not isinstance(found, np.ndarray):
        found.close()
        raise InputError(f"{path} holds several arrays; save the one that is meant with numpy.save")
    return found


def read_columns(path: Path) -> pyarrow.Table:
    """The columns of a .parquet, .csv or .jsonl, in memory."""
    import pyarrow
    from pyarrow import csv, json, parquet

    if path.suffix not in ENDINGS:
        raise InputError(f"a payload is a {', '.join(ENDINGS)}, got {path}; write it as one of these")
    text = csv.ConvertOptions(column_types={"id": pyarrow.string()})
    readers = {
        ".parquet": parquet.read_table,
        ".csv": lambda file: csv.read_csv(file, convert_options=text),
        ".jsonl": json.read_json,
    }
    with path.open("rb") as file:
        try:
            return readers[path.suffix](file).unify_dictionaries()
        except pyarrow.ArrowException as error:
            raise InputError(f"{path} is no {path.suffix[1:]} that can be read: {error}; write it again") from None


def as_ids(column: pyarrow.Array) -> Ids:
    """A column as integers or strings."""
    import pyarrow

    if pyarrow.types.is_integer(column.type):
        return np.asarray(column.to_numpy())
    return np.array(column.to_pylist(), np.str_)


def _id_column(table: pyarrow.Table, path: Path) -> pyarrow.Array:
    """The column `id`; InputError unless all of it is integers or strings."""
    import pyarrow

    column = table.column("id").combine_chunks()
    if pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kinds = (pyarrow.types.is_integer, pyarrow.types.is_string, pyarrow.types.is_large_string)
    if column.null_count or not any(kind(column.type) for kind in kinds):
        has = f"{column.null_count} nulls" if column.null_count else f"type {column.type}"
        raise InputError(f"the column id of {path} has {has}; ids are integers or strings")
    return column


class Payload:
    """Columns for rows: in the rows' order, or joined on the column `id` where there is one.

    path: where they come from. rows: how many.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow

        table = read_columns(path)
        self.path, self.rows = path, len(table)
        self.joined = "id" in table.column_names
        self._ids = _id_column(table, path) if self.joined else pyarrow.nulls(0)
        self._columns = table.drop_columns("id") if self.joined else table
        if not self._columns.num_columns:
            raise InputError(f"{path} has no columns but the ids; give some, or leave --payload out")
        self._keys: Ids | None = None
        self._order: Ids | None = None

    def of(self, ids: Ids | None, first: int, count: int) -> pyarrow.Table:
        """The columns of `count` rows, which begin at row `first` and have these ids."""
        import pyarrow

        if not self.joined:
            return self._columns.slice(first, count)
        if ids is None:
            raise InputError(
                f"{self.path} has a column id and the vectors have no ids to join it with; "
                f"give them with --ids, or --ids {self.path} if its rows are in the order of the vectors"
            )
        return self._columns.take(pyarrow.array(self._places(ids)))

    def _places(self, ids: Ids) -> npt.NDArray[np.int64]:
        from mrl.vectors.keys import digests

        keys, order = self._index(strings=ids.dtype.kind == "U")
        wanted = digests(ids)
        at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        missing = keys[at] != wanted if len(keys) else np.ones(len(ids), np.bool_)
        if missing.any():
            which = ids[np.argmax(missing)].item()
            raise InputError(f"{self.path} has no row with id {which!r}; every vector needs one")
        return order[at]

    def _index(self, *, strings: bool) -> tuple[Ids, Ids]:
        """The digests of the ids in order, and the row of each."""
        import pyarrow

        from mrl.vectors.keys import digests

        if self._keys is None or self._order is None:
            try:
                ids = as_ids(self._ids.cast(pyarrow.string() if strings else pyarrow.int64()))
            except pyarrow.ArrowInvalid as error:
                raise InputError(f"the ids of the vectors are integers, those of {self.path} not: {error}") from None
            keys = digests(ids)
            self._order = np.argsort(keys, kind="stable")
            self._keys = keys[self._order]
            twice = self._order[1:][self._keys[1:] == self._keys[:-1]]
            if len(twice):
                raise InputError(f"id {ids[twice[0]].item()!r} occurs twice in {self.path}; keep one row of each id")
        return self._keys, self._order

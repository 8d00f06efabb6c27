"""Ids and labels that come in files of their own."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError

if TYPE_CHECKING:
    import pyarrow

Array = npt.NDArray[Any]
ENDINGS = (".parquet", ".csv", ".jsonl")
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")  # one way to write each, so that 007 stays a text


def read_ids(path: Path) -> Array:
    """(n,) ids: an .npy, the column `id` of a .parquet, .csv or .jsonl, or a text with one a line.

    Text is read as integers if every one of them is an integer.
    """
    return _read(path, "id", "ids")


def read_labels(path: Path, ids: Callable[[], Array] | None = None) -> Array:
    """(n,) labels, integers or strings: an .npy, the column `label` of such a file, or a text with one a line.

    ids: gives those of the vectors, (n,), by which the labels are found where their file has a column `id`: its rows
    may be in any order. InputError names an id that is missing, that no vector has, or that occurs twice.
    """
    labels = _read(path, "label", "labels")
    if ids is None or path.suffix not in ENDINGS or "id" not in (table := read_columns(path)).column_names:
        return labels
    from mrl.vectors.joining import places

    wanted = checked_ids(ids(), "the vectors")
    return labels[places(_like(_keys(table, "id", path), wanted), wanted, path)]


def _like(ids: Array, wanted: Array) -> Array:
    """Ids of a file as the vectors have theirs, integers or strings, where they can be written so."""
    if wanted.dtype.kind == "U" or ids.dtype.kind != "U":
        return ids.astype(np.str_ if wanted.dtype.kind == "U" else np.int64)
    return typed(ids.tolist())


def _read(path: Path, name: str, what: str) -> Array:
    if path.suffix == ".npy":
        return array(path)
    if path.suffix in ENDINGS:
        table = read_columns(path, texts=(name,))
        if name not in table.column_names:
            raise InputError(
                f"{path} has no column {name}, only {', '.join(table.column_names)}; rename the one of the {what}"
            )
        return _keys(table, name, path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        raise InputError(
            f"{path} is no UTF-8 text; {what} are an .npy, a column {name}, or a text with one a line"
        ) from None
    blank = next((number for number, line in enumerate(lines, 1) if not line.strip()), None)
    if blank is not None:
        raise InputError(f"{path}:{blank} is empty; {what} are one a line, each with a name or a number")
    return typed(lines)


def _keys(table: pyarrow.Table, name: str, path: Path) -> Array:
    """A column of integers or strings; those of a .csv are integers if all of them are."""
    column = key_column(table, name, path)
    return typed(column.to_pylist()) if path.suffix == ".csv" else as_keys(column)


def typed(texts: list[str]) -> Array:
    """Texts as integers if all are, else as strings."""
    integers = all(map(_INTEGER.fullmatch, texts))
    return np.array([int(text) for text in texts], np.int64) if integers else np.array(texts, np.str_)


def of_kind(ids: Array, strings: bool | None, where: Path) -> Array:
    """Ids that were written as text, as strings or as integers; None: as they are."""
    if strings is None or strings == (ids.dtype.kind == "U"):
        return ids
    if strings:
        return ids.astype(np.str_)
    wrong = next(text for text in ids.tolist() if not _INTEGER.fullmatch(text))
    raise InputError(f"the ids of {where} are integers, got {wrong!r}; check the id")


def array(path: Path) -> Array:
    """An .npy mapped from disk."""
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InputError(f"{path} is no .npy of numbers or strings: {error}; write it with numpy.save") from None
    if not isinstance(found, np.ndarray):
        found.close()
        raise InputError(f"{path} holds several arrays; save the one that is meant with numpy.save")
    return found


def read_columns(path: Path, texts: tuple[str, ...] = ("id",)) -> pyarrow.Table:
    """The columns of a .parquet, .csv or .jsonl, in memory. texts: those of a .csv in which numbers stay texts."""
    import pyarrow
    from pyarrow import csv, json, parquet

    as_text = csv.ConvertOptions(column_types=dict.fromkeys(texts, pyarrow.string()))
    readers = {
        ".parquet": parquet.read_table,
        ".csv": lambda file: csv.read_csv(file, convert_options=as_text),
        ".jsonl": json.read_json,
    }
    with path.open("rb") as file:
        try:
            return readers[path.suffix](file).unify_dictionaries()
        except pyarrow.ArrowException as error:
            raise InputError(f"{path} is no {path.suffix[1:]} that can be read: {error}; write it again") from None


def as_keys(column: pyarrow.Array) -> Array:
    """A column of integers or strings, none of them null, as such."""
    import pyarrow

    if pyarrow.types.is_integer(column.type):
        return np.asarray(column.to_numpy(zero_copy_only=False))
    return np.array(column.to_pylist(), np.str_)


def key_column(table: pyarrow.Table, name: str, path: Path) -> pyarrow.Array:
    """The column of this name; InputError unless all of it is integers or strings."""
    return check_keys(table.column(name).combine_chunks(), name, path)


def check_keys(column: pyarrow.Array, name: str, path: Path) -> pyarrow.Array:
    """The column, its dictionary decoded; InputError unless all of it is integers or strings."""
    import pyarrow

    if pyarrow.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kinds = (pyarrow.types.is_integer, pyarrow.types.is_string, pyarrow.types.is_large_string)
    if column.null_count or not any(kind(column.type) for kind in kinds):
        has = f"{column.null_count} nulls" if column.null_count else f"type {column.type}"
        plural = name if name.endswith("s") else f"{name}s"
        raise InputError(f"the column {name} of {path} has {has}; {plural} are integers or strings")
    return column


def numbered(labels: Array | None, where: str) -> tuple[npt.NDArray[np.int64] | None, tuple[str, ...]]:
    """Labels as integers ≥ 0, and the names of strings in sorted order, which gives them their numbers."""
    if labels is None:
        return None, ()
    if labels.dtype.kind in "US" and labels.ndim == 1:
        names, numbers = np.unique(labels.astype(np.str_), return_inverse=True)
        return numbers.astype(np.int64), tuple(names.tolist())
    if labels.dtype.kind not in "biu" or labels.ndim != 1:
        raise InputError(
            f"labels of {where} must be (n,) integers or strings, got {labels.dtype} of shape {labels.shape}; "
            "number the classes, or name them"
        )
    wrong = np.flatnonzero(labels.astype(np.int64) < 0)
    if len(wrong):
        raise InputError(
            f"row {wrong[0]} of {where} has label {labels[wrong[0]]}; labels are integers of at least 0, or strings: "
            "number the classes from 0, or leave such rows out"
        )
    return np.asarray(labels, np.int64), ()


def checked_ids(ids: Array, where: str) -> Array:
    if ids.dtype.kind not in "iuUS" or (ids.dtype.kind == "u" and len(ids) and ids.max() > np.iinfo(np.int64).max):
        raise InputError(f"ids of {where} must be int64 or strings, got {ids.dtype}; write them as strings")
    return ids.astype(np.str_ if ids.dtype.kind in "US" else np.int64, copy=False)

"""Lines of files kept beside vectors: named columns of .csv, .tsv, .jsonl or .parquet, and plain text.

A name may end with .gz. Ids are compared as text: an integer is the digits that write it, so 7 and "7" are one id and
"007" is another.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import re
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from mrl.disk import read_bytes
from mrl.errors import InputError, MissingError

ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")
SEPARATORS = {".csv": ",", ".tsv": "\t"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class Record(NamedTuple):
    """Some cells of one line, and its number in the file, counted from 1."""

    line: int
    cells: tuple[Any, ...]


def ending(path: Path) -> str:
    """`.tsv` of both qrels.tsv and qrels.tsv.gz."""
    return (path.with_suffix("") if path.suffix == ".gz" else path).suffix


def lines(path: Path) -> io.StringIO:
    """The text of a file. StorageError if it cannot be read, InputError if it is not what its name says."""
    raw = read_bytes(path)
    try:
        return io.StringIO((gzip.decompress(raw) if path.suffix == ".gz" else raw).decode("utf-8-sig"), newline="")
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{path} is no gzip: {error}; write it again, or name it without .gz") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text: {error}; write it in UTF-8") from None


def named(path: Path, columns: Sequence[str]) -> Iterator[Record]:
    """The cells of these columns, line by line. InputError for another ending, and for a column that is not there."""
    kind = ending(path)
    if kind not in ENDINGS:
        raise InputError(f"named columns come from {', '.join(ENDINGS)}, got {path}; write it as one of these")
    readers = {".jsonl": _objects, ".parquet": _parquet}
    yield from readers.get(kind, _separated)(path, tuple(columns))


def rows_of(path: Path) -> Iterator[Record]:
    """All cells of a .csv or .tsv, or of a text with spaces between them; empty lines are passed over."""
    separator = SEPARATORS.get(ending(path))
    text = lines(path)
    try:
        split = (line.split() for line in text) if separator is None else csv.reader(text, delimiter=separator)
        yield from (Record(number, tuple(cells)) for number, cells in enumerate(split, 1) if any(cells))
    except csv.Error as error:
        raise InputError(f"{path} has no columns that can be read: {error}; write it again") from None


def identifier(cell: Any, where: str) -> str:
    """An id as text. InputError unless it is an integer or a text that is not empty."""
    if isinstance(cell, bool) or not isinstance(cell, (int, str)) or cell == "":
        raise InputError(f"{where} has the id {cell!r}; ids are integers or texts that are not empty")
    return str(cell)


def number(cell: Any, where: str, what: str) -> float:
    """A finite number, written as one or as text. InputError for anything else."""
    if is_number(cell):
        return float(cell)
    raise InputError(f"{where} has the {what} {cell!r}; give a finite number")


def is_number(cell: Any) -> bool:
    """Whether a cell holds a finite number."""
    if isinstance(cell, str):
        return _NUMBER.fullmatch(cell.strip()) is not None and math.isfinite(float(cell))
    return isinstance(cell, (int, float)) and not isinstance(cell, bool) and math.isfinite(cell)


def _separated(path: Path, columns: tuple[str, ...]) -> Iterator[Record]:
    found = rows_of(path)
    header = next(found, Record(1, ())).cells
    _check_columns(path, columns, header)
    places = [header.index(name) for name in columns]
    for line, cells in found:
        if len(cells) != len(header):
            raise InputError(f"{path}:{line} has {len(cells)} columns and the header {len(header)}; correct that line")
        yield Record(line, tuple(cells[place] for place in places))


def _objects(path: Path, columns: tuple[str, ...]) -> Iterator[Record]:
    for line, text in enumerate(lines(path), 1):
        if not text.strip():
            continue
        try:
            document = json.loads(text)
        except ValueError as error:
            raise InputError(f"{path}:{line} is no JSON: {error}; write one object a line") from None
        if not isinstance(document, dict):
            raise InputError(f"{path}:{line} is {type(document).__name__}, no object; write one object a line")
        _check_columns(path, columns, tuple(document), f":{line}")
        yield Record(line, tuple(document[name] for name in columns))


def _parquet(path: Path, columns: tuple[str, ...]) -> Iterator[Record]:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingError("Parquet needs pyarrow: pip install 'mrl[evaluate]', or write .jsonl") from None
    try:
        table = parquet.read_table(pyarrow.BufferReader(read_bytes(path)))
    except pyarrow.ArrowException as error:
        raise InputError(f"{path} is no Parquet: {error}; write it again") from None
    _check_columns(path, columns, tuple(table.column_names))
    cells = zip(*(table.column(name).to_pylist() for name in columns), strict=True)
    yield from (Record(line, row) for line, row in enumerate(cells, 1))


def _check_columns(path: Path, columns: Sequence[str], there: Sequence[str], where: str = "") -> None:
    for name in columns:
        if name not in there:
            has = f"only {', '.join(map(str, there))}" if there else "nothing at all"
            raise InputError(f"{path}{where} has no column {name}, {has}; name the columns that are meant")

"""Row: one measurement, the one currency of every table, figure and report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from mrl.disk import read_bytes, write
from mrl.errors import InputError, MissingError


@dataclass(frozen=True)
class Row:
    """One measure of one run at one dim.

    run: the name of what was measured. measure: `top-1`, `top-5`, `1-NN`, `10-NN`, `mAP@10`, `P@10`; with judgements
    `nDCG@10`, `MRR@10`, `recall@100`, `AP@10`; of scored pairs `Spearman`, `Pearson` …
    dim: prefix width. trained: whether this dim was trained, else it was only read (interpolated).
    value: mean over the queries, in [0, 1]; a correlation over pairs, in [−1, 1]. low, high: its 95 % interval.
    interval: `wilson` or `bootstrap`. method: `head` (the saved classifier), `probe` (one fitted on the database),
    `neighbours` or `pairs`. queries: how many, or how many pairs. bytes: of one stored vector at this dim.
    macs: multiply-adds for one query, or pair.
    """

    run: str
    measure: str
    dim: int
    trained: bool
    value: float
    low: float
    high: float
    interval: str
    method: str
    queries: int
    bytes: int
    macs: int


def write_rows(path: str | Path, rows: Sequence[Row]) -> None:
    """Write rows, by the path's ending, as JSON lines (.jsonl) or as Parquet (.parquet); atomically."""
    path = Path(path)
    check_ending(path)
    if path.suffix == ".jsonl":
        write(path, "".join(json.dumps(asdict(row)) + "\n" for row in rows).encode())
        return
    arrow, parquet = _pyarrow()
    columns = {f.name: [getattr(row, f.name) for row in rows] for f in fields(Row)}
    write(path, lambda file: parquet.write_table(arrow.table(columns), file))


def check_ending(path: Path) -> None:
    """Raise InputError unless rows can be written under this name."""
    if path.suffix not in (".jsonl", ".parquet"):
        raise InputError(f"rows are written as .jsonl or .parquet, got {path.suffix or 'no ending'} in {path}")


def read_rows(path: str | Path) -> list[Row]:
    """Read rows back. InputError names the line that is no Row; StorageError if the file cannot be read."""
    path = Path(path)
    raw = read_bytes(path)
    return list(_parsed(path, _records(path, raw) if path.suffix == ".parquet" else raw.splitlines()))


def _records(path: Path, raw: bytes) -> list[dict[str, Any]]:
    arrow, parquet = _pyarrow()
    try:
        records: list[dict[str, Any]] = parquet.read_table(arrow.BufferReader(raw)).to_pylist()
    except arrow.ArrowException as error:
        raise InputError(f"{path} is no Parquet: {error}; give a file that `mrl evaluate --out` wrote") from None
    return records


def _parsed(path: Path, records: Iterable[bytes | dict[str, Any]]) -> Iterable[Row]:
    for number, record in enumerate(records, 1):
        try:
            yield _typed(Row(**(record if isinstance(record, dict) else json.loads(record))))
        except (TypeError, ValueError) as error:
            raise InputError(
                f"{path}:{number} is no Row: {error}; give a file that `mrl evaluate --out` wrote"
            ) from None


def _typed(row: Row) -> Row:
    """The row; TypeError if a field has another type than it says."""
    for field in fields(Row):
        value, wanted = getattr(row, field.name), _TYPES[str(field.type)]
        if not isinstance(value, wanted) or (isinstance(value, bool) and field.type != "bool"):
            raise TypeError(f"{field.name} is {value!r}, no {field.type}")
    return row


_TYPES: dict[str, tuple[type, ...]] = {"str": (str,), "int": (int,), "float": (float, int), "bool": (bool,)}


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet as parquet
    except ImportError:
        raise MissingError("Parquet needs pyarrow: pip install 'mrl[evaluate]', or write .jsonl") from None
    return pyarrow, parquet

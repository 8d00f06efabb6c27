"""Vectors that verbs of retrieval read: a table's folder, or an .npy with what it does not say of itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from mrl.card import Card
from mrl.cli.columns import Payload, array, of_kind, read_ids
from mrl.cli.progress import Progress
from mrl.errors import InputError
from mrl.nesting import Metric, Nesting
from mrl.options import option
from mrl.vectors import Table

if TYPE_CHECKING:
    import pyarrow

    from mrl.retrieval import Batch, Index, Rows

VECTORS = "A table's folder, as `mrl embed` writes it, or an .npy: (n, width), float16, float32 or float64"


@dataclass(frozen=True)
class Described:
    """What an .npy does not say of its vectors."""

    model: str = option("", "The name of the model that made them, for people; without one, the file's.")
    metric: Metric = option("cosine", "How they are compared: cosine, dot or l2.")
    dims: str | None = option(None, "Dims that were trained, as 8,16,32 or 8..64; without them the full width alone.")

    def card(self, path: Path, width: int) -> Card:
        """The card of vectors in an .npy."""
        nesting = Nesting((width,)) if self.dims is None else Nesting.parse(self.dims)
        return Card(self.model or path.stem, width, nesting, self.metric)


@dataclass(frozen=True)
class Beside:
    """What belongs to the vectors and is in other files."""

    ids: Path | None = option(
        None,
        "Ids of an .npy's vectors: an .npy, a text with one a line, or a .parquet, .csv or .jsonl with a column id. "
        "Without them rows are numbered.",
    )
    payload: Path | None = option(
        None,
        "Columns to filter by: .parquet, .csv or .jsonl, held in memory; its rows are in the order of the vectors, or "
        "found by their column id.",
    )


def matrix(path: Path) -> npt.NDArray[Any]:
    """An .npy of vectors, mapped from disk. InputError for anything but a matrix of floats."""
    if path.suffix != ".npy":
        raise InputError(f"vectors are a table's folder or an .npy, got {path}; write it with numpy.save")
    found = array(path)
    if found.ndim != 2 or found.dtype.kind != "f":
        raise InputError(f"{path} must be a float matrix (n, width), got {found.dtype} of shape {found.shape}")
    return found


def rows(path: Path, about: Described, beside: Beside) -> Rows:
    """The rows of a new index."""
    if is_table(path):
        given = [f"--{each.name}" for each in fields(about) if getattr(about, each.name) != each.default]
        if given:
            raise InputError(f"{path} is a table, whose card says what it is; leave {', '.join(given)} out")
        return _with_payload(_of_table(path, beside), beside)
    vectors = matrix(path)
    return _with_payload(_of_matrix(vectors, about.card(path, vectors.shape[1]), beside), beside)


def more_rows(path: Path, index: Index, beside: Beside) -> Rows:
    """Rows to be added to an index; those of an .npy are taken for its model's."""
    if is_table(path):
        return _with_payload(_of_table(path, beside), beside)
    source = _of_matrix(matrix(path), index.snapshot.raw_card(), beside, index)
    return _with_payload(source, beside)


def is_table(path: Path) -> bool:
    """Whether this is read as a table: a folder, or nothing at all, which is refused as one."""
    return path.is_dir() or not (path.suffix == ".npy" or path.exists())


def _of_table(path: Path, beside: Beside) -> Rows:
    from mrl.retrieval import Rows

    if beside.ids is not None:
        raise InputError(f"{path} is a table, which has ids; leave --ids {beside.ids} out")
    return Rows.table(Table.open(path))


def _of_matrix(vectors: npt.NDArray[Any], card: Card, beside: Beside, index: Index | None = None) -> Rows:
    from mrl.retrieval import Rows

    ids = None if beside.ids is None else read_ids(beside.ids)
    if ids is not None and index is not None:
        ids = of_kind(ids, index.snapshot.contents.strings, index.path)
    return Rows.of(vectors, card, ids)


def _with_payload(source: Rows, beside: Beside) -> Rows:
    """The rows with the columns of their file."""
    if beside.payload is None:
        return source
    columns = Payload(beside.payload)
    if not columns.joined and columns.rows != source.count:
        raise InputError(
            f"{beside.payload} has {columns.rows} rows and there are {source.count} vectors; "
            "give one for each, or a column id"
        )

    def attached(batch: Batch, first: int) -> Batch:
        own = columns.of(batch.ids, first, len(batch.vectors))
        return batch._replace(payload=_side_by_side(batch.payload, own, columns))

    return _each(source, attached)


def _side_by_side(labels: pyarrow.Table | None, own: pyarrow.Table, columns: Payload) -> pyarrow.Table:
    """A table's labels and the columns of a file."""
    for name in () if labels is None else labels.column_names:
        if name in own.column_names:
            raise InputError(
                f"the table's labels become the column {name}, which {columns.path} has too; rename that one"
            )
        own = own.append_column(name, labels.column(name))  # type: ignore[union-attr]
    return own


def watched(source: Rows, progress: Progress) -> Rows:
    """The rows, with a word to `progress` for each batch."""

    def told(batch: Batch, first: int) -> Batch:
        progress("rows", first + len(batch.vectors), source.count)
        return batch

    return _each(source, told)


def _each(source: Rows, change: Callable[[Batch, int], Batch]) -> Rows:
    """The rows with each batch changed; `change` gets the number of its first row, too."""

    def batches() -> Iterator[Batch]:
        first = 0
        for batch in source.batches():
            yield change(batch, first)
            first += len(batch.vectors)

    return replace(source, batches=batches)

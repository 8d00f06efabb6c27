"""Tables larger than memory, by row: Arrow files that the system maps, pictures decoded when asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from mrl.errors import InputError
from mrl.training.columns import Columns, Labelling, find
from mrl.training.decoding import At, Content
from mrl.training.listing import Ids, Labels, Listing
from mrl.training.opening import Opening, Rows
from mrl.training.sources import Source
from mrl.training.tables import load


@dataclass(frozen=True, eq=False)
class TablePictures:
    """Pictures in one column of a table. table: a `Dataset` of that column, in Arrow format. at: (n,) its rows."""

    table: Any
    at: At
    source: Source

    def __len__(self) -> int:
        return len(self.at)

    def taken(self, at: At) -> list[Content]:
        """The cells of some rows, all in one go."""
        if not len(at):
            return []
        rows = self.at[at].tolist()
        cells = self.table[rows].column(0).to_pylist()
        return [self.source.content(cell, self._name(row)) for row, cell in zip(rows, cells, strict=True)]

    def name(self, row: int) -> str:
        return self._name(int(self.at[row]))

    def part(self, at: At) -> TablePictures:
        return TablePictures(self.table, self.at[at], self.source)

    def _name(self, row: int) -> str:
        return f"row {row} of {self.source.name}"


def list_rows(source: Source, how: Opening) -> Listing:
    """The rows of a table, labelled as `how.rows` says. InputError for labels that are missing or not known."""
    columns, table = _table(source, how)
    if not len(table):
        raise InputError(f"{source.name} has no rows; give a table that has some")
    arrow = table.with_format("arrow")
    pictures = TablePictures(arrow.select_columns([columns.image]), np.arange(len(table)), source)
    labels, classes = labels_of(arrow, columns, source, how.rows, labelled=how.labelled)
    return Listing(pictures, labels, classes, ids_of(arrow, columns.id, source))


def _table(source: Source, how: Opening) -> tuple[Columns, Any]:
    """Which columns are meant, and a `Dataset` of at least these; others are not brought into the cache if possible."""
    if source.kind != "parquet":
        table = load(source, how.rows, stream=False)
        return find(table.features, how.rows, source.name, labelled=how.labelled), table
    peeked = load(source, how.rows, stream=True)
    columns = find(peeked.features, how.rows, source.name, labelled=how.labelled)
    return columns, load(source, how.rows, columns.used, stream=False)


def labels_of(
    table: Any, columns: Columns, source: Source, rows: Rows, *, labelled: bool
) -> tuple[Labels | None, tuple[str, ...]]:
    """(n,) labels and the classes; None where any is missing and none are needed."""
    if columns.label is None:
        return None, ()
    encoded = column(table, columns.label).dictionary_encode().combine_chunks()
    values = encoded.dictionary.to_pylist()
    codes = encoded.indices.fill_null(len(values)).to_numpy()
    labelling = Labelling.known(columns, rows, untyped=source.untyped)
    labelling = labelling or Labelling.of(values, untyped=source.untyped)
    _, first = np.unique(codes, return_index=True)
    names = [f"row {row} of {source.name}" for row in first[: len(values)]]
    meant = np.array([*map(labelling.label, values, names), -1], np.int64)
    labels: Labels = meant[codes]
    missing = np.flatnonzero(labels < 0)
    if len(missing) and labelled:
        raise InputError(
            f"row {missing[0]} of {source.name} has no label in column {columns.label!r}; label it, or leave it out"
        )
    return (None, ()) if len(missing) else (labels, labelling.classes)


def ids_of(table: Any, name: str | None, source: Source) -> Ids:
    """(n,): the column of ids, else 0 … n-1."""
    if name is None:
        return np.arange(len(table))
    found = column(table, name)
    if found.null_count:
        row = found.is_null().to_numpy().argmax()
        raise InputError(f"row {row} of {source.name} has no id in column {name!r}; give it one, or name no column")
    return np.array(found.to_pylist())


def column(table: Any, name: str) -> Any:
    """A column as an Arrow array in chunks."""
    return table.select_columns([name])[:].column(0)

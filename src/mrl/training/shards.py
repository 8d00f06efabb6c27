"""A table as the parts in which a stream reads it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrl.errors import InputError
from mrl.training.columns import Columns, find
from mrl.training.opening import Opening
from mrl.training.sources import Source
from mrl.training.tables import counts, explained, load, quietly


@dataclass(frozen=True, eq=False)
class Shards:
    """A table that is read in parts. data: an `IterableDataset`. counts: rows of each part, where that is known."""

    data: Any
    source: Source
    columns: Columns
    counts: tuple[int, ...] | None

    def __len__(self) -> int:
        return int(self.data.num_shards)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the files, without their folders, which may move; () where the files are a library's own affair."""
        return () if self.source.kind in ("saved", "hub") else tuple(Path(file).name for file in self.source.files)

    def one(self, shard: int) -> Any:
        """An `IterableDataset` of one part."""
        return self.data.shard(num_shards=len(self), index=shard)

    def first(self, shard: int) -> int | None:
        """The number of a part's first row, in the order in which all are stored; None where that is not known."""
        return None if self.counts is None else sum(self.counts[:shard])


def open_shards(source: Source, how: Opening) -> Shards:
    """The columns of a table that are needed, pictures not decoded."""
    data = load(source, how.rows, stream=True)
    if data.features is None:
        with explained(source):
            next(iter(data), None)  # which tells what is wrong, if anything is
        raise InputError(f"{source.name} does not tell its columns before it is read; open it without stream")
    columns = find(data.features, how.rows, source.name, labelled=how.labelled)
    if source.kind == "parquet":
        data = load(source, how.rows, columns.used, stream=True)
    with quietly(source):
        data = data.decode(False).select_columns(columns.used)
    known = counts(source, how.rows)
    if known is not None and not sum(known):
        raise InputError(f"{source.name} has no rows; give a table that has some")
    return Shards(data, source, columns, known)

"""The vectors of a table, read as those of any other file are."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mrl.errors import InputError
from mrl.vectors.files import column, file_name
from mrl.vectors.found import Array, Found
from mrl.vectors.source_raw import read_npy
from mrl.vectors.table import Table


@dataclass(frozen=True, eq=False)
class OfTable:
    """The rows of a table, block by block."""

    table: Table
    named: bool = True

    @property
    def rows(self) -> int:
        return self.table.rows

    @property
    def width(self) -> int:
        return self.table.card.width

    def pieces(self, start: int, size: int) -> Iterator[tuple[Array, Array | None]]:
        """See `Reader`. Each file is compared with its checksum before it is first read."""
        first = 0
        for block, count in enumerate(self.table._folder.manifest["blocks"]):
            if start < first + count:
                yield from self._of_block(block, max(start - first, 0), size)
            first += count

    def _of_block(self, block: int, start: int, size: int) -> Iterator[tuple[Array, Array | None]]:
        folder = self.table._folder
        ids = column(folder, block, "ids")
        reader = read_npy(folder.verified(file_name(block, "vectors")), None).reader
        for vectors, _ in reader.pieces(start, size):
            yield vectors, ids[start : start + len(vectors)]
            start += len(vectors)


def of_table(table: Table, key: str | None) -> Found:
    if key is not None:
        raise InputError(f"{table.path} is a table, which holds its vectors alone; leave key {key!r} out")
    return Found(
        OfTable(table), labels=table.labels, card=table.card, label_names=table.label_names, prompt=table.prompt
    )

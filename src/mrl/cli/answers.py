"""Queries from files, and what was found for them as JSON lines or Parquet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mrl.cli.vectors import check_unsaid, said
from mrl.errors import InputError
from mrl.vectors import is_table, open_vectors

if TYPE_CHECKING:
    import pyarrow

    from mrl.retrieval import Index, Results
    from mrl.retrieval.queries import Queries

BATCH = 1024  # queries that are searched together
OWN = ("query", "rank", "id", "score")  # columns of every .parquet of answers

Array = npt.NDArray[Any]


class Asked:
    """Queries in a file of any format, for an index. len(): how many.

    CardError or InputError unless they can be asked of it. Queries without ids are numbered from 0.
    """

    def __init__(self, path: Path, index: Index) -> None:
        from mrl.retrieval.searching import check_card

        self._index, self._mapped = index, False
        self._source = replace(open_vectors(path, note=said), what="query")
        if is_table(path):
            self._mapped = check_card(index.snapshot, self._source.card, str(path))
        else:
            check_unsaid(path, index.snapshot.raw_card(), str(index.path))
            _check_width(path, self._source.card.width, index)

    def __len__(self) -> int:
        return len(self._source)

    def batches(self) -> Iterator[tuple[Array, Queries]]:
        """(ids, queries), at most `BATCH` of them; InputError numbers the one that cannot be asked."""
        from mrl.retrieval.writing import check_lengths

        first = 0
        for vectors, ids, _ in self._source.batches(BATCH):
            check_lengths(vectors, cosine=self._index.card.metric == "cosine", what="query", first=first)
            first += len(ids)
            yield ids, self._index.prepare(vectors, mapped=self._mapped)
        if not first:  # so that even no answers have columns
            none = np.empty((0, self._index.card.width), np.float32)
            yield np.empty(0, np.int64), self._index.prepare(none, mapped=True)


@dataclass(frozen=True, eq=False)
class Answer:
    """What was found for one batch. queries: (q,) their ids. found: the results. columns: those of the payload that
    were asked for, of all rows found, query after query."""

    queries: Array
    found: Results
    columns: pyarrow.Table | None

    @classmethod
    def of(cls, queries: Array, found: Results, index: Index, columns: tuple[str, ...]) -> Answer:
        if not columns:
            return cls(queries, found, None)
        there = np.arange(found.ids.shape[1]) < found.counts[:, None]
        payload = index.snapshot.payload_at(index.snapshot.locate(found.ids[there]))
        return cls(queries, found, None if payload is None else payload.select(columns))

    def lines(self) -> Iterator[str]:
        """One JSON object a query."""
        counts = self.found.counts.tolist()
        starts = np.cumsum([0, *counts]).tolist()
        for row, (query, count) in enumerate(zip(self.queries.tolist(), counts, strict=True)):
            line = {
                "query": query,
                "ids": self.found.ids[row, :count].tolist(),
                "scores": self.found.scores[row, :count].tolist(),
            }
            if self.columns is not None:
                line["columns"] = self.columns.slice(starts[row], count).to_pydict()
            yield json.dumps(line, default=str)

    def table(self) -> pyarrow.Table:
        """A row for each row found: query, rank, id, score, columns."""
        import pyarrow

        counts = self.found.counts
        there = np.arange(self.found.ids.shape[1]) < counts[:, None]
        ranks = np.broadcast_to(np.arange(1, there.shape[1] + 1), there.shape)
        named = {
            "query": np.repeat(self.queries, counts),
            "rank": ranks[there],
            "id": self.found.ids[there],
            "score": self.found.scores[there].astype(np.float64),
        }
        table = pyarrow.table({name: pyarrow.array(values) for name, values in named.items()})
        for name in () if self.columns is None else self.columns.column_names:
            table = table.append_column(name, self.columns.column(name))  # type: ignore[union-attr]
        return table


def check_columns(index: Index, text: str | None) -> tuple[str, ...]:
    """`name,price` as (name, price); InputError for those that the payload does not have."""
    names = tuple(name.strip() for name in text.split(",")) if text else ()
    there = index.snapshot.contents.columns or ()
    for name in names:
        if name not in there:
            raise InputError(f"{index.path} has no column {name!r}; it has {', '.join(there) or 'none'}")
    return names


def check_names(columns: tuple[str, ...]) -> None:
    """InputError for columns that a .parquet of answers could not tell from its own, or from each other."""
    twice = [name for place, name in enumerate(columns) if name in (*OWN, *columns[:place])]
    if twice:
        raise InputError(
            f"a .parquet of answers has {', '.join(OWN)} and each column once, and {twice[0]!r} would be there twice; "
            "leave it out, or write .jsonl"
        )


def _check_width(path: Path, width: int, index: Index) -> None:
    wanted = index.snapshot.raw_card().width
    if width != wanted:
        cut = f", or cut full ones: mrl.prefix(queries, {wanted})" if width > wanted else ""
        raise InputError(
            f"{path} has vectors of width {width}, {index.path} of width {wanted}; "
            f"embed the queries with the model of the index{cut}"
        )


def lines(answers: Iterable[Answer]) -> Iterator[str]:
    """All answers as JSON lines, as they come."""
    for answer in answers:
        yield from answer.lines()


def counted(answers: Iterable[Answer], done: Callable[[int], object]) -> Iterator[Answer]:
    """The answers; done: is told how many queries were dealt with."""
    total = 0
    for answer in answers:
        yield answer
        total += len(answer.queries)
        done(total)


def write_answers(out: Path, answers: Iterable[Answer]) -> None:
    """Write answers as they come, whole or not at all."""
    from mrl.disk import write

    form = _as_parquet if out.suffix == ".parquet" else _as_lines
    write(out, lambda file: form(file, answers))


def _as_lines(file: Any, answers: Iterable[Answer]) -> None:
    for line in lines(answers):
        file.write(f"{line}\n".encode())


def _as_parquet(file: Any, answers: Iterable[Answer]) -> None:
    from pyarrow import parquet

    writer = None
    for answer in answers:
        table = answer.table()
        writer = writer or parquet.ParquetWriter(file, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()

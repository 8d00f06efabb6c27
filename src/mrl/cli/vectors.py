"""Vectors that verbs read, of any format, and what goes with them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy.typing as npt
import typer

from mrl.card import Card
from mrl.cli.columns import Payload, of_kind
from mrl.cli.contents import many
from mrl.cli.progress import Progress
from mrl.errors import CardError, InputError
from mrl.options import option
from mrl.vectors import FORMATS, Described, Drop, Source, is_table, open_vectors

if TYPE_CHECKING:
    import pyarrow

    from mrl.retrieval import Batch, Index, Rows

VECTORS = FORMATS
TRAINED = {"dims": "trained"}  # of Described, where --dims are those that are fitted, measured or chosen


@dataclass(frozen=True)
class Reading:
    """What of a file is read with its vectors, and what is in other files."""

    ids: Path | None = option(
        None,
        "Ids of the vectors: an .npy, a text with one a line, or a .parquet, .csv or .jsonl with a column id. "
        "Without them, and without ids in the file itself, rows are numbered.",
    )
    labels: Path | None = option(
        None,
        "Labels of the vectors, of the same forms, from a column label; integers from 0 on, or names. In the order of "
        "the vectors, or, where their file has a column id too, found by it.",
    )
    key: str | None = option(None, "Which array or column has the vectors, if it is not called vectors or embeddings.")
    drop_bad: Drop = option(
        "no", "Rows that are left out and named: no, none; yes, those with a NaN or an Inf; zero, zero vectors too."
    )

    def source(self, path: Path, about: Described | None = None) -> Source:
        """The vectors of a file; what is to be known of them is said on stderr."""
        return open_vectors(
            path, about=about, ids=self.ids, labels=self.labels, key=self.key, drop_bad=self.drop_bad, note=said
        )


@dataclass(frozen=True)
class Beside(Reading):
    """What belongs to the vectors of an index."""

    payload: Path | None = option(
        None,
        "Columns to filter by: .parquet, .csv or .jsonl, held in memory; its rows are in the order of the vectors, or "
        "found by their column id.",
    )


def said(text: str) -> None:
    """What is to be known of vectors, on stderr."""
    typer.echo(text, err=True)


def check_undescribed(path: Path, about: Described) -> None:
    """InputError for a table that was described beside what its card says. Its trained dims are said by --trained."""
    if is_table(path) and about.given:
        given = ", ".join(f"--{TRAINED.get(name, name)}" for name in about.given)
        raise InputError(f"{path} is a table, whose card says what it is; leave {given} out")


def check_unsaid(path: Path, card: Card, whose: str) -> None:
    """InputError for a file, which says nothing of itself, beside vectors that went through a map."""
    if card.maps and not is_table(path):
        raise InputError(
            f"{whose} went through {', '.join(card.maps)}, and {path} does not say whether it did; map it into a "
            "table, with mrl adapt apply, and give that"
        )


def rows(path: Path, about: Described, beside: Beside) -> Rows:
    """The rows of a new index."""
    return with_payload(of_source(beside.source(path, about)), beside)


def more_rows(path: Path, index: Index, beside: Beside) -> Rows:
    """Rows to be added to an index; those of a file that is no table are taken for its model's."""
    source = beside.source(path)
    if not is_table(path):
        source = _of_model(source, index)
    return with_payload(of_source(source), beside)


def _of_model(source: Source, index: Index) -> Source:
    """Vectors that say nothing of themselves, as those of the index."""
    card = index.snapshot.raw_card()
    check_unsaid(source.path, card, str(index.path))
    if source.card.width != card.width:
        raise CardError(
            f"{card.model} has vectors of width {card.width}, got shape {(len(source), source.card.width)}; "
            "embed them with the same model"
        )
    ids = source.ids if source.ids is None else of_kind(source.ids, index.snapshot.contents.strings, index.path)
    return replace(source, card=card, ids=ids)


def of_source(source: Source) -> Rows:
    """The rows of a source. Its labels become the payload column `label`, by name where they have names."""
    from mrl.retrieval import Batch, Rows
    from mrl.retrieval.rows import BATCH, label_column, spread

    def batches() -> Iterator[Batch]:
        for vectors, ids, labels in source.batches(BATCH):
            payload = None if labels is None else label_column(labels, source.label_names)
            yield Batch(vectors, ids if source.named else None, payload)

    def sample(n: int) -> npt.NDArray[Any]:
        return source.picked(spread(len(source), n)).vectors

    return Rows(source.card, batches, len(source), sample)


def with_payload(source: Rows, beside: Beside) -> Rows:
    """The rows with the columns of their file."""
    if beside.payload is None:
        return source
    columns = Payload(beside.payload)
    if not columns.joined and columns.rows != source.count:
        raise InputError(
            f"{beside.payload} has {many(columns.rows)} and there are {source.count:,} vectors; "
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

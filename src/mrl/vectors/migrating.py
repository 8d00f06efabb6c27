"""Vectors cut to fewer dims, in memory or into a new table: nothing is embedded again, and what was stays as it was.

What is stored are raw prefixes, so cutting twice is cutting once, and scores by dot product and distance stay those of
the prefixes. They have no common length any more, and the new card says so; cosine rescales whatever it compares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.disk import Folder, absent
from mrl.errors import CardError, ExistsError, InputError, NestingError, StorageError
from mrl.nesting import Nesting, prefix
from mrl.vectors.files import Block
from mrl.vectors.held import Embedded, Held
from mrl.vectors.table import Table
from mrl.vectors.writer import TableWriter

PIECE = 65_536  # rows that are committed together

Dtype = Literal["float16", "float32"]
Progress = Callable[[str, int, int | None], object]  # (what, done, of how many)


def narrow_card(card: Card, dim: int, *, untrained: bool = False) -> Card:
    """The card of the first `dim` dims: its nesting ends there, and its vectors have no common length.

    Where no trained dim is left, the new vectors are taken for a whole: their nesting is `dim` alone.

    NestingError unless dim < width; and for a dim that was not trained, unless `untrained` allows that.
    """
    (dim,) = Nesting((dim,)).dims
    left = tuple(each for each in card.nesting.dims if each < card.width)
    choice = f"one of {', '.join(map(str, left))}" if left else f"a dim below {card.width}"
    if dim == card.width:
        raise NestingError(f"the vectors of {card.model} have {dim} dims already; to cut them give {choice}")
    if dim > card.width:
        raise NestingError(f"{dim} dims cannot be cut from the {card.width} of {card.model}; give {choice}")
    if not (untrained or card.nesting.trained(dim)):
        other = f"choose {choice}, or" if left else "these vectors were not trained to nest:"
        raise NestingError(
            f"{dim} is no trained dim of {card.model}, which was trained at {card.nesting}; {other} measure what the "
            "cut costs, then cut there all the same with --untrained (untrained=True)"
        )
    nesting = Nesting(tuple(each for each in card.nesting.dims if each <= dim) or (dim,))
    return replace(card, width=dim, nesting=nesting, normalised=False)


def cut_of(wide: Card, narrow: Card) -> bool:
    """Whether vectors of one card, cut to the width of the other, belong with the other's."""
    if narrow.width >= wide.width:
        return False
    try:
        narrow_card(wide, narrow.width, untrained=True).check_fits(narrow)
    except CardError:
        return False
    return True


def narrowed(vectors: Embedded, dim: int, *, untrained: bool = False) -> Held:
    """The first `dim` dims of a table's vectors, or of those in memory, with all that belongs to them.

    Nothing is copied that is in memory or mapped already. NestingError as for `narrow_card`.
    """
    card = narrow_card(vectors.card, dim, untrained=untrained)
    return Held(vectors.path, card, prefix(vectors.vectors, dim), vectors.ids, vectors.labels, vectors.label_names)


def migrate(
    table: Table,
    out: str | Path,
    dim: int,
    *,
    dtype: Dtype | None = None,
    untrained: bool = False,
    progress: Progress | None = None,
) -> Table:
    """Write a table's first `dim` dims into a new table, in a stream; ids, labels and prompt come along.

    dtype: of the new vectors; None for that of the old. What a killed migration left is compared with what it should
    be and continued. progress: called with what is done, how many, of how many.

    NestingError as for `narrow_card`; ExistsError if anything else is at `out`; InputError naming a row that float16
    cannot hold: then nothing is written.
    """
    out, card = Path(out), narrow_card(table.card, dim, untrained=untrained)
    kind = None if dtype is None else _checked(dtype)
    if not unfinished(out):
        absent(out)
    if kind == np.float16:
        _check_halves(table, dim)
    with _writer(out, card, table) as writer:
        done, there = 0, _committed(out)
        for piece in _pieces(table, dim, kind):
            _place(piece, there, writer, out)
            done += len(piece.ids)
            if progress is not None:
                progress("rows", done, table.rows)
        if there:
            raise _other(out)
    return Table.open(out)


def unfinished(out: Path) -> bool:
    """Whether there is a table that was begun and never finished, which a migration may continue."""
    if not Table.begun(out):
        return False
    try:
        return not Table.open(out, unfinished=True).finished
    except InputError:  # something else that has a manifest
        return False
    except StorageError:
        return not Folder.committed(out)


def _checked(dtype: str) -> np.dtype[Any]:
    if dtype not in ("float16", "float32"):
        raise InputError(f"vectors are stored as float16 or float32, got {dtype!r}; choose one")
    return np.dtype(dtype)


def _pieces(table: Table, dim: int, dtype: np.dtype[Any] | None) -> Iterator[Block]:
    """All rows, cut, at most `PIECE` together; the same ones each time."""
    for vectors, ids, labels in table.blocks():
        for start in range(0, max(len(ids), 1), PIECE):
            rows = slice(start, start + PIECE)
            cut = np.asarray(prefix(vectors[rows], dim), dtype or vectors.dtype)
            yield Block(cut, ids[rows], None if labels is None else labels[rows])


def _check_halves(table: Table, dim: int) -> None:
    """InputError naming the first row that float16 cannot hold, or would make zero."""
    first = 0
    for vectors, ids, _ in _pieces(table, dim, None):
        largest = np.abs(vectors).max(axis=1, initial=0)
        with np.errstate(over="ignore"):
            halves = largest.astype(np.float16)
        bad = np.flatnonzero(np.isinf(halves) | ((halves == 0) & (largest > 0)))
        if len(bad):
            row = int(bad[0])
            raise InputError(
                f"row {first + row} of {table.path} (id {ids[row].item()!r}) has {largest[row]:.4g} as its largest "
                f"number, and float16 holds 6e-08 to 65504 ({len(bad)} such rows here); keep float32"
            )
        first += len(ids)


def _writer(out: Path, card: Card, table: Table) -> TableWriter:
    """A new table's writer, or that of one which was begun and is the same."""
    if not Table.begun(out):
        return Table.create(out, card, table.label_names, prompt=table.prompt)
    if Folder.committed(out):
        begun = Table.open(out, unfinished=True)
        if (begun.card, begun.label_names, begun.prompt) != (card, table.label_names, table.prompt):
            raise _other(out)
    writer = Table.append(out, card, table.label_names, prompt=table.prompt)
    if writer.finished:  # by another process, just now
        writer.close()
        absent(out)
    return writer


def _committed(out: Path) -> list[Block]:
    return list(Table.open(out, unfinished=True).blocks()) if Folder.committed(out) else []


def _place(piece: Block, there: list[Block], writer: TableWriter, out: Path) -> None:
    """Commit a piece, unless it is the next of those that are there already."""
    if there:
        _check_same(there.pop(0), piece, out)
    else:
        writer.add(*piece)


def _check_same(there: Block, wanted: Block, out: Path) -> None:
    """ExistsError unless what was committed is what belongs there, bit by bit."""
    for mine, theirs in zip(there, wanted, strict=True):
        if (mine is None) != (theirs is None):
            raise _other(out)
        if mine is not None and theirs is not None and not _equal(mine, theirs):
            raise _other(out)


def _equal(one: npt.NDArray[Any], other: npt.NDArray[Any]) -> bool:
    return one.dtype.kind == other.dtype.kind and one.itemsize == other.itemsize and np.array_equal(one, other)


def _other(out: Path) -> ExistsError:
    return ExistsError(
        f"{out} holds the beginning of another table, which this would not continue; remove it, or give another path"
    )

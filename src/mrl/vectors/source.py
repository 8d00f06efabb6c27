"""Source: vectors from a file of any format, in memory or as a stream."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.errors import InputError
from mrl.vectors.files import Block
from mrl.vectors.found import Reader
from mrl.vectors.held import Held
from mrl.vectors.source_checks import Odd, Positions, as_floats, odd_rows

Array = npt.NDArray[Any]
Note = Callable[[str], object]
BATCH_BYTES = 1 << 26  # of what is read at once where nobody says how much


@dataclass(frozen=True, eq=False)
class Source:
    """Vectors in a file, to be read from the start as often as one likes; see `open_vectors`.

    path: the file. card: what they are. reader: reads its rows. ids: (reader.rows,) where they are not read along.
    labels: (reader.rows,) int64 or None. label_names: the name of each label, or (). left_out: rows of the file, by
    number, that are dropped. note: hears what has to be said of them.
    what: what a row is called in refusals. prompt: what stood before each text of a table, or "".
    """

    path: Path
    card: Card
    reader: Reader
    ids: Array | None = None
    labels: npt.NDArray[np.int64] | None = None
    label_names: tuple[str, ...] = ()
    left_out: Positions = field(default_factory=lambda: np.empty(0, np.int64))
    note: Note = lambda _: None
    what: str = "row"
    prompt: str = ""

    def __len__(self) -> int:
        return self.reader.rows - len(self.left_out)

    @property
    def count(self) -> int:
        """How many rows there are, without those that are left out."""
        return len(self)

    @property
    def labelled(self) -> bool:
        return self.labels is not None

    @property
    def named(self) -> bool:
        """Whether the rows have ids; those that have none are called by their number in the file."""
        return self.ids is not None or self.reader.named

    def batches(self, size: int | None = None, start: int = 0) -> Iterator[Block]:
        """All rows in order from row `start` on, `size` together and the last ones as far as they go.

        vectors are float32 or float16 (n, width). Memory holds what is read of two batches. InputError names the first
        row with a NaN or an Inf and counts them. Zero vectors are kept; under cosine they are counted in a note.
        """
        size = max(BATCH_BYTES // (4 * self.card.width), 1) if size is None else size
        if size < 1:
            raise InputError(f"a batch has at least 1 row, got {size}")
        return _regrouped(self._kept(size, self._place(start), whole=start == 0), size)

    def held(self) -> Held:
        """All of them in memory."""
        return self.picked(np.arange(len(self)))

    def picked(self, rows: npt.ArrayLike) -> Held:
        """These rows, in this order, in memory; the file is read up to the last of them. rows: (n,) integers ≥ 0."""
        wanted = np.asarray(rows, np.int64)
        if len(wanted) and not 0 <= wanted.min() <= wanted.max() < len(self):
            raise InputError(f"{self.path} has rows 0 to {len(self) - 1}, got {wanted.min()} to {wanted.max()}")
        order = np.argsort(wanted, kind="stable")
        found = _gathered(self._some(wanted[order]), len(wanted), self.card.width)
        if not (order[1:] > order[:-1]).all():
            back = np.argsort(order)
            found = Block(found.vectors[back], found.ids[back], None if found.labels is None else found.labels[back])
        labels = found.labels if len(wanted) or self.labels is None else self.labels[:0]
        return Held(self.path, self.card, found.vectors, found.ids, labels, self.label_names)

    def survey(self, done: Callable[[int], object] = lambda _: None) -> Odd:
        """Every odd row of the file, by its number, from one reading. done: hears of the rows looked at."""
        parts, first = [Odd(np.empty(0, np.int64), np.empty(0, np.int64))], 0
        for raw, _ in self.reader.pieces(0, max(BATCH_BYTES // (4 * self.card.width), 1)):
            found = odd_rows(as_floats(raw))
            parts.append(Odd(found.bad + first, found.zero + first))
            first += len(raw)
            done(first)
        return Odd(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    # ------------------------------------------------------------------------------------------------ reading

    def _place(self, start: int) -> int:
        """The number in the file of the row that is number `start` of those that are not left out."""
        before = self.left_out - np.arange(len(self.left_out))  # kept rows before each that is not
        return start + int(np.searchsorted(before, start, side="right"))

    def _some(self, wanted: Positions) -> Iterator[Block]:
        """The wanted rows, in order; read up to the last."""
        first = 0
        for block in self.batches():
            stop = first + len(block.vectors)
            a, b = np.searchsorted(wanted, [first, stop])
            if b - a == stop - first and (np.diff(wanted[a:b]) == 1).all():
                yield block
            elif b > a:
                yield taken(block, wanted[a:b] - first)
            if b == len(wanted) and stop < len(self):
                return
            first = stop

    def _kept(self, size: int, first: int, *, whole: bool) -> Iterator[Block]:
        """Pieces of the file from its row `first` on, checked, without what is left out."""
        zeros: list[Any] = []  # their ids
        for raw, ids in self.reader.pieces(first, size):
            block = self._block(raw, ids, first)
            odd = odd_rows(block.vectors)
            bad, zero = (np.setdiff1d(some + first, self.left_out) - first for some in odd)
            if len(bad):
                raise self._refusal(first + int(bad[0]), raw[bad[0]], block.ids[bad[0]].item())
            zeros += block.ids[zero].tolist()
            a, b = np.searchsorted(self.left_out, [first, first + len(raw)])
            yield block if a == b else taken(block, np.delete(np.arange(len(raw)), self.left_out[a:b] - first))
            first += len(raw)
        if zeros and whole and self.card.metric == "cosine":
            self.note(
                f"{self.path}: {len(zeros)} zero vectors have no direction, the first is {zeros[0]!r}; they are kept, "
                "and their cosine with everything is 0"
            )

    def _block(self, raw: Array, ids: Array | None, first: int) -> Block:
        """The vectors, ids and labels of what was read from row `first` on."""
        rows = slice(first, first + len(raw))
        own = ids if self.ids is None else self.ids[rows]
        labels = None if self.labels is None else self.labels[rows]
        return Block(as_floats(raw), np.arange(rows.start, rows.stop) if own is None else own, labels)

    def _refusal(self, row: int, vector: Array, name: object) -> InputError:
        """For a row that is not finite, with the number of all such."""
        far = np.abs(vector)[np.isfinite(vector)].max() if np.isfinite(vector).all() else 0.0
        has = f"{far:.1e}, which is beyond float32" if far else "a NaN or an Inf"
        which = f"{self.what} {row}, id {name!r}," if self.named else f"{self.what} {row}"
        return InputError(
            f"{self.path}: {which} has {has} ({len(self.survey().bad)} in all are such); leave these out "
            "with --drop-bad yes"
        )


def taken(block: Block, rows: Array) -> Block:
    """These rows of a block, by position."""
    return Block(block.vectors[rows], block.ids[rows], None if block.labels is None else block.labels[rows])


def _regrouped(blocks: Iterable[Block], size: int) -> Iterator[Block]:
    """The same rows, `size` together; blocks that have as many are passed on as they are."""
    waiting: list[Block] = []
    there = 0
    for block in blocks:
        while there + len(block.ids) >= size:
            waiting.append(_part(block, slice(0, size - there)))
            block = _part(block, slice(size - there, None))
            yield _joined(waiting)
            waiting, there = [], 0
        if len(block.ids):
            waiting.append(block)
            there += len(block.ids)
    if waiting:
        yield _joined(waiting)


def _part(block: Block, rows: slice) -> Block:
    return Block(block.vectors[rows], block.ids[rows], None if block.labels is None else block.labels[rows])


def _joined(blocks: list[Block]) -> Block:
    blocks = [block for block in blocks if len(block.ids)]
    if len(blocks) == 1:
        return blocks[0]
    labels = (
        None
        if blocks[0].labels is None
        else np.concatenate([block.labels for block in blocks if block.labels is not None])
    )
    return Block(np.concatenate([b.vectors for b in blocks]), np.concatenate([b.ids for b in blocks]), labels)


def _gathered(blocks: Iterable[Block], rows: int, width: int) -> Block:
    """`rows` rows in one block; memory for these and for one batch."""
    vectors: Array | None = None
    keys: list[Array] = []
    labels: list[Array] = []
    first = 0
    for block in blocks:
        if vectors is None:
            vectors = np.empty((rows, width), block.vectors.dtype)
        elif vectors.dtype != block.vectors.dtype:
            vectors = vectors.astype(np.float32)  # a table whose blocks differ
        vectors[first : first + len(block.ids)] = block.vectors
        keys.append(block.ids)
        labels += [] if block.labels is None else [block.labels]
        first += len(block.ids)
    if vectors is None:
        return Block(np.empty((0, width), np.float32), np.empty(0, np.int64), None)
    return Block(vectors, np.concatenate(keys), np.concatenate(labels) if labels else None)

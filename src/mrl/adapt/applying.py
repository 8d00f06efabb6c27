"""apply_stream: a map applied to vectors of any number, from a file to a table, in memory for a few blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.disk import MANIFEST, absent, or_nothing
from mrl.errors import CardError, ExistsError, InputError
from mrl.maps.tiles import FEWEST, MOST, WORK
from mrl.options import check_choices, check_number, option
from mrl.vectors import Block, Source, Table, TableWriter
from mrl.vectors.source_checks import odd_rows
from mrl.vectors.source_table import of_table

BLOCK_BYTES = 1 << 26  # of float32 vectors read, mapped and committed together
PART_BYTES = 1 << 23  # of those that one thread maps: they do not depend on the number of threads, so no sum does
CLOSE = 2e-3  # of the largest value: what rounding, to float16 too, leaves between a block and the same one made again
Told = Callable[[str, int, int | None], object]  # (what, done, of how many)
Dtype = Literal["float32", "float16"]
Array = npt.NDArray[Any]
Begun = Callable[[Block, Array, int], Future[None]]  # (part, where its images go, number of its first row)
Apply = Callable[[npt.NDArray[np.floating[Any]]], npt.NDArray[np.float32]]  # (n, width) -> (n, other width)


class Turn(Protocol):
    """What can be applied to vectors. Where it has an `apply32`, as a `Rotation`, it is that one which is used."""

    def apply(self, vectors: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.float32]: ...


@dataclass(frozen=True)
class Stored:
    """How mapped vectors are stored."""

    dtype: Dtype = option("float32", "The type of mapped vectors; float16 holds values up to 65,504.")
    block: int | None = option(None, "Rows mapped and committed together; without it as many as have 64 MiB.")

    def __post_init__(self) -> None:
        check_choices(self, {"dtype": Dtype})
        if self.block is not None:
            check_number("block", self.block, 1, np.inf)

    def rows(self, width: int, out: int) -> int:
        """Of a block, for a map of `width` dims to `out`."""
        part = part_rows(width, out)
        return self.block or max(BLOCK_BYTES // (4 * width) // part, 1) * part


def part_rows(width: int, out: int) -> int:
    """Rows that one thread maps: a power of two, and no less than a map's tile, which would be filled up with zeros."""
    tile = min(max(_power(WORK // (width * out)), FEWEST), MOST)
    return max(tile, _power(PART_BYTES // (4 * width)))


def _power(most: int) -> int:
    return int(1 << max(most, 1).bit_length() - 1)


def apply_stream(
    source: Source,
    turn: Turn,
    out: str | Path,
    card: Card,
    *,
    stored: Stored | None = None,
    resume: bool = False,
    told: Told = lambda *_: None,
) -> Table:
    """Write the mapped vectors of a source, with its ids, labels and prompt, as a table.

    card: what the mapped vectors are, the map among its `maps`. While one block is committed, the next one is mapped,
    by all cores, and the one after is read. resume: go on with the table at `out` after its last block, if there is
    one; with the same source, map and block it ends in the same bytes as if nothing had interrupted it. told: hears
    ("rows", committed, of how many), from another thread.

    Memory holds some four blocks. ExistsError if something is at `out` and `resume` was not asked for, CardError for a
    map of another width and for the table of another map, InputError for the table of another source, and for a row
    that the dtype cannot hold.
    """
    out, stored = Path(out), stored or Stored()
    _check_out(out, resume=resume)
    image = _image(turn, source, card)
    begin = Table.append if Table.begun(out) else Table.create
    with begin(out, card, source.label_names, prompt=source.prompt) as writer, or_nothing(out):
        if (out / MANIFEST).exists():
            _check_same(source, image, Table.open(out, unfinished=True), stored)
        told("rows", writer.rows, len(source))
        with _workers() as pool, Behind() as behind:  # what is begun last ends first: blocks, then the threads of parts
            for block in _blocks(source, writer.rows, stored, partial(_submitted, pool, image), card.width):
                behind.do(partial(_commit, block, writer, told, len(source)))
    return Table.open(out)


def _blocks(source: Source, first: int, stored: Stored, begun: Begun, out: int) -> Iterator[Filling]:
    """Blocks of which each part has been begun to be mapped; two have memory, so that the one before is committed."""
    size, part = stored.rows(source.card.width, out), part_rows(source.card.width, out)
    places = [np.empty((min(size, len(source) - first), out), stored.dtype) for _ in range(2)]
    block = Filling(places[0], first)
    for piece in source.batches(part if size % part == 0 else size, first):
        block.take(piece, begun)
        if block.rows == size:
            yield block
            first += size
            places.reverse()
            block = Filling(places[0], first)
    if block.rows:
        yield block


class Filling:
    """A block that is mapped part by part, by several threads. rows: how many it has. first: the first one's number."""

    def __init__(self, place: Array, first: int) -> None:
        self._place, self.first, self.rows = place, first, 0
        self._jobs: list[Future[None]] = []
        self._ids: list[Array] = []
        self._labels: list[Array] = []

    def take(self, part: Block, begun: Begun) -> None:
        """Begin to map a part."""
        place = self._place[self.rows : self.rows + len(part.ids)]
        self._jobs.append(begun(part, place, self.first + self.rows))
        self._ids.append(part.ids)
        self._labels += [] if part.labels is None else [part.labels]
        self.rows += len(part.ids)

    def mapped(self) -> Block:
        """The whole block, once all of it is mapped."""
        for job in self._jobs:
            job.result()
        labels = np.concatenate(self._labels) if self._labels else None
        return Block(self._place[: self.rows], np.concatenate(self._ids), labels)


def _commit(block: Filling, writer: TableWriter, told: Told, rows: int) -> None:
    writer.add(*block.mapped())
    told("rows", writer.rows, rows)


def _submitted(pool: ThreadPoolExecutor, image: Apply, part: Block, place: Array, first: int) -> Future[None]:
    return pool.submit(_into, place, image, part, first)


def _into(place: Array, image: Apply, part: Block, first: int) -> None:
    """Write the images of a part; InputError naming the first row of it that the place's type cannot hold."""
    with np.errstate(over="ignore", invalid="ignore"):
        values = image(part.vectors)
        place[...] = values
    wrong = odd_rows(place).bad
    if len(wrong):
        largest, dtype = np.abs(values[wrong[0]]).max(), place.dtype
        remedy = "store float32, or rescale the vectors" if np.isfinite(largest) else "rescale the vectors"
        raise InputError(
            f"row {first + wrong[0]}, id {part.ids[wrong[0]].item()!r}, is mapped to values up to {largest:.1e}, and "
            f"{dtype} holds {np.finfo(dtype).max:.1e}; {remedy}"
        )


@contextmanager
def _workers() -> Iterator[ThreadPoolExecutor]:
    """Threads that map, one for each core where the `search` extra is there.

    A BLAS that splits each product over its own threads waits for the slowest of them, which here shares its core with
    those that read and write; parts that whoever is free takes next keep all cores busy.
    """
    try:
        from mrl.retrieval import threads

        count, alone = threads.count(), threads.one_blas_thread()
    except ModuleNotFoundError:
        count, alone = 1, nullcontext()
    with alone, ThreadPoolExecutor(count, "map") as pool:
        try:
            yield pool
        finally:
            pool.shutdown(cancel_futures=True)


class Behind:
    """One job at a time done by a thread, while the next one is made. What a job raises is raised by the next call."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "behind")
        self._job: Future[None] | None = None

    def do(self, job: Callable[[], None]) -> None:
        """Begin this once the one before is done."""
        self.wait()
        self._job = self._pool.submit(copy_context().run, job)

    def wait(self) -> None:
        """Until all that was begun is done."""
        if self._job is not None:
            self._job.result()

    def __enter__(self) -> Behind:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._pool.shutdown()


# ---------------------------------------------------------------------------------------------------- the door


def _check_out(out: Path, *, resume: bool) -> None:
    """ExistsError, before anything is read, if there is something that is not to be gone on with."""
    if not Table.begun(out):
        absent(out)
    elif not resume:
        raise ExistsError(f"{out} already exists and is not overwritten; go on with --resume, or choose another --out")


def _image(turn: Turn, source: Source, card: Card) -> Apply:
    """How the map is applied; CardError, before anything is read, unless it makes such vectors of such."""
    image: Apply = getattr(turn, "apply32", turn.apply)
    width = image(np.zeros((1, source.card.width), np.float32)).shape[1]
    if width != card.width:
        raise CardError(f"the map makes vectors of width {width}, the card says {card.width}; give the map's own card")
    return image


def _check_same(source: Source, image: Apply, there: Table, stored: Stored) -> None:
    """InputError unless the table's blocks are the first ones of this source, as far as its last one tells.

    The cards and prompts were compared already. The last block is made again: other vectors may have the same ids.
    """
    rows, wanted, size = there.rows, len(source), stored.rows(source.card.width, there.card.width)
    if rows > wanted or (there.finished and rows < wanted):
        finished = ", and is finished" if there.finished else ""
        raise InputError(
            f"{there.path} has {rows} rows{finished}, and {source.path} has {wanted}; go on with the source that it "
            "was begun with, or choose another --out"
        )
    if rows % size and rows < wanted:
        raise InputError(
            f"{there.path} has {rows} rows, which are no whole blocks of {size}; give the block it was begun with"
        )
    _check_labels(source, there)
    if rows:
        _check_block(source, image, there, slice((rows - 1) // size * size, rows), stored.dtype)


def _check_labels(source: Source, there: Table) -> None:
    """InputError unless the table's labels, all of them, and their names are the source's."""
    own = None if source.labels is None else np.delete(source.labels, source.left_out)[: there.rows]
    unlike = own is not there.labels if own is None or there.labels is None else not np.array_equal(own, there.labels)
    if there.rows and (unlike or source.label_names != there.label_names):
        raise InputError(
            f"the labels of {there.path} are not those of {source.path}; go on with the labels that it was begun with, "
            "or choose another --out"
        )


def _check_block(source: Source, image: Apply, there: Table, rows: slice, dtype: Dtype) -> None:
    """InputError unless these rows of the table are the source's under the map, but for what is rounded."""
    vectors, ids = next(of_table(there, None).reader.pieces(rows.start, rows.stop - rows.start))
    if vectors.dtype != dtype:
        raise InputError(f"{there.path} has {vectors.dtype} vectors, got {dtype}; go on with {vectors.dtype}")
    again = next(source.batches(len(vectors), rows.start))
    mapped = image(again.vectors)
    same = ids is not None and np.array_equal(again.ids, ids)
    if not same or np.abs(mapped - vectors).max() > CLOSE * np.abs(mapped).max():
        raise InputError(
            f"the rows of {there.path} from {rows.start} on are not those of {source.path} under this map; go on with "
            "the source and the map that it was begun with, or choose another --out"
        )

"""Batches of an epoch from any point on, made ready by threads ahead of the step that needs them.

What is in a batch, and how it is augmented, depends on (seed, epoch, index) alone: not on the threads, nor on the
processes, nor on where a run was interrupted.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mrl.errors import InputError
from mrl.training.ahead import ahead
from mrl.training.augment import Augment, Ids, draws, order
from mrl.training.batches import batch, even_batches, in_memory, pictures
from mrl.training.data import Samples
from mrl.training.decoding import FEW
from mrl.training.spec import TrainSpec
from mrl.training.stream import Stream
from mrl.training.team import Team

AHEAD = 2  # batches that are made ready besides the one in use

Position = Mapping[str, Any]  # where an epoch goes on: JSON
Loaded = tuple[Any, npt.NDArray[Any]]  # some rows, as their source has them, and their targets


@dataclass(frozen=True, eq=False)
class Piece:
    """What one process works on at a time. inputs: images (n, H, W, C), or the tokens of each column of texts. target:
    (n, ...). share: of the whole batch's rows; 0 for a row that only stands in."""

    inputs: Any
    target: Tensor
    share: float


@dataclass(frozen=True, eq=False)
class Batch:
    """This process's pieces of a batch. rows: of the whole batch. after: where the next one begins."""

    rows: int
    pieces: tuple[Piece, ...]
    after: Position


@dataclass(frozen=True, eq=False)
class Planned:
    """A whole batch not yet loaded. indices: (rows,) of its rows in the epoch. items: what they are loaded from."""

    indices: Ids
    items: Sequence[Any]
    after: Position


class Source(Protocol):
    """Batches in their order, and what some rows of them are. at_hand: whether rows need no decoding."""

    @property
    def at_hand(self) -> bool: ...

    def plans(self, epoch: int, position: Position) -> Iterator[Planned]: ...

    def load(self, epoch: int, indices: Ids, items: Sequence[Any]) -> Loaded: ...

    def joined(self, parts: Sequence[Loaded]) -> tuple[Any, Tensor]:
        """A piece's inputs and targets, of what was loaded in parts."""


def permuted(spec: TrainSpec, rows: int, epoch: int, position: Position) -> Iterator[Planned]:
    """The batches of rows that can be had by index, from a position on: an epoch is a permutation of them."""
    batches = even_batches(order(spec.seed, epoch, rows), spec.batch_size)
    first = int(position.get("step", 0))
    for step, indices in enumerate(batches[first:], first + 1):
        yield Planned(indices, indices.tolist(), {"step": step})


class Stored:
    """Samples that can be had by index: an epoch is a permutation of them."""

    def __init__(self, data: Samples, spec: TrainSpec, augment: Augment) -> None:
        self.data, self.spec, self.augment = data, spec, augment
        self.at_hand = in_memory(data) and not augment.crops

    def plans(self, epoch: int, position: Position) -> Iterator[Planned]:
        return permuted(self.spec, len(self.data), epoch, position)

    def load(self, epoch: int, indices: Ids, items: Sequence[Any]) -> Loaded:
        numbers = draws(self.spec.seed, epoch, indices, self.augment.count)
        if self.augment.crops:
            originals, labels = pictures(self.data, indices)
            return self.augment.cropped(originals, numbers), labels
        images, targets = batch(self.data, indices)
        return self.augment(images.numpy(), numbers), targets.numpy()

    def joined(self, parts: Sequence[Loaded]) -> tuple[Tensor, Tensor]:
        return stacked(parts)


class Streamed:
    """Rows that come one after another: each window of them is shuffled in itself."""

    at_hand = False

    def __init__(self, data: Stream, spec: TrainSpec, augment: Augment) -> None:
        self.data, self.spec, self.augment = data, spec, augment

    def plans(self, epoch: int, position: Position) -> Iterator[Planned]:
        lengths = [len(part) for part in even_batches(np.arange(len(self.data)), self.spec.batch_size)]
        step = int(position.get("step", 0))
        row, size = sum(lengths[:step]), self.spec.window
        windows = self._windows(epoch, row // size, position.get("window"))
        waiting: deque[tuple[int, Any]] = deque()
        states: dict[int, Any] = {}
        for length in lengths[step:]:
            while len(waiting) < length:
                number, before, after, rows = next(windows)
                states = {number: before, number + 1: after}
                waiting.extend(rows[row % size :] if not waiting and row // size == number else rows)
            taken = [waiting.popleft() for _ in range(length)]
            row, step = row + length, step + 1
            indices, items = np.array([i for i, _ in taken]), [raw for _, raw in taken]
            yield Planned(indices, items, {"step": step, "window": states[row // size]})

    def _windows(self, epoch: int, number: int, state: Any) -> Iterator[tuple[int, Any, Any, list[tuple[int, Any]]]]:
        """Number, the reader's state before and after, and the shuffled rows of one window after another."""
        size = self.spec.window
        reader = self.data.read((self.spec.seed, epoch), state)
        for first in range(number * size, len(self.data), size):
            before, wanted = reader.state(), min(size, len(self.data) - first)
            rows = list(islice(reader, wanted))
            if len(rows) < wanted:
                raise InputError(
                    f"the stream ended after {first + len(rows)} rows, {len(self.data)} were announced; "
                    "give the number that there are"
                )
            shuffled = np.random.default_rng((self.spec.seed, epoch, first)).permutation(len(rows))
            yield first // size, before, reader.state(), [(first + int(i), rows[i]) for i in shuffled]

    def load(self, epoch: int, indices: Ids, items: Sequence[Any]) -> Loaded:
        numbers = draws(self.spec.seed, epoch, indices, self.augment.count)
        labels = np.array([raw.label for raw in items], np.int64)
        if self.augment.crops:
            return self.augment.cropped([self.data.picture(raw) for raw in items], numbers), labels
        return self.augment(np.stack([self.data.decode(raw) for raw in items]), numbers), labels

    def joined(self, parts: Sequence[Loaded]) -> tuple[Tensor, Tensor]:
        return stacked(parts)


def stacked(parts: Sequence[Loaded]) -> tuple[Tensor, Tensor]:
    """Images (n, H, W, C) and labels (n,)."""
    images, labels = (torch.from_numpy(np.concatenate(each)) for each in zip(*parts, strict=True))
    return images, labels


def source(data: Samples | Stream, spec: TrainSpec, augment: Augment) -> Source:
    return Streamed(data, spec, augment) if isinstance(data, Stream) else Stored(data, spec, augment)


@dataclass(frozen=True)
class Feed:
    """Epochs of batches for one process of a team. workers: threads that load; 0 loads when a batch is asked for."""

    source: Source
    team: Team
    parts: int
    workers: int

    def epoch(self, epoch: int, position: Position) -> Iterator[Batch]:
        """The batches of an epoch from a position on ({} is its beginning)."""
        plans = self.source.plans(epoch, position)
        if self.workers == 0:
            for plan in plans:
                yield self._made(plan, [[self.source.load(epoch, *piece)] for piece in self._pieces(plan)])
            return
        pool = ThreadPoolExecutor(self.workers, "feed")
        ready: deque[tuple[Planned, list[list[Future[Loaded]]]]] = deque()
        try:
            with closing(ahead(plans)) as made:
                for plan in made:
                    jobs = [[pool.submit(self.source.load, epoch, *c) for c in _chunks(p)] for p in self._pieces(plan)]
                    ready.append((plan, jobs))
                    if len(ready) > AHEAD:
                        yield self._awaited(*ready.popleft())
            while ready:
                yield self._awaited(*ready.popleft())
        finally:
            pool.shutdown(cancel_futures=True)  # leaving an epoch early does not wait for what is not begun

    def _shares(self, plan: Planned) -> list[Ids]:
        """This process's rows of each piece. All processes of a team have as many pieces, even if some are empty."""
        shares = self.team.share(np.arange(len(plan.indices)), self.parts)
        return shares if self.team.size > 1 else [rows for rows in shares if len(rows)]

    def _pieces(self, plan: Planned) -> list[tuple[Ids, Sequence[Any]]]:
        """Indices and items of each piece; the batch's first row stands in for an empty one."""
        shares = (rows if len(rows) else np.array([0]) for rows in self._shares(plan))
        return [(plan.indices[rows], [plan.items[row] for row in rows]) for rows in shares]

    def _awaited(self, plan: Planned, jobs: list[list[Future[Loaded]]]) -> Batch:
        return self._made(plan, [[job.result() for job in piece] for piece in jobs])

    def _made(self, plan: Planned, loaded: list[list[Loaded]]) -> Batch:
        pieces = []
        for rows, chunks in zip(self._shares(plan), loaded, strict=True):
            inputs, target = self.source.joined(chunks)
            if self.team.device.type == "cuda":
                inputs, target = pinned(inputs), target.pin_memory()
            pieces.append(Piece(inputs, target, len(rows) / len(plan.indices)))
        return Batch(len(plan.indices), tuple(pieces), plan.after)


def pinned(inputs: Any) -> Any:
    """In memory that a GPU reads while it computes: a tensor, or tuples of tensors."""
    if isinstance(inputs, Tensor):
        return inputs.pin_memory()
    if not isinstance(inputs, tuple):
        return inputs
    made = map(pinned, inputs)
    return inputs._make(made) if hasattr(inputs, "_make") else tuple(made)


def _chunks(piece: tuple[Ids, Sequence[Any]]) -> Iterator[tuple[Ids, Sequence[Any]]]:
    indices, items = piece
    for start in range(0, len(indices), FEW):
        yield indices[start : start + FEW], items[start : start + FEW]

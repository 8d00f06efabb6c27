"""Streams: pictures that come one after another, never all in memory, from a place that JSON can hold."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np
from PIL import Image

from mrl.encoders.pixels import Fit, Pixels
from mrl.errors import InputError
from mrl.training.columns import Labelling
from mrl.training.decoding import LOOKED_AT, opened, pixels, suited
from mrl.training.listing import renamed
from mrl.training.opening import Opening, Origin
from mrl.training.shards import Shards, open_shards
from mrl.training.sources import Source
from mrl.training.tables import explained


@dataclass(frozen=True)
class Raw:
    """A row that is not decoded yet. picture: a file's bytes, its path, or a picture. label: -1 if it has none."""

    picture: bytes | str | Image.Image
    label: int
    id: int | str


@dataclass(frozen=True, eq=False)
class Stream:
    """Labelled pictures in the order in which they come. fit: what they become. classes: names by label.

    labels: what each value of the labels' column means, or None. renumbered: the label in `classes` of each label that
    the rows have. unknown: classes that the run which these data were mapped onto does not have. origin: what was
    opened.
    """

    shards: Shards
    fit: Fit
    how: Opening
    labels: Labelling | None
    classes: tuple[str, ...]
    renumbered: tuple[int, ...]
    unknown: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    origin: Origin | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        return self.fit.shape

    @property
    def labelled(self) -> bool:
        return self.labels is not None

    def __len__(self) -> int:
        """Rows of one pass. InputError if neither the data nor the caller tell."""
        if self.how.rows.count is not None:
            return self.how.rows.count
        if self.shards.counts is not None:
            return sum(self.shards.counts)
        split = (self.shards.data.info.splits or {}).get(self.how.rows.split)
        if split is None or not split.num_examples:
            raise InputError(
                f"how many rows {self.shards.source.name} has is not known before they are read; give their count"
            )
        return int(split.num_examples)

    def read(self, order: tuple[int, int] | None = None, state: Mapping[str, Any] | None = None) -> Reader:
        """One pass, from the beginning or from a state of an earlier reader of the same order.

        order: (seed, epoch), by which the parts of the data (their files) are permuted; rows keep their order in them.
        None: as stored. Without a column of ids, a row's id is its number in stored order, whatever the order of the
        parts; where it is not known how long the parts are (tables of text, the hub), it is its number in the pass.
        """
        return Reader(self, order, state)

    def decode(self, raw: Raw) -> Pixels:
        """(H, W, C) uint8. Safe to use from several threads; InputError names the row."""
        return pixels(raw.picture, self._name(raw), self.fit)

    def picture(self, raw: Raw) -> Image.Image:
        """As it is stored, of its own size; as safe as `decode`."""
        return opened(raw.picture, self._name(raw))

    def named(self, classes: Sequence[str]) -> Stream:
        """The same pictures, labelled by the positions of their classes' names in `classes`; other names come after."""
        if not self.labelled or not classes:
            return self
        new = renamed(self.classes, classes)
        renumbered = tuple(new.labels[list(self.renumbered)].tolist())
        return replace(self, classes=new.classes, renumbered=renumbered, unknown=new.unknown)

    def raw(self, cells: Mapping[str, Any], number: int) -> Raw:
        """A row of the table; number: its id unless it has one."""
        columns, source = self.shards.columns, self.shards.source
        own = number if columns.id is None else cells[columns.id]
        name = f"row {number if own is None else own} of {source.name}"
        if own is None:
            raise InputError(f"{name} has no id in column {columns.id!r}; give it one, or name no column")
        picture = source.content(cells[columns.image], name)
        if picture is None:
            raise InputError(f"{name} has no picture; remove it")
        if self.labels is None or columns.label is None:
            return Raw(picture, -1, own)
        label = self.labels.label(cells[columns.label], name)
        if label < 0 and self.how.labelled:
            raise InputError(f"{name} has no label in column {columns.label!r}; label it, or leave it out")
        return Raw(picture, label if label < 0 else self.renumbered[label], own)

    def _name(self, raw: Raw) -> str:
        return f"row {raw.id} of {self.shards.source.name}"


class Reader:
    """An iterator of one pass over a stream."""

    def __init__(self, stream: Stream, order: tuple[int, int] | None, state: Mapping[str, Any] | None) -> None:
        shards = len(stream.shards)
        self._stream = stream
        self._order = None if order is None else [int(number) for number in order]
        permuted = range(shards) if order is None else np.random.default_rng(order).permutation(shards).tolist()
        self._parts = list(permuted)
        state = state or {"order": self._order, "part": 0, "row": 0, "given": 0, "inner": None}
        if state["order"] != self._order:
            raise InputError(
                f"the state is of a reader of order {state['order']}, not {self._order}; read in that order"
            )
        self._given, self._row = int(state["given"]), int(state["row"])
        self._inner: Any = None
        self._begin(int(state["part"]), state["inner"])

    def __iter__(self) -> Reader:
        return self

    def __next__(self) -> Raw:
        if self._given == self._stream.how.rows.count:
            raise StopIteration
        while self._rows is not None:
            with explained(self._stream.shards.source):
                cells = next(self._rows, None)
            self._inner = None
            if cells is not None:
                number = self._given if self._first is None else self._first + self._row
                self._given, self._row = self._given + 1, self._row + 1
                return self._stream.raw(cells, number)
            self._row = 0
            self._begin(self._part + 1, None)
        raise StopIteration

    def state(self) -> dict[str, Any]:
        """Where this reader is, for `Stream.read`: plain JSON, and small."""
        inner = None if self._data is None else self._inner or self._data.state_dict()
        return {"order": self._order, "part": self._part, "row": self._row, "given": self._given, "inner": inner}

    def _begin(self, part: int, inner: Any) -> None:
        """Go to a part, in the order of this pass, and to the place in it that `inner` says.

        `inner` is kept until the first row comes: before, the dataset itself does not say that it was sent there.
        """
        self._part = part
        self._inner = inner
        self._data: Any = None
        self._rows: Iterator[Mapping[str, Any]] | None = None
        self._first: int | None = None
        if part < len(self._parts):
            self._data = self._stream.shards.one(self._parts[part])
            if inner is not None:
                self._data.load_state_dict(inner)
            self._rows = iter(self._data)
            self._first = self._stream.shards.first(self._parts[part])


def open_stream(source: Source, how: Opening) -> Stream:
    """A stream of a table. InputError if its classes cannot be known before all of it was read."""
    if how.skip_corrupt:
        raise InputError(
            "skip_corrupt looks for corrupt pictures first, which a stream cannot; open the data without stream"
        )
    shards = open_shards(source, how)
    labels = None
    if shards.columns.label is not None:
        labels = Labelling.known(shards.columns, how.rows, untyped=source.untyped)
        if labels is None and (how.labelled or how.rows.label is not None):
            raise InputError(
                f"the classes in column {shards.columns.label!r} of {source.name} are known only when all is read; "
                "give their names as classes, in the order of the labels, or open the data without stream"
            )
    classes = () if labels is None else labels.classes
    found = Stream(shards, Fit((1, 1), 3), how, labels, classes, tuple(range(len(classes))))
    raws = islice(found.read(), LOOKED_AT)
    size, channels = suited(((raw.picture, f"row {raw.id} of {source.name}") for raw in raws), how.size, how.channels)
    return replace(found, fit=Fit(size, channels, how.crop, how.resample))

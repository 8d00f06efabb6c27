"""embed: a dataset's raw vectors as a table, which can be gone on with and added to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from mrl.disk import MANIFEST, Folder, absent, or_nothing
from mrl.encoders import Encoder, ImageEncoder, TextEncoder, load
from mrl.encoders.remote import RemoteEncoder
from mrl.errors import CardError, ExistsError, InputError, StorageError
from mrl.training.ahead import ahead
from mrl.training.batches import ids
from mrl.training.data import ImageData, Labels
from mrl.training.material import Data
from mrl.training.pending import Batch, after, batches, every_row, fresh
from mrl.training.run import Run
from mrl.training.stream import Stream
from mrl.training.team import default_device
from mrl.training.texts import TextData
from mrl.vectors import Table, TableWriter

BLOCK = 16_384  # rows committed at once
REMOTE_BLOCK = 2_048  # those of an endpoint, where vectors are paid for and requests fail
AnyEncoder = ImageEncoder | TextEncoder | RemoteEncoder
_LOOKED_AT = 1024  # rows of a stream that decide whether its ids are row numbers


def embed(
    model: Run | AnyEncoder | str | Path,
    data: Data,
    out: str | Path,
    *,
    batch_size: int = 256,
    prompt: str | None = None,
    resume: bool = False,
    add: bool = False,
    device: str | None = None,
    each: Callable[[int], object] = lambda _: None,
) -> Table:
    """Write the vectors of a dataset, whole and as the network makes them, with ids and labels, as a table.

    model: an encoder, or what `mrl.encoders.load` opens; a run or its path. prompt: the name of what is put before
    texts, as `query` or `document`; None the encoder's default. With a run, labels are mapped by name onto its classes,
    and those that it does not know get the labels after. Blocks of `BLOCK` rows are committed one by one, of an
    endpoint's `REMOTE_BLOCK`, which is asked for several batches at a time.
    resume: go on with the table at `out` after its last block, if there is one; with the same data, model, batch size
    and machine it ends in the same bytes as if nothing had interrupted it. If all is there already, nothing is written.
    add: embed the rows whose ids the table at `out`, finished or not, does not have, after those that it has; labels
    are mapped by name onto the table's. Data whose ids are row numbers are refused, see `check_ids`.
    device: what computes; default a GPU if there is one, for an encoder what it is on. each: hears of the rows done and
    of those that were there already, from several threads.

    Memory holds one block of vectors and two batches of images. Raises ExistsError if something is at `out` and neither
    was asked for, CardError for another model's table, InputError if its rows are not the data's first (resume) or
    stood behind another prompt.
    """
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")
    out = Path(out)
    check_out(out, resume=resume, add=add)
    encoder, data = _named(model, data, device)
    if add:
        check_ids(data)
    rows, names, before = every_row(data), _names(data), _before(encoder, prompt)
    if isinstance(encoder, RemoteEncoder):
        _check_model(encoder, out)
    begin = Table.append if Table.begun(out) else Table.create
    with begin(out, encoder.card, names, prompt=before) as writer, or_nothing(out):
        if add:
            rows = fresh(rows, writer, batch_size, each)
        elif (out / MANIFEST).exists():
            rows = after(rows, Table.open(out, unfinished=True), names, each)
        filling = _Filling(writer, (_block(encoder), encoder.card.width), named=bool(names))
        at_once = batch_size * (encoder.endpoint.concurrent if isinstance(encoder, RemoteEncoder) else 1)
        with closing(ahead(batches(data, rows, at_once, filling.block))) as loaded:
            filling.fill(_encode(encoder, batch_size, prompt), loaded, each)
    return Table.open(out)


def check_out(out: str | Path, *, resume: bool = False, add: bool = False) -> int:
    """The rows that are at `out`. ExistsError or StorageError, with the remedy, unless it is fit for what is asked."""
    if resume and add:
        raise InputError("a table is either resumed or added to, got both; give --resume or --add")
    begun = Table.begun(out)
    if add and not begun:
        raise StorageError(f"{out} is no table, so nothing can be added to it; leave --add out to begin one")
    if not begun:
        absent(Path(out))
    elif not (resume or add):
        raise ExistsError(f"{out} already exists and is not overwritten; {_remedy(Path(out))}")
    return Table.open(out, unfinished=True).rows if (Path(out) / MANIFEST).exists() else 0


def _remedy(out: Path) -> str:
    if not (out / MANIFEST).exists():
        return "its writer stopped before its first block: go on with --resume, or choose another --out"
    table = Table.open(out, unfinished=True)
    if table.finished:
        return f"it is finished, with {table.rows} rows: embed what it lacks with --add, or choose another --out"
    return f"it is unfinished, after {table.rows} rows: go on with --resume, or choose another --out"


def _check_model(encoder: RemoteEncoder, out: Path) -> None:
    """Raise CardError for a table of another model's vectors, which no fingerprint tells of one behind an endpoint."""
    before = Table.open(out, unfinished=True).card.model if (out / MANIFEST).exists() else encoder.card.model
    if before != encoder.card.model:
        raise CardError(
            f"{out} has vectors of {before}, got {encoder.card.model}; embed these texts into another table"
        )


def check_ids(data: Data) -> None:
    """Raise InputError if the rows are called 0, 1, 2 … in their order; of a stream the first thousand are looked at.

    A dataset that has no ids is numbered so, and its row 0 is not the row 0 of another one.
    """
    found = [raw.id for raw in islice(data.read(), _LOOKED_AT)] if isinstance(data, Stream) else ids(data)
    keys = np.asarray(found)
    if len(keys) and keys.dtype.kind in "iu" and (keys == np.arange(len(keys))).all():
        raise InputError(
            f"the ids of these data are row numbers, 0 … {len(keys) - 1}, which do not tell what a table lacks; "
            "give each row an id of its own (a column of ids, or files in folders), or embed into another --out"
        )


def _named(model: Run | AnyEncoder | str | Path, data: Data, device: str | None) -> tuple[AnyEncoder, Data]:
    """The encoder, on the device that computes, and the data with the run's labels."""
    if isinstance(model, str | Path):
        model = Run.open(model) if Folder.committed(Path(model)) else load(model)
    encoder = model.encoder if isinstance(model, Run) else model
    if isinstance(encoder, ImageEncoder) == isinstance(data, TextData):
        kinds = ("images", "texts") if isinstance(encoder, ImageEncoder) else ("texts", "images")
        raise InputError(f"{encoder.card.model} encodes {kinds[0]}, and these data are {kinds[1]}; give it {kinds[0]}")
    if isinstance(data, TextData) and len(data.views) > 1:
        raise InputError(f"a table has a vector for each row, and these rows have {len(data.views)} texts; give one")
    if isinstance(model, Run) and model.classes and isinstance(data, ImageData | Stream | TextData):
        data = data.named(model.classes)
    if isinstance(encoder, Encoder):
        default = "cuda" if isinstance(model, Run) and torch.cuda.is_available() else None
        where = device or default
        encoder.to(default_device(where) if where else encoder.device)
    return encoder, data


Encode = Callable[[Any], npt.NDArray[np.float32]]  # of rows, all at once, to raw vectors


def _block(encoder: AnyEncoder) -> int:
    return REMOTE_BLOCK if isinstance(encoder, RemoteEncoder) else BLOCK


def _before(encoder: AnyEncoder, prompt: str | None) -> str:
    """What stands before each text; InputError for a prompt that the encoder does not have."""
    if isinstance(encoder, TextEncoder):
        return encoder.prompting.named(prompt)
    if isinstance(encoder, RemoteEncoder):
        return encoder.before(prompt)
    if prompt is not None:
        raise InputError(f"prompts stand before texts, and {encoder.card.model} encodes images; leave prompt out")
    return ""


def _encode(encoder: AnyEncoder, size: int, prompt: str | None) -> Encode:
    if isinstance(encoder, ImageEncoder):
        return lambda images: encoder.encode(images, raw=True, batch_size=size)
    return lambda texts: encoder.encode(texts, raw=True, batch_size=size, prompt=prompt)


def _names(data: Data) -> tuple[str, ...]:
    return tuple(getattr(data, "classes", ()))


class _Filling:
    """A block (rows, width) that fills up: memory for one, used again and again."""

    def __init__(self, writer: TableWriter, shape: tuple[int, int], *, named: bool) -> None:
        self._writer, self._named, self.block = writer, named, shape[0]
        self._vectors = np.empty(shape, np.float32)
        self._ids: list[Any] = []
        self._labels: list[Labels] = []

    def fill(self, encode: Encode, loaded: Iterable[Batch], each: Callable[[int], object]) -> None:
        """Encode and commit what comes, the last block as far as it goes."""
        for keys, rows, labels in loaded:
            self._take(keys, encode(rows), labels)
            each(len(keys))
        self._commit()

    def _take(self, keys: list[Any], vectors: npt.NDArray[np.float32], labels: Labels) -> None:
        """Take in a batch, and commit the block if that makes it full."""
        first = len(self._ids)
        self._vectors[first : first + len(keys)] = vectors
        self._ids += keys
        self._labels.append(labels)
        if len(self._ids) == self.block:
            self._commit()

    def _commit(self) -> None:
        if self._ids:
            self._writer.add(self._vectors[: len(self._ids)], self._ids, self._checked_labels())
            self._ids, self._labels = [], []

    def _checked_labels(self) -> Labels | None:
        """The labels, or None if no row has one."""
        labels = np.concatenate(self._labels)
        without = np.flatnonzero(labels < 0)
        if len(without) == len(labels):
            return None
        if len(without):
            raise InputError(f"row {self._ids[without[0]]!r} has no label, others have; label all rows, or none")
        if self._writer.label_names and not self._named:
            raise InputError(
                "the labels of these data have no names, those of the table have; give the data the names of classes"
            )
        return labels

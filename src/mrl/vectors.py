"""A table: vectors on disk in one segment, with ids, labels and a card, committed block by block.

TABLE/manifest.json          sealed: card, rows, label names, and every file's size and checksum
TABLE/000000.vectors.npy     (rows of the block, width) float32 or float16
TABLE/000000.ids.npy         int64 or strings
TABLE/000000.labels.npy      int64, where the rows have labels
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.disk import Content, Folder
from mrl.errors import InputError, UnfinishedError

KIND = "mrl-table"


class Table:
    """A table opened for reading: a snapshot, each file compared with its checksum before its first use.

    card: what the vectors are. rows: how many. vectors: (rows, width). ids: (rows,). labels: (rows,) int64 or None.
    label_names: the name of each label, or ().
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.path = folder.path
        self.card = Card.from_json(folder.manifest["card"])
        self.rows: int = sum(folder.manifest["blocks"])
        self.label_names: tuple[str, ...] = tuple(folder.manifest["label_names"])

    @classmethod
    def open(cls, path: str | Path, *, unfinished: bool = False) -> Table:
        """Open the newest committed state.

        UnfinishedError if its writer never closed it, unless `unfinished` allows that; StorageError if there is no
        table; DamagedError naming the file whose bytes changed.
        """
        folder = Folder.open(Path(path), KIND)
        if not (folder.manifest["finished"] or unfinished):
            raise UnfinishedError(
                f"{path} is unfinished: its writer stopped after {sum(folder.manifest['blocks'])} rows; "
                "remove it and write it again, or open it with unfinished=True"
            )
        return cls(folder)

    @classmethod
    def create(cls, path: str | Path, card: Card, label_names: Sequence[str] = ()) -> TableWriter:
        """Start a table; use as a context manager. ExistsError if something is at `path`."""
        names = tuple(label_names)
        if len(set(names)) < len(names):
            raise InputError(f"label names must differ, some of {names[:9]} occur twice; rename them")
        return TableWriter(Folder.create(Path(path), KIND), card, names)

    def __len__(self) -> int:
        return self.rows

    @cached_property
    def vectors(self) -> npt.NDArray[np.floating[Any]]:
        """(rows, width); mapped from disk where the table is a single block."""
        return self._column("vectors", empty=np.empty((0, self.card.width), np.float32))

    @cached_property
    def ids(self) -> npt.NDArray[Any]:
        """(rows,) int64 or strings, each once."""
        return self._column("ids", empty=np.empty(0, np.int64))

    @cached_property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """(rows,) int64, or None if the rows were written without."""
        return self._column("labels", empty=np.empty(0, np.int64)) if self._folder.manifest["labelled"] else None

    def need_labels(self) -> npt.NDArray[np.int64]:
        """The labels; InputError if there are none."""
        if self.labels is None:
            raise InputError(
                f"{self.path} has no labels; write it with labels=, or embed a folder with one folder a class"
            )
        return self.labels

    def verify(self) -> int:
        """Compare every file with its checksum; the number of files. DamagedError names the first bad one."""
        return sum(1 for _ in self._folder.verify())

    def _column(self, name: str, empty: npt.NDArray[Any]) -> npt.NDArray[Any]:
        blocks = [
            np.load(self._folder.verified(_file(block, name)), mmap_mode="r", allow_pickle=False)
            for block in range(len(self._folder.manifest["blocks"]))
        ]
        return np.concatenate(blocks) if len(blocks) > 1 else blocks[0] if blocks else empty


class TableWriter:
    """Appends blocks to a new table. What `add` returned from is committed; leaving the `with` finishes the table."""

    def __init__(self, folder: Folder, card: Card, label_names: tuple[str, ...]) -> None:
        self._folder = folder
        self._card = card
        self._label_names = label_names
        self._blocks: list[int] = []
        self._ids: set[Any] = set()
        self._labelled: bool | None = None

    def add(
        self, vectors: npt.NDArray[Any], ids: npt.ArrayLike | None = None, labels: npt.ArrayLike | None = None
    ) -> None:
        """Commit one block: vectors (n, width) float32 or float16, ids (n,), labels (n,) integers.

        Without ids the rows are numbered on. Raises InputError or CardError naming the row, and then commits nothing.
        """
        vectors = self._checked_vectors(np.asarray(vectors))
        n = len(vectors)
        first = sum(self._blocks)
        keys = self._checked_ids(np.arange(first, first + n) if ids is None else np.asarray(ids), n)
        fresh = self._fresh(keys)
        columns: dict[str, npt.NDArray[Any]] = {"vectors": vectors, "ids": keys}
        if labels is not None:
            columns["labels"] = _checked_labels(np.asarray(labels), n)
            if self._label_names and n and columns["labels"].max() >= len(self._label_names):
                raise InputError(
                    f"label {columns['labels'].max()} has no name among the {len(self._label_names)} label names; "
                    "name every label, or none"
                )
        if self._labelled not in (None, labels is not None):
            raise InputError("some blocks have labels and some have none; give labels for all rows or for no row")
        block = len(self._blocks)
        new: dict[str, Content] = {_file(block, name): partial(_save, array) for name, array in columns.items()}
        self._labelled = labels is not None
        self._commit(new, [*self._blocks, n], finished=False)
        self._ids |= fresh

    def close(self) -> None:
        """Mark the table finished."""
        self._commit({}, self._blocks, finished=True)

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()

    def _commit(self, new: dict[str, Content], blocks: list[int], *, finished: bool) -> None:
        manifest = {
            "card": self._card.to_json(),
            "label_names": list(self._label_names),
            "labelled": bool(self._labelled),
            "blocks": blocks,
            "finished": finished,
        }
        self._folder.commit(new, manifest, keep=lambda _: True)
        self._blocks = blocks

    def _checked_vectors(self, vectors: npt.NDArray[Any]) -> npt.NDArray[np.floating[Any]]:
        if vectors.ndim != 2:
            raise InputError(f"vectors must be (rows, width), got shape {vectors.shape}")
        self._card.check_vectors(vectors)
        if vectors.dtype not in (np.float32, np.float16):
            raise InputError(f"vectors must be float32 or float16, got {vectors.dtype}; convert them first")
        bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
        if len(bad):
            raise InputError(f"row {bad[0]} has a NaN or an Inf ({len(bad)} such rows); leave these rows out")
        return vectors

    def _checked_ids(self, ids: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
        if ids.shape != (n,) or ids.dtype.kind not in "iuU":
            raise InputError(f"ids must be {n} integers or strings, got {ids.dtype} of shape {ids.shape}")
        keys = ids if ids.dtype.kind == "U" else _as_int64(ids, "ids")
        if self._ids and n and isinstance(next(iter(self._ids)), str) != (keys.dtype.kind == "U"):
            raise InputError("some blocks have integer ids and some have strings; give ids of one kind for all rows")
        return keys

    def _fresh(self, keys: npt.NDArray[Any]) -> set[Any]:
        """The ids of a block, none of which is there already."""
        fresh: set[Any] = set()
        for key in keys.tolist():
            if key in fresh or key in self._ids:
                raise InputError(f"id {key!r} occurs twice; every row needs an id of its own")
            fresh.add(key)
        return fresh


def _checked_labels(labels: npt.NDArray[Any], n: int) -> npt.NDArray[np.int64]:
    if labels.shape != (n,) or labels.dtype.kind not in "iu":
        raise InputError(f"labels must be {n} integers, got {labels.dtype} of shape {labels.shape}")
    return _as_int64(labels, "labels")


def _as_int64(values: npt.NDArray[Any], what: str) -> npt.NDArray[np.int64]:
    largest = np.iinfo(np.int64).max
    if values.dtype.kind == "u" and values.size and values.max() > largest:
        raise InputError(f"{what} must be at most {largest}, got {values.max()}; give strings or smaller numbers")
    return values.astype(np.int64)


def _save(array: npt.NDArray[Any], file: Any) -> None:
    np.save(file, array, allow_pickle=False)


def _file(block: int, column: str) -> str:
    return f"{block:06d}.{column}.npy"

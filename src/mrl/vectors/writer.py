"""TableWriter: blocks added to a table, each committed before `add` returns."""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.disk import Content, Folder
from mrl.errors import InputError
from mrl.vectors.files import column, file_name
from mrl.vectors.keys import Keys
from mrl.vectors.source_checks import odd_rows


class TableWriter:
    """Adds blocks to a table. What `add` returned from is committed; leaving the `with` finishes the table.

    rows: how many are committed. label_names: the table's, old ones first. finished: whether the table that was
    opened had been finished. One writer at a time: another one is refused until this one is closed, or gone.
    """

    def __init__(self, folder: Folder, card: Card, names: tuple[str, ...], prompt: str = "") -> None:
        """names: by which the labels given to `add` are numbered; () for the table's own numbers. prompt: what stands
        before each text.

        StorageError names the process that writes to the table already.
        """
        about = folder.manifest
        self.finished: bool = about.get("finished", False)
        self._folder = folder
        self._card = Card.from_json(about["card"]) if about else card
        self._prompt = prompt
        self._blocks: list[int] = list(about.get("blocks", ()))
        self._labelled: bool | None = about["labelled"] if self._blocks else None
        own = tuple(about.get("label_names", ()))
        if names and self._labelled and not own:
            raise InputError(
                f"{folder.path} has labels without names, so those of {len(names)} named classes cannot be matched to "
                "them; append labels of the same numbers, without names"
            )
        self.label_names = own + tuple(name for name in names if name not in own)
        self._number = np.array([self.label_names.index(name) for name in names or self.label_names], np.int64)
        self._keys = Keys()
        for block in range(len(self._blocks)):
            self._keys.add(column(folder, block, "ids"))
        self._before = self._keys.snapshot()
        self._changed = self._closed = False
        self._lock = ExitStack()  # last, so that nothing is locked by a writer that was refused
        self._lock.enter_context(folder.lock())

    @property
    def rows(self) -> int:
        return sum(self._blocks)

    def known(self, ids: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """(n,): which of these ids the table had when it was opened for this writer."""
        array = np.asarray(ids)
        return self._before.known(_checked_ids(array, array.size))

    def add(
        self, vectors: npt.NDArray[Any], ids: npt.ArrayLike | None = None, labels: npt.ArrayLike | None = None
    ) -> None:
        """Commit one block: vectors (n, width) float32 or float16, ids (n,), labels (n,) integers.

        Without ids the rows are numbered on. Raises InputError or CardError naming the row, and then commits nothing.
        """
        if self._closed:
            raise InputError(f"this writer of {self._folder.path} is closed; open the table again with Table.append")
        vectors = self._checked_vectors(np.asarray(vectors))
        n, first = len(vectors), self.rows
        keys = _checked_ids(np.arange(first, first + n) if ids is None else np.asarray(ids), n)
        self._keys.check_fresh(keys)
        columns: dict[str, npt.NDArray[Any]] = {"vectors": vectors, "ids": keys}
        if labels is not None:
            columns["labels"] = self._renumbered(_checked_labels(np.asarray(labels), n))
        if self._labelled not in (None, labels is not None):
            raise InputError("some blocks have labels and some have none; give labels for all rows or for no row")
        block = len(self._blocks)
        new: dict[str, Content] = {file_name(block, name): partial(_save, array) for name, array in columns.items()}
        self._commit(new, [*self._blocks, n], labelled=labels is not None, finished=False)
        self._keys.add(keys)

    def close(self) -> None:
        """Mark the table finished, and let others write. A finished table that got no block is left as it was."""
        if not self._closed and (self._changed or not self.finished):
            self._commit({}, self._blocks, labelled=bool(self._labelled), finished=True)
        self._release()

    def _release(self) -> None:
        self._closed = True
        self._lock.close()

    def __enter__(self) -> TableWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self._release()

    def _commit(self, new: dict[str, Content], blocks: list[int], *, labelled: bool, finished: bool) -> None:
        manifest = {
            "card": self._card.to_json(),
            "label_names": list(self.label_names),
            "labelled": labelled,
            "blocks": blocks,
            "finished": finished,
            **({"prompt": self._prompt} if self._prompt else {}),
        }
        self._folder.commit(new, manifest, keep=lambda _: True)
        self._blocks, self._changed = blocks, True
        self._labelled = labelled if blocks else None

    def _checked_vectors(self, vectors: npt.NDArray[Any]) -> npt.NDArray[np.floating[Any]]:
        if vectors.ndim != 2:
            raise InputError(f"vectors must be (rows, width), got shape {vectors.shape}")
        self._card.check_vectors(vectors)
        if vectors.dtype not in (np.float32, np.float16):
            raise InputError(f"vectors must be float32 or float16, got {vectors.dtype}; convert them first")
        bad = odd_rows(vectors).bad
        if len(bad):
            raise InputError(f"row {bad[0]} has a NaN or an Inf ({len(bad)} such rows); leave these rows out")
        return vectors

    def _renumbered(self, labels: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Labels by the table's names; negative ones, which mean no class, stay."""
        if not len(self._number) or not len(labels):
            return labels
        if labels.max() >= len(self._number):
            raise InputError(
                f"label {labels.max()} has no name among the {len(self._number)} label names; name every label, or none"
            )
        return np.where(labels < 0, labels, self._number[labels])


def _checked_ids(ids: npt.NDArray[Any], n: int) -> npt.NDArray[Any]:
    if ids.shape != (n,) or ids.dtype.kind not in "iuU":
        raise InputError(f"ids must be {n} integers or strings, got {ids.dtype} of shape {ids.shape}")
    return ids if ids.dtype.kind == "U" else _as_int64(ids, "ids")


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

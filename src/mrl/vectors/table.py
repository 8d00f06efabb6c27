"""Table: vectors on disk, opened for reading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.disk import Folder
from mrl.errors import InputError, UnfinishedError
from mrl.vectors.files import KIND, OWNED, Block, column
from mrl.vectors.writer import TableWriter


class Table:
    """A table opened for reading: a snapshot, each file compared with its checksum before its first use.

    It is pinned: what it needs stays, whatever a writer does, until it is let go of.

    card: what the vectors are. rows: how many. vectors: (rows, width). ids: (rows,). labels: (rows,) int64 or None.
    label_names: the name of each label, or (). prompt: what stood before each text, or "". finished: whether its writer
    closed it.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.path = folder.path
        self.card = Card.from_json(folder.manifest["card"])
        self.rows: int = sum(folder.manifest["blocks"])
        self.label_names: tuple[str, ...] = tuple(folder.manifest["label_names"])
        self.prompt: str = folder.manifest.get("prompt", "")
        self.finished: bool = folder.manifest["finished"]

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
    def create(cls, path: str | Path, card: Card, label_names: Sequence[str] = (), *, prompt: str = "") -> TableWriter:
        """Start a table; use as a context manager. ExistsError if something is at `path`."""
        names = _differing(label_names)
        return TableWriter(Folder.create(Path(path), KIND), card, names, prompt)

    @classmethod
    def append(
        cls, path: str | Path, card: Card, label_names: Sequence[str] = (), *, prompt: str | None = None
    ) -> TableWriter:
        """Reopen a table, finished or not, for more blocks; use as a context manager.

        From its first new block until it is closed the table is unfinished; what was committed stays as it is and can
        be read. label_names: those by which the labels to come are numbered (default: the table's own). They are mapped
        onto the table's by name; new ones come after. prompt: what stands before the texts to come; None as before.
        CardError if the card does not fit, InputError for another prompt, StorageError if there is no table or another
        writer has it. What a killed writer left half written is removed.
        """
        path, names = Path(path), _differing(label_names)
        if Folder.begun(path, OWNED) and not Folder.committed(path):
            return TableWriter(Folder.create(path, KIND, OWNED), card, names, prompt or "")
        folder = Folder.open(path, KIND)
        with folder.lock():
            folder = folder if folder.current() else folder.refreshed()
            Card.from_json(folder.manifest["card"]).check_fits(card, (str(path), "what is added"))
            before = folder.manifest.get("prompt", "")
            if prompt not in (None, before):
                raise InputError(
                    f"{path} holds vectors of texts behind the prompt {before!r}, got {prompt!r}; embed these texts "
                    "with the same prompt, or into another table"
                )
            folder.sweep(OWNED)
            return TableWriter(folder, card, names, before)

    @staticmethod
    def begun(path: str | Path) -> bool:
        """Whether there is something for `append`: a table, or what a writer left that stopped before its first block.

        An empty folder is nothing yet.
        """
        return Folder.begun(Path(path), OWNED)

    def __len__(self) -> int:
        return self.rows

    @property
    def bytes(self) -> int:
        """Of all its files but the manifest."""
        return sum(entry.bytes for entry in self._folder.entries.values())

    @cached_property
    def vectors(self) -> npt.NDArray[np.floating[Any]]:
        """(rows, width); mapped from disk where the table is a single block, else in memory. See `blocks`."""
        return self._joined("vectors", empty=np.empty((0, self.card.width), np.float32))

    @cached_property
    def ids(self) -> npt.NDArray[Any]:
        """(rows,) int64 or strings, each once."""
        return self._joined("ids", empty=np.empty(0, np.int64))

    @cached_property
    def labels(self) -> npt.NDArray[np.int64] | None:
        """(rows,) int64, or None if the rows were written without."""
        return self._joined("labels", empty=np.empty(0, np.int64)) if self._folder.manifest["labelled"] else None

    def blocks(self) -> Iterator[Block]:
        """All rows block by block, in order, each mapped from disk: for tables that do not fit into memory."""
        labelled = self._folder.manifest["labelled"]
        for block, ids in enumerate(self.id_blocks()):
            labels = column(self._folder, block, "labels") if labelled else None
            yield Block(column(self._folder, block, "vectors"), ids, labels)

    def id_blocks(self) -> Iterator[npt.NDArray[Any]]:
        """The ids block by block; nothing else is read."""
        return self._column("ids")

    def need_labels(self) -> npt.NDArray[np.int64]:
        """The labels; InputError if there are none."""
        if self.labels is None:
            raise InputError(
                f"{self.path} has no labels; write it with labels=, or embed class folders, or a table with a column "
                "of labels"
            )
        return self.labels

    def verify(self) -> int:
        """Compare every file with its checksum; the number of files. DamagedError names the first bad one."""
        return sum(1 for _ in self._folder.verify())

    def _column(self, name: str) -> Iterator[npt.NDArray[Any]]:
        return (column(self._folder, block, name) for block in range(len(self._folder.manifest["blocks"])))

    def _joined(self, name: str, empty: npt.NDArray[Any]) -> npt.NDArray[Any]:
        blocks = list(self._column(name))
        return np.concatenate(blocks) if len(blocks) > 1 else blocks[0] if blocks else empty


def _differing(label_names: Sequence[str]) -> tuple[str, ...]:
    names = tuple(label_names)
    if len(set(names)) < len(names):
        raise InputError(f"label names must differ, some of {names[:9]} occur twice; rename them")
    return names

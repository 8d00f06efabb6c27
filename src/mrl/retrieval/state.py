"""A coming state of an index: new blocks, deleted rows, engines, and the manifest that publishes them together."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.disk import Content, Folder
from mrl.errors import InputError
from mrl.retrieval.blocks import About, Positions, deleted_name
from mrl.retrieval.encodings import Floats
from mrl.retrieval.engines import EngineAbout
from mrl.retrieval.layout import Layout
from mrl.retrieval.writing import BLOCK_ROWS, BlockWriter, saved

if TYPE_CHECKING:
    import pyarrow

    from mrl.retrieval.snapshot import Snapshot

MOST = 2**32 - 1  # rows, deleted ones that are still there included: a position is half of a 64-bit key


@dataclass(frozen=True)
class Contents:
    """What the manifest of an index says. columns: names of the payload's, None without payload. strings: whether ids
    are strings, None before the first row. map: the map's file, "" for none. next: the number of the next block. raw:
    the card of what goes into a map that gives fewer dims than it takes, else None. changes: rows added, deleted or
    replaced since the index was built. planned: the file of what was planned, "" for none, for rows as they were when
    `changes` were planned_at. built: the engine that was built for it, by its name; "" for none, or for one that was
    there before."""

    card: Card
    layout: Layout
    blocks: tuple[About, ...] = ()
    columns: tuple[str, ...] | None = None
    strings: bool | None = None
    map: str = ""
    engines: tuple[EngineAbout, ...] = ()
    next: int = 0
    raw: Card | None = None
    changes: int = 0
    planned: str = ""
    planned_at: int = 0
    built: str = ""

    def to_json(self) -> dict[str, Any]:
        return {
            "card": self.card.to_json(),
            "layout": self.layout.to_json(),
            "blocks": [asdict(block) for block in self.blocks],
            "columns": None if self.columns is None else list(self.columns),
            "strings": self.strings,
            "map": self.map,
            "engines": [engine.to_json() for engine in self.engines],
            "next": self.next,
            "changes": self.changes,
            "planned": self.planned,
            "planned_at": self.planned_at,
            **({} if self.raw is None else {"raw": self.raw.to_json()}),
            **({"built": self.built} if self.built else {}),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Contents:
        columns = document["columns"]
        return cls(
            Card.from_json(document["card"]),
            Layout.from_json(document["layout"]),
            tuple(About(**each) for each in document["blocks"]),
            None if columns is None else tuple(columns),
            document["strings"],
            document["map"],
            tuple(map(EngineAbout.from_json, document["engines"] if "engines" in document else document["graphs"])),
            document["next"],
            Card.from_json(document["raw"]) if "raw" in document else None,
            document.get("changes", 0),
            document.get("planned", ""),
            document.get("planned_at", 0),
            document.get("built", ""),
        )

    def names(self, name: str) -> bool:
        """Whether a file of the folder belongs to this state."""
        numbers = {f"{block.number:06d}" for block in self.blocks}
        if ".deleted-" in name:
            return any(block.deleted == name for block in self.blocks)
        return (
            name in (self.map, self.planned)
            or name in {file for engine in self.engines for file in (engine.file, engine.map_file) if file}
            or (name.split(".")[0] in numbers and not name.endswith(".graph"))
        )


class Growing:
    """New blocks, as many as the rows need. Used under the folder's lock; `discard` if they are not committed."""

    def __init__(self, folder: Folder, layout: Layout, number: int) -> None:
        self._folder, self._layout, self.next = folder, layout, number
        self._open: BlockWriter | None = None
        self._done: list[tuple[About, dict[str, Content]]] = []
        self.rows = 0

    def add(self, vectors: Floats, ids: npt.NDArray[Any], payload: pyarrow.Table | None) -> None:
        """Checked rows, mapped already."""
        start = 0
        while start < len(vectors):
            if self._open is None:
                self._open = BlockWriter(self._folder, self._layout, self.next)
                self.next += 1
            stop = min(len(vectors), start + BLOCK_ROWS - self._open.rows)
            part = None if payload is None else payload.slice(start, stop - start)
            self._open.add(vectors[start:stop], ids[start:stop], part)
            if self._open.rows == BLOCK_ROWS:
                self._finish()
            start = stop
        self.rows += len(vectors)

    def _finish(self) -> None:
        if self._open is not None:
            self._done.append(self._open.finish())
        self._open = None

    def finish(self) -> tuple[list[About], dict[str, Content]]:
        """The blocks, and their files."""
        self._finish()
        new: dict[str, Content] = {}
        for _, files in self._done:
            new |= files
        return [about for about, _ in self._done], new

    def discard(self) -> None:
        """Remove what was written."""
        if self._open is not None:
            self._open.discard()
        for _, files in self._done:
            for content in files.values():
                if hasattr(content, "discard"):
                    content.discard()


class Coming:
    """Changes to a snapshot that are committed together."""

    def __init__(self, base: Snapshot) -> None:
        self.base, self.contents = base, base.contents
        self._growing = Growing(base.folder, base.layout, base.contents.next)
        self._doomed: dict[int, list[Positions]] = {}
        self._gone = 0  # rows that are deleted, and have none in their place
        self._columns, self._strings = self.contents.columns, self.contents.strings
        self._schema: pyarrow.Schema | None = None
        self.next_id = base.next_id

    def add(self, vectors: Floats, ids: npt.NDArray[Any], payload: pyarrow.Table | None) -> None:
        """Checked rows, mapped already, with ids that are nowhere yet."""
        if len(ids):
            self._strings = ids.dtype.kind == "U"
            self._columns = None if payload is None else tuple(payload.column_names)
            self._schema = None if payload is None else payload.schema
            if not self._strings:
                self.next_id = max(self.next_id, int(ids.max()) + 1)
        self._growing.add(vectors, ids, payload)

    def matched(self, payload: pyarrow.Table | None) -> pyarrow.Table | None:
        """The payload with the columns and types of the rows before; InputError if it has others, or is missing."""
        if not self.base.blocks and not self._growing.rows:
            if payload is not None and "id" in payload.column_names:
                raise InputError("a payload column is called id, which means the rows' own ids; rename it")
            return payload
        schema = self._schema
        if self.base.blocks and self.contents.columns is not None:
            schema = self.base.blocks[0].schema
        return fitted(payload, schema, self.base.folder.path)

    def doom(self, positions: Positions, *, replaced: bool = False) -> None:
        """Delete living rows of the base. replaced: whether each has one of those that are added in its place."""
        for block, _, rows in self.base.split(positions):
            self._doomed.setdefault(block.about.number, []).append(rows)
            self._gone += 0 if replaced else len(rows)

    def commit(self) -> None:
        """Publish, as the newest state of the base's folder."""
        try:
            blocks, new = self._growing.finish()
            old, deleted = self._with_deleted()
            contents = replace(
                self.contents,
                blocks=(*old, *blocks),
                columns=self._columns,
                strings=self._strings,
                next=self._growing.next,
                changes=self.contents.changes + self._growing.rows + self._gone,
            )
            publish(self.base.folder, contents, {**new, **deleted})
        except BaseException:
            self._growing.discard()
            raise

    def discard(self) -> None:
        self._growing.discard()

    def _with_deleted(self) -> tuple[list[About], dict[str, Content]]:
        abouts, new = [], dict[str, Content]()
        for block in self.base.blocks:
            about = block.about
            if about.number in self._doomed:
                rows = np.union1d(block.deleted, np.concatenate(self._doomed[about.number]))
                name = deleted_name(about, self.base.folder.number + 1)
                about = replace(about, deleted=name, dead=len(rows))
                new[name] = saved(rows)
            abouts.append(about)
        return abouts, new


def publish(folder: Folder, contents: Contents, new: Mapping[str, Content]) -> None:
    """Commit a state with these new files and those old ones that it names. InputError for more rows than places."""
    rows = sum(block.rows for block in contents.blocks)
    if rows > MOST:
        raise InputError(f"an index has room for {MOST} rows, this would have {rows}; compact it, or split it in two")
    folder.commit(new, contents.to_json(), keep=contents.names)


def living(
    snapshot: Snapshot, numbers: Sequence[int], batch: int, stop: int | None = None
) -> Iterator[tuple[Floats, npt.NDArray[Any], pyarrow.Table | None]]:
    """The rows of some blocks that are not deleted, as the encodings of record hold them, batch by batch.

    stop: the last level that is read, if not all are.
    """
    import pyarrow

    for block in snapshot.blocks:
        if block.about.number not in numbers:
            continue
        for start in range(0, block.rows, batch):
            rows = np.arange(start, min(start + batch, block.rows))
            if block.about.dead:
                rows = rows[block.alive[rows]]
            payload = None if block.payload is None else _own(block.payload.take(pyarrow.array(rows)))
            yield block.decoded(rows, stop), block.ids[rows], payload


def _own(taken: pyarrow.Table) -> pyarrow.Table:
    """The rows with dictionaries of their own: those that they came with have the values of deleted rows, too."""
    import pyarrow

    plain = pyarrow.schema([field.with_type(_plain(field.type)) for field in taken.schema])
    return taken if plain.equals(taken.schema) else taken.cast(plain).cast(taken.schema)


def _plain(kind: pyarrow.DataType) -> pyarrow.DataType:
    """The type without dictionaries, also inside lists and structs."""
    import pyarrow

    if pyarrow.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pyarrow.types.is_list(kind) or pyarrow.types.is_large_list(kind):
        whole = pyarrow.list_ if pyarrow.types.is_list(kind) else pyarrow.large_list
        return whole(kind.value_field.with_type(_plain(kind.value_type)))
    if pyarrow.types.is_struct(kind):
        return pyarrow.struct([field.with_type(_plain(field.type)) for field in kind])
    return kind


def fitted(payload: pyarrow.Table | None, schema: pyarrow.Schema | None, path: Path) -> pyarrow.Table | None:
    """The payload with the columns and types that rows of `path` have; InputError if it has others, or is missing."""
    mine, theirs = None if schema is None else schema.names, None if payload is None else payload.column_names
    if (mine is None) != (theirs is None) or set(mine or ()) != set(theirs or ()):
        have, new = (", ".join(names) if names is not None else "none" for names in (mine, theirs))
        raise InputError(f"the payload columns of {path} are {have}, the new rows have {new}; give the same columns")
    if payload is None or schema is None:
        return None
    import pyarrow

    try:
        return payload.select(schema.names).cast(schema)
    except (pyarrow.ArrowInvalid, pyarrow.ArrowNotImplementedError) as error:
        raise InputError(f"payload cannot be stored with the types of {path}: {error}") from None

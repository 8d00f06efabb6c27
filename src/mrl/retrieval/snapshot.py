"""Snapshot: one committed state of an index, opened for reading. Later commits do not change it."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.disk import Folder
from mrl.errors import InputError
from mrl.maps import Rotation
from mrl.retrieval.blocks import Block, Positions
from mrl.retrieval.encodings import Floats
from mrl.retrieval.engine import Engine, engine_text, of_build
from mrl.retrieval.engines import Built
from mrl.retrieval.leading import Leading
from mrl.retrieval.rerank import Record
from mrl.retrieval.state import Contents
from mrl.vectors.keys import digests

if TYPE_CHECKING:
    import pyarrow

    from mrl.retrieval.planner.planned import Planned

KIND = "mrl-index"


class Snapshot:
    """card: what is stored, maps included. layout: its cuts and encodings. blocks: all of them, in order.
    positions: one past the last position; deleted rows keep theirs until `compact`. rows: how many live."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.contents = Contents.from_json(folder.manifest)
        self.card, self.layout = self.contents.card, self.contents.layout
        abouts = self.contents.blocks
        firsts = np.cumsum([0, *(each.rows for each in abouts)]).tolist()
        self.positions: int = firsts[-1]
        self.rows = self.positions - sum(each.dead for each in abouts)
        payload = self.contents.columns is not None
        self.blocks = tuple(
            Block(folder, self.layout, each, first, payload=payload)
            for each, first in zip(abouts, firsts, strict=False)
        )
        self._firsts = np.array(firsts[:-1], np.int64)
        self._known: dict[tuple[int, Engine, str], Built] = {}
        self.quick: dict[Any, Any] = {}  # plans bound to this snapshot (see `searching.quickly`)
        self.answers: dict[Any, Any] = {}  # to needs (see `by_need.answer`)
        self._records: dict[tuple[str, ...], Record | None] = {}

    @cached_property
    def map(self) -> Rotation | Leading | None:
        """What raw vectors go through before they are stored or searched with."""
        if not self.contents.map:
            return None
        file = self.folder.verified(self.contents.map)
        return Rotation.load(file) if self.contents.raw is None else Leading.load(file)

    @cached_property
    def engines(self) -> tuple[Built, ...]:
        """The engines over prefixes, newest first."""
        known = {block.about.number: block for block in self.blocks}
        metric = self.card.metric
        return tuple(
            Built(self.folder, about, [known[n] for n in about.blocks], metric) for about in self.contents.engines
        )

    @cached_property
    def planned(self) -> Planned | None:
        """What was planned for the index; None if nothing was. DamagedError if the file changed."""
        from mrl.retrieval.planner.planned import Planned

        if not self.contents.planned:
            return None
        return Planned.load(self.folder.verified(self.contents.planned))

    def engine(self, dim: int, engine: Engine, turn: str = "") -> Built:
        """The engine over this prefix that was built with these knobs; InputError where there is none.

        turn: the name of its own map, "" for none.
        """
        key = dim, of_build(engine), turn
        if key not in self._known:
            self._known[key] = self._find_engine(dim, engine, turn)
        return self._known[key]

    def _find_engine(self, dim: int, engine: Engine, turn: str) -> Built:
        found = next((each for each in self.engines if each.about.fits(dim, engine, turn)), None)
        if found is None:
            wanted = _engine_name(dim, engine_text(of_build(engine), whole=True), turn)
            there = ", ".join(_engine_name(e.about.dim, e.about.engine, e.about.map) for e in self.engines)
            remedy = "mrl plan builds engines with a map of their own" if turn else self._to_have(dim, engine)
            raise InputError(f"{self.folder.path} has no engine {wanted}; it has {there or 'none'}; {remedy}")
        return found

    def _to_have(self, dim: int, engine: Engine) -> str:
        """How an index comes to have an engine without a map of its own."""
        path, cuts = self.folder.path, self.layout.cuts
        if dim > cuts.width:
            return f"its vectors have {cuts.width} dims; build one of no more"
        build = f"--engine {dim}/{engine_text(of_build(engine))}"
        if dim in cuts.dims:
            return f"build one: mrl index compact {path} {build}"
        wider = ",".join(map(str, sorted({*cuts.dims, dim})))
        return (
            f"nor has it a cut at {dim}; make a copy that has: mrl index relayout {path} --out NEW --cuts {wider}, and "
            f"build one there: mrl index compact NEW {build}"
        )

    def record(self, reading: tuple[str, ...]) -> Record | None:
        """Where the rows lie in these encodings, for the compiled re-rank; None where it does not read one of them."""
        if reading not in self._records:
            self._records[reading] = Record.of(self, reading)
        return self._records[reading]

    def raw_card(self) -> Card:
        """The card of vectors that have not been through the index's own map, which may be wider than what it gives."""
        if self.contents.raw is not None:
            return self.contents.raw
        if self.contents.map:
            return replace(self.card, maps=self.card.maps[:-1])
        return self.card

    # ------------------------------------------------------------------------------------ ids

    def locate(self, ids: npt.NDArray[Any]) -> Positions:
        """(n,) positions of living rows with these ids, −1 for ids that are not there."""
        found = np.full(len(ids), -1, np.int64)
        if self.blocks and len(ids):
            self.check_kind(ids)
        wanted = digests(ids)
        for block in self.blocks:
            at = np.minimum(np.searchsorted(block.keys, wanted), block.rows - 1)
            hit = np.flatnonzero(block.keys[at] == wanted)
            rows = block.places[at[hit]].astype(np.int64)
            if block.about.dead:
                living = block.alive[rows]
                hit, rows = hit[living], rows[living]
            found[hit] = rows + block.first
        return found

    @property
    def next_id(self) -> int:
        """The number of the next row that comes without an id."""
        return 0 if self.strings else max((int(block.keys[-1]) + 1 for block in self.blocks), default=0)

    def check_kind(self, ids: npt.NDArray[Any]) -> None:
        """InputError for integers where the ids are strings, and the other way round."""
        if self.contents.strings is None:
            return
        mine = "strings" if self.strings else "integers"
        if self.strings != (ids.dtype.kind == "U"):
            raise InputError(f"the ids of {self.folder.path} are {mine}, got {ids[0].item()!r}; give ids of one kind")

    @property
    def strings(self) -> bool:
        """Whether the ids are strings."""
        return bool(self.contents.strings)

    def ids_at(self, positions: Positions) -> npt.NDArray[Any]:
        """Ids at positions of any shape; those at −1 are "" or −1."""
        blank = "" if self.strings else -1
        return self._gathered(positions, lambda block, rows: block.ids[rows], blank)

    def vectors_at(self, positions: Positions) -> Floats:
        """(m, width) vectors as the encodings of record hold them, mapped."""
        values = np.zeros((len(positions), self.card.width), np.float32)
        for block, at, rows in self.split(positions):
            values[at] = block.decoded(rows)
        return values

    def payload_at(self, positions: Positions) -> pyarrow.Table | None:
        """Payload rows at positions (m,), in that order."""
        if self.contents.columns is None:
            return None
        import pyarrow

        parts, order = [], []
        for block, at, rows in self.split(positions):
            parts.append(block.payload.take(pyarrow.array(rows)))  # type: ignore[union-attr]
            order.append(at)
        if not parts:
            return self.blocks[0].schema.empty_table() if self.blocks else None
        together = pyarrow.concat_tables(parts)
        return together.take(pyarrow.array(np.argsort(np.concatenate(order), kind="stable")))

    def split(self, positions: Positions) -> list[tuple[Block, Positions, Positions]]:
        """(block, where in `positions` (m,), rows in the block) for each block that has any of them."""
        owner = np.searchsorted(self._firsts, positions, side="right") - 1
        owner[positions < 0] = -1
        found = []
        for number in np.unique(owner[owner >= 0]).tolist():
            at = np.flatnonzero(owner == number)
            found.append((self.blocks[number], at, positions[at] - self.blocks[number].first))
        return found

    def _gathered(self, positions: Positions, take: Any, blank: Any) -> npt.NDArray[Any]:
        if len(self.blocks) == 1 and positions.size and positions.min() >= 0:
            found: npt.NDArray[Any] = take(self.blocks[0], positions)
            return found
        flat = positions.ravel()
        parts = [(at, take(block, rows)) for block, at, rows in self.split(flat)]
        dtype = np.result_type(*(part.dtype for _, part in parts)) if parts else np.asarray([blank]).dtype
        values = np.full(len(flat), blank, dtype)
        for at, part in parts:
            values[at] = part
        return values.reshape(positions.shape)


def _engine_name(dim: int, engine: str, turn: str) -> str:
    return f"{dim}/{engine}" + (f" after {turn}" if turn else "")

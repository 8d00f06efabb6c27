"""Index: nested vectors on disk that can be searched at every cut, added to, and never lose what was committed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.disk import Folder
from mrl.errors import InputError, StorageError
from mrl.retrieval import by_need, changes, copying, migrating, searching
from mrl.retrieval.blocks import OWNED
from mrl.retrieval.building import BuildSpec, Progress, build, silent
from mrl.retrieval.by_need import Need
from mrl.retrieval.engine import HNSW, Engine
from mrl.retrieval.engine_building import add_engine, rebuild, unfinished
from mrl.retrieval.keeping import keep
from mrl.retrieval.layout import Layout
from mrl.retrieval.leading import Leading
from mrl.retrieval.plan import Plan, parsed
from mrl.retrieval.queries import Queries
from mrl.retrieval.records import Records, to_add, to_build
from mrl.retrieval.results import Results
from mrl.retrieval.rows import Rows
from mrl.retrieval.snapshot import KIND, Snapshot
from mrl.vectors import Table

if TYPE_CHECKING:
    from mrl.retrieval.planner.planned import Planned

AS_IT_COMES, GRAPH = BuildSpec(), HNSW()


class Index:
    """An index on disk, opened at its newest state.

    What others commit meanwhile is seen after `refresh`. Methods that change it take the writer's lock for as long as
    they run, see the newest state, and have the change on the device when they return; searches that run meanwhile
    keep their snapshot. Threads may share an Index: small changes that come together share one commit.

    card: what is stored, the index's own map included. rows: how many there are.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._group = changes.Group()

    @classmethod
    def build(
        cls, path: str | Path, rows: Rows | Table, spec: BuildSpec = AS_IT_COMES, progress: Progress = silent
    ) -> Index:
        """Write an index of all rows in a stream, and open it. Nothing is there until all of it is.

        progress: called with what is done, how many, of how many. ExistsError if something is at `path`; InputError or
        CardError naming the row that cannot be stored; StorageError if the disk refuses.
        """
        build(Path(path), to_build(rows, spec), spec, progress)
        return cls.open(path)

    @classmethod
    def open(cls, path: str | Path) -> Index:
        """The newest committed state. Reads the manifest alone; every other file is verified before its first use.

        StorageError if there is no index, DamagedError if its manifest changed.
        """
        return cls(Snapshot(Folder.open(Path(path), KIND)))

    @property
    def path(self) -> Path:
        return self._snapshot.folder.path

    @property
    def card(self) -> Card:
        return self._snapshot.card

    @property
    def rows(self) -> int:
        rows: int = self._snapshot.rows
        return rows

    def __len__(self) -> int:
        return self.rows

    @property
    def snapshot(self) -> Snapshot:
        """The state that searches see now."""
        return self._snapshot

    def refresh(self) -> Index:
        """See what was committed since; returns itself."""
        with self._group.seeing:  # one that began before a commit must not end after it, with what was before
            if not self._snapshot.folder.current():
                self._snapshot = Snapshot(self._snapshot.folder.refreshed())
        return self

    # ------------------------------------------------------------------------------------ reading

    def search(
        self,
        queries: Any,
        k: int = 10,
        *,
        plan: Plan | str | None = None,
        exact: bool = False,
        where: Any = None,
        **need: Unpack[Need],
    ) -> Results:
        """The k nearest rows of each query.

        queries: (q, width) or (width,) floats, as the model gives them (the index's map is applied here), a Table, or
        what `prepare` made. plan: a `Plan` or its text; without one, and with `exact=True`, the search is exact: the
        full-width result of the encodings of record, in order of (score, id). where: a condition on the payload, as
        text (`price < 20 and brand in ["a", "b"]`) or a pyarrow expression; k rows come back where k fulfil it. need:
        instead of a plan a `Need`; the results say what is promised, and where that does not apply.

        InputError for a k, a NaN, a column or a need that cannot be; CardError for another model's vectors;
        NestingError for cuts that are not there; DamagedError naming a file whose bytes changed.
        """
        snapshot = self._snapshot  # which `refresh` may change meanwhile
        if need or exact:
            by_need.check_one(exact, plan, need)
        if need:
            known = by_need.answer(snapshot, need, k, filtered=where is not None)
            return known.told(searching.search(snapshot, queries, k, known.plan, where))
        plan = parsed(plan) if isinstance(plan, str) else plan
        if not isinstance(plan, Plan | None):
            raise InputError(f"plan is a Plan or its text such as 32:200,1024:10, got {plan!r}")
        return searching.search(snapshot, queries, k, plan, where)

    @property
    def planned(self) -> Planned | None:
        """What `mrl plan` found for this index; None if it was not planned. DamagedError if the file changed."""
        return self._snapshot.planned

    @property
    def stale(self) -> bool:
        """Whether so many rows changed since it was planned that its promises no longer hold; not if nothing was."""
        snapshot = self._snapshot
        return snapshot.planned is not None and by_need.stale(snapshot, snapshot.planned)

    def keep_planned(self, planned: Planned, *, at: int | None = None, built: bool = False) -> None:
        """Keep what was planned for these rows beside them; it takes the place of what was planned before, and of the
        engine that was built for that alone.

        at: how many `changes` the rows that were planned for had seen; all where nothing is said. built: whether the
        engine of the ready plans was built for them.
        """
        with self.writing():
            keep(self._newest(), planned, at, built=built)

    def prepare(self, queries: npt.NDArray[Any], *, mapped: bool = False) -> Queries:
        """Queries (q, width), checked and put through the index's map once, for many searches.

        mapped: whether they went through it before, as those of a map that you keep yourself.
        """
        return Queries.of(np.asarray(queries), self._snapshot, mapped=mapped)

    def get(self, ids: npt.ArrayLike) -> Records:
        """Rows by their ids, in that order. InputError naming the first id that is not there."""
        return Records.of(self._snapshot, changes.ids_of(ids))

    def known(self, ids: npt.ArrayLike) -> npt.NDArray[np.bool_]:
        """(n,): which of these ids are there."""
        known: npt.NDArray[np.bool_] = self._snapshot.locate(changes.ids_of(ids)) >= 0
        return known

    # ------------------------------------------------------------------------------------ changing

    def add(self, rows: Rows | Table | npt.ArrayLike, ids: Any = None, payload: Any = None) -> int:
        """Add rows; how many. An array (n, width) comes with ids (n,), or is numbered on, and with payload if the
        others have some. InputError for ids that are there already; then nothing is added."""
        return self._add(rows, ids, payload, replaces=False)

    def upsert(self, rows: Rows | Table | npt.ArrayLike, ids: Any = None, payload: Any = None) -> int:
        """Add rows, in place of those that have the same ids; how many."""
        return self._add(rows, ids, payload, replaces=True)

    def _add(self, rows: Any, ids: Any, payload: Any, *, replaces: bool, progress: Progress = silent) -> int:
        source, mapped = to_add(self._snapshot, rows, ids, payload)
        batch = changes.small(source, mapped=mapped)
        if batch is not None and not len(batch.vectors):
            return 0
        if batch is not None:
            return self._group.submit(changes.Change(batch, batch.ids, replaces), self._apply)
        with self.writing():
            return changes.large(self._newest(), source, replaces=replaces, mapped=mapped, progress=progress)

    def delete(self, ids: npt.ArrayLike) -> int:
        """Delete rows by id; how many of them were there. Their bytes leave the disk at `compact`."""
        return self._group.submit(changes.Change(ids=changes.ids_of(ids)), self._apply)

    def compact(self, progress: Progress = silent) -> bool:
        """Write blocks anew that have deleted rows or are small, then the engines; whether there was anything to do.

        Deleted rows are off the disk afterwards, as soon as no reader holds an older state.
        """
        with self.writing():
            changed = changes.compact(self._newest(), progress)
            self._renew()
            behind = unfinished(self._snapshot)
            for about in behind:
                rebuild(self._newest(), about, progress)
                self._renew()
        return changed or bool(behind)

    def add_engine(
        self,
        dim: int,
        engine: Engine = GRAPH,
        turn: Leading | None = None,
        *,
        progress: Progress = silent,
        made: Any = None,
    ) -> None:
        """Build an engine over the prefix of `dim` dims, of all rows that there are now.

        turn: a map of the engine's own, of which it holds the first `dim` coordinates; else the index needs a cut at
        `dim`. made: FAISS's index of all rows, in order, where it was built already.

        NestingError for a dim that is not there, CardError for a map that does not fit, InputError for a scan,
        MissingError without FAISS.
        """
        with self.writing():
            add_engine(self._newest(), dim, engine, progress, turn, made)

    def verify(self) -> list[str]:
        """Compare every file with its checksum; a line for each that is damaged or missing."""
        return copying.verify(self._snapshot)

    def copy(self, out: str | Path) -> Index:
        """Copy this state to another folder, however much is written meanwhile. ExistsError if `out` is there."""
        copying.copy(self._snapshot, Path(out))
        return Index.open(out)

    def relayout(self, out: str | Path, spec: BuildSpec, progress: Progress = silent) -> Index:
        """A copy with other cuts or encodings, made from the stored vectors."""
        copying.relayout(self._snapshot, Path(out), spec, progress)
        return Index.open(out)

    def migrate(
        self,
        out: str | Path,
        dim: int,
        layout: Layout | None = None,
        *,
        untrained: bool = False,
        progress: Progress = silent,
    ) -> Index:
        """A copy with the first `dim` dims alone, made from the stored vectors; deleted rows and engines stay behind.

        It takes queries of `dim` dims (`mrl.vectors.migrating.narrowed` cuts them). An index with a map keeps of it
        what gives these dims, and takes vectors as before. layout: by default the cuts up to `dim`, encoded as before.

        NestingError unless dim < width, and for a dim that was not trained unless `untrained` allows that. ExistsError
        if `out` is there.
        """
        migrating.migrate(self._snapshot, Path(out), dim, layout, progress, untrained=untrained)
        return Index.open(out)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Hold the writer's lock through several changes. StorageError names the process that writes already."""
        with self._group.alone(), self._writer():
            yield

    @contextmanager
    def _writer(self) -> Iterator[None]:
        folder, before = self._snapshot.folder, self._snapshot.folder.number
        with folder.lock():
            self._renew()
            try:
                yield
            finally:
                self._renew()
        del folder  # which held the files of the state before
        if self._snapshot.folder.number != before:
            with suppress(StorageError):  # another writer came meanwhile: it will do this
                self._snapshot.folder.sweep(OWNED)

    def _renew(self) -> None:
        """See the newest state."""
        if not self._snapshot.folder.current():
            self.refresh()

    def _apply(self, together: list[changes.Change]) -> None:
        with self._writer():
            changes.apply(together, self._newest)

    def _newest(self) -> Snapshot:
        """The newest state, to commit to: what is committed to moves on, and searches keep theirs."""
        self._renew()
        return Snapshot(self._snapshot.folder.refreshed())

"""Changes to an index that is there: rows added, replaced, deleted; blocks written anew without what is dead.

Small changes that come at the same time from several threads share one commit: the first to come commits its own, and
whatever came meanwhile is committed together next. Each returns once its change is on the device.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.retrieval.building import Progress
from mrl.retrieval.rows import BATCH, Batch, Rows, check_ids, checked, numbered
from mrl.retrieval.snapshot import Snapshot
from mrl.retrieval.state import Coming, Growing, living, publish
from mrl.retrieval.writing import BLOCK_ROWS, check_storable
from mrl.vectors.keys import Keys

if TYPE_CHECKING:
    import pyarrow

SMALL = 16_384  # rows that are held in memory to be committed together with others


@dataclass(eq=False)
class Change:
    """One call's change. replaces: whether rows of the same ids go (upsert). rows: None for a deletion of `ids`."""

    rows: Batch | None = None
    ids: npt.NDArray[Any] | None = None
    replaces: bool = False
    done: bool = False
    count: int = 0
    error: BaseException | None = None


Turn = AbstractContextManager[bool]
Commit = Callable[[list[Change]], None]  # not kept: an index that only a cycle holds would pin its state


@dataclass(eq=False)
class Group:
    """Changes that wait for the next commit. seeing: held while the newest state is looked for."""

    _waiting: list[Change] = field(default_factory=list)
    _queue: threading.Lock = field(default_factory=threading.Lock)
    _turn: Turn = field(default_factory=threading.RLock)  # taken again by changes inside `writing`
    seeing: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        _groups.add(self)

    def forget(self) -> None:
        """In a forked child: whoever held the locks, and waited, is in the parent."""
        self._waiting, self._queue, self._turn, self.seeing = [], threading.Lock(), threading.RLock(), threading.Lock()

    def submit(self, change: Change, commit: Commit) -> int:
        """Returns once the change is committed, by this thread or by another; raises what it was refused with."""
        with self._queue:
            self._waiting.append(change)
        with self._turn:
            if not change.done:
                with self._queue:
                    together, self._waiting = self._waiting, []
                _run(together, commit)
        if change.error is not None:
            raise change.error
        return change.count

    def alone(self) -> Turn:
        """Held while something larger is committed."""
        return self._turn


_groups: weakref.WeakSet[Group] = weakref.WeakSet()


def _forget_all() -> None:
    for group in list(_groups):
        group.forget()


os.register_at_fork(after_in_child=_forget_all)


def _run(together: list[Change], commit: Commit) -> None:
    try:
        commit(together)
    except BaseException as error:
        for change in together:
            if not change.done:
                change.error = error
    for change in together:
        change.done = True


def apply(changes: Sequence[Change], newest: Callable[[], Snapshot]) -> None:
    """Commit changes in order, in few commits: one that touches rows of the same commit waits for the next."""
    waiting = list(changes)
    while waiting:
        coming, fresh = Coming(newest()), Keys()
        taken = 0
        try:
            for change in waiting:
                if _touches(change, fresh):
                    break
                taken += 1
                try:
                    _take(coming, change, fresh)
                except InputError as refused:
                    change.error, change.done = refused, True
            if any(change.count and not change.done for change in waiting[:taken]):
                coming.commit()
            else:
                coming.discard()
        except BaseException:
            coming.discard()
            raise
        for change in waiting[:taken]:
            change.done = True
        waiting = waiting[taken:]


def _touches(change: Change, fresh: Keys) -> bool:
    ids = change.ids if change.rows is None else change.rows.ids
    return len(fresh) > 0 and ids is not None and _same_kind(ids, fresh) and bool(fresh.known(ids).any())


def _same_kind(ids: npt.NDArray[Any], fresh: Keys) -> bool:
    try:
        fresh.check_kind(ids)
    except InputError:
        return False
    return True


def _take(coming: Coming, change: Change, fresh: Keys) -> None:
    """Put one change into a coming state, all of it or, with InputError, nothing."""
    if change.rows is not None:
        change.count = _add(coming, change.rows, fresh, replaces=change.replaces)
        return
    ids = np.unique(change.ids)  # type: ignore[arg-type]
    found = coming.base.locate(ids)
    change.count = int(np.count_nonzero(found >= 0))
    coming.doom(found[found >= 0])
    fresh.add(ids[found >= 0])  # a row is deleted once, whoever else asks for it


def _add(coming: Coming, rows: Batch, fresh: Keys, *, replaces: bool) -> int:
    base = coming.base
    payload, vectors = coming.matched(rows.payload), rows.vectors
    vectors = vectors if base.map is None else base.map.apply(vectors)
    check_storable(vectors, base.layout)
    ids = numbered(coming.next_id, len(vectors)) if rows.ids is None else rows.ids
    Keys().check_fresh(ids)
    fresh.check_kind(ids)
    found = base.locate(ids)
    if not replaces:
        refuse_known(base, ids, found)
    coming.doom(found[found >= 0], replaced=True)
    coming.add(vectors, ids, payload)
    fresh.add(ids)
    return len(vectors)


def refuse_known(base: Snapshot, ids: Any, found: npt.NDArray[np.int64]) -> None:
    """InputError naming an id that the index has already."""
    if (found >= 0).any():
        there = ids[np.argmax(found >= 0)].item()
        raise InputError(
            f"id {there!r} is in {base.folder.path} already ({np.count_nonzero(found >= 0)} such ids); "
            "upsert replaces rows, or leave them out"
        )


def small(rows: Rows, *, mapped: bool) -> Batch | None:
    """All rows as one checked batch if they are few, else None."""
    if mapped or rows.count is None or not 0 < rows.count <= SMALL:
        return None
    first, vectors, ids, payloads = 0, [], [], []
    for batch in rows.batches():
        some, names = checked(batch, rows.card, first, 0)
        first += len(some)
        vectors.append(some)
        ids.append(None if batch.ids is None else names)
        payloads.append(batch.payload)
    if not vectors:
        return Batch(np.empty((0, rows.card.width), np.float32))
    together = None if _none(ids, "ids") else np.concatenate([each for each in ids if each is not None])
    return Batch(np.concatenate(vectors), together, _joined(payloads))


def _joined(payloads: Sequence[pyarrow.Table | None]) -> pyarrow.Table | None:
    if _none(payloads, "payload"):
        return None
    import pyarrow

    try:
        return pyarrow.concat_tables(payloads)
    except pyarrow.ArrowInvalid as error:
        said = " ".join(str(error).split())
        raise InputError(f"the payload's columns change between batches: {said}; give all the same") from None


def _none(each: Sequence[Any], what: str) -> bool:
    """Whether no batch came with this; InputError if only some did."""
    missing = sum(one is None for one in each)
    if 0 < missing < len(each):
        raise InputError(f"{missing} of {len(each)} batches come without {what}; give {what} with all or with none")
    return missing > 0


def large(base: Snapshot, rows: Rows, *, replaces: bool, mapped: bool, progress: Progress) -> int:
    """Add rows in a stream and commit them once; how many."""
    coming, fresh, count = Coming(base), Keys(), 0
    try:
        for batch in rows.batches():
            vectors, ids = checked(batch, rows.card, count, coming.next_id)
            fresh.check_fresh(ids)
            fresh.add(ids)
            found = base.locate(ids)
            if not replaces:
                refuse_known(base, ids, found)
            coming.doom(found[found >= 0], replaced=True)
            turned = vectors if base.map is None or mapped else base.map.apply(vectors)
            coming.add(turned, ids, coming.matched(batch.payload))
            count += len(ids)
            progress("rows", count, rows.count)
        if count:
            coming.commit()
    except BaseException:
        coming.discard()
        raise
    return count


def compact(base: Snapshot, progress: Progress) -> bool:
    """Write the blocks anew that have deleted rows or are small; whether there were any."""
    wanted = {b.about.number for b in base.blocks if b.about.dead or b.rows < BLOCK_ROWS // 2}
    if len(wanted) == 1 and not any(b.about.dead for b in base.blocks):
        wanted = set()  # one small block cannot be joined with another
    if not wanted:
        return False
    growing, done = Growing(base.folder, base.layout, base.contents.next), 0
    total = sum(b.rows - b.about.dead for b in base.blocks if b.about.number in wanted)
    try:
        for vectors, ids, payload in living(base, sorted(wanted), BATCH):
            growing.add(vectors, ids, payload)
            done += len(ids)
            progress("rows", done, total)
        blocks, new = growing.finish()
        kept = tuple(about for about in base.contents.blocks if about.number not in wanted)
        engines = tuple(e.unbuilt() if wanted & set(e.blocks) else e for e in base.contents.engines)
        contents = replace(base.contents, blocks=(*kept, *blocks), engines=engines, next=growing.next)
        publish(base.folder, contents, new)
    except BaseException:
        growing.discard()
        raise
    return True


def ids_of(ids: Any) -> npt.NDArray[Any]:
    """Ids given for a lookup or a deletion, (n,)."""
    array = np.atleast_1d(np.asarray(ids))
    return check_ids(array, array.size)


__all__ = ["Change", "Group", "apply", "compact", "ids_of", "large", "small"]

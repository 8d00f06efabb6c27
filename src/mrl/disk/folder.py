"""A folder whose manifest names all that belongs to it."""

from __future__ import annotations

import hashlib
import re
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from mrl.disk import names
from mrl.disk.device import device
from mrl.disk.files import Content, Draft, drafted, new_folder, refusals
from mrl.disk.lock import WriterLock
from mrl.disk.names import MANIFEST
from mrl.disk.pin import Pin, stamp
from mrl.disk.retention import Retention, keep_newest, remove
from mrl.disk.state import Entry, State, Verified, way_back
from mrl.errors import DamagedError, ExistsError, StorageError


class Folder:
    """One committed state of a folder: open it to read, commit to it to publish the next one.

    path: the folder. kind: what it is. manifest: what the owner wrote about the state. entries: its files. number: of
    the commit that made it.

    While it is open no writer removes its files: the manifest is pinned by a lock, as far as the file system has them.
    """

    def __init__(self, path: Path, kind: str, state: State, pin: Pin | None = None) -> None:
        self.path = path
        self.kind = kind
        self._state = state
        self._verified = Verified()
        self._lock = WriterLock(path)
        self._retention = Retention(path, kind)
        self._pin: weakref.finalize[[], Folder] | None = None
        self._hold(pin)

    @classmethod
    def create(cls, path: Path, kind: str, owned: re.Pattern[str] | None = None) -> Folder:
        """An empty folder to commit to. ExistsError if anything is there already.

        owned: names of a writer's files; a folder that holds nothing but what a killed one left of these is emptied and
        taken over.
        """
        folder = cls(path, kind, State(0, {}, {}))
        if owned is None or cls.committed(path) or not cls.begun(path, owned):
            new_folder(path)
        else:
            folder.sweep(owned)
        return folder

    @classmethod
    def open(cls, path: Path, kind: str) -> Folder:
        """The newest committed state, pinned. StorageError if there is none, DamagedError if its manifest changed."""
        manifest = path / MANIFEST
        try:
            pin, raw = Pin.newest(path)
        except (FileNotFoundError, NotADirectoryError):
            if way := way_back(manifest):
                raise DamagedError(f"{manifest} is missing; restore it from a copy{way}") from None
            raise StorageError(f"{path} is no {kind}: it has no {MANIFEST}; nothing was committed there") from None
        except OSError as error:
            raise StorageError(f"cannot read {manifest}: {error.strerror or error}") from error
        try:
            return cls(path, kind, State.parse(raw, manifest, kind), pin)
        except BaseException:
            pin.close()
            raise

    @staticmethod
    def begun(path: Path, owned: re.Pattern[str]) -> bool:
        """Whether a writer of files of such names began here: it committed, or was killed before it could."""
        return names.begun(path, owned)

    @staticmethod
    def committed(path: Path) -> bool:
        """Whether there is a state to open."""
        return (path / MANIFEST).is_file()

    @property
    def manifest(self) -> dict[str, Any]:
        return self._state.about

    @property
    def entries(self) -> dict[str, Entry]:
        return self._state.entries

    @property
    def number(self) -> int:
        return self._state.number

    def close(self) -> None:
        """Let writers remove what this state alone needs. What is still there can be read on."""
        if self._pin is not None:
            self._pin()

    def current(self) -> bool:
        """Whether no newer state was committed."""
        return stamp(self.path / MANIFEST) == self._stamp

    def refreshed(self) -> Folder:
        """The newest state. What was verified stays so, and a lock held by one is held by both."""
        newer = Folder.open(self.path, self.kind)
        newer._verified, newer._lock = self._verified, self._lock
        return newer

    # ------------------------------------------------------------------------------------------------ writing

    def lock(self) -> AbstractContextManager[None]:
        """Be the only writer inside the `with`; may be nested. StorageError names the process that writes already.

        It does not hold on to this state: once nothing else does, a sweep inside removes what it alone needed.
        """
        return self._lock.holding()

    def draft(self, name: str) -> Draft:
        """A new file to be written bit by bit, then given to `commit` under that name."""
        return Draft(self.path / name)

    def commit(self, new: Mapping[str, Content], manifest: Mapping[str, Any], keep: Callable[[str], bool]) -> None:
        """Write the `new` files, then publish them with those old ones that `keep` names.

        Names of new files must not be in use: a published file is never overwritten. `files` and `commit` are the
        folder's own fields of the manifest. StorageError leaves the state before, and none of the new files; so it is
        if another process writes, or has committed since this was opened.
        """
        try:
            with self.lock():
                self._check_current()
                self._check_free(set(new))
                self._commit(new, manifest, keep)
        finally:
            for content in new.values():
                if isinstance(content, Draft):
                    content.discard()  # if it was not placed

    def sweep(self, owned: re.Pattern[str]) -> None:
        """Remove what killed writers left of files of such names, and what no reader holds any more."""
        with self.lock():
            newest = self if self.current() else self.refreshed()
            with refusals(self.path):
                self._retention.tidy(newest._state, owned)

    def _commit(self, new: Mapping[str, Content], manifest: Mapping[str, Any], wanted: Callable[[str], bool]) -> None:
        kept = {name: entry for name, entry in self.entries.items() if wanted(name)}
        second = None
        try:
            fresh = self._placed(new)
            second = keep_newest(self.path, self.number) if self._stamp else None
            with refusals(self.path):
                device().flush_folder(self.path)  # so that no manifest names what is not there
            state = self._state.next(manifest, kept | fresh)
            pin = self._published(state)
        except BaseException:
            if self.current():
                remove(self.path, {*new, *([second.name] if second else [])})
            raise
        self._retention.note(self._state)
        self._state = state
        self._verified.add(fresh.values())
        self._hold(pin)
        with suppress(OSError):  # what cannot be removed now is removed later
            self._retention.tidy(state)

    def _placed(self, new: Mapping[str, Content]) -> dict[str, Entry]:
        drafts: dict[str, Draft] = {}
        try:
            for name, content in new.items():
                drafts[name] = drafted(self.path / name, content)
            for name, draft in drafts.items():
                draft.place(self.path / name)
        finally:
            for draft in drafts.values():
                draft.discard()  # which does nothing to those that were placed
        with refusals(self.path):
            return {name: Entry(name, *_measure(self.path / name)) for name in new}

    def _published(self, state: State) -> Pin:
        """Put a state's manifest into place; it is pinned before."""
        path = self.path / MANIFEST
        with drafted(path, state.sealed(self.kind)) as draft, refusals(path):
            pin = Pin(draft.temporary)
            try:
                draft.place(path)
                device().flush_folder(self.path)
            except BaseException:
                pin.close()
                raise
        return pin

    def _check_current(self) -> None:
        if not self.current():
            raise StorageError(
                f"another writer committed to {self.path} since it was opened; nothing was overwritten. "
                "Let one writer finish, then open it again and add the rest"
            )

    def _check_free(self, new: set[str]) -> None:
        there = {name for name in new - set(self.entries) if (self.path / name).exists()}
        held = there & self._retention.wanted(self.number) if there else set()
        if clash := new & set(self.entries) | held:
            listed = ", ".join(sorted(clash))
            raise ExistsError(f"{self.path} already holds {listed}; committed files are not overwritten")

    def _hold(self, pin: Pin | None) -> None:
        """Hold this pin and let go of the one before."""
        self.close()
        self._stamp = pin.stamp if pin else None
        self._pin = weakref.finalize(self, pin.close) if pin else None

    # ------------------------------------------------------------------------------------------------ reading

    def verified(self, name: str) -> Path:
        """The path of a committed file whose bytes were compared with the manifest, once however often it is asked."""
        entry = self.entries.get(name)
        if entry is None:
            raise StorageError(f"{self.path} has no file {name}; it holds {', '.join(self.entries) or 'none'}")
        self._verified.once(entry, self._compare)
        return self.path / name

    def verify(self) -> Iterator[Path]:
        """Compare every file with the manifest; yields each good one, raises at the first damaged one."""
        return (self.verified(name) for name in self.entries)

    def damaged(self) -> Iterator[tuple[Path, str]]:
        """Compare every file with the manifest; yields each that is damaged or missing, with the reason."""
        for name in self.entries:
            try:
                self.verified(name)
            except StorageError as error:
                yield self.path / name, str(error).removeprefix(f"{self.path / name} ")

    def _compare(self, entry: Entry) -> None:
        """Raise unless the file is what was committed."""
        path = self.path / entry.name
        try:
            found = _measure(path)
        except FileNotFoundError:
            if not self.current() and entry.name not in Folder.open(self.path, self.kind).entries:
                raise StorageError(f"{path} is gone: a newer state replaced it; open {self.path} again") from None
            raise DamagedError(f"{path} is missing although {MANIFEST} names it; restore it from a copy") from None
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
        if found != (entry.bytes, entry.sha256):
            raise DamagedError(f"{path} is damaged: its bytes do not match {MANIFEST}; restore it from a copy")


def _measure(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return path.stat().st_size, digest

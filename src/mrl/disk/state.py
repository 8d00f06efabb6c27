"""What a manifest says: one committed state of a folder."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

from mrl.disk.files import read_bytes
from mrl.disk.names import kept_manifests
from mrl.disk.sealed import parse_json, sealed_json
from mrl.errors import DamagedError


@dataclass(frozen=True)
class Entry:
    """One committed file: its name in the folder, its size and its checksum."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class State:
    """number: of the commit that made it; 0 where folders had no such count. about: what the owner wrote about it."""

    number: int
    about: dict[str, Any]
    entries: dict[str, Entry]

    @classmethod
    def parse(cls, raw: bytes, path: Path, kind: str) -> State:
        """From a manifest's bytes. DamagedError names the state before, if that was kept."""
        try:
            document = parse_json(raw, path, kind)
        except DamagedError as error:
            raise DamagedError(f"{error}{way_back(path)}") from None
        entries = {name: Entry(name, **about) for name, about in document.pop("files").items()}
        return cls(int(document.pop("commit", 0)), document, entries)

    @classmethod
    def read(cls, path: Path, kind: str) -> State:
        return cls.parse(read_bytes(path), path, kind)

    def sealed(self, kind: str) -> bytes:
        """The manifest's bytes."""
        files = {name: {"bytes": entry.bytes, "sha256": entry.sha256} for name, entry in self.entries.items()}
        return sealed_json({**self.about, "commit": self.number, "files": files}, kind)

    def next(self, about: Mapping[str, Any], entries: dict[str, Entry]) -> State:
        return State(self.number + 1, dict(about), entries)


def way_back(manifest: Path) -> str:
    """How to go back to the state before, if it was kept."""
    there, folder = manifest.exists(), manifest.parent
    earlier = kept_manifests(folder).values() if folder.is_dir() else ()
    before = [file.name for file in earlier if not (there and file.samefile(manifest))]
    return f", or copy {before[-1]} over it to go back to the state before, then verify" if before else ""


class Verified:
    """The files that were compared with their checksums: each once, whichever thread asks first."""

    def __init__(self) -> None:
        self._done: set[Entry] = set()
        self._turns: dict[str, Lock] = {}
        self._mutex = Lock()

    def add(self, entries: Iterable[Entry]) -> None:
        """Take in files that need no comparing."""
        self._done.update(entries)

    def once(self, entry: Entry, compare: Callable[[Entry], object]) -> None:
        """Compare a file unless that was done; `compare` raises if it is not as it was."""
        if entry in self._done:
            return
        with self._mutex:
            turn = self._turns.setdefault(entry.name, Lock())
        with turn:
            if entry not in self._done:
                compare(entry)
                self._done.add(entry)
                self._turns.pop(entry.name, None)

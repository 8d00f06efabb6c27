"""Which earlier manifests and which files stay after a commit.

One earlier manifest is kept, and any that a reader pins. Files stay that the newest manifest names or a pinned one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from mrl.disk.device import device
from mrl.disk.files import write
from mrl.disk.names import MANIFEST, kept, kept_manifests, leftover
from mrl.disk.pin import pinned
from mrl.disk.state import State
from mrl.errors import MrlError


def keep_newest(folder: Path, number: int) -> Path:
    """Give the newest manifest its second name, under which it stays; where files have but one name, copy it."""
    newest, second = folder / MANIFEST, folder / kept(number)
    if second.exists() and second.samefile(newest):
        return second  # a writer that was killed came so far
    remove(folder, [second.name])
    try:
        device().link(newest, second)
    except OSError:  # a full disk refuses the copy too
        write(second, lambda file: file.write(newest.read_bytes()))
    return second


class Retention:
    """The kept manifests of a folder, and what they name, read once each."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self._kind = kind
        self._named: dict[int, frozenset[str]] = {}

    def note(self, state: State) -> None:
        """Take in what a state names."""
        self._named[state.number] = frozenset(state.entries)

    def wanted(self, number: int) -> frozenset[str]:
        """What readers of states before `number` hold."""
        pins = (earlier for earlier, path in self._earlier(number).items() if pinned(path))
        return frozenset[str]().union(*(self._names(earlier) for earlier in pins))

    def tidy(self, newest: State, owned: re.Pattern[str] | None = None) -> None:
        """Remove the manifests and files that nobody needs. owned: also a killed writer's files of such names.

        Files go before the manifests that name them, so that a crash in between leaves nothing unknown.
        """
        earlier = self._earlier(newest.number)
        pins = {number for number, path in earlier.items() if pinned(path)}
        needed = set(newest.entries).union(*(self._names(number) for number in pins))
        gone = set[str]().union(*(self._readable(number) for number in earlier))
        gone |= {file.name for file in self._folder.iterdir() if owned and leftover(file.name, owned)}
        remove(self._folder, gone - needed)
        spare = pins | {max((number for number in earlier if number < newest.number), default=-1)}
        remove(self._folder, (kept(number) for number in kept_manifests(self._folder) if number not in spare))
        self._named = {number: names for number, names in self._named.items() if number in spare}

    def _earlier(self, number: int) -> dict[int, Path]:
        """Kept manifests but a second name of the newest, whose number is given."""
        newest = self._folder / MANIFEST
        every = kept_manifests(self._folder).items()
        return {each: path for each, path in every if each != number or not path.samefile(newest)}

    def _names(self, number: int) -> frozenset[str]:
        if number not in self._named:
            self.note(State.read(self._folder / kept(number), self._kind))
        return self._named[number]

    def _readable(self, number: int) -> frozenset[str]:
        """What a manifest names, or nothing if it is damaged."""
        with suppress(MrlError):
            return self._names(number)
        return frozenset()


def remove(folder: Path, names: Iterable[str]) -> None:
    """Remove files, as far as they are there and can be."""
    for name in names:
        with suppress(OSError):
            device().remove(folder / name)

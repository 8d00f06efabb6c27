"""The few steps by which anything that lasts comes to be. A test may put a device in that records them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO


class Device:
    """The file system itself. Each step raises OSError where the system refuses."""

    def create(self, path: Path) -> IO[bytes]:
        """A new file, open for writing; FileExistsError if the name is taken."""
        return path.open("xb")

    def append(self, path: Path) -> IO[bytes]:
        """A file, new or not, open for reading and for writing at its end."""
        return path.open("ab+")

    def flush(self, file: IO[bytes]) -> None:
        """Bring what was written to an open file to the device."""
        file.flush()
        os.fsync(file.fileno())

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name, in one step; what had that name before is gone."""
        old.replace(new)

    def link(self, old: Path, new: Path) -> None:
        """Give a file a second name; FileExistsError if that is taken."""
        new.hardlink_to(old)

    def remove(self, path: Path) -> None:
        """Take a name away."""
        path.unlink()

    def make_folder(self, path: Path) -> None:
        """A new folder; FileExistsError if the name is taken."""
        path.mkdir()

    def flush_folder(self, path: Path) -> None:
        """Bring the names in a folder to the device."""
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


_SYSTEM = Device()
_current: ContextVar[Device] = ContextVar("device", default=_SYSTEM)


def device() -> Device:
    """The device that is written through here and now."""
    return _current.get()


@contextmanager
def using(other: Device) -> Iterator[None]:
    """Write through another device inside the `with`, in this thread."""
    token = _current.set(other)
    try:
        yield
    finally:
        _current.reset(token)

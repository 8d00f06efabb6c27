"""A reader's pin: a shared lock on the manifest it read, by which a writer knows which old files are still wanted."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from mrl.disk.lock import locked
from mrl.disk.names import MANIFEST


class Pin:
    """A manifest held open, and locked where that is possible.

    It holds however the manifest is called: kept under another name, it is the same file, and carries the lock along.
    """

    def __init__(self, path: Path) -> None:
        self._handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        locked(self._handle, fcntl.LOCK_SH)
        self.stamp = _stamp(os.fstat(self._handle))

    @classmethod
    def newest(cls, folder: Path) -> tuple[Pin, bytes]:
        """That of the newest manifest, and its bytes. FileNotFoundError if there is none."""
        while True:
            pin = cls(folder / MANIFEST)
            try:
                if pin.stamp == stamp(folder / MANIFEST):
                    return pin, pin._read()
            except BaseException:
                pin.close()
                raise
            pin.close()  # a writer was faster: it may have missed the lock, so try the one it made

    def _read(self) -> bytes:
        with open(self._handle, "rb", closefd=False) as file:
            return file.read()

    def close(self) -> None:
        """Let go; only by closing, since a forked child may hold the same lock."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


Stamp = tuple[int, int, int, int]


def stamp(path: Path) -> Stamp | None:
    """What tells one file from another that had its name before, or None where there is none."""
    try:
        return _stamp(path.stat())
    except (FileNotFoundError, NotADirectoryError):
        return None


def _stamp(status: os.stat_result) -> Stamp:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def pinned(manifest: Path) -> bool:
    """Whether a reader holds this manifest, or may."""
    mode = os.O_RDWR if os.access(manifest, os.W_OK) else os.O_RDONLY  # some systems lock what is open for writing
    try:
        handle = os.open(manifest, mode | os.O_CLOEXEC)
    except OSError:
        return True
    try:
        return not locked(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(handle)

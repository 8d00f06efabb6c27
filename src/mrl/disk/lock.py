"""The lock of a folder's writer: one at a time, and none once its process is dead.

`.lock` is never removed. Were it, one writer could lock the file that is gone and a second one the file that came
after it, both at once.
"""

from __future__ import annotations

import fcntl
import os
import socket
import weakref
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mrl.disk.names import LOCK
from mrl.errors import StorageError


class WriterLock:
    """Taken and given back as often as its owner likes; others are refused while it is held at all."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._handle = -1
        self._times = 0
        _locks.add(self)

    @property
    def held(self) -> bool:
        return self._times > 0

    def take(self) -> None:
        """StorageError names the process that holds it."""
        if not self._times:
            self._handle = self._taken()
        self._times += 1

    def give_back(self) -> None:
        self._times = max(self._times - 1, 0)
        if not self._times and self._handle >= 0:
            locked(self._handle, fcntl.LOCK_UN)  # closing alone waits for children that were forked just now
            os.close(self._handle)
            self._handle = -1

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Taken inside the `with`."""
        self.take()
        try:
            yield
        finally:
            self.give_back()

    def _taken(self) -> int:
        path = self._folder / LOCK
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise StorageError(
                f"cannot lock {self._folder} for writing: {error.strerror or error}; "
                "free some space, or choose a place that can be written"
            ) from error
        if not locked(handle, fcntl.LOCK_EX | fcntl.LOCK_NB):
            holder = _holder(handle)
            os.close(handle)
            raise StorageError(
                f"{self._folder} is being written by {holder}; there is one writer at a time: "
                "let that one finish, or end it, and try again"
            )
        _sign(handle)
        return handle

    def forget(self) -> None:
        """In a forked child: the lock is the parent's, and goes with it, not with the last of its children."""
        if self._handle >= 0:
            os.close(self._handle)
        self._handle, self._times = -1, 0


_locks: weakref.WeakSet[WriterLock] = weakref.WeakSet()


def _forget_all() -> None:
    for lock in list(_locks):
        lock.forget()


os.register_at_fork(after_in_child=_forget_all)


def locked(handle: int, how: int) -> bool:
    """Lock an open file; False if another holds it. Where files cannot be locked, all goes on without: True."""
    try:
        fcntl.flock(handle, how)
    except BlockingIOError:
        return False
    except OSError:  # no locks on this file system
        return True
    return True


def _sign(handle: int) -> None:
    """Say who holds the lock, if there is space left for that."""
    with suppress(OSError):
        os.truncate(handle, 0)
        os.pwrite(handle, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)


def _holder(handle: int) -> str:
    return os.pread(handle, 300, 0).decode(errors="replace").strip() or "another process"

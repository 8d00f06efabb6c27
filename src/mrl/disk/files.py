"""One file: written whole or not at all."""

from __future__ import annotations

import os
import secrets
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from types import TracebackType
from typing import IO, Any

from mrl.disk.device import Device, device
from mrl.disk.names import LOCK, temporary
from mrl.errors import ExistsError, StorageError


class Draft:
    """A new file under a temporary name beside its place, until it is given to `write` or to `Folder.commit`.

    An open file as far as writers need one (`write`, `seek`, `tell`). A draft that fails, is discarded, or is dropped
    before it was given away, vanishes. As a context manager it is closed at the end, or discarded after an error.
    StorageError names its place when the disk is full or refuses.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.temporary = path.with_name(temporary(path.name, secrets.token_hex(6)))
        self._device = device()
        with refusals(path):
            self.file = self._device.create(self.temporary)
        self._vanish = weakref.finalize(self, _vanish, self._device, self.file, self.temporary, os.getpid())

    def write(self, data: Any) -> int:
        """Write bytes (or anything with a buffer) where the file stands; how many."""
        with self._trying():
            return self.file.write(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        with self._trying():
            return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def close(self) -> None:
        """Bring all that was written to the device; nothing more can be written."""
        if not self.file.closed:
            with self._trying():
                self._device.flush(self.file)
                self.file.close()

    def discard(self) -> None:
        """Remove the file, unless it has been given away."""
        self._vanish()

    def place(self, path: Path) -> None:
        """Give the file its name, replacing what was there; the folder is not flushed."""
        self.close()
        with self._trying(path):
            self._device.rename(self.temporary, path)
        self._vanish.detach()

    @contextmanager
    def _trying(self, path: Path | None = None) -> Iterator[None]:
        try:
            with refusals(path or self.path):
                yield
        except StorageError:
            self.discard()
            raise

    def __enter__(self) -> Draft:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()


# The bytes, or a function that writes them to an open file, or a file that was written already.
Content = bytes | Callable[[Any], object] | Draft


def _vanish(on: Device, file: IO[bytes], path: Path, process: int) -> None:
    with suppress(OSError):
        file.close()
    if os.getpid() == process:  # a forked child leaves its parent's files alone
        with suppress(OSError):
            on.remove(path)


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """What the system refuses becomes a StorageError that names the file."""
    try:
        yield
    except StorageError:
        raise
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}; nothing was changed. "
            "Free some space or choose another --out"
        ) from error


def drafted(path: Path, content: Content) -> Draft:
    """A closed draft of the content for `path`."""
    if isinstance(content, Draft):
        content.close()
        return content
    with Draft(path) as draft, refusals(path):
        if isinstance(content, bytes):
            draft.file.write(content)
        else:
            content(draft.file)
    return draft


def write(path: Path, content: Content) -> None:
    """Put `content` at `path`, whole or not at all, replacing what was there.

    StorageError names the file when the disk is full or refuses; nothing is left behind then.
    """
    drafted(path, content).place(path)
    with refusals(path):
        device().flush_folder(path.parent)


def new_folder(path: Path) -> Path:
    """Make a folder and those above it, all flushed. ExistsError if there is anything at `path` but an empty folder."""
    new = [path, *takewhile(lambda folder: not folder.exists(), path.parents)]
    try:
        for folder in reversed(new):
            with suppress(FileExistsError):
                device().make_folder(folder)
                device().flush_folder(folder.parent)
    except OSError as error:
        raise StorageError(f"cannot create {path}: {error.strerror or error}; choose another --out") from error
    absent(path)
    return path


def absent(path: Path) -> None:
    """Raise ExistsError if there is anything at `path` but an empty folder. A writer's lock counts for nothing."""
    if path.exists() and (not path.is_dir() or any(file.name != LOCK for file in path.iterdir())):
        raise ExistsError(f"{path} already exists and is not overwritten; remove it or choose another --out")


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error

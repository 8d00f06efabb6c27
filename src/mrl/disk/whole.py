"""Folders that appear whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mrl.disk.device import device
from mrl.disk.files import refusals
from mrl.disk.names import MANIFEST, temporary


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder to write into, beside `path`; it gets that name in the end, or vanishes after an error.

    StorageError when the disk is full or refuses.
    """
    place = path.with_name(temporary(path.name, secrets.token_hex(6)))
    with refusals(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        device().make_folder(place)
        try:
            yield place
            _flush(place)
            device().rename(place, path)
            device().flush_folder(path.parent)
        except BaseException:
            with suppress(OSError):
                shutil.rmtree(place)
            raise


@contextmanager
def or_nothing(path: Path) -> Iterator[None]:
    """Leave no folder behind after an error, if nothing was committed there."""
    try:
        yield
    except BaseException:
        if not (path / MANIFEST).exists():
            shutil.rmtree(path, ignore_errors=True)
        raise


def _flush(place: Path) -> None:
    """Bring all files of a folder, and their names, to the device: other packages write some, and do not."""
    for folder, _, names in os.walk(place, topdown=False):
        for name in names:
            with (Path(folder) / name).open("rb+") as file:
                device().flush(file)
        device().flush_folder(Path(folder))

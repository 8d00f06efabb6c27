"""Paths of `mrl classify` that are looked at before any work: what is read is there, what is written has a place."""

from __future__ import annotations

import os
import re
from pathlib import Path

from mrl.errors import ExistsError, InputError, StorageError

PAGE = ".html"
_ENDING = re.compile(r"\.[A-Za-z]{2,8}")  # of a file, and of no folder


def check_new(path: Path, option: str, *, folder: bool = False) -> None:
    """Raise unless something new can be put there. option: who asks. folder: whether those above it are made, too.

    ExistsError if something is there, StorageError where nothing can be written.
    """
    from mrl.disk import absent

    try:
        absent(path)
    except ExistsError:
        raise ExistsError(
            f"{path} already exists and is not overwritten; remove it or choose another {option}"
        ) from None
    if path.is_dir() and not folder:
        raise ExistsError(f"{path} is a folder; choose another {option}")
    above = path.absolute().parent
    while folder and not above.exists() and above != above.parent:
        above = above.parent
    if not above.exists():
        raise StorageError(f"cannot write {path}: there is no folder {above}; make it, or choose another {option}")
    if not above.is_dir():
        raise StorageError(f"cannot write {path}: {above} is no folder; choose another {option}")
    if not os.access(above, os.W_OK | os.X_OK):
        raise StorageError(f"cannot write {path}: {above} may not be written to; choose another {option}")


def check_there(path: Path, option: str, what: str) -> None:
    """InputError unless something can be read there. what: what is to be given."""
    if not path.exists():
        raise InputError(f"there is no {path}, which {option} names; give {what}")
    if not os.access(path, os.R_OK):
        raise InputError(f"{path}, which {option} names, may not be read; give {what} that may")


def check_page(path: Path) -> None:
    """Raise unless a page, or a folder with one, can be written there."""
    if path.suffix != PAGE and _ENDING.fullmatch(path.suffix):
        raise InputError(
            f"--report is one {PAGE} file or a new folder, got {path}; end it in {PAGE}, or leave the ending out"
        )
    check_new(path, "--report", folder=path.suffix != PAGE)


def check_apart(first: tuple[str, Path | None], second: tuple[str, Path | None]) -> None:
    """InputError where two options would write the same path."""
    (one, path), (other, too) = first, second
    if path is not None and too is not None and path.resolve() == too.resolve():
        raise InputError(f"{one} and {other} are both {path}; give each a path of its own")

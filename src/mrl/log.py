"""The log of a run: JSON lines, the only kind of lasting file that grows. What a crash leaves readable is a prefix."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrl.disk import encoded, read_bytes
from mrl.disk.device import device
from mrl.errors import DamagedError, StorageError


def append_line(path: Path, record: Mapping[str, Any]) -> None:
    """Add one JSON line to a log: the only kind of file that grows. What a crash leaves readable is a prefix.

    A last line that a crash or a full disk cut short is removed first.
    """
    try:
        with device().append(path) as file:
            _remove_cut_line(file)
            file.write(encoded(json.dumps(record, ensure_ascii=False)))
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}; free some space") from error


def flush(path: Path) -> int:
    """Bring a log to the device; its size in bytes, 0 where there is none."""
    try:
        with path.open("rb") as file:
            device().flush(file)
            return os.fstat(file.fileno()).st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror or error}; free some space") from error


def _remove_cut_line(file: Any) -> None:
    end = file.seek(0, os.SEEK_END)
    file.seek(max(end - 1, 0))
    if file.read() not in (b"", b"\n"):
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)


def read_lines(path: Path) -> list[dict[str, Any]]:
    """The log's whole lines; a last line that a crash cut short is left out. DamagedError names any other bad one."""
    whole, _, _cut = read_bytes(path).rpartition(b"\n")
    return [_parsed(path, number, line) for number, line in enumerate(whole.splitlines(), 1)]


def _parsed(path: Path, number: int, line: bytes) -> dict[str, Any]:
    try:
        return dict(json.loads(line))
    except (TypeError, ValueError):
        raise DamagedError(f"{path}:{number} is damaged: it is no JSON object; restore the log from a copy") from None

"""The names that every folder's own files have."""

from __future__ import annotations

import re
from pathlib import Path

MANIFEST = "manifest.json"
LOCK = ".lock"
_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{12}-(.+)", re.DOTALL)
_KEPT = re.compile(r"manifest-(\d{8,})\.json")


def temporary(name: str, token: str) -> str:
    """What a file is called until it is whole. token: 12 hexadecimal digits."""
    return f".tmp-{token}-{name}"


def kept(number: int) -> str:
    """What the manifest of an earlier commit is called."""
    return f"manifest-{number:08d}.json"


def kept_manifests(folder: Path) -> dict[int, Path]:
    """The earlier manifests that are still there, by their number, newest last."""
    found = {int(match[1]): file for file in folder.iterdir() if (match := _KEPT.fullmatch(file.name))}
    return dict(sorted(found.items()))


def leftover(name: str, owned: re.Pattern[str]) -> bool:
    """Whether a killed writer may have left a file of this name: one of its own, or half of one."""
    half = _TEMPORARY.fullmatch(name)
    whole = half[1] if half else name
    return bool(owned.fullmatch(whole) or (half and (whole == MANIFEST or _KEPT.fullmatch(whole))))


def begun(path: Path, owned: re.Pattern[str]) -> bool:
    """Whether a writer began here: a manifest, or nothing but what a writer leaves that was killed before it committed.

    An empty folder is nobody's, and so is one that has but a lock.
    """
    if (path / MANIFEST).is_file():
        return True
    found = {file.name for file in path.iterdir()} - {LOCK} if path.is_dir() else set()
    return bool(found) and all(leftover(name, owned) for name in found)

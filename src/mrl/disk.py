"""Files that last: written whole or not at all, read back only if unchanged. Nothing else writes such files.

A *sealed* file (JSON or safetensors) carries the SHA-256 of its own bytes, taken with the digest's 64 places set to
zeros. A *folder* is a sealed `manifest.json` that names every other file with its size and SHA-256. New versions get
new names and the manifest is renamed into place last, so a reader sees the old state or the new one, never a mixture.

Every write goes to a temporary name, is flushed to the device, renamed, and the folder is flushed too.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as serialise_tensors

from mrl.errors import DamagedError, ExistsError, InputError, StorageError

MANIFEST = "manifest.json"
_BLANK = b"0" * 64
_SEAL = re.compile(rb'"sha256":\s?"([0-9a-f]{64})"')

Content = bytes | Callable[[Any], object]  # the bytes, or a function that writes them to an open file


def write(path: Path, content: Content) -> None:
    """Put `content` at `path`, whole or not at all, replacing what was there.

    StorageError names the file when the disk is full or refuses; nothing is left behind then.
    """
    temporary = path.with_name(f".tmp-{secrets.token_hex(6)}-{path.name}")
    try:
        with temporary.open("xb") as file:
            if isinstance(content, bytes):
                file.write(content)
            else:
                content(file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _flush_folder(path.parent)
    except OSError as error:
        raise StorageError(
            f"cannot write {path}: {error.strerror or error}; nothing was changed. "
            "Free some space or choose another --out"
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def absent(path: Path) -> None:
    """Raise ExistsError if there is anything at `path` but an empty folder."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ExistsError(f"{path} already exists and is not overwritten; remove it or choose another --out")


# --------------------------------------------------------------------------------------------- sealed files


def write_json(path: Path, content: Mapping[str, Any], kind: str, version: int = 1) -> None:
    """Write a sealed JSON object; `kind` and `version` say what it is (`mrl-card` 1, say)."""
    document = {"format": kind, "version": version, "sha256": _BLANK.decode(), **content}
    write(path, _seal(encoded(json.dumps(document, indent=2, ensure_ascii=False))))


def encoded(document: str) -> bytes:
    """UTF-8 with a line end. Names of files that are no UTF-8 hold lone surrogates; these are escaped, as JSON may."""
    return document.encode(errors="backslashreplace") + b"\n"


def read_json(path: Path, kind: str, version: int = 1) -> dict[str, Any]:
    """Read a sealed JSON object back, without its seal. Raises StorageError, DamagedError or InputError."""
    _, document = _unsealed(path, kind, version)
    return {key: value for key, value in document.items() if key not in ("format", "version", "sha256")}


def sealed_tensors(tensors: Mapping[str, np.ndarray], about: Mapping[str, Any], kind: str, version: int = 1) -> bytes:
    """The bytes of a sealed safetensors file of named arrays and a JSON object about them."""
    metadata = {"format": kind, "version": str(version), "sha256": _BLANK.decode(), "about": json.dumps(about)}
    contiguous = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    return _seal(serialise_tensors(contiguous, metadata))


def read_tensors(path: Path, kind: str, version: int = 1) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Named arrays and the object about them, from a sealed safetensors file."""
    raw, header = _unsealed(path, kind, version)
    return parse_tensors(raw), json.loads(header["about"])


def _seal(raw: bytes) -> bytes:
    start, stop = _seal_at(raw)
    return raw[:start] + hashlib.sha256(raw).hexdigest().encode() + raw[stop:]


def _seal_at(raw: bytes) -> tuple[int, int]:
    found = _SEAL.search(raw)
    if found is None:
        raise ValueError("no seal")
    return found.span(1)


def _unsealed(path: Path, kind: str, version: int) -> tuple[bytes, dict[str, Any]]:
    """The bytes of a sealed file and its JSON, once they have been found unchanged; nothing is parsed before."""
    raw = read_bytes(path)
    try:
        start, stop = _seal_at(raw)
    except ValueError:
        raise DamagedError(f"{path} is damaged or no {kind} file: it has no checksum; restore it from a copy") from None
    if hashlib.sha256(raw[:start] + _BLANK + raw[stop:]).hexdigest().encode() != raw[start:stop]:
        raise DamagedError(f"{path} is damaged: its bytes do not match its checksum; restore it from a copy")
    if raw.startswith(b"{"):
        document = json.loads(raw)
    else:  # safetensors: the header's length, a multiple of 8, then the header
        document = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]
    _check_format(path, document, kind, version)
    return raw, document


def read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error


def _check_format(path: Path, document: Mapping[str, Any], kind: str, version: int) -> None:
    if document.get("format") != kind:
        raise InputError(f"{path} holds {document.get('format')!r}, not {kind!r}; give the path of a {kind}")
    if not 1 <= int(document["version"]) <= version:
        raise InputError(
            f"{path} has format version {document['version']}, this mrl reads up to {version}; install a newer mrl"
        )


# --------------------------------------------------------------------------------------------- folders


@dataclass(frozen=True)
class Entry:
    """One committed file: its name in the folder, its size and its checksum."""

    name: str
    bytes: int
    sha256: str


class Folder:
    """A folder whose manifest names all that belongs to it.

    `commit` publishes a new state: the files given and those kept from the state before. `manifest` is what the
    owner wrote about that state; `entries` are its files.
    """

    def __init__(self, path: Path, kind: str, manifest: dict[str, Any], entries: dict[str, Entry]) -> None:
        self.path = path
        self.kind = kind
        self.manifest = manifest
        self.entries = entries
        self._verified: set[str] = set()

    @classmethod
    def create(cls, path: Path, kind: str) -> Folder:
        """An empty folder to commit to. ExistsError if anything is there already."""
        new = [path, *takewhile(lambda folder: not folder.exists(), path.parents)]
        try:
            path.mkdir(parents=True)
            for folder in new:
                _flush_folder(folder.parent)
        except FileExistsError:
            absent(path)
        except OSError as error:
            raise StorageError(f"cannot create {path}: {error.strerror or error}; choose another --out") from error
        return cls(path, kind, {}, {})

    @classmethod
    def open(cls, path: Path, kind: str) -> Folder:
        """The newest committed state. StorageError if there is none, DamagedError if its manifest changed."""
        if not (path / MANIFEST).is_file():
            raise StorageError(f"{path} is no {kind}: it has no {MANIFEST}; nothing was committed there")
        document = read_json(path / MANIFEST, kind)
        entries = {name: Entry(name, **about) for name, about in document.pop("files").items()}
        return cls(path, kind, document, entries)

    def commit(self, new: Mapping[str, Content], manifest: Mapping[str, Any], keep: Callable[[str], bool]) -> None:
        """Write the `new` files, then publish them with those old ones that `keep` names.

        Names of new files must not be in use: a published file is never overwritten. StorageError leaves the state
        before, and none of the new files.
        """
        if clash := set(new) & set(self.entries):
            names = ", ".join(sorted(clash))
            raise ExistsError(f"{self.path} already holds {names}; committed files are not overwritten")
        entries = {name: entry for name, entry in self.entries.items() if keep(name)}
        try:
            for name, content in new.items():
                write(self.path / name, content)
                entries[name] = Entry(name, *_measure(self.path / name))
            files = {name: {"bytes": entry.bytes, "sha256": entry.sha256} for name, entry in entries.items()}
            write_json(self.path / MANIFEST, {**manifest, "files": files}, self.kind)
        except StorageError:
            self._remove(set(new) - self._published())
            raise
        dropped = set(self.entries) - set(entries)
        self.manifest, self.entries = dict(manifest), entries
        self._verified = (self._verified | set(new)) - dropped
        self._remove(dropped)

    def _remove(self, names: set[str]) -> None:
        for name in names:
            with contextlib.suppress(OSError):
                (self.path / name).unlink()

    def _published(self) -> set[str]:
        """Names of the files in the newest committed state, which may be newer than the one opened here."""
        return set(Folder.open(self.path, self.kind).entries) if (self.path / MANIFEST).exists() else set()

    def verified(self, name: str) -> Path:
        """The path of a committed file whose bytes were compared with the manifest, once per opening."""
        path = self.path / name
        if name in self._verified:
            return path
        entry = self.entries.get(name)
        if entry is None:
            raise StorageError(f"{self.path} has no file {name}; it holds {', '.join(self.entries) or 'none'}")
        try:
            found = _measure(path)
        except FileNotFoundError:
            if name not in self._published():
                raise StorageError(f"{path} is gone: a newer state replaced it; open {self.path} again") from None
            raise DamagedError(f"{path} is missing although {MANIFEST} names it; restore it from a copy") from None
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror or error}") from error
        if found != (entry.bytes, entry.sha256):
            raise DamagedError(f"{path} is damaged: its bytes do not match {MANIFEST}; restore it from a copy")
        self._verified.add(name)
        return path

    def verify(self) -> Iterator[Path]:
        """Compare every file with the manifest; yields each good one, raises at the first damaged one."""
        return (self.verified(name) for name in self.entries)


def _measure(path: Path) -> tuple[int, str]:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return path.stat().st_size, digest

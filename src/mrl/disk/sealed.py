"""Sealed files: JSON or safetensors that carry the SHA-256 of their own bytes."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load as parse_tensors
from safetensors.numpy import save as serialise_tensors

from mrl.disk.files import read_bytes, write
from mrl.errors import DamagedError, InputError

_BLANK = b"0" * 64
_SEAL = re.compile(rb'"sha256":\s?"([0-9a-f]{64})"')


def write_json(path: Path, content: Mapping[str, Any], kind: str, version: int = 1) -> None:
    """Write a sealed JSON object; `kind` and `version` say what it is (`mrl-card` 1, say)."""
    write(path, sealed_json(content, kind, version))


def sealed_json(content: Mapping[str, Any], kind: str, version: int = 1) -> bytes:
    """The bytes of a sealed JSON object."""
    document = {"format": kind, "version": version, "sha256": _BLANK.decode(), **content}
    return _seal(encoded(json.dumps(document, indent=2, ensure_ascii=False)))


def encoded(document: str) -> bytes:
    """UTF-8 with a line end. Names of files that are no UTF-8 hold lone surrogates; these are escaped, as JSON may."""
    return document.encode(errors="backslashreplace") + b"\n"


def read_json(path: Path, kind: str, version: int = 1) -> dict[str, Any]:
    """Read a sealed JSON object back, without its seal. Raises StorageError, DamagedError or InputError."""
    return parse_json(read_bytes(path), path, kind, version)


def parse_json(raw: bytes, path: Path, kind: str, version: int = 1) -> dict[str, Any]:
    """The object in the bytes of a sealed JSON file, which came from `path`."""
    document = _unsealed(raw, path, kind, version)
    return {key: value for key, value in document.items() if key not in ("format", "version", "sha256")}


def sealed_tensors(tensors: Mapping[str, np.ndarray], about: Mapping[str, Any], kind: str, version: int = 1) -> bytes:
    """The bytes of a sealed safetensors file of named arrays and a JSON object about them."""
    metadata = {"format": kind, "version": str(version), "sha256": _BLANK.decode(), "about": json.dumps(about)}
    contiguous = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    return _seal(serialise_tensors(contiguous, metadata))


def read_tensors(path: Path, kind: str, version: int = 1) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Named arrays and the object about them, from a sealed safetensors file."""
    raw = read_bytes(path)
    header = _unsealed(raw, path, kind, version)
    return parse_tensors(raw), json.loads(header["about"])


def _seal(raw: bytes) -> bytes:
    start, stop = _seal_at(raw)
    return raw[:start] + hashlib.sha256(raw).hexdigest().encode() + raw[stop:]


def _seal_at(raw: bytes) -> tuple[int, int]:
    found = _SEAL.search(raw)
    if found is None:
        raise ValueError("no seal")
    return found.span(1)


def _unsealed(raw: bytes, path: Path, kind: str, version: int) -> dict[str, Any]:
    """The JSON of a sealed file, once its bytes have been found unchanged; nothing is parsed before."""
    try:
        start, stop = _seal_at(raw)
    except ValueError:
        raise DamagedError(f"{path} is damaged or no {kind} file: it has no checksum; restore it from a copy") from None
    if hashlib.sha256(raw[:start] + _BLANK + raw[stop:]).hexdigest().encode() != raw[start:stop]:
        raise DamagedError(f"{path} is damaged: its bytes do not match its checksum; restore it from a copy")
    if raw.startswith(b"{"):
        document: dict[str, Any] = json.loads(raw)
    else:  # safetensors: the header's length, a multiple of 8, then the header
        document = json.loads(raw[8 : 8 + int.from_bytes(raw[:8], "little")])["__metadata__"]
    _check_format(path, document, kind, version)
    return document


def _check_format(path: Path, document: Mapping[str, Any], kind: str, version: int) -> None:
    if document.get("format") != kind:
        raise InputError(f"{path} holds {document.get('format')!r}, not {kind!r}; give the path of a {kind}")
    if not 1 <= int(document["version"]) <= version:
        raise InputError(
            f"{path} has format version {document['version']}, this mrl reads up to {version}; install a newer mrl"
        )

"""What all maps share: a name, a fingerprint, and a file."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.disk import read_tensors, write
from mrl.errors import InputError

KIND = "mrl-map"
VERSION = 2  # of the file. 1: rotations only, which say no form; they are still written so
FORMS = ("rotation", "linear", "residual")

Floats = npt.NDArray[np.float32]


class Named:
    """Two maps of one form are equal when their fingerprints are. Their text is what cards and plans use."""

    name: str

    @property
    def fingerprint(self) -> str:
        """12 hex digits of a SHA-256 of what the map does; its name takes no part."""
        raise NotImplementedError

    def sealed(self) -> bytes:
        """The bytes of the map's own file: sealed safetensors of kind `mrl-map`."""
        raise NotImplementedError

    def save(self, path: str | Path) -> None:
        """Write the map's file, atomically."""
        write(Path(path), self.sealed())

    def __str__(self) -> str:
        """The name that cards and plans use, such as `pca:ab12cd34ef56`."""
        return f"{self.name}:{self.fingerprint}"

    def __eq__(self, other: object) -> bool:
        return self.fingerprint == other.fingerprint if isinstance(other, type(self)) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.fingerprint)


def check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9-]*", name):
        raise InputError(f"a map's name has small letters, digits and -, got {name!r}; call it pca, say")


def frozen(values: Any, what: str) -> Floats:
    """A float32 copy that nobody can change. Adding 0 makes −0 to 0: one number, one fingerprint.

    InputError unless they are finite floats.
    """
    array = np.asarray(values)
    if array.dtype.kind != "f":
        raise InputError(f"a map's {what} has floats, got {array.dtype}; give float32")
    with np.errstate(over="ignore"):
        copy: Floats = np.array(array, np.float32, order="C") + np.float32(0)
    if not np.isfinite(copy).all():
        raise InputError(f"a map's {what} has a NaN, an Inf or a number beyond float32; fit the map again")
    copy.setflags(write=False)
    return copy


def digest(form: str, *arrays: Floats) -> str:
    """The fingerprint of a map: its form, and its arrays with their shapes as little-endian float32."""
    found = hashlib.sha256(form.encode())
    for array in arrays:
        found.update(str(array.shape).encode())
        found.update(array.astype("<f4").tobytes())
    return found.hexdigest()[:12]


def read_map(path: str | Path) -> tuple[str, dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    """A map's form, its arrays and what is said about them.

    DamagedError if a byte changed; InputError for what is no map, or one of a form that is not known.
    """
    tensors, about = read_tensors(Path(path), KIND, VERSION)
    form = about.get("form", FORMS[0])
    if form not in FORMS:
        raise InputError(
            f"{path} holds a map of form {form!r}, which this mrl does not know; known are {', '.join(FORMS)}: "
            "install a newer mrl"
        )
    return form, tensors, about


def read_form(path: str | Path, wanted: str) -> tuple[dict[str, np.ndarray[Any, Any]], dict[str, Any]]:
    """The same of a map that must be of the wanted form, or InputError."""
    form, tensors, about = read_map(path)
    if form != wanted:
        raise InputError(f"{path} holds a map of form {form}, not {wanted}; mrl.maps.load_map reads every form")
    return tensors, about

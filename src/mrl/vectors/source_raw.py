"""Vectors that lie in a file as they lie in memory: .npy, .npz, .safetensors, .fvecs.

They are read into buffers and not mapped, so that what was read counts as memory only as long as somebody holds it.
Ids and labels of an .npz or a .safetensors are held whole.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from mrl.errors import InputError
from mrl.vectors.beside import array
from mrl.vectors.found import IDS, LABELS, Array, Found, check_floats, chosen, first_of, no_key

PACKED = (zipfile.BadZipFile, zlib.error, EOFError)  # what a damaged archive raises
_TENSORS = {"F16": "<f2", "F32": "<f4", "F64": "<f8"} | {
    f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)
}


@dataclass(frozen=True, eq=False)
class Raw:
    """Rows one after the other. opened: opens what holds them. where: its name, for errors. offset: of the first row.

    lead: int32 before each row, which have to say its width (.fvecs has one).
    """

    where: str
    opened: Callable[[], IO[bytes]]
    offset: int
    dtype: np.dtype[Any]
    rows: int
    width: int
    lead: int = 0
    named: bool = False

    def pieces(self, start: int, size: int) -> Iterator[tuple[Array, None]]:
        """See `Reader`."""
        columns = self.lead + self.width
        with self.opened() as file:
            file.seek(self.offset + start * columns * self.dtype.itemsize)
            for first in range(start, self.rows, size):
                rows = np.empty((min(size, self.rows - first), columns), self.dtype)
                self._fill(file, rows, first)
                yield self._without_lead(rows, first), None

    def _fill(self, file: IO[bytes], rows: Array, first: int) -> None:
        left = memoryview(rows.view(np.uint8).reshape(-1).data)
        while left:
            try:
                count = file.readinto(left)  # type: ignore[attr-defined]
            except PACKED as error:
                raise InputError(f"{self.where} is damaged: {error}; restore it from a copy") from None
            if not count:
                raise InputError(f"{self.where} ends within its rows {first} to {first + len(rows)}; write it again")
            left = left[count:]

    def _without_lead(self, rows: Array, first: int) -> Array:
        if not self.lead:
            return rows
        widths = rows[:, 0].view("<i4")
        wrong = np.flatnonzero(widths != self.width)
        if len(wrong):
            raise InputError(
                f"{self.where} says that row {first + wrong[0]} has width {widths[wrong[0]]}, and row 0 has "
                f"{self.width}; rows of an .fvecs have one width: write it again"
            )
        return rows[:, 1:]


def _unbuffered(path: Path) -> Callable[[], IO[bytes]]:
    return lambda: path.open("rb", buffering=0)


@dataclass(frozen=True, eq=False)
class Mapped:
    """A matrix whose columns lie one after the other, which only a map from disk can read by rows."""

    matrix: Array
    named: bool = False

    @property
    def rows(self) -> int:
        return len(self.matrix)

    @property
    def width(self) -> int:
        return int(self.matrix.shape[1])

    def pieces(self, start: int, size: int) -> Iterator[tuple[Array, None]]:
        """See `Reader`."""
        for first in range(start, self.rows, size):
            yield np.array(self.matrix[first : first + size], order="C"), None


def read_npy(path: Path, key: str | None) -> Found:
    """An .npy of floats (n, width)."""
    no_key(path, key)
    with path.open("rb") as file:
        header = _header(file)
    if header is None:
        found = array(path)  # which says what is wrong
        check_floats(str(path), found.dtype, found.shape)
        return Found(Mapped(found))
    offset, dtype, shape = header
    check_floats(str(path), dtype, shape)
    _check_size(path, offset, dtype.itemsize * shape[0] * shape[1])
    return Found(Raw(str(path), _unbuffered(path), offset, dtype, shape[0], shape[1]))


def _header(file: IO[bytes]) -> tuple[int, np.dtype[Any], tuple[int, ...]] | None:
    """(offset, dtype, shape) of an .npy whose rows lie one after the other; None for anything else."""
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        shape, by_columns, dtype = readers[np.lib.format.read_magic(file)](file)
    except (ValueError, KeyError):
        return None
    return None if by_columns and len(shape) > 1 else (file.tell(), dtype, shape)


def _check_size(path: Path, offset: int, size: int) -> None:
    there = path.stat().st_size
    if there < offset + size:
        raise InputError(
            f"{path} has {there} bytes and says that it has {offset + size}; it was cut off: copy it again"
        )


def read_npz(path: Path, key: str | None) -> Found:
    """An .npz: the array named `vectors`, or `key`, or the only float matrix; `ids` and `labels` if there.

    Compressed or not, it is read in a stream; one that was compressed from its start, whatever row is wanted.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            headers = {name: header for name in names if (header := _member(archive, name)) is not None}
    except PACKED as error:
        raise InputError(f"{path} is no .npz: {error}; write it with numpy.savez") from None
    name = chosen(path, names, [n for n, (_, d, s) in headers.items() if d.kind == "f" and len(s) == 2], key)
    where = f"the array {name} of {path}"
    if name not in headers:
        raise InputError(f"{where} cannot be read by rows; save it with numpy.savez, of numpy.ascontiguousarray")
    offset, dtype, shape = headers[name]
    check_floats(where, dtype, shape)
    reader = Raw(where, partial(_open_member, path, name), offset, dtype, shape[0], shape[1])
    return Found(reader, _of_archive(path, first_of(names, IDS)), _of_archive(path, first_of(names, LABELS)))


def _member(archive: zipfile.ZipFile, name: str) -> tuple[int, np.dtype[Any], tuple[int, ...]] | None:
    with archive.open(f"{name}.npy") as file:
        return _header(file)


def _open_member(path: Path, name: str) -> IO[bytes]:
    return zipfile.ZipFile(path).open(f"{name}.npy")  # which keeps the archive open, and closes it


def _of_archive(path: Path, name: str | None) -> Array | None:
    if name is None:
        return None
    try:
        with np.load(path, allow_pickle=False) as archive:
            found: Array = archive[name]
    except (ValueError, *PACKED) as error:
        raise InputError(f"the array {name} of {path} is no array of numbers or strings: {error}") from None
    return found


def read_safetensors(path: Path, key: str | None) -> Found:
    """A .safetensors: the tensor named `vectors`, or `key`, or the only float matrix; `ids` and `labels` if there."""
    about, start = _tensors(path)
    fitting = [
        name for name, each in about.items() if each["dtype"] in ("F16", "F32", "F64") and len(each["shape"]) == 2
    ]
    name = chosen(path, list(about), fitting, key, "tensor")
    vectors = about[name]
    dtype = np.dtype(_TENSORS[vectors["dtype"]]) if vectors["dtype"] in _TENSORS else vectors["dtype"]
    check_floats(f"the tensor {name} of {path}", dtype, vectors["shape"])
    offset = start + vectors["data_offsets"][0]
    _check_size(path, offset, dtype.itemsize * vectors["shape"][0] * vectors["shape"][1])
    reader = Raw(str(path), _unbuffered(path), offset, dtype, *vectors["shape"])
    ids, labels = (_tensor(path, about, start, first_of(list(about), names)) for names in (IDS, LABELS))
    return Found(reader, ids, labels)


def _tensors(path: Path) -> tuple[dict[str, Any], int]:
    """What the header says of each tensor, and where their bytes begin."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        try:
            if not 2 <= length <= path.stat().st_size:
                raise ValueError(f"a header of {length} bytes")
            about: dict[str, Any] = json.loads(file.read(length))
        except ValueError as error:
            raise InputError(f"{path} is no .safetensors: {error}; write it with safetensors") from None
    about.pop("__metadata__", None)
    return about, 8 + length


def _tensor(path: Path, about: dict[str, Any], start: int, name: str | None) -> Array | None:
    if name is None:
        return None
    kind, (first, stop) = about[name]["dtype"], about[name]["data_offsets"]
    _check_size(path, start + first, stop - first)
    if kind not in _TENSORS:
        raise InputError(f"the tensor {name} of {path} is of {kind}; save it as int64")
    dtype = np.dtype(_TENSORS[kind])
    return np.fromfile(path, dtype, (stop - first) // dtype.itemsize, offset=start + first)


def read_fvecs(path: Path, key: str | None) -> Found:
    """An .fvecs: before each row of float32 its width as an int32, all little-endian."""
    no_key(path, key)
    size = path.stat().st_size
    with path.open("rb") as file:
        width = int.from_bytes(file.read(4), "little", signed=True)
    if size < 8 or width < 1:
        raise InputError(f"{path} is no .fvecs: its first row has width {width}, in {size} bytes; write it again")
    rows, rest = divmod(size, 4 * (width + 1))
    if rest:
        raise InputError(
            f"{path} has {rows} rows of width {width} and {rest} bytes more; it was cut off, or is no .fvecs: "
            "copy it again"
        )
    return Found(Raw(str(path), _unbuffered(path), 0, np.dtype("<f4"), rows, width, lead=1))

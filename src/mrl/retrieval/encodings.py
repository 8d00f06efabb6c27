"""How the coordinates of a segment are stored: float32, float16, 12 bits, int8 or one bit each.

The narrow ones are affine, `x ≈ offset + step · code`, with an offset and a step per dimension for every `CHUNK` rows,
so that a long block is encoded in a stream and no row's range is spoilt by a distant one:

    int12   codes −2047 … 2047 over the range that the chunk has in this dimension; off by at most step / 2
    int8    the same with codes −127 … 127
    1bit    code 1 above the chunk's mean; offset and step place the two values at mean ± mean absolute deviation

A row's int12 codes are one record: a byte for the high 8 bits of each, then a nibble for the low 4. Byte j of the
⌈w / 2⌉ that hold the nibbles has that of coordinate j below and that of j + ⌈w / 2⌉ above, so that neighbouring
nibbles belong to neighbouring coordinates and a loop over them runs in vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError

CHUNK = 4096  # rows that share offsets and steps
ENCODINGS = ("1bit", "int8", "int12", "float16", "float32")  # coarsest first
AFFINE = ("1bit", "int8", "int12")  # codes with offsets and steps
OF_RECORD = ("float16", "float32")  # may be a segment's reference: copied again and again, they lose nothing
BITS = {"1bit": 1, "int8": 8, "int12": 12, "float16": 16, "float32": 32}  # per coordinate
_LARGEST_HALF = float(np.finfo(np.float16).max)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Coded:
    """Coordinates of rows in one encoding.

    codes: (n, w) float32, float16 or int8, (n, ⌈3 w / 2⌉) int8 for int12, or (n, ⌈w / 8⌉) uint8 for bits. scales:
    (chunks, 2, w) float32, offsets and steps; (0, 2, w) for floats. width: w. encoding: its name.
    """

    encoding: str
    width: int
    codes: npt.NDArray[Any]
    scales: Floats

    def __len__(self) -> int:
        return len(self.codes)

    def decoded(self, rows: slice | npt.NDArray[np.int64]) -> Floats:
        """(m, w) float32: the values that the codes of these rows stand for."""
        codes = self.codes[rows]
        if not len(self.scales):
            return np.asarray(codes, np.float32)
        if self.encoding == "1bit":
            codes = np.unpackbits(codes, axis=1, count=self.width, bitorder="little")
        if self.encoding == "int12":
            codes = _joined(codes, self.width)
        numbers = np.arange(len(self))[rows] // CHUNK if isinstance(rows, slice) else rows // CHUNK
        values: Floats = codes * self.scales[numbers, 1]
        values += self.scales[numbers, 0]
        return values


def bytes_per_row(encoding: str, width: int) -> int:
    """Bytes that a row of `width` coordinates takes."""
    return -(-width * BITS[encoding] // 8)


def check_encoding(name: str) -> str:
    """`name`; InputError lists the encodings there are."""
    if name not in ENCODINGS:
        raise InputError(f"unknown encoding {name!r}; known are {', '.join(ENCODINGS)}")
    return name


def encode(values: Floats, encoding: str) -> Coded:
    """Code the rows of one chunk, (1 ≤ n ≤ CHUNK, w) float32.

    InputError for values that float16 cannot hold.
    """
    width = values.shape[1]
    if encoding == "float32":
        return Coded(encoding, width, np.ascontiguousarray(values), _no_scales(width))
    if encoding == "float16":
        return Coded(encoding, width, _halved(values), _no_scales(width))
    if encoding == "1bit":
        return _bits(values)
    codes, scales = _steps(values, 127 if encoding == "int8" else 2047)
    return Coded(encoding, width, codes.astype(np.int8) if encoding == "int8" else _split(codes), scales)


def _no_scales(width: int) -> Floats:
    return np.empty((0, 2, width), np.float32)


def _halved(values: Floats) -> npt.NDArray[np.float16]:
    check_halves(values)
    return values.astype(np.float16)


def check_halves(values: Floats) -> None:
    """InputError for values that float16 cannot hold."""
    largest = float(np.abs(values).max(initial=0))
    if largest > _LARGEST_HALF:
        raise InputError(
            f"float16 holds numbers up to {_LARGEST_HALF:.0f}, the vectors have {largest:.4g}; "
            "rescale them or use another encoding"
        )


def _steps(values: Floats, most: int) -> tuple[npt.NDArray[np.int16], Floats]:
    """Codes −most … most (n, w) over each column's range, and the scales (1, 2, w)."""
    low, high = values.min(axis=0), values.max(axis=0)
    offset = low + (high - low) / 2
    step = (high - low) / np.float32(2 * most)
    divisor = np.where(step > 0, step, np.float32(1))  # the inverse of a tiny step would be beyond float32
    codes = np.clip(np.rint((values - offset) / divisor), -most, most).astype(np.int16)
    return codes, np.stack([offset, step])[None]


def _split(codes: npt.NDArray[np.int16]) -> npt.NDArray[np.int8]:
    """Codes of 12 bits (n, w) as records (n, ⌈3 w / 2⌉): their high 8 bits, then their low 4 in pairs."""
    n, width = codes.shape
    half = -(-width // 2)
    records = np.empty((n, width + half), np.int8)
    records[:, :width] = codes >> 4
    nibbles = records[:, width:].view(np.uint8)
    nibbles[:] = codes[:, :half] & 15
    nibbles[:, : width - half] |= (codes[:, half:] & 15).astype(np.uint8) << np.uint8(4)
    return records


def _joined(records: npt.NDArray[np.int8], width: int) -> npt.NDArray[np.int16]:
    """The codes (n, w) that the records (n, ⌈3 w / 2⌉) hold."""
    half = -(-width // 2)
    codes = records[:, :width] * np.int16(16)
    nibbles = records[:, width:].view(np.uint8)
    codes[:, :half] += nibbles & np.uint8(15)
    codes[:, half:] += nibbles[:, : width - half] >> np.uint8(4)
    return codes


def _bits(values: Floats) -> Coded:
    mean = values.mean(axis=0, dtype=np.float64).astype(np.float32)
    deviation = np.abs(values - mean).mean(axis=0, dtype=np.float64).astype(np.float32)
    codes = np.packbits(values > mean, axis=1, bitorder="little")
    return Coded("1bit", values.shape[1], codes, np.stack([mean - deviation, 2 * deviation])[None])

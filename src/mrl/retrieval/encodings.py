"""How the coordinates of a segment are stored: float32, float16, int8 or one bit each.

The narrow ones are affine, `x ≈ offset + step · code`, with an offset and a step per dimension for every `CHUNK` rows,
so that a long block is encoded in a stream and no row's range is spoilt by a distant one:

    int8    codes −127 … 127 over the range that the chunk has in this dimension; off by at most step / 2
    1bit    code 1 above the chunk's mean; offset and step place the two values at mean ± mean absolute deviation
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError

CHUNK = 4096  # rows that share offsets and steps
ENCODINGS = ("1bit", "int8", "float16", "float32")  # coarsest first
OF_RECORD = ("float16", "float32")  # may be a segment's reference: copied again and again, they lose nothing
BITS = {"1bit": 1, "int8": 8, "float16": 16, "float32": 32}  # per coordinate
_LARGEST_HALF = float(np.finfo(np.float16).max)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Coded:
    """Coordinates of rows in one encoding.

    codes: (n, w) float32, float16 or int8, or (n, ⌈w / 8⌉) uint8 for bits. scales: (chunks, 2, w) float32, offsets
    and steps; (0, 2, w) for floats. width: w. encoding: its name.
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
    return _bits(values) if encoding == "1bit" else _bytes(values)


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


def _bytes(values: Floats) -> Coded:
    low, high = values.min(axis=0), values.max(axis=0)
    offset = low + (high - low) / 2
    step = (high - low) / np.float32(254)
    divisor = np.where(step > 0, step, np.float32(1))  # the inverse of a tiny step would be beyond float32
    codes = np.clip(np.rint((values - offset) / divisor), -127, 127).astype(np.int8)
    return Coded("int8", values.shape[1], codes, np.stack([offset, step])[None])


def _bits(values: Floats) -> Coded:
    mean = values.mean(axis=0, dtype=np.float64).astype(np.float32)
    deviation = np.abs(values - mean).mean(axis=0, dtype=np.float64).astype(np.float32)
    codes = np.packbits(values > mean, axis=1, bitorder="little")
    return Coded("1bit", values.shape[1], codes, np.stack([mean - deviation, 2 * deviation])[None])

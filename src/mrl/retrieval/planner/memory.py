"""The rows in memory as a store would hold them, for scans and re-ranks to read while plans are measured."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.nesting import Metric, Nesting
from mrl.retrieval.encodings import AFFINE, CHUNK, Coded, Floats, bytes_per_row, encode
from mrl.retrieval.rerank import KINDS, Record
from mrl.segments import prefix_norms


@dataclass(frozen=True, eq=False)
class Lying:
    """A prefix of all rows in one encoding, as `scan` reads a block of one segment. norms: (1, n) its lengths."""

    part: Coded
    norms: Floats
    first: int = 0

    @property
    def rows(self) -> int:
        return len(self.part)

    def segment(self, level: int, encoding: str) -> Coded:
        return self.part


class Memory:
    """Rows (n, d) in one segment, in each encoding once it is asked for."""

    def __init__(self, vectors: Floats, by: Metric) -> None:
        self.vectors, self.by = vectors, by
        width = vectors.shape[1]
        self._norms = prefix_norms(vectors, Nesting((width,)))[:, 0].astype(np.float32)
        self._held: dict[tuple[str, int], Coded] = {}
        self._records: dict[str, Record] = {}

    @property
    def rows(self) -> int:
        return len(self.vectors)

    def prefix(self, encoding: str, dim: int) -> Lying:
        """The rows' first `dim` dims in this encoding, to be scanned."""
        norms = self._norms
        if dim < self.vectors.shape[1]:
            norms = prefix_norms(self.vectors[:, :dim], Nesting((dim,)))[:, 0].astype(np.float32)
        part = self._coded(encoding, dim)
        fixed = replace(part, codes=_fixed(part.codes), scales=_fixed(part.scales))
        return Lying(fixed, _fixed(norms)[None])

    def record(self, encoding: str) -> Record:
        """Where the rows lie in this encoding."""
        if encoding not in self._records:
            self._records[encoding] = self._recorded(self._coded(encoding, self.vectors.shape[1]))
        return self._records[encoding]

    def _recorded(self, coded: Coded) -> Record:
        width = self.vectors.shape[1]
        return Record(
            np.array([KINDS[coded.encoding]]),
            np.array([0, width]),
            np.array([bytes_per_row(coded.encoding, width)]),
            np.array([[coded.codes.ctypes.data]], np.uint64),
            np.array([[coded.scales.ctypes.data]], np.uint64),
            np.array([[self._norms.ctypes.data, self._norms.strides[0]]], np.uint64),
            np.array([0, self.rows]),
            (coded, self._norms),
        )

    def _coded(self, encoding: str, dim: int) -> Coded:
        if (encoding, dim) not in self._held:
            self._held[encoding, dim] = coded(self.vectors[:, :dim], encoding)
        return self._held[encoding, dim]


def _fixed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """A view that nobody writes to, as of a file: for another kind the loops would be compiled again."""
    view = array.view()
    view.flags.writeable = False
    return view


def coded(vectors: Floats, encoding: str) -> Coded:
    """Rows (n, d) in an encoding, chunk by chunk as a store writes them."""
    if encoding == "float32":
        return encode(vectors, encoding)
    parts = [encode(vectors[start : start + CHUNK], encoding) for start in range(0, len(vectors), CHUNK)]
    codes: npt.NDArray[Any] = np.concatenate([part.codes for part in parts])
    scales = np.concatenate([part.scales for part in parts]) if encoding in AFFINE else parts[0].scales
    return Coded(encoding, vectors.shape[1], codes, scales)

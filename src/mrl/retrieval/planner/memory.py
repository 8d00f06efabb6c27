"""The rows in memory as a store would hold them, for the compiled re-rank to read while plans are measured."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.nesting import Metric, Nesting
from mrl.retrieval.encodings import AFFINE, CHUNK, Coded, Floats, bytes_per_row, encode
from mrl.retrieval.rerank import KINDS, Record
from mrl.segments import prefix_norms


class Memory:
    """Rows (n, d) in one segment, in each encoding once it is asked for."""

    def __init__(self, vectors: Floats, by: Metric) -> None:
        self.vectors, self.by = vectors, by
        width = vectors.shape[1]
        self._norms = prefix_norms(vectors, Nesting((width,)))[:, 0].astype(np.float32)
        self._held: dict[str, Coded] = {}
        self._records: dict[str, Record] = {}

    @property
    def rows(self) -> int:
        return len(self.vectors)

    def record(self, encoding: str) -> Record:
        """Where the rows lie in this encoding."""
        if encoding not in self._records:
            self._records[encoding] = self._recorded(self._coded(encoding))
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

    def _coded(self, encoding: str) -> Coded:
        if encoding not in self._held:
            self._held[encoding] = coded(self.vectors, encoding)
        return self._held[encoding]


def coded(vectors: Floats, encoding: str) -> Coded:
    """Rows (n, d) in an encoding, chunk by chunk as a store writes them."""
    if encoding == "float32":
        return encode(vectors, encoding)
    parts = [encode(vectors[start : start + CHUNK], encoding) for start in range(0, len(vectors), CHUNK)]
    codes: npt.NDArray[Any] = np.concatenate([part.codes for part in parts])
    scales = np.concatenate([part.scales for part in parts]) if encoding in AFFINE else parts[0].scales
    return Coded(encoding, vectors.shape[1], codes, scales)

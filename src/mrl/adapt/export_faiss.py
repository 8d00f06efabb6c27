"""A linear map as FAISS's LinearTransform."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from mrl.adapt.exporting import ExportSpec, linear_matrix
from mrl.disk import write
from mrl.errors import MissingError
from mrl.maps import AnyMap


def to_faiss(turn: AnyMap, path: Path, spec: ExportSpec) -> Path:
    """Write a file that `faiss.read_VectorTransform` reads, for `faiss.IndexPreTransform` say; its path.

    The transform is the matrix alone, cut to `spec.dim`: for cosine put a `faiss.NormalizationTransform` behind it.
    FAISS takes any transform of a file for an orthonormal one, so its `reverse_transform` is right for rotations alone.

    InputError for a residual map; MissingError without faiss.
    """
    write(path, faiss_bytes(turn, spec))
    return path


def faiss_bytes(turn: AnyMap, spec: ExportSpec) -> bytes:
    """The bytes of that file."""
    matrix = linear_matrix(turn, spec.cut(turn), "FAISS's LinearTransform")
    try:
        faiss: Any = import_module("faiss")
    except ImportError:
        raise MissingError("a FAISS transform needs faiss: pip install 'mrl[search]'") from None
    transform = faiss.LinearTransform(*matrix.shape, False)
    faiss.copy_array_to_vector(np.ascontiguousarray(matrix.T).ravel(), transform.A)  # (out, in), row by row
    transform.is_trained = True
    written = faiss.VectorIOWriter()
    faiss.write_VectorTransform(transform, written)
    raw: bytes = faiss.vector_to_array(written.data).tobytes()
    return raw

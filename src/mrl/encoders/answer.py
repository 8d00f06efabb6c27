"""What an embeddings endpoint answered, read with suspicion."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import EndpointError

Vectors = npt.NDArray[np.float32]


def vectors_in(answer: Any, count: int, what: str) -> tuple[Vectors, int]:
    """The vectors of an answer, (count, width) in the order of their indices, and the tokens that it says were used.

    what: how the message of an EndpointError begins where the answer is not `count` finite vectors of one width.
    """
    items = getattr(answer, "data", None)
    if not isinstance(items, list):
        raise EndpointError(f"{what}: its answer has no list of data; {_CHECK}")
    rows = [_row(item, what) for item in _in_order(items, count, what)]
    if len(widths := {len(row) for row in rows}) != 1:
        raise EndpointError(f"{what}: their widths differ, {sorted(widths)}; {_CHECK}")
    vectors = np.stack(rows)
    if not (finite := np.isfinite(vectors).all(1)).all():
        raise EndpointError(f"{what}: {(~finite).sum()} of {count} vectors are not finite; {_CHECK}")
    return vectors, _tokens(answer)


_CHECK = "check that it is an OpenAI-compatible API and that the model is one for embeddings"


def _in_order(items: list[Any], count: int, what: str) -> list[Any]:
    indices = [getattr(item, "index", None) for item in items]
    if len(items) != count:
        raise EndpointError(f"{what}: {len(items)} vectors came for {count} texts; {_CHECK}")
    if sorted(map(repr, indices)) != sorted(map(repr, range(count))):  # what JSON holds need not be sortable
        raise EndpointError(f"{what}: their indices are not those from 0 to {count - 1}, each once; {_CHECK}")
    return sorted(items, key=lambda item: item.index)  # some servers answer in the order of finishing


def _row(item: Any, what: str) -> Vectors:
    """One vector: base64 of little-endian float32, or a list of numbers from a server that knows no base64."""
    given = getattr(item, "embedding", None)
    try:
        with np.errstate(over="ignore"):  # beyond float32 becomes Inf, which is refused
            row = np.frombuffer(base64.b64decode(given, validate=True), "<f4") if isinstance(given, str) else given
            vector = np.asarray(row, np.float32)
    except (TypeError, ValueError):
        raise EndpointError(f"{what}: one is neither base64 of float32 nor a list of numbers; {_CHECK}") from None
    if vector.ndim != 1 or not len(vector):
        raise EndpointError(f"{what}: one has shape {vector.shape}, not (width,); {_CHECK}")
    return vector


def _tokens(answer: Any) -> int:
    """Tokens used, 0 where the server does not say."""
    usage = getattr(answer, "usage", None)
    said = getattr(usage, "total_tokens", None) or getattr(usage, "prompt_tokens", None)
    return said if isinstance(said, int) else 0

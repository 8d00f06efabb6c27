"""Slow twins: what the fast code computes, written the obvious way in float64."""

import math

import numpy as np


def unit(vectors, dim):
    """(n, d) -> (n, dim) float64: each row's first dims over their length; zero rows stay, others become NaN."""
    return np.array([_unit([float(x) for x in row[:dim]]) for row in np.asarray(vectors)]).reshape(-1, dim)


def _unit(row):
    if not all(map(math.isfinite, row)):
        return [math.nan] * len(row)
    length = math.hypot(*row)  # does not overflow
    return [x / length for x in row] if length else row


def logits(vectors, weight, bias=None):
    """(n, d), (classes, m), (classes,) -> (n, classes) float64, from the first m coordinates."""
    bias = [0.0] * len(weight) if bias is None else bias
    return np.array(
        [[sum(float(x) * float(w) for x, w in zip(row, ws, strict=False)) + float(b)
          for ws, b in zip(weight, bias, strict=True)] for row in vectors]
    )  # fmt: skip


def flipped(raw, position, bit):
    """The same bytes with one bit turned over."""
    return raw[:position] + bytes([raw[position] ^ 1 << bit]) + raw[position + 1 :]

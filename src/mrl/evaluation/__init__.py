"""Measuring every prefix: encode once, score every dim."""

from mrl.evaluation.rows import Row, read_rows, write_rows

__all__ = ["Row", "read_rows", "write_rows"]

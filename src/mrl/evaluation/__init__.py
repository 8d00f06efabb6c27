"""Measuring every prefix: embed once, score every dim."""

from mrl.evaluation.prefixes import evaluate
from mrl.evaluation.rows import Row, read_rows, write_rows

__all__ = ["Row", "evaluate", "read_rows", "write_rows"]

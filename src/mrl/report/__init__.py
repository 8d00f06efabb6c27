"""Rows made visible: one self-contained HTML page with its figures, and a table for the terminal."""

from mrl.report.terminal import table
from mrl.report.writer import write_report

__all__ = ["table", "write_report"]

"""Rows made visible: one self-contained HTML page with its figures, and a table for the terminal.

`write_cascade` and `write_inspection` are imported when they are asked for, as what they show brings in more than rows
do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mrl.lazy import lazily
from mrl.report.terminal import table
from mrl.report.writer import write_report

if TYPE_CHECKING:
    from mrl.report.cascade_writer import write_cascade
    from mrl.report.inspection_writer import write_inspection

__all__ = ["table", "write_cascade", "write_inspection", "write_report"]

__getattr__ = lazily(__name__, {"write_cascade": "cascade_writer", "write_inspection": "inspection_writer"})

"""The same numbers for the terminal: one line per dim, one column per measure and series."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mrl.evaluation.rows import Row
from mrl.report.series import TIMES, best, check, digits, main_measures, printable, series, series_of

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

LEGEND = f"values {TIMES} 100   ~ read, not trained   * fitted probe   bold: best at this dim"


def table(rows: Sequence[Row]) -> Table:
    """The main measures of every series, dim by dim, to be printed with Rich.

    `~` marks a dim that was read but not trained, `*` a fitted probe; where a head and a probe give the same cell, the
    head's value stands. Raises InputError if rows are empty or two of them claim one cell.
    """
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    check(rows)
    shown = main_measures(rows)
    mine = [row for row in rows if row.measure in shown]
    columns = [(measure, name) for measure in shown for name in series(r for r in mine if r.measure == measure)]
    cells = _cells(mine)
    legend = Text(LEGEND, no_wrap=True, overflow="ignore")  # on one line beneath a narrow table too
    result = Table(box=SIMPLE_HEAD, caption=legend, caption_justify="left", header_style="", pad_edge=False)
    result.add_column("dim", justify="right")
    for measure, name in columns:
        result.add_column(_header(measure, name), justify="right")
    for dim in sorted({row.dim for row in mine}):
        result.add_row(str(dim), *(cells.get((measure, name, dim), "") for measure, name in columns))
    return result


def _cells(rows: Sequence[Row]) -> dict[tuple[str, str, int], Text]:
    winners, decimals = best(rows), digits(rows)
    ordered = sorted(rows, key=lambda row: row.method != "probe")
    return {(row.measure, series_of(row), row.dim): _cell(row, row in winners, decimals) for row in ordered}


def _cell(row: Row, best: bool, decimals: int) -> Text:
    from rich.text import Text

    style = " ".join(["bold"] * best + ["dim"] * (not row.trained)) or "none"
    mark = "" if row.trained else "~"
    return Text(f"{mark}{row.value * 100:.{decimals}f}{'*' if row.method == 'probe' else ''}", style=style)


def _header(measure: str, name: str) -> Text:
    from rich.text import Text

    return Text.assemble((printable(measure), "bold"), "\n", printable(name))

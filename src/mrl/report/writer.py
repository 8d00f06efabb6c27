"""Write a report's folder: figures first, the finished page last."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mrl.disk import new_folder, write
from mrl.evaluation.rows import Row
from mrl.report.figures import figures, png, svg
from mrl.report.page import page

PAGE = "report.html"
TITLE = "Nested embeddings, prefix by prefix"


def write_report(path: str | Path, rows: Sequence[Row], title: str = TITLE) -> list[Path]:
    """Write figures (`.png`, `.svg`) and `report.html` into the new folder `path`; their paths, the page last.

    A folder that has a `report.html` is complete. Raises InputError for rows that cannot be shown, MissingError without
    matplotlib, ExistsError if `path` holds anything: nothing is overwritten.
    """
    drawn = figures(rows)
    drawings = {plot: svg(figure) for plot, figure in drawn.items()}
    files = {f"{plot.name}.svg": drawing.encode() for plot, drawing in drawings.items()}
    files |= {f"{plot.name}.png": png(figure) for plot, figure in drawn.items()}
    files[PAGE] = page(rows, title, drawings).encode()
    folder = new_folder(Path(path))
    for name, content in files.items():
        write(folder / name, content)
    return [folder / name for name in files]

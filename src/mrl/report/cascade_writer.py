"""Write what was measured of a cascade: one page, or a folder with its figures beside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from mrl.classify.cascade import Cascade
from mrl.classify.measured import Measured
from mrl.disk import absent, new_folder, write
from mrl.evaluation.rows import Row
from mrl.report.cascade import TITLE, cascade_page, figures_of
from mrl.report.cascade_commands import FOLDER
from mrl.report.figures import png, svg
from mrl.report.writer import PAGE

MEASURED = "measured.json"


def write_cascade(
    measured: Measured,
    cascade: Cascade,
    path: str | Path,
    beside: Sequence[Row] = (),
    *,
    heading: str = TITLE,
    where: str = FOLDER,
    by: str = "",
) -> list[Path]:
    """Write one HTML file that loads nothing, or, where `path` does not end with .html, a new folder with
    `measured.json`, figures (`.svg`, `.png`) and `report.html`; their paths, the page last.

    beside: rows of other models, whose top-1 is drawn too. where, by: the folders of the cascade and of its map, for
    the commands. A folder that has a `report.html` is complete. MissingError without matplotlib, ExistsError if
    something is there.
    """
    alone = Path(path).suffix == ".html"
    if alone:
        absent(Path(path))
    drawn = figures_of(measured, beside)
    drawings = {name: svg(figure) for name, figure in drawn.items()}
    page = cascade_page(measured, cascade, drawings, heading, where, by).encode()
    if alone:
        write(Path(path), page)
        return [Path(path)]
    files = {MEASURED: (json.dumps(measured.to_json(), indent=1) + "\n").encode()}
    files |= {f"{name}.svg": drawing.encode() for name, drawing in drawings.items()}
    files |= {f"{name}.png": png(figure) for name, figure in drawn.items()}
    return _written(Path(path), files | {PAGE: page})


def _written(path: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Files in a new folder, in their order."""
    folder = new_folder(path)
    for name, content in files.items():
        write(folder / name, content)
    return [folder / name for name in files]

"""`mrl report`: turn measured rows into a page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mrl.evaluation.rows import read_rows
from mrl.report.writer import TITLE, write_report


def report(
    rows_files: Annotated[
        list[Path],
        typer.Argument(help="Files of rows that `mrl evaluate --out` wrote, .jsonl or .parquet; several are overlaid."),
    ],
    out: Annotated[Path, typer.Option(help="The new folder that gets report.html and its figures as PNG and SVG.")],
    title: Annotated[str, typer.Option(help="The words above the page's headline.")] = TITLE,
) -> None:
    """Draw measured rows as one HTML page that needs no network; prints the page's path."""
    rows = [row for file in rows_files for row in read_rows(file)]
    typer.echo(write_report(out, rows, title)[-1])

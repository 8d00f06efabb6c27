"""`mrl report`: turn what was measured into a page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrl.errors import InputError
from mrl.evaluation.rows import read_rows
from mrl.report.writer import TITLE, write_report

if TYPE_CHECKING:
    from mrl.retrieval.planner import Planned


def report(
    measured: Annotated[
        list[Path],
        typer.Argument(
            metavar="ROWS...|INDEX",
            help="Files of rows that `mrl evaluate --out` wrote, .jsonl or .parquet; several are overlaid. Or an index "
            "that `mrl plan` has planned, or a .json of what it planned.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="The new folder that gets report.html and its figures as PNG and SVG.")],
    title: Annotated[str | None, typer.Option(help="The words above the page's headline.")] = None,
) -> None:
    """Draw measured rows, or what was planned, as one HTML page that needs no network; prints the page's path."""
    plans = [path for path in measured if _is_planned(path)]
    if not plans:
        rows = [row for file in measured for row in read_rows(file)]
        typer.echo(write_report(out, rows, title or TITLE)[-1])
        return
    if len(measured) > 1:
        raise InputError(
            f"{plans[0]} was planned and makes a page of its own, got {len(measured)} paths; give it alone"
        )
    typer.echo(_write_planned(plans[0], out, title))


def _is_planned(path: Path) -> bool:
    """Whether it is an index, or a file of what was planned; rows are found to be neither without what searches."""
    if not path.is_dir():
        return path.suffix == ".json"
    from mrl.cli.indexed import is_index

    return is_index(path)


def _write_planned(path: Path, out: Path, title: str | None) -> Path:
    from mrl.report import frontier

    where = frontier.INDEX if path.suffix == ".json" else str(path)
    return frontier.write_frontier(out, _planned(path), title or frontier.TITLE, where)[-1]


def _planned(path: Path) -> Planned:
    from mrl.retrieval import Index
    from mrl.retrieval.planner import Planned

    if path.suffix == ".json":
        return Planned.load(path)
    planned = Index.open(path).planned
    if planned is None:
        raise InputError(f"{path} was not planned, so there is nothing to show; plan it: mrl plan {path}")
    return planned

"""`mrl evaluate`: what every prefix is worth."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer


def evaluate(
    database: Annotated[Path, typer.Argument(help="The table that is searched and that a probe is fitted on.")],
    queries: Annotated[Path, typer.Argument(help="The table that is classified and searched for.")],
    head: Annotated[
        Path | None, typer.Option(help="A run, or a head's file. Without one, linear accuracy comes from a probe.")
    ] = None,
    best: Annotated[
        bool, typer.Option("--best", help="Of a run, take the head of its best epoch, not of its last.")
    ] = False,
    dims: Annotated[
        str | None, typer.Option(help="What to measure, as 8,16,32.", show_default="trained dims and those between")
    ] = None,
    k: Annotated[int, typer.Option(help="Neighbours looked at by k-NN, mAP@k and P@k.")] = 10,
    name: Annotated[str, typer.Option(help="The run's name in rows and report.", show_default="the model's")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the rows here, .jsonl or .parquet, not to stdout.")] = None,
) -> None:
    """Measure linear accuracy, k-NN, mAP and precision at every dim; prints one JSON line per measure and dim."""
    from rich.console import Console

    from mrl.disk import absent
    from mrl.evaluation import evaluate as measure
    from mrl.evaluation import write_rows
    from mrl.evaluation.rows import check_ending
    from mrl.heads import HeadWeights
    from mrl.nesting import Nesting
    from mrl.report import table
    from mrl.vectors import Table

    if out is not None:
        check_ending(out)
        absent(out)
    rows = measure(
        Table.open(database),
        Table.open(queries),
        None if head is None else HeadWeights.load(head, best=best),
        dims=None if dims is None else Nesting.parse(dims),
        k=k,
        run=name,
    )
    Console(stderr=True).print(table(rows))
    if out is None:
        typer.echo("\n".join(json.dumps(asdict(row)) for row in rows))
    else:
        write_rows(out, rows)
        typer.echo(out)

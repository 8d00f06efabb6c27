"""`mrl export`: a text encoder as a sentence-transformers folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from mrl.errors import InputError


def export(
    encoder: Annotated[Path, typer.Argument(help="A folder that `mrl train` wrote, or the file of an encoder.")],
    out: Annotated[Path, typer.Option(help="The folder to write; it must not exist yet.")],
    best: Annotated[bool, typer.Option("--best", help="Take the run's best epoch, not its last.")] = False,
    rows: Annotated[
        Path | None, typer.Option(help="Measurements of `mrl evaluate --out`, for the table of its README.md.")
    ] = None,
) -> None:
    """Write a text encoder as a sentence-transformers folder, which declares its trained dims; prints its path."""
    from mrl.disk import absent
    from mrl.encoders import export as export_encoder
    from mrl.encoders import load
    from mrl.evaluation.rows import read_rows

    absent(out)
    if encoder.is_file() and best:
        raise InputError(f"{encoder} is one encoder, of which there is no best; give the run's folder, or leave it out")
    measured = () if rows is None else read_rows(rows)
    typer.echo(export_encoder(load(encoder, best=best), out, measured))

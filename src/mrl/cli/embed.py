"""`mrl embed`: a dataset's vectors as a table."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrl.cli.data import COLUMNS, DATA, TABLES, read, rows, tell_unknown
from mrl.cli.settings import Chosen, settings
from mrl.errors import InputError
from mrl.training.opening import Rows

if TYPE_CHECKING:
    from mrl.training import ImageData, Stream


@settings((TABLES, Rows, COLUMNS))
def embed(
    run: Annotated[Path, typer.Argument(help="A folder that `mrl train` wrote, or the file of an encoder.")],
    data: Annotated[str, typer.Argument(help=f"{DATA}. Labels are not needed.")],
    out: Annotated[Path, typer.Option(help="The table's folder; it must not exist yet, but with --resume or --add.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the interrupted table at --out, from its last block.")
    ] = False,
    add: Annotated[
        bool, typer.Option("--add", help="Embed only images whose ids the table at --out does not have yet.")
    ] = False,
    skip_corrupt: Annotated[bool, typer.Option(help="Leave files out that cannot be decoded, and count them.")] = False,
    batch_size: Annotated[int, typer.Option(help="Images at once; keep it when resuming, for the same bytes.")] = 256,
    best: Annotated[bool, typer.Option("--best", help="Take the run's best epoch, not its last.")] = False,
    device: Annotated[str | None, typer.Option(help="As cpu or cuda:1.", show_default="a GPU if there is one")] = None,
    *,
    chosen: Chosen,
) -> None:
    """Write the raw vectors of images, with ids and labels, as a table; prints its path."""
    from rich.console import Console
    from rich.progress import Progress

    from mrl.encoders import load
    from mrl.training import Opening, Run
    from mrl.training import embed as embed_data
    from mrl.training.embedding import check_out
    from mrl.training.team import default_device

    before = check_out(out, resume=resume, add=add)
    if run.is_file() and best:
        raise InputError(f"{run} is one encoder, of which there is no best; give the run's folder, or leave --best out")
    model = load(run).to(default_device(device)) if run.is_file() else Run.open(run, best=best)
    encoder = model.encoder if isinstance(model, Run) else model
    how = Opening.like(encoder.fit, skip_corrupt=skip_corrupt, labelled=False, rows=rows(chosen))
    images = read(data, how)
    if isinstance(model, Run):
        images = images.named(model.classes)
        tell_unknown(images)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("embedding", total=_total(images))
        each = partial(progress.advance, task)
        again = {"resume": resume, "add": add}
        table = embed_data(model, images, out, batch_size=batch_size, device=device, each=each, **again)
        seen = int(progress.tasks[task].completed)
    new = table.rows - before
    typer.echo(f"embedded {new} images, {seen - new} were there already; {out} has {table.rows} rows", err=True)
    typer.echo(table.path)


def _total(images: ImageData | Stream) -> int | None:
    """How many images the progress bar is of; None for a stream."""
    from mrl.training import ImageData

    return len(images) if isinstance(images, ImageData) else None

"""`mrl embed`: the vectors of images or texts as a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrl.cli.contents import many
from mrl.cli.data import COLUMNS, DATA, TABLES, read, rows, say, tell_cut, tell_unknown
from mrl.cli.models import MODEL, Remote, opened
from mrl.cli.settings import Chosen, settings
from mrl.training.opening import Opening, Rows, TextOpening

if TYPE_CHECKING:
    from mrl.encoders import ImageEncoder, RemoteEncoder, TextEncoder
    from mrl.training import ImageData, Stream, TextData


@settings(("A model behind an endpoint", Remote, {}), (TABLES, Rows, COLUMNS))
def embed(
    run: Annotated[str, typer.Argument(help=MODEL)],
    data: Annotated[str, typer.Argument(help=f"{DATA}. Labels are not needed.")],
    out: Annotated[Path, typer.Option(help="The table's folder; it must not exist yet, but with --resume or --add.")],
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the interrupted table at --out, from its last block.")
    ] = False,
    add: Annotated[
        bool, typer.Option("--add", help="Embed only rows whose ids the table at --out does not have yet.")
    ] = False,
    skip_corrupt: Annotated[
        bool, typer.Option(help="Leave out what cannot be used (damaged files, empty texts), and count it.")
    ] = False,
    batch_size: Annotated[
        int | None,
        typer.Option(
            help="Rows at once; keep it when resuming, for the same bytes.", show_default="256 images, or 64 texts"
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(help="Of texts: what is put before them, as query or document.", show_default="the model's own"),
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="Take the run's best epoch, not its last.")] = False,
    device: Annotated[str | None, typer.Option(help="As cpu or cuda:1.", show_default="a GPU if there is one")] = None,
    *,
    chosen: Chosen,
) -> None:
    """Write the raw vectors of images or texts, with ids and labels, as a table; prints its path."""
    from mrl.encoders import ImageEncoder
    from mrl.training import Run
    from mrl.training import embed as embed_data
    from mrl.training.embedding import check_out

    before = check_out(out, resume=resume, add=add)
    model = opened(run, Remote(**chosen.of(Remote)), best=best, device=device)
    encoder = model.encoder if isinstance(model, Run) else model
    found = read(data, _how(encoder, skip_corrupt, rows(chosen)))
    if isinstance(model, Run) and model.classes:
        found = found.named(model.classes)
        tell_unknown(found)
    usual, noun = (256, "images") if isinstance(encoder, ImageEncoder) else (64, "texts")
    going = partial(embed_data, model, found, out, prompt=prompt, device=device, resume=resume, add=add)
    with _counted(_total(found)) as (each, seen):
        table = going(batch_size=usual if batch_size is None else batch_size, each=each)
    tell_cut(encoder)
    if prompt is None and not table.prompt:
        _tell_prompts(encoder)
    new = table.rows - before
    typer.echo(f"embedded {new:,} {noun}, {seen() - new:,} were there already; {out} has {many(table.rows)}", err=True)
    typer.echo(table.path)


@contextmanager
def _counted(total: int | None) -> Iterator[tuple[Callable[[int], None], Callable[[], int]]]:
    """A bar on stderr: what it hears of, and how many that was."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("embedding", total=total)
        yield partial(progress.advance, task), lambda: int(progress.tasks[task].completed)


def _tell_prompts(encoder: ImageEncoder | TextEncoder | RemoteEncoder) -> None:
    """Say on stderr which prompts there are, where none was asked for."""
    names = getattr(encoder, "prompts", {})
    if any(names.values()):
        known = ", ".join(names)
        say(f"nothing was put before these texts; {encoder.card.model} has prompts for {known}: see --prompt")


def _how(encoder: ImageEncoder | TextEncoder | RemoteEncoder, skip: bool, rows: Rows) -> Opening | TextOpening:
    """How an encoder wants its data opened."""
    from mrl.encoders import ImageEncoder

    if isinstance(encoder, ImageEncoder):
        return Opening.like(encoder.fit, skip_corrupt=skip, labelled=False, rows=rows)
    return TextOpening("embed", skip_empty=skip, rows=rows)


def _total(data: ImageData | Stream | TextData) -> int | None:
    """How many rows the progress bar is of; None for a stream."""
    from mrl.training import Stream

    return None if isinstance(data, Stream) else len(data)

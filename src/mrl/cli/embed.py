"""`mrl embed`: the vectors of images or texts as a table."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrl.cli.data import COLUMNS, DATA, TABLES, read, rows, say, tell_cut, tell_unknown
from mrl.cli.settings import Chosen, settings
from mrl.errors import InputError
from mrl.nesting import Nesting
from mrl.training.opening import Opening, Rows, TextOpening

if TYPE_CHECKING:
    from mrl.encoders import ImageEncoder, TextEncoder
    from mrl.encoders.remote import RemoteEncoder
    from mrl.training import ImageData, Run, Stream, TextData

KEY = "OPENAI_API_KEY"


@settings((TABLES, Rows, COLUMNS))
def embed(
    run: Annotated[
        str,
        typer.Argument(
            help="A folder that `mrl train` wrote, the file of an encoder, a sentence-transformers folder, or, with "
            "--endpoint, a model's name there."
        ),
    ],
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
    endpoint: Annotated[
        str | None, typer.Option(help="Address of an OpenAI-compatible endpoint, as https://api.openai.com/v1.")
    ] = None,
    key_variable: Annotated[str, typer.Option(help="The environment variable that holds the endpoint's key.")] = KEY,
    dims: Annotated[
        str | None,
        typer.Option(help="Of an endpoint's model: its trained dims, as 256,512.", show_default="as it is known"),
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="Take the run's best epoch, not its last.")] = False,
    device: Annotated[str | None, typer.Option(help="As cpu or cuda:1.", show_default="a GPU if there is one")] = None,
    *,
    chosen: Chosen,
) -> None:
    """Write the raw vectors of images or texts, with ids and labels, as a table; prints its path."""
    from rich.console import Console
    from rich.progress import Progress

    from mrl.encoders import ImageEncoder
    from mrl.training import Run
    from mrl.training import embed as embed_data
    from mrl.training.embedding import check_out

    before = check_out(out, resume=resume, add=add)
    if not endpoint and key_variable != KEY:
        raise InputError(f"--key-variable {key_variable} is of an endpoint, and there is none; give --endpoint too")
    if endpoint and (best or device):
        said = "--best" if best else f"--device {device}"
        raise InputError(f"{said} is of encoders that run here, and --endpoint asks one elsewhere; leave it out")
    model = _remote(run, endpoint, key_variable, dims) if endpoint else _opened(Path(run), best, device, dims)
    encoder = model.encoder if isinstance(model, Run) else model
    found = read(data, _how(encoder, skip_corrupt, rows(chosen)))
    if isinstance(model, Run) and model.classes:
        found = found.named(model.classes)
        tell_unknown(found)
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("embedding", total=_total(found))
        each = partial(progress.advance, task)
        again = {"resume": resume, "add": add}
        usual = 256 if isinstance(encoder, ImageEncoder) else 64
        size = usual if batch_size is None else batch_size
        table = embed_data(model, found, out, batch_size=size, prompt=prompt, device=device, each=each, **again)
        seen = int(progress.tasks[task].completed)
    new = table.rows - before
    noun = "images" if isinstance(encoder, ImageEncoder) else "texts"
    tell_cut(encoder)
    if prompt is None and not table.prompt and any((names := getattr(encoder, "prompts", {})).values()):
        say(
            f"nothing was put before these texts; {encoder.card.model} has prompts for {', '.join(names)}: see --prompt"
        )
    typer.echo(f"embedded {new} {noun}, {seen - new} were there already; {out} has {table.rows} rows", err=True)
    typer.echo(table.path)


def _opened(run: Path, best: bool, device: str | None, dims: str | None) -> Run | ImageEncoder | TextEncoder:
    from mrl.disk import Folder
    from mrl.encoders import load
    from mrl.training import Run
    from mrl.training.team import default_device

    if dims is not None:
        raise InputError(f"--dims {dims} is of an endpoint's model; {run} says its own, so leave it out")
    if run.is_dir() and Folder.committed(run):
        return Run.open(run, best=best)
    if best:
        raise InputError(f"{run} is one encoder, of which there is no best; give the run's folder, or leave --best out")
    model = load(run)
    model.to(default_device(device))
    return model


def _remote(model: str, endpoint: str, key_variable: str, dims: str | None) -> RemoteEncoder:
    from mrl.encoders.endpoint import Endpoint
    from mrl.encoders.remote import RemoteEncoder

    nesting = None if dims is None else Nesting.parse(dims)
    return RemoteEncoder.connect(model, endpoint=Endpoint(endpoint, key_variable=key_variable), nesting=nesting)


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

"""`mrl embed`: a dataset's vectors as a table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def embed(
    run: Annotated[Path, typer.Argument(help="A folder that `mrl train` wrote.")],
    data: Annotated[Path, typer.Argument(help="A folder of images (in class folders, for labels), or an .npz file.")],
    out: Annotated[Path, typer.Option(help="The table's folder; it must not exist yet.")],
    skip_corrupt: Annotated[bool, typer.Option(help="Leave files out that cannot be decoded, and count them.")] = False,
    batch_size: Annotated[int, typer.Option(help="Images at once.")] = 256,
) -> None:
    """Write the raw vectors of images, with ids and labels, as a table; prints its path."""
    from rich.console import Console
    from rich.progress import Progress

    from mrl.cli.train import tell
    from mrl.disk import absent
    from mrl.training import Opening, Run, open_data
    from mrl.training import embed as embed_data

    absent(out)
    trained = Run.open(run)
    how = Opening.like(trained.encoder.fit, skip_corrupt=skip_corrupt, labelled=False)
    images = open_data(data, how)
    images = images.named(trained.classes)
    tell(data, images)
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("embedding", total=len(images))
        table = embed_data(trained, images, out, batch_size=batch_size, each=lambda n: progress.advance(task, n))
    typer.echo(table.path)

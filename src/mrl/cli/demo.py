"""`mrl demo`: the main job, end to end, in two minutes on two cores."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrl.errors import InputError, MissingError

if TYPE_CHECKING:
    from mrl.evaluation import Row
    from mrl.nesting import Nesting
    from mrl.training import ImageData, TrainSpec


def demo(
    out: Annotated[
        Path, typer.Option(help="The folder for runs, tables, rows and report; it must not exist yet.")
    ] = Path("mrl-demo"),
    data: Annotated[
        Path | None,
        typer.Option(
            help="Your own images, one folder a class.", show_default="1,797 handwritten digits, 8 x 8 pixels"
        ),
    ] = None,
    dims: Annotated[str, typer.Option(help="The dims to train.")] = "2..64",
    epochs: Annotated[int, typer.Option(help="Passes over the data, for every model.")] = 12,
) -> None:
    """Train MRL, MRL-E and fixed-feature models on real images, measure every prefix, and write the report."""
    from rich.console import Console

    from mrl.disk import absent
    from mrl.evaluation import write_rows
    from mrl.nesting import Nesting
    from mrl.report import table, write_report
    from mrl.training.split import held_out

    say = Console(stderr=True)
    nesting = Nesting.parse(dims)
    absent(out)
    known, unseen = held_out(_digits() if data is None else _own(data))
    rows: list[Row] = []
    for name, spec in _specs(nesting, epochs):
        say.print(f"[bold]{name}[/bold] at {spec.nesting}")
        rows += _measured(out, name, spec, (known, unseen))
    write_rows(out / "rows.jsonl", rows)
    page = write_report(out / "report", rows)[-1]
    Console().print(table(rows))
    typer.echo(f"{len(known)} images to train and search, {len(unseen)} held out to ask.\nReport: {page}\n")
    typer.echo("Try next:")
    for command in _next(out, data, nesting):
        typer.echo(f"  {command}")


def _specs(nesting: Nesting, epochs: int) -> Iterator[tuple[str, TrainSpec]]:
    """Both nested models, then the fixed-feature models that they are to match, one per dim."""
    from mrl.training import TrainSpec

    yield "MRL", TrainSpec(nesting, "mrl", epochs=epochs)
    yield "MRL-E", TrainSpec(nesting, "mrl-e", epochs=epochs)
    for dim in nesting.dims:
        yield f"FF-{dim}", TrainSpec(type(nesting)((dim,)), "ff", epochs=epochs)


def _measured(out: Path, name: str, spec: TrainSpec, data: tuple[ImageData, ImageData]) -> list[Row]:
    """Train one model, embed both parts of the data, and measure."""
    from mrl.evaluation import evaluate
    from mrl.training import embed, train

    run = train(spec, data[0], out / "runs" / name)
    database, queries = (
        embed(run, part, out / "tables" / f"{name}-{what}")
        for part, what in zip(data, ("known", "unseen"), strict=True)
    )
    return evaluate(database, queries, run.head, k=min(10, len(database)), run=name)


def _next(out: Path, data: Path | None, nesting: Nesting) -> Iterator[str]:
    mrl = _command()
    folder, low = shlex.quote(str(out)), nesting.dims[0]
    tables = f"{folder}/tables/MRL-known {folder}/tables/MRL-unseen"
    first = ",".join(map(str, range(low, min(low + 7, nesting.width + 1))))
    yield f"{mrl} evaluate {tables} --head {folder}/runs/MRL --dims {first} --out dims.jsonl"
    yield f"{mrl} report {folder}/rows.jsonl --out my-report --title 'My own words'"
    if data is None:
        yield f"{mrl} demo --data YOUR_IMAGES --out my-demo    # one folder of pictures a class"
    else:
        yield f"{mrl} train {shlex.quote(str(data))} --head mrl --dims 8..128 --epochs 30 --out my-run"


def _command() -> str:
    """How this command was called, where its folder is not on the path."""
    called = Path(sys.argv[0])
    return "mrl" if called.name != "mrl" or shutil.which("mrl") else str(called)


def _digits() -> ImageData:
    """The handwritten digits that come with scikit-learn (UCI optical recognition of handwritten digits, test part)."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingError("the digits come with scikit-learn: pip install 'mrl[demo]', or give --data") from None
    from mrl.training import from_arrays

    digits = load_digits()
    return from_arrays((digits.images * 15).astype("uint8"), digits.target)


def _own(path: Path) -> ImageData:
    from mrl.cli.data import tell
    from mrl.training import ImageData, open_data

    data = open_data(path)
    tell(path, data)
    if not isinstance(data, ImageData):
        raise InputError(f"{path} is a stream, of which nothing can be held out; give a folder of images")
    return data

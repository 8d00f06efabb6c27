"""`mrl train`: a nested image encoder from a folder of images."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from mrl.errors import InputError

if TYPE_CHECKING:
    from mrl.training import ImageData


def train(
    data: Annotated[Path, typer.Argument(help="A folder with one sub-folder of images a class, or an .npz file.")],
    out: Annotated[Path, typer.Option(help="The run's folder; it must not exist yet.")],
    validate: Annotated[Path | None, typer.Option(help="Data of the same kind, measured after each epoch.")] = None,
    head: Annotated[str, typer.Option(help="mrl: a classifier a dim; mrl-e: one for all; ff: a single dim.")] = "mrl",
    dims: Annotated[str, typer.Option(help="The dims to train, as 8,16,32 or as the ladder 8..64.")] = "8..64",
    width: Annotated[int | None, typer.Option(help="Dims of the vectors.", show_default="the widest dim")] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the data.")] = 12,
    batch_size: Annotated[int, typer.Option(help="Images a step.")] = 128,
    lr: Annotated[float, typer.Option(help="Peak of the learning rate.")] = 0.003,
    label_smoothing: Annotated[float, typer.Option(help="Share of each target spread over all classes.")] = 0.0,
    level_weights: Annotated[
        str | None, typer.Option(help="Weight of each dim's loss, as 2,1,1,1.", show_default="1 each")
    ] = None,
    clip: Annotated[float | None, typer.Option(help="Largest length of a gradient.", show_default="none")] = None,
    augment: Annotated[str, typer.Option(help="auto, shift, shift-flip or none.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or bf16.")] = "auto",
    seed: Annotated[int, typer.Option(help="Decides weights, order and augmentation.")] = 0,
    size: Annotated[
        str | None, typer.Option(help="Height x width, as 64x48.", show_default="the pictures' own, at most 64")
    ] = None,
    skip_corrupt: Annotated[bool, typer.Option(help="Leave files out that cannot be decoded, and count them.")] = False,
) -> None:
    """Train an encoder whose prefixes are embeddings too; prints the run's path."""
    from mrl.disk import absent
    from mrl.training import Opening, TrainSpec, open_data
    from mrl.training import train as train_run

    spec = TrainSpec.from_json(
        {
            "nesting": dims,
            "head": head,
            "width": width,
            "epochs": epochs,
            "batch_size": batch_size,
            "lr": lr,
            "label_smoothing": label_smoothing,
            "level_weights": parse_weights(level_weights),
            "clip": clip,
            "augment": augment,
            "precision": precision,
            "seed": seed,
        }
    )
    absent(out)
    images = open_data(data, Opening(size=parse_size(size), skip_corrupt=skip_corrupt))
    tell(data, images)
    held_out = None
    if validate is not None:
        height, columns, channels = images.shape
        same = Opening((height, columns), channels, skip_corrupt)
        held_out = open_data(validate, same).named(images.classes)
        tell(validate, held_out)
    run = train_run(spec, images, out, validation=held_out)
    typer.echo(run.path)


def parse_weights(text: str | None) -> tuple[float, ...] | None:
    """`2,1,0.5` as (2.0, 1.0, 0.5)."""
    try:
        return None if text is None else tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"cannot read level weights from {text!r}; write one number per dim, as 2,1,1,1") from None


def parse_size(text: str | None) -> tuple[int, int] | None:
    """`64x48` as (64, 48): height, then width."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d+) ?x ?(\d+)", text.strip())
    if not found:
        raise InputError(f"cannot read a size from {text!r}; write height x width, as 64x48")
    height, width = int(found[1]), int(found[2])
    if not 4 <= min(height, width) <= max(height, width) <= 512:
        raise InputError(f"images are trained at 4 to 512 pixels a side, got {text}; this network is for small ones")
    return height, width


def tell(path: Path, data: ImageData) -> None:
    """Say on stderr what was read, and what was left out or is unknown to the run."""
    typer.echo(f"{path}: {len(data)} images, {len(data.classes)} classes, {' x '.join(map(str, data.shape))}", err=True)
    if data.skipped:
        typer.echo(f"skipped {len(data.skipped)} files that cannot be decoded: {_some(data.skipped)}", err=True)
    if data.unknown:
        typer.echo(f"{len(data.unknown)} classes that the run does not know: {_some(data.unknown)}", err=True)


def _some(names: tuple[str, ...]) -> str:
    return ", ".join(names[:5]) + (", …" if len(names) > 5 else "")

"""`mrl train`: a nested encoder of images or texts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mrl.cli.data import COLUMNS, DATA, TABLES, main_process, parse_size, read, rows, tell_unknown
from mrl.cli.settings import Chosen, numbers, settings
from mrl.encoders.spec import EncoderSpec
from mrl.errors import InputError
from mrl.nesting import Nesting
from mrl.training.opening import MEMORY, Opening, Origin, Rows, TextOpening
from mrl.training.pairing import PairSpec
from mrl.training.spec import Checkpoints, TrainSpec

if TYPE_CHECKING:
    from mrl.training import ImageData, Run, Stream, TextData

DIMS = "8..64"


@settings(
    ("Training", TrainSpec, {}),
    ("Network", EncoderSpec, {}),
    ("Pairs of texts", PairSpec, {}),
    ("Checkpoints", Checkpoints, {}),
    (TABLES, Rows, COLUMNS),
)
def train(
    out: Annotated[Path, typer.Option(help="The run's folder; it must not exist yet, but with --resume.")],
    data: Annotated[str | None, typer.Argument(help=f"{DATA}. With --resume, that of the run.")] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with the interrupted run at --out, with its settings; begin it if need be."
        ),
    ] = False,
    validate: Annotated[str | None, typer.Option(help="Data of the same kind, measured after each epoch.")] = None,
    validate_split: Annotated[
        str | None, typer.Option(help="Which split of --validate, if it has several.", show_default="that of --split")
    ] = None,
    dims: Annotated[str | None, typer.Option(help="As 8,16,32, or a ladder.", show_default=DIMS)] = None,
    size: Annotated[
        str | None, typer.Option(help="Height x width, as 64x48.", show_default="the network's; the pictures', to 64")
    ] = None,
    skip_corrupt: Annotated[
        bool, typer.Option(help="Leave out what cannot be used (damaged files, empty texts), and count it.")
    ] = False,
    workers: Annotated[
        int | None, typer.Option(help="Threads that load rows.", show_default="cores; none for rows in memory")
    ] = None,
    device: Annotated[str | None, typer.Option(help="As cpu or cuda:1.", show_default="a GPU if there is one")] = None,
    *,
    chosen: Chosen,
) -> None:
    """Train an encoder of images, or of texts, whose prefixes are embeddings too; prints the run's path.

    Texts: --task pairs|scored-pairs, or classify with --text-column, and a text model's name or folder as --network.
    """
    from mrl.disk import absent
    from mrl.training import Run
    from mrl.training import train as train_run
    from mrl.training.run import begun

    asked = Asked(parse_size(size), skip_corrupt, rows(chosen), validate_split)
    if resume and begun(out):
        run = Run.open(out)
        spec, sources = _resumed(run, chosen, dims, asked), _recorded(run, data, validate)
    else:
        if not resume:
            absent(out)
        spec = _spec(chosen, dims)
        sources = _asked(spec, data, validate, asked)
    rows_, held_out = _read(*sources)
    done = train_run(spec, rows_, out, validation=held_out, resume=resume, device=device, workers=workers)
    if main_process():
        typer.echo(done.path)


_MOVABLE = {"every_steps", "every_minutes", "keep", "log_every"}  # settings that a resumed run may be given anew


class Asked(NamedTuple):
    """What was said about the data."""

    size: tuple[int, int] | None
    skip_corrupt: bool
    rows: Rows
    validate_split: str | None


Source = tuple[str, Opening | TextOpening]


def _spec(chosen: Chosen, dims: str | None) -> TrainSpec:
    values = chosen.of(TrainSpec)
    values["level_weights"] = numbers(values["level_weights"], "level weights")
    encoder, checkpoints = EncoderSpec(**chosen.of(EncoderSpec)), Checkpoints(**chosen.of(Checkpoints))
    pairs = PairSpec(**chosen.of(PairSpec))
    return TrainSpec(Nesting.parse(dims or DIMS), encoder=encoder, pairs=pairs, checkpoints=checkpoints, **values)


def _asked(spec: TrainSpec, data: str | None, validate: str | None, asked: Asked) -> tuple[Source, Source | None]:
    """Where the data lie and how they are opened."""
    if data is None:
        raise InputError("say which images or texts to train on, as in mrl train photos/train --out run")
    how = _opening(spec, asked)
    if validate is None:
        return (data, how), None
    split = asked.validate_split or asked.rows.split
    if (validate, split) == (data, asked.rows.split):
        raise InputError(f"--validate {validate} is what is trained on; name other data, or a --validate-split")
    later = replace(how, rows=replace(asked.rows, split=split, stream=False, count=None))
    # They are read again and again and never cut at random, so they are held where they fit.
    return (data, how), (validate, replace(later, memory=MEMORY) if isinstance(later, Opening) else later)


def _opening(spec: TrainSpec, asked: Asked) -> Opening | TextOpening:
    """How the data are opened: texts for their task, pictures as the network wants them, if it has a wish."""
    if spec.task != "classify" or asked.rows.text:
        if asked.size is not None:
            raise InputError(f"--size is of images, got {asked.size} for texts; leave it out")
        return TextOpening(spec.task, skip_empty=asked.skip_corrupt, rows=asked.rows)
    return _pictures(spec, asked)


def _pictures(spec: TrainSpec, asked: Asked) -> Opening:
    from mrl.encoders.making import wanted_preparation

    wanted = wanted_preparation(spec.encoder)
    if wanted is not None and asked.size not in (None, wanted.fit.size):
        raise InputError(
            f"{spec.encoder.network} takes images of {wanted.fit.size}, got --size {asked.size}; leave it out"
        )
    # Random crops are cut from the pictures as they are on disk, not from what is held of them in memory.
    memory = 0 if spec.augment.startswith("crop") else MEMORY
    if wanted is None:
        return Opening(asked.size, skip_corrupt=asked.skip_corrupt, memory=memory, rows=asked.rows)
    return Opening.like(wanted.fit, skip_corrupt=asked.skip_corrupt, memory=memory, rows=asked.rows)


def _recorded(run: Run, data: str | None, validate: str | None) -> tuple[Source, Source | None]:
    """Where the run's data lie, or where they lie now."""
    known = run.manifest["data"]
    if known["origin"] is None:
        raise InputError(f"{run.path} does not say where its data came from; resume it from Python, with the data")
    held_out = known["validation"]
    if held_out is None and validate is not None:
        raise InputError(f"{run.path} was started without validation data; leave --validate out")
    if held_out is not None and held_out["origin"] is None:
        raise InputError(f"{run.path} does not say where its validation data came from; resume it from Python")
    origin = Origin.from_json(known["origin"])
    source = (data or origin.source, origin.how)
    if held_out is None:
        return source, None
    later = Origin.from_json(held_out["origin"])
    return source, (validate or later.source, later.how)


def _resumed(run: Run, chosen: Chosen, dims: str | None, asked: Asked) -> TrainSpec:
    """The run's spec, with what decides nothing about its weights as it is asked for now. InputError for the rest."""
    given = {*chosen.given} - _MOVABLE
    given |= {name for name, value in zip(("size", "skip-corrupt"), asked[:2], strict=True) if value}
    given |= {name for name, value in (("dims", dims), ("validate-split", asked.validate_split)) if value}
    if given:
        names = ", ".join(f"--{name.replace('_', '-')}" for name in sorted(given))
        raise InputError(f"a resumed run keeps its settings, got {names}; leave them out, or train anew elsewhere")
    values = {name: value for name, value in chosen.of(Checkpoints).items() if name in chosen.given}
    spec = replace(run.spec, checkpoints=replace(run.spec.checkpoints, **values))
    return replace(spec, log_every=chosen.of(TrainSpec)["log_every"]) if "log_every" in chosen.given else spec


def _read(source: Source, held_out: Source | None) -> tuple[ImageData | Stream | TextData, ImageData | TextData | None]:
    """Both parts of the data, the second with the first one's classes and, where it was not said, its size."""
    data = read(*source)
    if held_out is None:
        return data, None
    where, how = held_out
    if isinstance(how, Opening):
        height, width, channels = data.shape
        how = replace(how, size=(height, width), channels=channels)
    validation = read(where, how).named(data.classes)
    tell_unknown(validation)
    return data, validation

"""Where a training run starts: from nothing, or from the newest state that was committed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from mrl.encoders.making import wanted_preparation
from mrl.errors import InputError
from mrl.training.batches import Traits, batch, class_names, traits
from mrl.training.data import ImageData, Samples
from mrl.training.identity import fingerprint
from mrl.training.model import Model
from mrl.training.run import Run, RunWriter, Snapshot, State, begun, clear
from mrl.training.spec import TrainSpec
from mrl.training.state import Arrays
from mrl.training.stream import Stream
from mrl.training.team import Team


@dataclass
class Start:
    """What the loop needs. rows: of the training data. steps: of an epoch. memory: the optimiser's. standing: where the
    run stood. tallies: sums of an epoch that was interrupted. finished: nothing is left to do."""

    model: Model
    writer: RunWriter
    rows: int
    steps: int
    validation: Samples | None
    memory: Arrays
    standing: dict[str, Any]
    tallies: tuple[Mapping[str, Any], ...] = ()
    finished: bool = False


def begin(
    spec: TrainSpec,
    data: tuple[Samples | Stream, Samples | None],
    out: Path,
    team: Team,
    *,
    resume: bool,
    module: nn.Module | None,
) -> Start:
    """Check spec and data (training, validation), and open or create the run. InputError for what does not fit."""
    train_data, validation = data
    about = _traits(spec, train_data)
    if validation is not None:
        validation = matched(validation, about)
    elif spec.checkpoints.patience is not None or spec.checkpoints.select_dim is not None:
        raise InputError("stopping early and choosing the best state need validation data; give some")
    identity = {
        "fingerprint": fingerprint(train_data, about),
        "rows": len(train_data),
        "origin": _origin(train_data),
        "validation": None if validation is None else _origin(validation),
    }
    steps = -(-len(train_data) // spec.batch_size)
    if resume and begun(out):
        return _again(spec, out, identity, team, (steps, validation, module))
    model = Model.new(spec, about, team.device, module)
    writer = _created(spec, out, identity, team, model, resume=resume, rows=len(train_data))
    return Start(model, writer, len(train_data), steps, validation, {}, {})


def _origin(data: Samples | Stream) -> dict[str, Any] | None:
    origin = getattr(data, "origin", None)
    return None if origin is None else dict(origin.to_json())


def _traits(spec: TrainSpec, data: Samples | Stream) -> Traits:
    wanted = wanted_preparation(spec.encoder)
    return traits(data, *((wanted.mean, wanted.std) if wanted else (None, None)))


def _created(
    spec: TrainSpec, out: Path, identity: Mapping[str, Any], team: Team, model: Model, *, resume: bool, rows: int
) -> RunWriter:
    """The writer of a new run, whose fresh weights are committed by the main process."""
    team.wait()
    if not team.main:
        return RunWriter.elsewhere(spec)
    if resume:
        clear(out)
    writer = RunWriter.create(out, spec, identity)
    writer.log({"event": "start", "images": rows, "processes": team.size, **model.facts()})
    standing: dict[str, Any] = {"standing": {}, "tallies": []}
    writer.commit(Snapshot(State(0, 0), model.encoder, model.weights(), ({}, standing)))
    return writer


def _again(
    spec: TrainSpec,
    out: Path,
    identity: Mapping[str, Any],
    team: Team,
    rest: tuple[int, Samples | None, nn.Module | None],
) -> Start:
    """The newest state, once it is sure that spec and data are those of the run."""
    steps, validation, module = rest
    run = Run.open(out)
    check_same_spec(run, spec)
    check_same_data(run, identity)
    model = Model.again(spec, run.load_encoder(module), run.head, team.device)
    if run.finished:
        return Start(model, RunWriter.elsewhere(spec), identity["rows"], steps, validation, {}, {}, finished=True)
    memory, about = run.progress()
    team.wait()  # nobody may still read when the main process clears what is left over
    writer = RunWriter.again(run) if team.main else RunWriter.elsewhere(spec)
    return Start(model, writer, identity["rows"], steps, validation, memory, about["standing"], tuple(about["tallies"]))


def check_same_spec(run: Run, spec: TrainSpec) -> None:
    """Raise InputError naming the first setting in which a run differs from what is asked for now."""
    for field in fields(TrainSpec):
        mine, theirs = getattr(spec, field.name), getattr(run.spec, field.name)
        if mine != theirs and field.name != "log_every":
            raise InputError(
                f"{run.path} was started with {field.name} {theirs!s}, not {mine!s}; "
                "resume it as it was, or train anew at another --out"
            )


def check_same_data(run: Run, identity: Mapping[str, Any]) -> None:
    """Raise InputError unless the data are those that the run was started with."""
    before = run.manifest["data"]
    if before["fingerprint"] != identity["fingerprint"]:
        raise InputError(
            f"{run.path} was trained on other data: {before['rows']} images with fingerprint "
            f"{before['fingerprint'][:12]}, these are {identity['rows']} with {identity['fingerprint'][:12]}; "
            "resume with the data that it was started with, in the same order, or train anew at another --out"
        )


def matched(validation: Samples, about: Traits) -> Samples:
    """Validation data with labels by the training classes' names. InputError for other sizes, none or no labels."""
    if isinstance(validation, Stream):
        raise InputError("validation data are read again and again, so they cannot be a stream; open them without")
    if isinstance(validation, ImageData):
        validation = validation.named(about.classes)
    if len(validation) == 0:
        raise InputError("the validation data are empty; give some, or none at all")
    class_names(validation)
    shape = batch(validation, np.array([0]))[0].shape[1:]
    if tuple(shape) != (*about.size, about.channels):
        raise InputError(
            f"validation images are {tuple(shape)}, training images {(*about.size, about.channels)} (H, W, C); "
            "open both with the same size and channels"
        )
    return validation

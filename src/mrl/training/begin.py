"""Where a training run starts: from nothing, or from the newest state that was committed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from mrl.encoders.encoder import Encoder
from mrl.errors import InputError
from mrl.training.material import Data, Material, material
from mrl.training.model import Model
from mrl.training.run import Run, RunWriter, Snapshot, State, begun, clear
from mrl.training.spec import TrainSpec
from mrl.training.state import Arrays
from mrl.training.team import Team

COUNTERS = "counter:"  # before the names of what norms count, in a run's progress


@dataclass
class Start:
    """What the loop needs. material: the training data. steps: of an epoch. memory: the optimiser's. standing: where
    the run stood. tallies: sums of an epoch that was interrupted. finished: nothing is left to do."""

    model: Model
    writer: RunWriter
    material: Material
    steps: int
    validation: Any
    memory: Arrays
    standing: dict[str, Any]
    tallies: tuple[Mapping[str, Any], ...] = ()
    finished: bool = False


def begin(
    spec: TrainSpec,
    data: tuple[Data, Data | None],
    out: Path,
    team: Team,
    *,
    resume: bool,
    module: nn.Module | None,
) -> Start:
    """Check spec and data (training, validation), and open or create the run. InputError for what does not fit."""
    run = Run.open(out) if resume and begun(out) else None
    team.check_same("whether a run was begun", 0 if run is None else run.state.step + 1 & 0xFFFFFF)
    train_data, validation = data
    encoder = None if run is None else run.load_encoder(module)
    known = material(spec, train_data, encoder)
    if validation is not None:
        validation = known.matched(validation)
    elif spec.checkpoints.patience is not None or spec.checkpoints.select_dim is not None:
        raise InputError("stopping early and choosing the best state need validation data; give some")
    identity: dict[str, Any] = {
        "fingerprint": known.fingerprint(train_data),
        "rows": len(train_data),
        "origin": _origin(train_data),
        "validation": None if validation is None else _told(validation, known),
    }
    team.check_same("their data", int(identity["fingerprint"][:6], 16))
    basis = Basis(spec, known, identity, -(-len(train_data) // spec.batch_size), validation)
    if run is not None and encoder is not None:
        return _again(basis, run, team, encoder)
    model = Model.new(spec, known, team, module)
    _check_learns(model, basis, team)
    writer = _created(basis, out, team, model, resume=resume)
    return Start(model, writer, known, basis.steps, validation, {}, {})


def _check_learns(model: Model, basis: Basis, team: Team) -> None:
    """Raise InputError where no weight of the encoder is trained, and there are no classifiers either; and where rows
    that are compared with each other are too few, or not one for each process."""
    if model.head is None and len(model.trained()) == len(model.learnt()):
        raise InputError(
            f"tune={model.spec.encoder.tune} leaves no weight of {model.spec.encoder.network} to train, as it has no "
            f"projection; give tune=last or all, or a width other than its own {model.encoder.card.width} for one"
        )
    smallest = basis.rows // basis.steps
    if model.objective.joint and smallest < max(2, team.size):
        raise InputError(
            f"a batch of {smallest} pairs leaves nothing to compare them with in {team.size} processes; give a larger "
            "batch_size, or more pairs"
        )


class Basis(NamedTuple):
    """What a run stands on. identity: what tells its data from others. steps: of an epoch."""

    spec: TrainSpec
    material: Material
    identity: dict[str, Any]
    steps: int
    validation: Any

    @property
    def rows(self) -> int:
        return int(self.identity["rows"])


def _told(data: Any, known: Material) -> dict[str, Any]:
    return {"fingerprint": known.fingerprint(data), "origin": _origin(data)}


def _origin(data: Any) -> dict[str, Any] | None:
    origin = getattr(data, "origin", None)
    return None if origin is None else dict(origin.to_json())


def _created(basis: Basis, out: Path, team: Team, model: Model, *, resume: bool) -> RunWriter:
    """The writer of a new run, whose fresh weights are committed by the main process."""
    team.wait()
    if not team.main:
        return RunWriter.elsewhere(basis.spec)
    if resume:
        clear(out)
    writer = RunWriter.create(out, basis.spec, {"data": basis.identity, "dtype": str(model.dtype)})
    writer.log({"event": "start", basis.material.noun: basis.rows, "processes": team.size, **model.facts()})
    standing: dict[str, Any] = {"standing": {}, "tallies": []}
    writer.commit(Snapshot(State(0, 0), model.encoder, model.weights(), ({}, standing)))
    return writer


def _again(basis: Basis, run: Run, team: Team, encoder: Encoder) -> Start:
    """The newest state, once it is sure that spec and data are those of the run."""
    check_same_spec(run, basis.spec)
    check_same_data(run, basis.identity)
    dtype = getattr(torch, run.manifest["dtype"].removeprefix("torch."))
    model = Model.again(basis.spec, encoder, run.weights, (team.device, dtype), team)
    _check_learns(model, basis, team)  # a team may have grown
    start = Start(model, RunWriter.elsewhere(basis.spec), basis.material, basis.steps, basis.validation, {}, {})
    if not run.finished:
        arrays, about = run.progress()
        start.memory = {k: a for k, a in arrays.items() if not k.startswith(COUNTERS)}
        model.count_on({k.removeprefix(COUNTERS): a for k, a in arrays.items() if k.startswith(COUNTERS)})
        start.standing, start.tallies = about["standing"], tuple(about["tallies"])
    start.finished = run.finished
    team.wait()  # nobody may still read when the main process clears what is left over
    if team.main:
        start.writer = RunWriter.again(run, basis.spec)
    return start


def check_same_spec(run: Run, spec: TrainSpec) -> None:
    """Raise InputError naming the first setting that decides weights in which a run differs from what is asked now."""
    mine, theirs = _deciding(spec), _deciding(run.spec)
    for name, value in mine.items():
        if value != theirs[name]:
            raise InputError(
                f"{run.path} was started with {name} {theirs[name]!s}, not {value!s}; "
                "resume it as it was, or train anew at another --out"
            )


def _deciding(spec: TrainSpec) -> dict[str, Any]:
    settings = {field.name: getattr(spec, field.name) for field in fields(TrainSpec)}
    del settings["log_every"], settings["checkpoints"]
    return settings | {"select_dim": spec.checkpoints.select_dim, "patience": spec.checkpoints.patience}


def check_same_data(run: Run, identity: Mapping[str, Any]) -> None:
    """Raise InputError unless the data are those that the run was started with."""
    before = run.manifest["data"]
    remedy = "resume with the data that it was started with, in the same order, or train anew at another --out"
    if before["fingerprint"] != identity["fingerprint"]:
        raise InputError(
            f"{run.path} was trained on other data: {before['rows']} rows with fingerprint "
            f"{before['fingerprint'][:12]}, these are {identity['rows']} with {identity['fingerprint'][:12]}; {remedy}"
        )
    then, now = before["validation"], identity["validation"]
    if (then and then["fingerprint"]) != (now and now["fingerprint"]):
        said = "without" if then is None else "with other" if now else "with"
        raise InputError(f"{run.path} was started {said} validation data; {remedy}")

"""The training loop, in reading order."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from mrl.errors import DivergedError, InputError
from mrl.nn import NestedLoss
from mrl.training.augment import Augment, Ids, draws, order
from mrl.training.batches import Traits, batch, class_names, even_batches, traits
from mrl.training.data import ImageData, Samples
from mrl.training.model import Model
from mrl.training.optimise import one_cycle, optimiser, threads_for
from mrl.training.progress import Display, Tally, by_dim
from mrl.training.run import Run, RunWriter
from mrl.training.spec import TrainSpec


def train(
    spec: TrainSpec,
    data: Samples,
    out: str | Path,
    *,
    validation: Samples | None = None,
    device: str | None = None,
    quiet: bool = False,
) -> Run:
    """Train a nested image encoder and its classifiers into the new folder `out`.

    data, validation: map-style datasets of (uint8 image (H, W, C), label). device: default a GPU if there is one.
    quiet: no bar on stderr. Each epoch is committed when it is done. Raises InputError for data that cannot be
    trained on, ExistsError if something is at `out`, and DivergedError at a loss that is not finite; `out` then still
    holds the epoch before.
    """
    about = traits(data)
    held_out = None if validation is None else _matched(validation, about)
    model = Model.new(spec, about, torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")))
    writer = RunWriter(out, spec)
    writer.commit(0, model.encoder, model.weights())
    writer.log({"event": "start", "images": len(data), **model.facts()})
    loop = Loop(model, data, about, writer)
    with threads_for(loop.macs), Display(spec.epochs, loop.steps, quiet=quiet) as display:
        for epoch in range(1, spec.epochs + 1):
            record = {"event": "epoch", "epoch": epoch, **loop.epoch(epoch, display)}
            if held_out is not None:
                record["validation"] = by_dim(spec.nesting, model.accuracy(held_out))
            writer.commit(epoch, model.encoder, model.weights())
            writer.log(record)
            display.epoch(epoch, record)
    return writer.finished()


class Loop:
    """One pass over the data after another. steps: of all epochs together. macs: multiply-adds of a step."""

    def __init__(self, model: Model, data: Samples, about: Traits, writer: RunWriter) -> None:
        spec = model.spec
        self.model, self.data, self.writer = model, data, writer
        self.steps = spec.epochs * -(-len(data) // spec.batch_size)
        self.macs = 3 * model.encoder.network.macs * min(spec.batch_size, len(data))  # back costs twice forward
        self.optimiser = optimiser((model.network, model.head), spec)
        self.schedule = one_cycle(self.optimiser, spec, self.steps)
        self.augment = Augment.choose(spec.augment, about.size, about.channels)

    def epoch(self, epoch: int, display: Display) -> dict[str, Any]:
        """Train on every sample once; the log's record of it."""
        spec = self.model.spec
        whole, recent = Tally(spec.nesting), Tally(spec.nesting)
        for step, indices in enumerate(even_batches(order(spec.seed, epoch, len(self.data)), spec.batch_size), 1):
            rate = self.schedule.get_last_lr()[0]
            loss = self._step(epoch, step, indices)
            whole.add(loss, len(indices))
            recent.add(loss, len(indices))
            display.step(epoch, recent)
            if step % spec.log_every == 0:
                self.writer.log({"event": "step", "epoch": epoch, "step": step, "lr": rate, **recent.record()})
                recent = Tally(spec.nesting)
        if not self.model.finite():
            raise self._diverged(f"the weights were no longer finite at the end of epoch {epoch}", epoch)
        return {"lr": rate, **whole.record()}

    def _step(self, epoch: int, step: int, indices: Ids) -> NestedLoss:
        """Augment a batch, measure its loss, and move the weights."""
        images, labels = batch(self.data, indices)
        loss = self.model.loss(self.augment(images, draws(self.model.spec.seed, epoch, indices, 3)), labels)
        self._check_finite(loss, epoch, step)
        self.optimiser.zero_grad()
        loss.backward()
        if self.model.spec.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.model.spec.clip)
        self.optimiser.step()
        self.schedule.step()
        return loss

    def _check_finite(self, loss: NestedLoss, epoch: int, step: int) -> None:
        if bool(torch.isfinite(loss.total)) and bool(torch.isfinite(loss.levels).all()):
            return
        levels = zip(self.model.spec.nesting.dims, loss.levels.tolist(), strict=True)
        bad = [(f"dim {dim}", value) for dim, value in levels if not np.isfinite(value)]
        where, value = bad[0] if bad else ("all dims together", loss.total.item())
        raise self._diverged(f"the loss at {where} was {value} in epoch {epoch}, step {step}", epoch)

    def _diverged(self, what: str, epoch: int) -> DivergedError:
        return DivergedError(
            f"{what}; it must stay finite. Lower lr (now {self.model.spec.lr:g}) or set clip. "
            f"The run holds the state after epoch {epoch - 1}"
        )


def _matched(validation: Samples, about: Traits) -> Samples:
    """Validation data with labels by the training classes' names. InputError for other sizes, none or no labels."""
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

"""The training loop, in reading order."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mrl.disk import absent
from mrl.errors import DivergedError, InputError
from mrl.training.begin import COUNTERS, Start, begin
from mrl.training.data import Samples
from mrl.training.feed import Batch, Feed
from mrl.training.gradients import find_gradients
from mrl.training.material import Data
from mrl.training.optimise import Rates, optimiser, threads_for
from mrl.training.progress import Display, Tally, by_dim
from mrl.training.run import Run, Snapshot, State
from mrl.training.scoring import JUDGED, score
from mrl.training.spec import TrainSpec
from mrl.training.state import restore, saved
from mrl.training.team import Team
from mrl.training.texts import TextData

_LOOK_EVERY = 16  # steps between looks at a GPU's losses, and at the clock in a team


def train(
    spec: TrainSpec,
    data: Data,
    out: str | Path,
    *,
    validation: Samples | TextData | None = None,
    resume: bool = False,
    network: nn.Module | None = None,
    device: str | None = None,
    workers: int | None = None,
    quiet: bool = False,
) -> Run:
    """Train a nested encoder of images or texts, with its classifiers where there are classes, into the folder `out`.

    data, validation: map-style datasets of (uint8 image (H, W, C), label), of which data may be a stream; or texts, for
    the task of the spec. resume: go on with the
    run at `out`, to the weights that it would have had without the interruption; begin it if nothing was committed.
    network: your own module (n, C, H, W) -> (n, width), in place of the spec's. device: default a GPU if there is one.
    workers: threads that load rows (default: as many as there are cores, none for rows in memory). quiet: no bar.

    Started by `torchrun`, all processes work on each batch together. Every epoch is committed when it is done, and what
    `spec.checkpoints` asks for besides. Raises InputError for data that cannot be trained on, or are not those of the
    run that is to go on; ExistsError if something is at `out`; DivergedError at a loss that is not finite, and
    StorageError if the disk is full: `out` then still holds the last state committed.
    """
    if workers is not None and workers < 0:
        raise InputError(f"workers must be 0 or more, got {workers}")
    out, team = Path(out), Team(device)
    if not resume:
        absent(out)
    with _own_randomness(team.device):
        start = begin(spec, (data, validation), out, team, resume=resume, module=network)
        if start.finished:
            return Run.open(out)  # whose leftovers are cleared
        loop = Loop(start, _feed(start, team, workers), quiet=quiet)
        with threads_for(loop.macs):
            loop.run()
    team.wait()
    return Run.open(out)


def _feed(start: Start, team: Team, workers: int | None) -> Feed:
    source = start.material.source(start.model.encoder)
    if workers is None:
        workers = int(team.device.type == "cuda") if source.at_hand else _cores()
    return Feed(source, team, start.model.spec.accumulate, workers)


def _cores() -> int:
    """Those that this process may use, where the system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Leave torch's global random state as it was."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


@dataclass
class Standing:
    """Where a run stands. step: steps done in all. epoch: the one under way. position: where it goes on in it.
    stale: epochs in a row that did not better the best score. said: notes that are not repeated."""

    step: int = 0
    epoch: int = 1
    position: Any = None
    best: float | None = None
    stale: int = 0
    said: list[str] = field(default_factory=list)


class Loop:
    """Epochs, steps and commits. macs: multiply-adds of a step."""

    def __init__(self, start: Start, feed: Feed, *, quiet: bool) -> None:
        self.start, self.feed, self.team, self.writer = start, feed, feed.team, start.writer
        self.model, self.spec, self.steps = start.model, start.model.spec, start.steps
        rows = min(self.spec.batch_size, len(start.material.data))
        self.macs = 3 * self.model.encoder.network.macs * rows  # back is twice forward
        self.optimiser = optimiser(self.model.trained(), self.spec, self.model.learnt())
        restore(self.optimiser, start.memory)
        self.rates = Rates(self.spec, self.spec.epochs * self.steps)
        self.standing = Standing(**start.standing)
        self.trainee = self.team.wrap(self.model.trainee())
        silent = quiet or not self.team.main
        self.display = Display(self.spec.epochs, self.rates.steps, JUDGED[self.spec.task], quiet=silent)
        self.committed = time.monotonic()
        self.cut = 0

    def run(self) -> None:
        """All epochs that are left, or as many as patience allows."""
        standing = self.standing
        with self.display:
            self.display.step(standing.epoch, Tally(self.spec.nesting, self.team.device), standing.step)
            for epoch in range(standing.epoch, self.spec.epochs + 1):
                record = self._epoch(epoch)
                score = self._judged(record.get("validation"))
                patience = self.spec.checkpoints.patience
                stop = patience is not None and standing.stale >= patience
                self._finish_epoch(record, score, last=stop or epoch == self.spec.epochs)
                if stop:
                    judged = JUDGED[self.spec.task]
                    self.display.say(f"stopped: {standing.stale} epochs without a better validation {judged}")
                    return

    def _epoch(self, epoch: int) -> dict[str, Any]:
        """Train on every sample once, or on those that are left; the log's record of it."""
        whole, recent = (Tally(self.spec.nesting, self.team.device) for _ in range(2))
        if self.start.tallies:
            whole.take_up(self.start.tallies[0], self.team)
            recent.take_up(self.start.tallies[1], self.team)
            self.start.tallies = ()
        self.model.training()
        self.cut = self.model.encoder.cut_texts  # of texts that are not this epoch's
        for batch in self.feed.epoch(epoch, self.standing.position or {}):
            rate = self._step(batch, whole, recent)
            done = self._in_epoch()
            self.display.step(epoch, recent)
            if done % self.spec.log_every == 0:
                self._log({"event": "step", "epoch": epoch, "step": done, "lr": rate, **self._record(recent)})
                recent = Tally(self.spec.nesting, self.team.device)
            if done < self.steps and self._due():
                self._commit_within(whole, recent)
        self._check_finite(whole)
        if not self.model.finite():
            raise self._diverged(f"the weights were no longer finite at the end of epoch {epoch}")
        record = {"event": "epoch", "epoch": epoch, "lr": rate, **self._record(whole)}
        if self.start.validation is not None:
            record["validation"] = by_dim(self.spec.nesting, score(self.model, self.start.validation, self.team))
        return record

    def _record(self, tally: Tally) -> dict[str, Any]:
        return {**tally.record(self.team), **self.model.objective.facts()}

    def _step(self, batch: Batch, whole: Tally, recent: Tally) -> float:
        """Find the gradients of a batch and move the weights; the rate."""
        self.optimiser.zero_grad()
        seed = self.spec.seed, self.standing.step, self.team.rank
        found = find_gradients(self.model, self.trainee, self.team, batch, seed)
        cut, self.cut = self.model.encoder.cut_texts - self.cut, self.model.encoder.cut_texts
        for tally in (whole, recent):
            tally.cut += cut
            for loss, rows in found:
                tally.add(loss.levels, loss.hits, rows)
        self.standing.step += 1
        self.standing.position = batch.after
        if self.team.device.type == "cpu" or self.standing.step % _LOOK_EVERY == 0:
            self._check_finite(whole)
        if self.spec.clip is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.spec.clip)
        rate = self.rates.apply(self.optimiser, self.standing.step - 1)
        self.optimiser.step()
        if said := self.model.objective.settle():
            self._say_once(said)
        return rate

    def _say_once(self, text: str) -> None:
        if text not in self.standing.said:
            self.standing.said.append(text)
            self.display.say(text)
            self._log({"event": "note", "step": self.standing.step, "text": text})

    def _in_epoch(self) -> int:
        """Steps done in the epoch under way."""
        return self.standing.step - (self.standing.epoch - 1) * self.steps

    # ------------------------------------------------------------------------------------ commits

    def _due(self) -> bool:
        how = self.spec.checkpoints
        if how.every_steps is not None and self.standing.step % how.every_steps == 0:
            return True
        if how.every_minutes is None or (self.team.size > 1 and self.standing.step % _LOOK_EVERY):
            return False
        return self.team.agree(time.monotonic() - self.committed >= 60 * how.every_minutes)

    def _commit_within(self, *tallies: Tally) -> None:
        self._check_finite(tallies[0])
        if not self.model.finite():
            raise self._diverged(f"the weights were no longer finite after step {self.standing.step}")
        self._commit(None, [tally.to_json(self.team) for tally in tallies])

    def _finish_epoch(self, record: dict[str, Any], score: float | None, *, last: bool) -> None:
        self._log(record)
        self.standing.epoch += 1
        self.standing.position = None
        self._commit(score, [], finished=last)
        self.display.epoch(record["epoch"], record)

    def _commit(self, score: float | None, tallies: list[dict[str, Any]], *, finished: bool = False) -> None:
        if self.team.main:
            about = {"standing": vars(self.standing), "tallies": tallies}
            counters = {f"{COUNTERS}{name}": count for name, count in self.model.counters().items()}
            progress = None if finished else (saved(self.optimiser) | counters, about)
            state = State(self.standing.step, self.standing.epoch - 1, score, resumable=not finished)
            snapshot = Snapshot(state, self.model.encoder, self.model.weights(), progress)
            self.writer.commit(snapshot, finished=finished)
        self.committed = time.monotonic()

    def _judged(self, validation: dict[str, float] | None) -> float | None:
        """The epoch's score, once it was compared with the best one before; None where nothing was measured."""
        if validation is None:
            return None
        dim, best = self.spec.checkpoints.select_dim, self.standing.best
        score = sum(validation.values()) / len(validation) if dim is None else validation[str(dim)]
        better = best is None or score > best
        self.standing.stale = 0 if better else self.standing.stale + 1
        self.standing.best = score if better else best
        return score

    def _log(self, record: dict[str, Any]) -> None:
        if self.team.main:
            self.writer.log(record)

    # ------------------------------------------------------------------------------------ refusals

    def _check_finite(self, tally: Tally) -> None:
        if bool(torch.isfinite(tally.losses).all()):
            return
        bad = [
            dim
            for dim, loss in zip(self.spec.nesting.dims, tally.losses.tolist(), strict=True)
            if not math.isfinite(loss)
        ]
        raise self._diverged(
            f"the loss at dim {bad[0]} was no longer finite in epoch {self.standing.epoch}, step {self._in_epoch()}"
        )

    def _diverged(self, what: str) -> DivergedError:
        return DivergedError(
            f"{what}; it must stay finite. Lower lr (now {self.spec.lr:g}) or set clip. "
            f"The run holds the state before, at epoch {self.standing.epoch - 1}"
        )

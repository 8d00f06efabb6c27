"""Run: the folder of a training run. Whole or absent at any moment; only its log grows.

RUN/manifest.json                   sealed: card, spec, classes, data, versions, and the states that are kept
RUN/encoder-00000400.safetensors    sealed: the network after step 400, with all that encoding needs
RUN/head-00000400.safetensors       sealed: its classifiers, HeadWeights; of a run that classifies
RUN/progress-00000400.safetensors   sealed: what going on from there needs besides: the optimiser's memory, the position
RUN/log.jsonl                       one JSON line per epoch and every so many steps
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from torch import nn

from mrl.card import Card
from mrl.disk import Content, Folder, read_tensors, sealed_tensors
from mrl.encoders.encoder import RUN_KIND, Encoder
from mrl.encoders.image import ImageEncoder
from mrl.encoders.loading import load_encoder_file
from mrl.encoders.text import TextEncoder
from mrl.errors import InputError, StorageError
from mrl.heads import HeadWeights, chosen
from mrl.log import append_line, flush, read_lines
from mrl.training.spec import TrainSpec
from mrl.training.state import Arrays

LOG = "log.jsonl"
PROGRESS_KIND = "mrl-progress"
_OURS = re.compile(r"(encoder|head|progress)-\d+\.safetensors")
_STARTED = re.compile(rf"{_OURS.pattern}|{re.escape(LOG)}")  # what is there before the first commit
_PACKAGES = ("mrl", "torch", "numpy", "transformers", "accelerate", "datasets", "pillow")


@dataclass(frozen=True)
class State:
    """One committed state of a run. step: optimiser steps done. epoch: whole epochs done. score: its validation
    score, as the best one is chosen by it. resumable: whether training can go on from it. fingerprint: of the
    encoder's weights. headed: whether there are classifiers."""

    step: int
    epoch: int
    score: float | None = None
    resumable: bool = True
    fingerprint: str = ""
    headed: bool = True

    @property
    def encoder(self) -> str:
        return f"encoder-{self.step:08d}.safetensors"

    @property
    def head(self) -> str:
        return f"head-{self.step:08d}.safetensors"

    @property
    def progress(self) -> str:
        return f"progress-{self.step:08d}.safetensors"

    @property
    def files(self) -> tuple[str, ...]:
        wanted = ((self.encoder, True), (self.head, self.headed), (self.progress, self.resumable))
        return tuple(name for name, there in wanted if there)


class Run:
    """A training run on disk, at its newest committed state or its best one.

    spec: what was asked for. card: what its vectors are. classes: their names by label. state: the one that is open.
    """

    def __init__(self, folder: Folder, *, best: bool = False) -> None:
        self._folder = folder
        self.path = folder.path
        self.state = self.best if best else self.states[-1]

    @classmethod
    def open(cls, path: str | Path, *, best: bool = False) -> Run:
        """StorageError if nothing was committed at `path`, DamagedError if its manifest changed.

        best: open the state with the best validation score, not the newest; StorageError if none was measured.
        """
        return cls(Folder.open(Path(path), RUN_KIND), best=best)

    @property
    def manifest(self) -> Mapping[str, Any]:
        return self._folder.manifest

    @property
    def spec(self) -> TrainSpec:
        return TrainSpec.from_json(self.manifest["spec"])

    @property
    def states(self) -> tuple[State, ...]:
        """All that are kept, oldest first."""
        return tuple(State(**state) for state in self.manifest["states"])

    @property
    def best(self) -> State:
        """The state of the best validation score, the earlier of two alike; StorageError if none was measured."""
        name = chosen(self._folder, best=True)["encoder"]
        return next(state for state in self.states if state.encoder == name)

    @property
    def card(self) -> Card:
        return replace(Card.from_json(self.manifest["card"]), fingerprint=self.state.fingerprint)

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.manifest["classes"])

    @property
    def epoch(self) -> int:
        """Whole epochs done."""
        return self.state.epoch

    @property
    def finished(self) -> bool:
        """Whether training came to its end, or stopped early."""
        return bool(self.manifest["finished"])

    @cached_property
    def encoder(self) -> ImageEncoder | TextEncoder:
        """Of images or of texts. DamagedError names the file if its bytes changed."""
        return self.load_encoder()

    def load_encoder(self, network: nn.Module | None = None) -> ImageEncoder | TextEncoder:
        """network: your own module, where the run was trained with one."""
        return load_encoder_file(self._folder.verified(self.state.encoder), network)

    @cached_property
    def head(self) -> HeadWeights:
        """DamagedError names the file if its bytes changed; InputError where nothing was classified."""
        if self.weights is None:
            raise InputError(f"{self.path} was trained on {self.spec.task}, so it has no classifiers; use its encoder")
        return self.weights

    @cached_property
    def weights(self) -> HeadWeights | None:
        """The classifiers, or None where nothing was classified. DamagedError names the file if its bytes changed."""
        return HeadWeights.load(self._folder.verified(self.state.head)) if self.state.headed else None

    def progress(self) -> tuple[Arrays, dict[str, Any]]:
        """What going on needs besides the weights: the optimiser's memory, and where it stood."""
        return read_tensors(self._folder.verified(self.state.progress), PROGRESS_KIND)

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log's lines; a last one that a crash cut short is left out."""
        return read_lines(self.path / LOG)

    @property
    def names(self) -> frozenset[str]:
        """Of the committed files."""
        return frozenset(self._folder.entries)

    def verify(self) -> int:
        """Compare every committed file with its checksum; the number of files. DamagedError names the first bad one."""
        return sum(1 for _ in self._folder.verify())


@dataclass(frozen=True, eq=False)
class Snapshot:
    """What one commit writes. progress: the optimiser's memory and the position, or None once nothing goes on."""

    state: State
    encoder: Encoder
    head: HeadWeights | None
    progress: tuple[Arrays, Mapping[str, Any]] | None


class RunWriter:
    """Commits the states of a run, each as a whole, and writes its log."""

    def __init__(
        self, folder: Folder | None, spec: TrainSpec, about: Mapping[str, Any], states: Sequence[State] = ()
    ) -> None:
        self._committing = folder
        self._spec = spec
        self._about = dict(about)
        self._states = tuple(states)

    @classmethod
    def create(cls, path: Path, spec: TrainSpec, about: Mapping[str, Any]) -> RunWriter:
        """Start a run. about: `data`, what tells them from others, and `dtype`. ExistsError if something is there."""
        return cls(Folder.create(path, RUN_KIND), spec, about)

    @classmethod
    def elsewhere(cls, spec: TrainSpec) -> RunWriter:
        """That of a process which leaves writing to the main one."""
        return cls(None, spec, {})

    @property
    def _folder(self) -> Folder:
        if self._committing is None:
            raise StorageError("this process of the team does not write; the main one does")
        return self._committing

    @classmethod
    def again(cls, run: Run, spec: TrainSpec) -> RunWriter:
        """Go on with a run: what its log says beyond the newest state is taken back."""
        folder = run._folder.refreshed()
        run._folder.close()  # or the files of the state it is at would outlast their time
        newest, log = Run(folder), run.path / LOG
        with folder.lock():
            length = int(newest.manifest["log_bytes"])
            if log.exists() and log.stat().st_size > length:
                os.truncate(log, length)
            folder.sweep(_OURS)
        about = {name: newest.manifest[name] for name in ("data", "dtype")}
        return cls(folder, spec, about, newest.states)

    def commit(self, snapshot: Snapshot, *, finished: bool = False) -> None:
        """Publish a state; older ones than the last `keep` go, except the best one."""
        card = snapshot.encoder.card
        newest = replace(snapshot.state, fingerprint=card.fingerprint, headed=snapshot.head is not None)
        states = self._kept((*self._states, newest))
        best = _best(states)
        manifest = {
            "card": card.to_json(),
            "spec": self._spec.to_json(),
            "classes": [] if snapshot.head is None else list(snapshot.head.classes),
            **self._about,
            "versions": versions(),
            "states": [asdict(state) for state in states],
            "finished": finished,
            "log_bytes": flush(self._folder.path / LOG),
            "encoder": newest.encoder,
            "head": newest.head if newest.headed else None,
            "best": best and {"encoder": best.encoder, "head": best.head if best.headed else None},
        }
        keep = {name for state in states for name in state.files}
        self._folder.commit(self._files(snapshot, card), manifest, keep=lambda name: name in keep)
        self._states = states

    def _files(self, snapshot: Snapshot, card: Card) -> dict[str, Content]:
        state = snapshot.state
        files: dict[str, Content] = {state.encoder: snapshot.encoder.sealed()}
        if snapshot.head is not None:
            files[state.head] = replace(snapshot.head, fingerprint=card.fingerprint).sealed()
        if snapshot.progress is not None:
            files[state.progress] = sealed_tensors(*snapshot.progress, PROGRESS_KIND)
        return files

    def _kept(self, states: tuple[State, ...]) -> tuple[State, ...]:
        """The last few and the best one; what is only the best needs no progress."""
        newest = states[-self._spec.checkpoints.keep :]
        best = _best(states)
        if best is None or best in newest:
            return newest
        return (replace(best, resumable=False), *newest)

    def log(self, record: Mapping[str, Any]) -> None:
        append_line(self._folder.path / LOG, record)


def _best(states: Sequence[State]) -> State | None:
    """The state of the best validation score, the earlier of two alike."""
    scored = [state for state in states if state.score is not None]
    return max(scored, key=lambda state: (state.score, -state.step), default=None)


def versions() -> dict[str, str]:
    """Of the packages that decide what training does."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def clear(path: Path) -> None:
    """Remove what a writer left that was killed before its first commit."""
    if not begun(path) and Folder.begun(path, _STARTED):
        Folder.create(path, RUN_KIND, _STARTED)


def begun(path: Path) -> bool:
    """Whether a run was committed at `path`."""
    return Folder.committed(path)

"""Run: the folder of a training run. Whole or absent at any moment; only its log grows.

RUN/manifest.json               sealed: card, spec, classes, epoch, and which encoder and head are the newest
RUN/encoder-0003.safetensors    sealed: the network after epoch 3, with all that encoding needs
RUN/head-0003.safetensors       sealed: its classifiers, HeadWeights
RUN/log.jsonl                   one JSON line per epoch and every so many steps
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

from mrl.card import Card
from mrl.disk import Folder
from mrl.encoders.image import RUN_KIND, ImageEncoder
from mrl.heads import HeadWeights
from mrl.log import append_line, read_lines
from mrl.training.spec import TrainSpec

LOG = "log.jsonl"


class Run:
    """A training run on disk, at its newest committed epoch.

    spec: what was asked for. card: what its vectors are. classes: their names by label. epoch: the epochs done.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self.path = folder.path

    @classmethod
    def open(cls, path: str | Path) -> Run:
        """StorageError if nothing was committed at `path`, DamagedError if its manifest changed."""
        return cls(Folder.open(Path(path), RUN_KIND))

    @property
    def spec(self) -> TrainSpec:
        return TrainSpec.from_json(self._folder.manifest["spec"])

    @property
    def card(self) -> Card:
        return Card.from_json(self._folder.manifest["card"])

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self._folder.manifest["classes"])

    @property
    def epoch(self) -> int:
        return int(self._folder.manifest["epoch"])

    @cached_property
    def encoder(self) -> ImageEncoder:
        """DamagedError names the file if its bytes changed."""
        return ImageEncoder.load(self._folder.verified(self._folder.manifest["encoder"]))

    @cached_property
    def head(self) -> HeadWeights:
        """DamagedError names the file if its bytes changed."""
        return HeadWeights.load(self._folder.verified(self._folder.manifest["head"]))

    @property
    def log(self) -> list[dict[str, Any]]:
        """The log's lines; a last one that a crash cut short is left out."""
        return read_lines(self.path / LOG)

    def verify(self) -> int:
        """Compare every committed file with its checksum; the number of files. DamagedError names the first bad one."""
        return sum(1 for _ in self._folder.verify())


class RunWriter:
    """Commits the epochs of a new run, each as a whole, and writes its log."""

    def __init__(self, path: str | Path, spec: TrainSpec) -> None:
        self._folder = Folder.create(Path(path), RUN_KIND)
        self._spec = spec

    def commit(self, epoch: int, encoder: ImageEncoder, head: HeadWeights) -> None:
        """Publish the state after an epoch (0: before the first) in place of the one before."""
        names = {"encoder": f"encoder-{epoch:04d}.safetensors", "head": f"head-{epoch:04d}.safetensors"}
        card = encoder.card
        manifest = {
            "card": card.to_json(),
            "spec": self._spec.to_json(),
            "classes": list(head.classes),
            "epoch": epoch,
            **names,
        }
        head = replace(head, fingerprint=card.fingerprint)
        new = {names["encoder"]: encoder.sealed(), names["head"]: head.sealed()}
        self._folder.commit(new, manifest, keep=lambda _: False)

    def log(self, record: Mapping[str, Any]) -> None:
        append_line(self._folder.path / LOG, record)

    def finished(self) -> Run:
        return Run(self._folder)

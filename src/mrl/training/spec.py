"""TrainSpec: everything that decides the weights of a training run, as one value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from mrl.encoders.spec import EncoderSpec
from mrl.errors import InputError, NestingError
from mrl.heads import Kind
from mrl.nesting import Nesting, Reduction, level_coefficients
from mrl.options import check_choices, check_number, from_document, option

WIDEST = 65_536  # dims of a vector

Precision = Literal["auto", "float32", "bf16", "float64"]
Augmentation = Literal["auto", "shift", "shift-flip", "crop", "crop-flip", "none"]
Optimiser = Literal["adamw", "sgd", "adafactor"]
Schedule = Literal["cosine", "one-cycle", "linear", "constant"]


@dataclass(frozen=True)
class Checkpoints:
    """When a run is committed besides the end of each epoch, what is kept of it, and when it stops early."""

    every_steps: int | None = option(None, "Also commit after so many steps.")
    every_minutes: float | None = option(None, "Also commit when so many minutes have passed.")
    keep: int = option(1, "How many of the newest states are kept; the best one is kept besides.")
    select_dim: int | None = option(None, "The best is that of this dim alone, not of the mean over the dims.")
    patience: int | None = option(None, "Stop after so many epochs in a row without a better validation accuracy.")

    def __post_init__(self) -> None:
        for name, low in (("every_steps", 1), ("keep", 1), ("patience", 1)):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), low, math.inf)
        if self.every_minutes is not None:
            check_number("every_minutes", self.every_minutes, 0, math.inf, above=True)


@dataclass(frozen=True)
class TrainSpec:
    """How to train one nested encoder with its classifiers.

    nesting: the dims to train. encoder: the network. checkpoints: what is committed and kept; alone among these, it
    decides nothing about the weights, unless they are those of an early stop. The rest is explained beside each field.
    """

    nesting: Nesting
    head: Kind = option("mrl", "mrl: a classifier a dim; mrl-e: one for all; ff: a single dim, not nested.")
    width: int | None = option(None, "Dims of the vectors; a network of another width gets a projection.")
    epochs: int = option(12, "Passes over the data.")
    batch_size: int = option(128, "Images a step, of all processes and parts together.")
    accumulate: int = option(1, "Parts in which a batch is worked on, one after another, to save memory.")
    optimizer: Optimiser = option("adamw", "adamw, sgd (with momentum, as in the paper) or adafactor.")
    lr: float = option(0.003, "Peak of the learning rate.")
    momentum: float = option(0.9, "Of sgd; the first beta of adamw.")
    weight_decay: float = option(0.05, "Of all weights but norms and biases.")
    schedule: Schedule = option("cosine", "After the warm-up the rate falls so; one-cycle turns the momentum too.")
    warmup: float = option(0.15, "Share of all steps in which the rate rises.")
    clip: float | None = option(None, "Largest length of a gradient.")
    label_smoothing: float = option(0.0, "Share of each target spread over all classes.")
    level_weights: tuple[float, ...] | None = option(None, "Weight of each dim's loss (the paper's c_m), as 2,1,1,1.")
    reduction: Reduction = option("sum", "Of the dims' losses: sum, as in the paper, or mean.")
    augment: Augmentation = option(
        "auto", "shift by up to an eighth, crop at random, and -flip; auto: shift, and flip colour images."
    )
    smallest_crop: float = option(0.08, "Least share of a picture's area that `crop` shows.")
    window: int = option(4096, "Rows of a stream that are shuffled among themselves.")
    precision: Precision = option("auto", "bf16 multiplies in bfloat16; auto does where the machine can.")
    seed: int = option(0, "Decides fresh weights, order, augmentation and dropout.")
    log_every: int = option(50, "Steps between lines of the log.")
    encoder: EncoderSpec = field(default_factory=EncoderSpec)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)

    def __post_init__(self) -> None:
        if isinstance(self.nesting, str):
            object.__setattr__(self, "nesting", Nesting.parse(self.nesting))
        if self.width is None and (self.encoder.network == "residual" or self.head == "ff"):
            object.__setattr__(self, "width", self.nesting.width)
        if self.level_weights is not None:
            object.__setattr__(self, "level_weights", tuple(map(float, self.level_weights)))
        check_choices(
            self,
            {
                "head": Kind,
                "reduction": Reduction,
                "augment": Augmentation,
                "precision": Precision,
                "optimizer": Optimiser,
                "schedule": Schedule,
            },
        )
        self._check_dims()
        self._check_numbers()

    def _check_dims(self) -> None:
        if self.width is not None:
            self.nesting.check_width(self.width)
            check_number("width", self.width, 1, WIDEST)
        if self.head == "ff" and (len(self.nesting) != 1 or self.width != self.nesting.width):
            raise NestingError(
                f"a fixed-feature (ff) model has one dim, which is its width, got dims {self.nesting} and width "
                f"{self.width}; train one model per dim, or choose head mrl"
            )
        level_coefficients(self.nesting, self.level_weights, self.reduction)
        dim = self.checkpoints.select_dim
        if dim is not None and dim not in self.nesting.dims:
            raise NestingError(f"select_dim must be one of the trained dims {self.nesting}, got {dim}")

    def _check_numbers(self) -> None:
        for name in ("epochs", "batch_size", "accumulate", "window", "log_every"):
            check_number(name, getattr(self, name), 1, math.inf)
        check_number("seed", self.seed, 0, 2**63 - 1)
        check_number("lr", self.lr, 0, math.inf, above=True)
        check_number("momentum", self.momentum, 0, 1, below=True)
        check_number("weight_decay", self.weight_decay, 0, math.inf)
        check_number("label_smoothing", self.label_smoothing, 0, 1, below=True)
        check_number("warmup", self.warmup, 0, 1)
        check_number("smallest_crop", self.smallest_crop, 0, 1, above=True)
        if self.clip is not None:
            check_number("clip", self.clip, 0, math.inf, above=True)
        if self.accumulate > self.batch_size:
            raise InputError(f"a batch of {self.batch_size} images has no {self.accumulate} parts; lower accumulate")

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "nesting": str(self.nesting)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TrainSpec:
        parts = dict(document)
        if "encoder" in parts:
            parts["encoder"] = EncoderSpec.from_json(parts["encoder"])
        if "checkpoints" in parts:
            parts["checkpoints"] = from_document(Checkpoints, parts["checkpoints"], "checkpoint")
        return from_document(cls, parts, "training")

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
from mrl.training.pairing import PairSpec

WIDEST = 65_536  # dims of a vector
LEARNING, TUNING = 0.003, 0.00005  # rates of what is learnt anew, and of what was learnt before

Task = Literal["classify", "pairs", "scored-pairs"]
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
    patience: int | None = option(None, "Stop after so many epochs in a row without a better validation.")

    def __post_init__(self) -> None:
        for name, low in (("every_steps", 1), ("keep", 1), ("patience", 1)):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), low, math.inf)
        if self.every_minutes is not None:
            check_number("every_minutes", self.every_minutes, 0, math.inf, above=True)


@dataclass(frozen=True)
class TrainSpec:
    """How to train one nested encoder, with its classifiers where there are classes.

    nesting: the dims to train. encoder: the network. pairs: how pairs of texts are compared. checkpoints: what is
    committed and kept; alone among these, it decides nothing about the weights, unless they are those of an early stop.
    The rest is explained beside each field.
    """

    nesting: Nesting
    head: Kind = option("mrl", "mrl: a classifier a dim; mrl-e: one for all; ff: a single dim, not nested.")
    width: int | None = option(None, "Dims of the vectors; a network of another width gets a projection.")
    task: Task = option("classify", "classify labelled rows, or bring pairs of texts, or scored-pairs, together.")
    epochs: int = option(12, "Passes over the data.")
    batch_size: int = option(128, "Rows a step, of all processes and parts together.")
    accumulate: int = option(1, "Parts in which a batch is worked on, one after another, to save memory.")
    optimizer: Optimiser = option("adamw", "adamw, sgd (with momentum, as in the paper) or adafactor.")
    lr: float = option(
        None, "Peak of the learning rate; 0.003 without --lr, 0.00005 where weights that were learnt before are tuned."
    )  # type: ignore[assignment]  # it is a number once the spec is made
    head_lr: float = option(None, "That of classifiers and of the scale of pairs; 0.003 without, but not below lr.")  # type: ignore[assignment]
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
    pairs: PairSpec = field(default_factory=PairSpec)
    checkpoints: Checkpoints = field(default_factory=Checkpoints)

    def __post_init__(self) -> None:
        if isinstance(self.nesting, str):
            object.__setattr__(self, "nesting", Nesting.parse(self.nesting))
        if self.width is None and (self.encoder.network == "residual" or self.head == "ff"):
            object.__setattr__(self, "width", self.nesting.width)
        self._fill_rates()
        if self.level_weights is not None:
            object.__setattr__(self, "level_weights", tuple(map(float, self.level_weights)))
        check_choices(
            self,
            {
                "task": Task,
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
        self._check_task()

    def _fill_rates(self) -> None:
        """A rate that was not given: what was learnt before is changed with care, what is new learns fast."""
        pretrained = self.encoder.begun
        if self.lr is None:
            object.__setattr__(self, "lr", TUNING if pretrained and self.encoder.tune != "head" else LEARNING)
        if self.head_lr is None:
            object.__setattr__(self, "head_lr", max(self.lr, LEARNING) if pretrained else self.lr)

    def _check_task(self) -> None:
        if self.task == "classify":
            if self.pairs != PairSpec():
                raise InputError("the settings of pairs say nothing about task=classify; leave them out")
            return
        if self.head != "mrl":
            raise InputError(f"task={self.task} trains no classifiers, got head={self.head}; leave head out")
        if self.label_smoothing:
            raise InputError(
                f"label_smoothing is a setting of classifiers, got {self.label_smoothing} for task={self.task}; "
                "leave it out"
            )
        if self.encoder.network == "residual":
            raise InputError(
                f"task={self.task} is learnt from texts, and the residual network takes images; name a text model "
                "(a Transformers or sentence-transformers name or folder) as network"
            )
        self.pairs.check_task(self.task)

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
        for name in ("lr", "head_lr"):
            check_number(name, getattr(self, name), 0, math.inf, above=True)
        check_number("momentum", self.momentum, 0, 1, below=True)
        check_number("weight_decay", self.weight_decay, 0, math.inf)
        check_number("label_smoothing", self.label_smoothing, 0, 1, below=True)
        check_number("warmup", self.warmup, 0, 1)
        check_number("smallest_crop", self.smallest_crop, 0, 1, above=True)
        if self.clip is not None:
            check_number("clip", self.clip, 0, math.inf, above=True)
        if self.accumulate > self.batch_size:
            raise InputError(f"a batch of {self.batch_size} rows has no {self.accumulate} parts; lower accumulate")

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "nesting": str(self.nesting)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TrainSpec:
        parts = dict(document)
        if "lr" in parts:
            parts.setdefault("head_lr", parts["lr"])  # in runs from before there was one, all learnt at lr
        if "encoder" in parts:
            parts["encoder"] = EncoderSpec.from_json(parts["encoder"])
        if "pairs" in parts:
            parts["pairs"] = PairSpec.from_json(parts["pairs"])
        if "checkpoints" in parts:
            parts["checkpoints"] = from_document(Checkpoints, parts["checkpoints"], "checkpoint")
        return from_document(cls, parts, "training")

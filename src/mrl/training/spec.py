"""TrainSpec: everything that a training run is asked for, as one value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from mrl.errors import InputError, NestingError
from mrl.nesting import Nesting
from mrl.nn import Kind, Reduction
from mrl.nn.loop import level_coefficients

WIDEST = 65_536  # dims of a vector

Precision = Literal["auto", "float32", "bf16"]
Augmentation = Literal["auto", "shift", "shift-flip", "none"]


@dataclass(frozen=True)
class TrainSpec:
    """How to train one nested encoder with its classifiers.

    nesting: the dims to train. head: `mrl` (one classifier a dim), `mrl-e` (one for all), or `ff` (a single dim, the
    paper's fixed-feature baseline). width: dims of the vectors (default: the widest of the nesting). epochs: passes
    over the data. batch_size: images a step. lr: peak of the learning rate. weight_decay: of all weights but norms and
    biases. label_smoothing: share of the target spread over all classes. level_weights: the paper's c_m, one a dim
    (default: 1 each). reduction: of the levels' losses, `sum` as in the paper or `mean`. warmup: share of the steps in
    which the rate rises. clip: largest length of the gradient, or None. augment: `shift` moves images by up to an
    eighth, `shift-flip` mirrors them too, `auto` mirrors colour images only, for grey ones are mostly characters.
    precision: `bf16` multiplies in bfloat16, `auto` does where the machine has instructions for it. seed: decides
    weights, order and augmentation. log_every: steps between lines of the log.
    """

    nesting: Nesting
    head: Kind = "mrl"
    width: int | None = None
    epochs: int = 12
    batch_size: int = 128
    lr: float = 0.003
    weight_decay: float = 0.05
    label_smoothing: float = 0.0
    level_weights: tuple[float, ...] | None = None
    reduction: Reduction = "sum"
    warmup: float = 0.15
    clip: float | None = None
    augment: Augmentation = "auto"
    precision: Precision = "auto"
    seed: int = 0
    log_every: int = 50

    def __post_init__(self) -> None:
        if isinstance(self.nesting, str):
            object.__setattr__(self, "nesting", Nesting.parse(self.nesting))
        if self.width is None:
            object.__setattr__(self, "width", self.nesting.width)
        if self.level_weights is not None:
            object.__setattr__(self, "level_weights", tuple(map(float, self.level_weights)))
        self._check_choices()
        self._check_dims()
        self._check_numbers()

    @property
    def vector_width(self) -> int:
        """The width, given or not."""
        return self.nesting.width if self.width is None else self.width

    def _check_choices(self) -> None:
        for name, choices in (
            ("head", Kind),
            ("reduction", Reduction),
            ("augment", Augmentation),
            ("precision", Precision),
        ):
            if getattr(self, name) not in get_args(choices):
                raise InputError(f"unknown {name} {getattr(self, name)!r}; known are {', '.join(get_args(choices))}")

    def _check_dims(self) -> None:
        self.nesting.check_width(self.vector_width)
        _check("width", self.vector_width, 1, WIDEST)
        if self.head == "ff" and (len(self.nesting) != 1 or self.vector_width != self.nesting.width):
            raise NestingError(
                f"a fixed-feature (ff) model has one dim, which is its width, got dims {self.nesting} and width "
                f"{self.width}; train one model per dim, or choose head mrl"
            )
        level_coefficients(self.nesting, self.level_weights, self.reduction)

    def _check_numbers(self) -> None:
        for name in ("epochs", "batch_size", "log_every"):
            _check(name, getattr(self, name), 1, math.inf)
        _check("seed", self.seed, 0, 2**63 - 1)
        _check("lr", self.lr, 0, math.inf, above=True)
        _check("weight_decay", self.weight_decay, 0, math.inf)
        _check("label_smoothing", self.label_smoothing, 0, 1, below=True)
        _check("warmup", self.warmup, 0, 1)
        if self.clip is not None:
            _check("clip", self.clip, 0, math.inf, above=True)

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "nesting": str(self.nesting)}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> TrainSpec:
        if unknown := set(document) - {field.name for field in fields(cls)}:
            raise InputError(f"unknown training settings {', '.join(sorted(unknown))}; install a newer mrl")
        return cls(**document)


def _check(name: str, value: float, low: float, high: float, *, above: bool = False, below: bool = False) -> None:
    """Raise InputError unless low ≤ value ≤ high (low < value if `above`, value < high if `below`). NaN never is."""
    inside = (low < value if above else low <= value) and (value < high if below or high == math.inf else value <= high)
    if not inside:
        rule = f"{'>' if above else '≥'} {low}" + ("" if high == math.inf else f" and {'<' if below else '≤'} {high}")
        raise InputError(f"{name} must be {rule}{' and finite' if high == math.inf else ''}, got {value}")

"""PairSpec: how pairs of texts are compared while they are trained on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mrl.errors import InputError
from mrl.options import check_choices, check_number, from_document, option

PairLoss = Literal["auto", "infonce", "siglip", "cosent", "cosine"]
LOSSES = {"pairs": ("infonce", "siglip"), "scored-pairs": ("cosent", "cosine")}  # by task, the usual one first
SCALES = {"infonce": 20.0, "siglip": 10.0, "cosent": 20.0, "cosine": 1.0}


@dataclass(frozen=True)
class PairSpec:
    """The loss of pairs, or of scored pairs, at every dim.

    scale: what similarities are multiplied by (the inverse of a temperature); with learn_scale, where it begins.
    """

    loss: PairLoss = option("auto", "Of pairs: infonce or siglip; of scored pairs: cosent or cosine; auto: the first.")
    symmetric: bool = option(False, "With infonce, also find each anchor among all, from its positive.")
    scale: float | None = option(None, "Of similarities; without it, 20 for infonce and cosent, 10 for siglip.")
    learn_scale: bool = option(True, "Learn the scale of infonce and siglip.")
    largest_scale: float = option(100.0, "A scale that is learnt stays at most so large.")
    margin: float | None = option(
        None, "With infonce, leave out what is more similar than the positive by more than this: a false negative."
    )

    def __post_init__(self) -> None:
        check_choices(self, {"loss": PairLoss})
        check_number("largest_scale", self.largest_scale, 0, math.inf, above=True)
        if self.scale is not None:
            check_number("scale", self.scale, 0, self.largest_scale, above=True)
        if self.margin is not None:
            check_number("margin", self.margin, 0, 2)

    def chosen(self, task: str) -> str:
        """The loss's name for a task."""
        return LOSSES[task][0] if self.loss == "auto" else self.loss

    def first_scale(self, task: str) -> float:
        return min(self.largest_scale, SCALES[self.chosen(task)]) if self.scale is None else self.scale

    def check_task(self, task: str) -> None:
        """Raise InputError for a loss of another task, or settings that the loss does not have."""
        loss = self.chosen(task)
        if loss not in LOSSES[task]:
            raise InputError(f"loss={loss} is not one of task={task}: choose {' or '.join(LOSSES[task])}")
        if loss != "infonce" and (self.symmetric or self.margin is not None):
            raise InputError(f"symmetric and margin are settings of infonce, got loss={loss}; leave them out")
        if loss == "cosine" and self.scale is not None:
            raise InputError(f"loss=cosine compares similarities as they are, got scale={self.scale:g}; leave it out")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> PairSpec:
        return from_document(cls, document, "pair")

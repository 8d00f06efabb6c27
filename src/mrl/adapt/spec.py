"""How a map is fitted: everything that the fit depends on beside the data."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal

from mrl.errors import InputError
from mrl.nesting import Nesting
from mrl.options import check_choices, check_count, check_number, option

Method = Literal["auto", "pca", "rotation", "linear", "residual"]
Objective = Literal["auto", "labels", "pairs", "neighbours"]
Measure = Literal["nDCG", "MRR"]

SMALLEST = 8  # the narrowest dim of the ladder that is fitted where none are named
EPOCHS = 40  # with labels: more of them, and few rows are learned by heart
OFTEN = 20  # times that a row is seen, from which on it must be kept from being learned by heart
LEADING = 1024  # coordinates that are learned; beyond them it is PCA


@dataclass(frozen=True)
class AdaptSpec:
    """How a map is fitted. Each field says what it means; `auto` is settled by the data."""

    method: Method = option(
        "auto",
        "pca, rotation (keeps every full-width score), linear or residual; auto is residual with labels, else "
        "rotation.",
    )
    objective: Objective = option(
        "auto",
        "What every dim is to keep: labels, pairs (queries near their documents) or neighbours (of the full width); "
        "auto takes pairs where there are judgements, else labels where there are any, else neighbours.",
    )
    dims: str | None = option(None, "Dims that are fitted, as 8,16,32 or 8..64; without them 8 and its doubles.")
    own_maps: bool = option(False, "Queries and documents get a map each; needs judgements, and no rotation or pca.")
    measure: Measure = option("nDCG", "By what pairs are measured, at 10: nDCG or MRR.")
    steps: int | None = option(
        None, "Steps of learning; without a number 40 epochs for labels, at most 1000, else 400."
    )
    batch_size: int = option(512, "Rows, or pairs, of a step.")
    lr: float | None = option(
        None, "Highest learning rate; without one 0.003 for residual, else 0.03 / √width: a matrix's size of step."
    )
    hidden: int | None = option(
        None, "Width of the residual map's hidden layer; without one, the vectors', at most 1024."
    )
    dropout: float | None = option(
        None,
        "Share of the hidden layer that is left out at random while it learns; without a number 0.6 where rows are "
        "seen 20 times or more, else 0.3.",
    )
    smoothing: float = option(0.2, "Label smoothing.")
    sample: int = option(100_000, "Rows that are fitted on and measured against, at most; drawn at random.")
    seed: int = option(0, "Seed of every draw.")

    def __post_init__(self) -> None:
        if self.dims is not None and not isinstance(self.dims, str):
            dims = self.dims if isinstance(self.dims, Nesting) else Nesting(self.dims)
            object.__setattr__(self, "dims", str(dims))
        check_choices(self, {"method": Method, "objective": Objective, "measure": Measure})
        for name, low in (("steps", 1), ("batch_size", 2), ("hidden", 1), ("sample", 100), ("seed", 0)):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name), low)
        if self.lr is not None:
            check_number("lr", self.lr, 0, math.inf, above=True)
        if self.dropout is not None:
            check_number("dropout", self.dropout, 0, 1, below=True)
        check_number("smoothing", self.smoothing, 0, 1, below=True)
        given = [name for name in ("steps", "lr", "hidden", "dropout") if getattr(self, name) is not None]
        if self.method == "pca" and given:
            raise InputError(f"pca learns nothing, so {', '.join(given)} would be ignored; leave them out")
        if self.own_maps and self.method in ("pca", "rotation"):
            raise InputError(
                f"own_maps and method {self.method} exclude each other: turned two ways, queries and documents could "
                "not be compared at full width; choose linear or residual"
            )

    def settled(self, *, labelled: bool, judged: bool) -> AdaptSpec:
        """With method and objective chosen by what there is. InputError where the data lack what was asked for."""
        objective: Objective = self.objective
        if objective == "auto":
            objective = "pairs" if judged else "labels" if labelled else "neighbours"
        needed = {"labels": (labelled, "labels"), "pairs": (judged, "judgements, or queries that are pairs")}
        there, what = needed.get(objective, (True, ""))
        if not there:
            raise InputError(f"the objective {objective} needs {what}, and there are none; give them")
        method: Method = self.method
        if method == "auto":
            method = "residual" if objective == "labels" else "linear" if self.own_maps else "rotation"
        made = replace(self, method=method, objective=objective)
        if made.own_maps and objective != "pairs":
            raise InputError(f"own_maps needs pairs of queries and documents, and the objective is {objective}")
        return made

    def nesting(self, width: int) -> Nesting:
        """The dims that are fitted: those named and the width, by default 8, 16, 32 … and the width.

        NestingError for a dim wider than the vectors; InputError where there is none below the width.
        """
        if self.dims is None:
            named = Nesting.doubling(width, min(SMALLEST, max(width // 2, 1)))
        else:
            named = Nesting.parse(self.dims)
        named.check_width(width)
        if named.dims[0] >= width:
            raise InputError(f"there must be a dim below the width {width} to fit, got {named}; name a narrower one")
        return Nesting(tuple(sorted({*named.dims, width})))

    def paced(self, rows: int, width: int) -> AdaptSpec:
        """With the steps, dropout and learning rate for so many rows, or pairs, of such a width, where none
        were named.

        With labels 40 epochs, at most 1000 steps, else 400 steps.
        """
        epochs = math.ceil(EPOCHS * rows / self.batch_size)
        usual = min(max(epochs, 100), 1000) if self.objective == "labels" else 400
        steps = usual if self.steps is None else self.steps
        often = steps * self.batch_size / rows >= OFTEN
        turning = 0.03 / math.sqrt(min(width, LEADING))
        if self.method == "pca":
            return self
        return replace(
            self,
            steps=steps,
            dropout=(0.6 if often else 0.3) if self.dropout is None else self.dropout,
            lr=(0.003 if self.method == "residual" else turning) if self.lr is None else self.lr,
        )

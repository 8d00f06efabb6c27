"""Terms: what a cascade is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from mrl.classify.signals import SCORES, Score
from mrl.errors import InputError
from mrl.nesting import Nesting
from mrl.options import check_choices, check_count, check_number, option

Policy = Literal["promise", "target", "greedy", "lossless"]
Choice = Literal["auto", "probability", "margin", "entropy", "agreement", "gain"]
Cost = Literal["last", "read"]


@dataclass(frozen=True)
class Terms:
    """What is asked of a cascade; each field explains itself."""

    policy: Policy = option(
        "promise",
        "How the thresholds are chosen: promise, the least dims whose accuracy is surely at most --tolerance below the "
        "full width's; target, the least dims for the accuracy --target, or, without one, that seem to lose at most "
        "--tolerance; greedy, level by level, as the paper does; "
        "lossless, stop only where nothing in the remaining dims can change the answer, which needs no threshold.",
    )
    tolerance: float = option(
        0.005,
        "How much accuracy may be lost against the full width, as a share: 0.005 is half a point. Read by the policies "
        "promise, and target without a --target.",
    )
    confidence: float = option(0.95, "How sure the promise of policy promise must be.")
    target: float | None = option(
        None, "The accuracy to reach, of policy target, as a share. Without one: the full width's, less --tolerance."
    )
    score: Choice = option(
        "auto",
        "By which score a row stops: probability, margin, entropy, agreement with the level before, gain (what the "
        "full width is expected to gain over this level), or auto, which needs the least dims on the tune part. Read "
        "by the policies promise and target.",
    )
    cost: Cost = option(
        "last",
        "Which dims count: last, the widest one used; read, those of all levels looked at. Read by the policies "
        "promise and target.",
    )
    dims: str | None = option(None, "Levels, as 8,16,32; the last one is the full width. Without it: the trained dims.")
    keep: int | None = option(
        None, "How many of the best classes of the first level go on to the next ones, where there are very many."
    )
    seed: int = option(0, "How the rows are dealt into the parts that tune, calibrate and report.")

    def __post_init__(self) -> None:
        check_choices(self, {"policy": Policy, "score": Choice, "cost": Cost})
        check_number("the tolerance", self.tolerance, 0, 1, above=True, below=True)
        check_number("the confidence", self.confidence, 0, 1, above=True, below=True)
        check_count("seed", self.seed)
        if self.keep is not None:
            check_count("keep", self.keep, 1)
        if self.target is not None and self.policy != "target":
            raise InputError(
                f"a target belongs to the policy target, got policy {self.policy} and target {self.target}; leave it "
                "out, or take that policy"
            )
        if self.target is not None:
            check_number("the target", self.target, 0, 1, above=True)
        if self.keep is not None and self.policy == "lossless":
            raise InputError(f"the policy lossless looks at all classes, got keep {self.keep}; leave it out")

    def scores(self) -> tuple[Score, ...]:
        """Those that are tried."""
        return SCORES if self.score == "auto" else (self.score,)

    def nesting(self, default: Nesting) -> Nesting:
        """The levels that are asked for."""
        return default if self.dims is None else Nesting.parse(self.dims)

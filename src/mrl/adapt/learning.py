"""The loop: steps of learning, looked at now and then by queries that are held out; the best moment is kept."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn

from mrl.adapt.map import Told
from mrl.adapt.networks import RotationNetwork
from mrl.adapt.objectives import Objective
from mrl.adapt.spec import AdaptSpec
from mrl.adapt.turning import OrthogonalAdam
from mrl.errors import DivergedError

LOOKS = 5  # how often the held-out queries look, evenly; the start is looked at too
WARM = 0.1  # share of the steps in which the rate rises


@dataclass(frozen=True)
class Moment:
    """A state of the networks. step: after how many. score: of the held-out queries, at the dims below the width."""

    step: int
    score: float


def learn(objective: Objective, spec: AdaptSpec, look: Callable[[], float], told: Told) -> list[Moment]:
    """Let the objective's networks learn, and leave them in their best state; what was seen, moment by moment.

    spec: with steps and rate. look: the score of the networks as they are. The state before learning counts too, and
    wins a tie: what learning does not improve stays PCA. DivergedError at a loss that is not finite.
    """
    modules = nn.ModuleList([*objective.networks, *([objective.head] if objective.head is not None else [])])
    steps, rate = spec.steps or 0, spec.lr or 0.0
    optimizers = _optimizers(modules, rate)
    moments = [Moment(0, look())]
    best, state = moments[0], copy.deepcopy(modules.state_dict())
    looks = {round(steps * number / LOOKS) for number in range(1, LOOKS + 1)}
    for step in range(1, steps + 1):
        _step(objective, optimizers, modules, rate * pace(step, steps), step)
        told("steps", step, steps)
        if step in looks:
            moments.append(Moment(step, look()))
            if moments[-1].score > best.score:
                best, state = moments[-1], copy.deepcopy(modules.state_dict())
    modules.load_state_dict(state)
    return moments


def pace(step: int, steps: int) -> float:
    """The share of the highest rate at a step from 1 to `steps`: up in a line, then down along a half cosine."""
    warm = max(1, round(WARM * steps))
    if step <= warm:
        return step / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / (steps - warm + 1)))


def _step(
    objective: Objective, optimizers: list[torch.optim.Optimizer], modules: nn.ModuleList, rate: float, step: int
) -> None:
    modules.train()
    loss = objective.loss()
    if not torch.isfinite(loss):
        raise DivergedError(
            f"the loss of step {step} is {loss.item()}; lower the learning rate, or rescale the vectors"
        )
    modules.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = rate
        optimizer.step()


def _optimizers(modules: nn.ModuleList, rate: float) -> list[torch.optim.Optimizer]:
    """One for orthogonal matrices, one for everything else."""
    turns = [module.turn for module in modules if isinstance(module, RotationNetwork)]
    others = [each for each in modules.parameters() if all(each is not turn for turn in turns)]
    made: list[torch.optim.Optimizer] = []
    if turns:
        made.append(OrthogonalAdam(turns, rate))
    if others:
        made.append(torch.optim.Adam(others, rate, betas=(0.9, 0.99)))
    return made

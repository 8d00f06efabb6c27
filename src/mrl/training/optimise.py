"""Optimiser, learning rate and number format of a training run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import nn
from torch.optim import Optimizer

from mrl.training.spec import Precision, TrainSpec

_WORTH_A_THREAD = 3 << 30  # multiply-adds of a step, forward and back
_START, _END = 1 / 25, 1 / 250_000  # of one cycle's rate, as shares of its peak (Smith and Topin, arXiv 1708.07120)
_LEAST_MOMENTUM = 0.85  # of one cycle, where the rate is highest, unless the given one is lower


def optimiser(parameters: Iterable[nn.Parameter], spec: TrainSpec, new: Iterable[nn.Parameter] = ()) -> Optimizer:
    """AdamW, SGD with momentum, or Adafactor; norms and biases do not decay.

    new: those of the parameters that learn at `head_lr`. The steps of AdamW and Adafactor do not depend on how many
    levels' losses are summed; those of SGD do.
    """
    fresh = {id(p) for p in new} if spec.head_lr != spec.lr else set()
    listed = list(parameters)
    groups = [
        {"params": [p for p in listed if (p.ndim > 1, id(p) in fresh) == (wide, quick)], "weight_decay": decay} | times
        for quick, times in ((False, {}), (True, {"times": spec.head_lr / spec.lr}))
        for wide, decay in ((True, spec.weight_decay), (False, 0.0))
    ]
    groups = [group for group in groups if group["params"]]
    if spec.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=spec.lr, momentum=spec.momentum)
    if spec.optimizer == "adafactor":
        return torch.optim.Adafactor(groups, lr=spec.lr)
    return torch.optim.AdamW(groups, lr=spec.lr, betas=(spec.momentum, 0.999), fused=True)


@dataclass(frozen=True)
class Rates:
    """The learning rate and the momentum of each step, counted from 0: functions of the step alone."""

    spec: TrainSpec
    steps: int

    @property
    def rise(self) -> int:
        """Steps of the warm-up."""
        return min(self.steps, max(1, round(self.spec.warmup * self.steps)))

    def lr(self, step: int) -> float:
        """`one-cycle` rises and falls along half cosines; the others rise linearly, then fall to zero or stay."""
        rise, fall = self.rise, self._fall(step)
        peak, schedule = self.spec.lr, self.spec.schedule
        if schedule == "one-cycle":
            return peak * (_half_cosine(1, _START, step / rise) if step < rise else _half_cosine(_END, 1, fall))
        if step < rise:
            return peak * (step + 1) / rise
        return peak * {"cosine": _half_cosine(0, 1, fall), "linear": 1 - fall, "constant": 1.0}[schedule]

    def momentum(self, step: int) -> float:
        """As given, except that one cycle lowers it where the rate is high."""
        if self.spec.schedule != "one-cycle":
            return self.spec.momentum
        least = min(_LEAST_MOMENTUM, self.spec.momentum)
        share = step / self.rise if step < self.rise else 1 - self._fall(step)
        return _half_cosine(least, self.spec.momentum, share)

    def apply(self, optimizer: Optimizer, step: int) -> float:
        """Set an optimiser's rate and momentum for a step; the rate."""
        lr, momentum = self.lr(step), self.momentum(step)
        for group in optimizer.param_groups:
            group["lr"] = lr * group.get("times", 1.0)
            if "betas" in group:
                group["betas"] = (momentum, group["betas"][1])
            elif "momentum" in group:
                group["momentum"] = momentum
        return lr

    def _fall(self, step: int) -> float:
        return min(1.0, max(0, step - self.rise) / max(1, self.steps - self.rise))


def _half_cosine(low: float, high: float, share: float) -> float:
    """From `high` at share 0 to `low` at share 1."""
    return low + (high - low) * 0.5 * (1 + math.cos(math.pi * share))


def number_format(precision: Precision, device: torch.device) -> torch.dtype:
    """What the network multiplies in: `auto` takes bfloat16 where the machine has instructions for it.

    Emulated, it is slower than float32: a CPU must have AMX or AVX-512 BF16, a GPU must support it natively.
    """
    if precision == "auto":
        precision = "bf16" if _multiplies_bf16(device) else "float32"
    return {"bf16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}[precision]


@contextmanager
def threads_for(macs: int) -> Iterator[int]:
    """Let torch use as many threads as a step's multiply-adds are worth, at most as many as it is set to; their number.

    Threads that have little to do wait for each other longer than they work, and all the more on a busy machine.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, macs // _WORTH_A_THREAD)))
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)


def _multiplies_bf16(device: torch.device) -> bool:
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    names = ("amx_tile", "avx512_bf16")
    probes: Iterable[Callable[[], bool] | None] = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in names)
    return device.type == "cpu" and any(probe() for probe in probes if probe)

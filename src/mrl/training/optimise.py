"""Optimiser, learning rate and number format of a training run."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mrl.training.spec import Precision, TrainSpec

_WORTH_A_THREAD = 3 << 30  # multiply-adds of a step, forward and back


def optimiser(modules: Iterable[nn.Module], spec: TrainSpec) -> Optimizer:
    """AdamW, whose steps do not depend on how many levels' losses are summed; norms and biases do not decay."""
    parameters = [p for module in modules for p in module.parameters()]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": spec.weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=spec.lr, fused=True)


def one_cycle(optimiser: Optimizer, spec: TrainSpec, steps: int) -> LambdaLR:
    """The rate rises linearly for the warm-up's share of the steps, then falls to zero along half a cosine."""
    rise = max(1, round(spec.warmup * steps))

    def share(step: int) -> float:
        fall = (step - rise) / max(1, steps - rise)
        return (step + 1) / rise if step < rise else 0.5 * (1 + math.cos(math.pi * min(1.0, fall)))

    return LambdaLR(optimiser, share)


def number_format(precision: Precision, device: torch.device) -> torch.dtype:
    """What the network multiplies in: `auto` takes bfloat16 where the machine has instructions for it.

    Emulated, it is slower than float32: a CPU must have AMX or AVX-512 BF16, a GPU must support it natively.
    """
    if precision == "auto":
        precision = "bf16" if _multiplies_bf16(device) else "float32"
    return torch.bfloat16 if precision == "bf16" else torch.float32


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
    probes = (getattr(torch.cpu, f"_is_{name}_supported", None) for name in ("amx_tile", "avx512_bf16"))
    return device.type == "cpu" and any(bool(probe()) for probe in probes if probe)

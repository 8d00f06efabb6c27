"""What each row's softmax is compared with: class indices or distributions, smoothed and weighted.

Row i's loss is r_i · (logsumexp(z_i) − ⟨t_i, z_i⟩) with a distribution t_i and a row factor r_i, whatever the options
of `torch.nn.functional.cross_entropy`: class weights and smoothing give t_i = T_i⁻¹ ((1−ε) w_y δ_y + ε/C w) and
r_i = T_i / Z, with T_i the sum before the division and Z what the mean divides by. Ignored rows have r_i = 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mrl.errors import InputError


@dataclass(frozen=True)
class Options:
    """Options of the cross-entropy, as `torch.nn.functional.cross_entropy` names and means them.

    class_weights: (classes,) or None. label_smoothing: in [0, 1]. ignore_index: the label of rows that do not count.
    """

    class_weights: Tensor | None = None
    label_smoothing: float = 0.0
    ignore_index: int = -100


@dataclass(frozen=True)
class Targets:
    """Targets of n rows over C classes. factor: (n,) r_i, in at least float32.

    index: (n,) int64, 0 where ignored, and `peak`: (n,) the share of t_i that lies there, beside `spread`: (n,) times
    `smooth`: (C,), what smoothing adds. Or soft: (n, C), the distributions themselves.
    """

    factor: Tensor
    index: Tensor
    peak: Tensor
    spread: Tensor | None = None
    smooth: Tensor | None = None
    soft: Tensor | None = None

    def uniform(self) -> float | None:
        """The factor of all rows where it is one; None where they differ, or where a look would wait for a GPU."""
        if self.factor.device.type != "cpu" or not bool((self.factor == self.factor[0]).all()):
            return None
        return float(self.factor[0])

    def rows(self, start: int, stop: int) -> Targets:
        cut = [None if t is None else t[start:stop] for t in (self.spread, self.soft)]
        part = slice(start, stop)
        return Targets(self.factor[part], self.index[part], self.peak[part], cut[0], self.smooth, cut[1])

    def inner(self, logits: Tensor, own: Tensor) -> Tensor:
        """⟨t_i, z_i⟩ for logits (n, C) -> (n,); own: (n,) the logits at the index."""
        if self.soft is not None:
            return torch.einsum("nc,nc->n", self.soft, logits)
        at = self.peak * own
        if self.spread is None or self.smooth is None:
            return at
        return at + self.spread * (logits @ self.smooth)

    def subtract_from(self, coefficients: Tensor, weight: float) -> None:
        """coefficients (n, C) −= weight · t, in place."""
        if self.soft is not None:
            coefficients.sub_(self.soft, alpha=weight)
            return
        coefficients.scatter_add_(1, self.index[:, None], (-weight * self.peak)[:, None])
        if self.spread is not None and self.smooth is not None:
            coefficients.addr_(self.spread, self.smooth, alpha=-weight)


def prepare(target: Tensor, rows: int, classes: int, dtype: torch.dtype, options: Options) -> Targets:
    """Check and normalise targets: (rows,) integers or (rows, classes) probabilities."""
    if not 0 <= options.label_smoothing <= 1:
        raise InputError(f"label_smoothing must lie in [0, 1], got {options.label_smoothing}")
    weights = options.class_weights
    if weights is not None and weights.shape != (classes,):
        raise InputError(f"class_weights must be ({classes},), one per class; got shape {tuple(weights.shape)}")
    weights = None if weights is None else weights.detach().to(target.device, dtype)
    if target.is_floating_point():
        return _soft(target, (rows, classes), weights, dtype, options)
    if target.shape != (rows,) or target.dtype == torch.bool:
        raise InputError(
            f"targets must be one integer per row or one probability per row and class: "
            f"{rows} rows and {classes} classes, got {target.dtype} of shape {tuple(target.shape)}"
        )
    return _hard(target.long(), classes, weights, dtype, options)


def _hard(target: Tensor, classes: int, weights: Tensor | None, dtype: torch.dtype, options: Options) -> Targets:
    counts = target != options.ignore_index
    _check_range(target, counts, classes)
    index = target.where(counts, 0)
    own = counts.to(dtype) if weights is None else weights[index] * counts  # (n,) w_y, 0 where ignored
    keep, eps = 1 - options.label_smoothing, options.label_smoothing
    if eps == 0:
        return Targets(own / own.sum(), index, torch.ones_like(own))
    smooth = torch.ones(classes, dtype=dtype, device=target.device) if weights is None else weights
    share = (eps / classes) * counts.to(dtype)
    total = keep * own + share * smooth.sum()
    each = total + (total == 0)
    return Targets(total / own.sum(), index, keep * own / each, share / each, smooth)


def _soft(
    target: Tensor, shape: tuple[int, int], weights: Tensor | None, dtype: torch.dtype, options: Options
) -> Targets:
    if target.shape != shape:
        raise InputError(f"soft targets must be (rows, classes) = {shape}, got {tuple(target.shape)}")
    if target.requires_grad:
        raise InputError("soft targets get no gradient here; detach them, or use nested(cross_entropy, …)")
    eps = options.label_smoothing
    soft = target.to(dtype)
    soft = soft if eps == 0 else soft * (1 - eps) + eps / shape[1]
    soft = soft if weights is None else soft * weights
    total = soft.sum(1)
    soft = soft / (total + (total == 0))[:, None]
    index = soft.argmax(1)
    return Targets(total / shape[0], index, torch.ones_like(total), soft=soft)


def _check_range(target: Tensor, counts: Tensor, classes: int) -> None:
    if target.device.type != "cpu":  # a look would wait for the device; its own assertion catches these
        return
    outside = torch.nonzero(counts & ((target < 0) | (target >= classes)))
    if len(outside):
        row = int(outside[0])
        raise InputError(f"target {int(target[row])} of row {row} is no class: there are {classes}, numbered from 0")

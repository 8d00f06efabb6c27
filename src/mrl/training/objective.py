"""What is learnt from a batch's vectors: classes, which texts belong together, or how alike they are."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import Tensor, nn

from mrl.nn import (
    Head,
    Keys,
    LogitScale,
    NestedLoss,
    make_head,
    nested_cosent,
    nested_cosine,
    nested_cross_entropy,
    nested_info_nce,
    nested_siglip,
)
from mrl.nn.gather import Batch, gathered
from mrl.training.spec import TrainSpec

Views = tuple[Tensor, ...]  # vectors (n, width) of each column of the rows


class Objective(Protocol):
    """An nn.Module from vectors and targets to the losses of all levels.

    joint: whether the rows of a batch are compared with each other, so that a batch cannot be cut into parts.
    """

    @property
    def joint(self) -> bool: ...

    def __call__(self, views: Views, target: Tensor) -> NestedLoss: ...

    def settle(self) -> str:
        """Bring back, after a step, what must stay within bounds; what to say of it, or ""."""

    def facts(self) -> dict[str, float]:
        """For the log: what was learnt besides the encoder and its classifiers."""


def make_objective(spec: TrainSpec, classes: int, *, gather: bool) -> Classes | Pairs | ScoredPairs:
    """A new one. gather: whether the rows of all processes of a team are compared."""
    if spec.task == "classify":
        return Classes(spec, make_head(spec.head, spec.nesting, classes))
    return Pairs(spec, gather=gather) if spec.task == "pairs" else ScoredPairs(spec, gather=gather)


class Classes(nn.Module):
    """Classifiers of one view's vectors; targets are labels (n,)."""

    joint = False

    def __init__(self, spec: TrainSpec, head: Head) -> None:
        super().__init__()
        self.head, self._spec = head, spec

    def forward(self, views: Views, target: Tensor) -> NestedLoss:
        spec = self._spec
        weights, smoothing = spec.level_weights, spec.label_smoothing
        return nested_cross_entropy(
            self.head, views[0], target, level_weights=weights, reduction=spec.reduction, label_smoothing=smoothing
        )

    def settle(self) -> str:
        return ""

    def facts(self) -> dict[str, float]:
        return {}


class Pairs(nn.Module):
    """Anchors, their positives and maybe hard negatives; targets are keys (n, views), equal where texts are."""

    joint = True

    def __init__(self, spec: TrainSpec, *, gather: bool) -> None:
        super().__init__()
        self._spec, self._gather, self._siglip = spec, gather, spec.pairs.chosen("pairs") == "siglip"
        self.scale = LogitScale(spec.pairs.first_scale("pairs"), largest=spec.pairs.largest_scale)
        self.scale.requires_grad_(spec.pairs.learn_scale)
        self.bias = nn.Parameter(torch.tensor(-10.0), requires_grad=spec.pairs.learn_scale) if self._siglip else None

    def forward(self, views: Views, target: Tensor) -> NestedLoss:
        spec, rest = self._spec, views[2:]
        queries, documents, *others = target.T.contiguous()
        negatives = torch.cat(others) if others else None
        common: dict[str, Any] = {
            "nesting": spec.nesting,
            "scale": self.scale(),
            "negatives": torch.cat(rest) if rest else None,
            "keys": Keys(queries, documents, negatives),
            "level_weights": spec.level_weights,
            "reduction": spec.reduction,
            "gather": self._gather,
        }
        if self.bias is not None:
            return nested_siglip(views[0], views[1], bias=self.bias, **common)
        return nested_info_nce(views[0], views[1], symmetric=spec.pairs.symmetric, margin=spec.pairs.margin, **common)

    def settle(self) -> str:
        if not self.scale.clamp_():
            return ""
        return f"the scale of similarities grew beyond {self._spec.pairs.largest_scale:g} and is kept there"

    def facts(self) -> dict[str, float]:
        found = {"scale": float(self.scale().detach())}
        return found if self.bias is None else found | {"bias": float(self.bias.detach())}


class ScoredPairs(nn.Module):
    """Two views of each row; targets are scores (n,). CoSENT compares the pairs of all processes with each other."""

    def __init__(self, spec: TrainSpec, *, gather: bool) -> None:
        super().__init__()
        self._spec, self._gather = spec, gather
        self.joint = spec.pairs.chosen("scored-pairs") == "cosent"

    def forward(self, views: Views, target: Tensor) -> NestedLoss:
        spec, (a, b) = self._spec, views
        common: dict[str, Any] = {"level_weights": spec.level_weights, "reduction": spec.reduction}
        if self.joint:
            if self._gather:
                a, b, target = _joined(a, b, target)
            scale = spec.pairs.first_scale("scored-pairs")
            return nested_cosent(a, b, target, nesting=spec.nesting, scale=scale, **common)
        return nested_cosine(a, b, target, nesting=spec.nesting, **common)

    def settle(self) -> str:
        return ""

    def facts(self) -> dict[str, float]:
        return {}


def _joined(a: Tensor, b: Tensor, scores: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The scored pairs of all processes, by one collective: a score travels as the bits of a key."""
    every = gathered(Batch(a, b, keys=Keys(documents=scores.double().view(torch.int64))))
    if every.queries is None or every.keys is None or every.keys.documents is None:
        return a, b, scores
    return every.queries, every.documents, every.keys.documents.view(torch.float64)

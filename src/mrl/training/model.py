"""Model: an encoder and what is learnt beside it while they are trained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy.typing as npt
import torch
from torch import Tensor, nn

from mrl.encoders import ImageEncoder
from mrl.encoders.encoder import Encoder
from mrl.encoders.image import is_counter
from mrl.encoders.making import train_mode, tuned
from mrl.encoders.networks import Network
from mrl.heads import HeadWeights
from mrl.nn import Head, NestedLoss
from mrl.nn.heads import MRLHead
from mrl.training.material import Material
from mrl.training.objective import Classes, Pairs, ScoredPairs, make_objective
from mrl.training.optimise import number_format
from mrl.training.spec import TrainSpec
from mrl.training.team import Team

_STATISTIC = re.compile(r"running_(mean|var)$")

Placed = tuple[torch.device, torch.dtype]  # where a model is, and what its network multiplies in
Inputs = tuple[Any, ...]  # what the network takes, one a view: images (n, C, H, W), or tokens


class Trainee(nn.Module):
    """Network and objective as one module, so that a team wraps both."""

    def __init__(self, network: nn.Module, objective: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.objective = network, objective
        self._dtype = dtype

    def forward(
        self, inputs: Inputs, target: Tensor | None = None, slopes: tuple[Tensor, ...] = ()
    ) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """What the network takes, one a view, and the target -> the fields of their NestedLoss.

        slopes: in place of a target, the gradients of the loss by the vectors (n, width) of each view, found before;
        total is then their inner product, whose gradients by the weights are the loss's (GradCache, arXiv 2101.06983).
        """
        views = self.views(inputs)
        if target is None:
            return torch.stack([(z * slope).sum() for z, slope in zip(views, slopes, strict=True)]).sum(), None, None
        loss = self.objective(views, target)
        return loss.total, loss.levels, loss.hits

    def views(self, inputs: Inputs) -> tuple[Tensor, ...]:
        """The vectors (n, width) of each view."""
        with torch.autocast(_type_of(inputs), torch.bfloat16, enabled=self._dtype is torch.bfloat16):
            return tuple(self.network(each) for each in inputs)


def _type_of(inputs: Inputs) -> str:
    first = inputs[0]
    return (first if isinstance(first, Tensor) else first.ids).device.type


@dataclass(frozen=True, eq=False)
class Model:
    """What is trained. classes: names by label, if any. dtype: what the network multiplies in while it trains."""

    spec: TrainSpec
    encoder: Encoder
    objective: Classes | Pairs | ScoredPairs
    classes: tuple[str, ...]
    dtype: torch.dtype

    @classmethod
    def new(cls, spec: TrainSpec, data: Material, team: Team, module: nn.Module | None = None) -> Model:
        """Fresh weights depend on the spec's seed alone. module: a network of your own, in place of the spec's."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(spec.seed)
            encoder = data.encoder(module)
            objective = make_objective(spec, len(data.classes), gather=team.size > 1)
        placed = team.device, number_format(spec.precision, team.device)
        return cls._placed(spec, encoder, objective, data.classes, placed)

    @classmethod
    def again(cls, spec: TrainSpec, encoder: Encoder, weights: HeadWeights | None, placed: Placed, team: Team) -> Model:
        """A model as it was committed."""
        if weights is None:
            return cls._placed(spec, encoder, make_objective(spec, 0, gather=team.size > 1), (), placed)
        return cls._placed(spec, encoder, Classes(spec, MRLHead.from_weights(weights)), weights.classes, placed)

    @classmethod
    def _placed(
        cls,
        spec: TrainSpec,
        encoder: Encoder,
        objective: Classes | Pairs | ScoredPairs,
        classes: tuple[str, ...],
        placed: Placed,
    ) -> Model:
        device, dtype = placed
        kept = torch.float64 if dtype is torch.float64 else torch.float32
        encoder.module.to(device, kept)
        return cls(spec, encoder, objective.to(device, kept), classes, dtype)

    @property
    def network(self) -> nn.Module:
        return self.encoder.module

    @property
    def device(self) -> torch.device:
        return self.encoder.device

    @property
    def head(self) -> Head | None:
        """The classifiers, where there are classes."""
        return self.objective.head if isinstance(self.objective, Classes) else None

    def trainee(self) -> Trainee:
        return Trainee(self.network, self.objective, self.dtype)

    def trained(self) -> list[nn.Parameter]:
        """The parameters that move; the others are told to keep no gradient."""
        return [*tuned(cast(Network, self.network), self.spec.encoder.tune), *self.learnt()]

    def learnt(self) -> list[nn.Parameter]:
        """Those of the parameters that move which are not the encoder's."""
        return [p for p in self.objective.parameters() if p.requires_grad]

    def training(self) -> None:
        """Put what is trained, and nothing else, into training mode."""
        train_mode(cast(Network, self.network), self.spec.encoder.tune)

    def finite(self) -> bool:
        """Whether no weight is NaN or Inf; the next loss would show it, but only after they were committed."""
        learnt = (*self.parameters(), *(b for name, b in self.network.named_buffers() if _STATISTIC.search(name)))
        return all(bool(torch.isfinite(t).all()) for t in learnt)

    def counters(self) -> dict[str, npt.NDArray[Any]]:
        """What training goes on from and no vector depends on: how many batches each norm has seen, and what the
        objective has learnt where it is no classifier."""
        found = {name: b.cpu().numpy() for name, b in self.network.named_buffers() if is_counter(name)}
        return found | {name: p.detach().cpu().numpy().copy() for name, p in self._unsaved()}

    def count_on(self, counters: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take up `counters`."""
        for name, tensor in (*self.network.named_buffers(), *self._unsaved()):
            if name in counters:
                tensor.detach().copy_(torch.from_numpy(counters[name].copy()))

    def _unsaved(self) -> list[tuple[str, nn.Parameter]]:
        if self.head is not None:
            return []
        return [(f"objective.{name}", p) for name, p in self.objective.named_parameters()]

    def parameters(self) -> list[nn.Parameter]:
        return [*self.network.parameters(), *self.objective.parameters()]

    def weights(self) -> HeadWeights | None:
        """The classifiers as plain arrays, with their classes' names; None where there are none."""
        return None if self.head is None else self.head.export(self.classes)

    def facts(self) -> dict[str, Any]:
        """For the log."""
        count = sum(p.numel() for p in self.parameters())
        trained = sum(p.numel() for p in self.trained())
        return {
            "classes": len(self.classes),
            "parameters": count,
            "trained": trained,
            "dtype": str(self.dtype),
            "device": str(self.device),
        }

    def loss(self, inputs: Any, target: Tensor, through: nn.Module | None = None) -> NestedLoss:
        """Of images uint8 (n, H, W, C) or the tokens of each column of texts, and targets (n, ...). through: the
        trainee, as a team wrapped it."""
        module = through or self.trainee()
        total, levels, hits = module(self.placed(inputs), target.to(self.device, non_blocking=True))
        return NestedLoss(total, levels, hits)

    def placed(self, inputs: Any) -> Inputs:
        """What the network takes, one a view, where it computes."""
        if isinstance(inputs, Tensor):
            return (cast(ImageEncoder, self.encoder).normalised(inputs),)
        return tuple(tokens.to(self.device) for tokens in inputs)

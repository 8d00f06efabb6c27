"""Model: an encoder and its classifiers while they are trained."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mrl.card import Card
from mrl.encoders import ImageEncoder
from mrl.encoders.image import is_counter
from mrl.encoders.making import make_network, model_name, train_mode, tuned, wanted_preparation
from mrl.encoders.module import ModuleNetwork
from mrl.encoders.networks import Network
from mrl.encoders.pixels import Fit
from mrl.encoders.preparation import Preparation
from mrl.errors import InputError
from mrl.heads import HeadWeights
from mrl.nn import Head, NestedLoss, make_head, nested_cross_entropy
from mrl.nn.heads import MRLHead
from mrl.training.batches import Traits, batch
from mrl.training.data import Samples
from mrl.training.optimise import number_format
from mrl.training.spec import TrainSpec
from mrl.training.team import Team

_STATISTIC = re.compile(r"running_(mean|var)$")
_VALIDATED = 512  # images at once, at most; where batches are smaller, for want of memory, as many as these


class Trainee(nn.Module):
    """Network and head as one module, so that a team wraps both."""

    def __init__(self, network: nn.Module, head: Head, spec: TrainSpec, dtype: torch.dtype) -> None:
        super().__init__()
        self.network, self.head = network, head
        self._spec, self._dtype = spec, dtype

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
        """Normalised images (n, C, H, W) and labels (n,) -> the fields of their NestedLoss."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self._dtype is torch.bfloat16):
            z = self.network(images)
        spec = self._spec
        loss = nested_cross_entropy(
            self.head,
            z,
            labels,
            level_weights=spec.level_weights,
            reduction=spec.reduction,
            label_smoothing=spec.label_smoothing,
        )
        return loss.total, loss.levels, loss.hits


Placed = tuple[torch.device, torch.dtype]  # where a model is, and what its network multiplies in


@dataclass(frozen=True, eq=False)
class Model:
    """What is trained. dtype: what the network multiplies in while it trains."""

    spec: TrainSpec
    encoder: ImageEncoder
    head: Head
    classes: tuple[str, ...]
    dtype: torch.dtype

    @classmethod
    def new(cls, spec: TrainSpec, about: Traits, device: torch.device, module: nn.Module | None = None) -> Model:
        """Fresh weights depend on the spec's seed alone. module: a network of your own, in place of the spec's."""
        preparation = prepared(spec, about)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(spec.seed)
            network = _network(spec, preparation.fit, module)
            width = cast(Network, network).width
            spec.nesting.check_width(width)
            head = make_head(spec.head, spec.nesting, len(about.classes))
        name = type(module).__name__ if module else model_name(spec.encoder)
        card = Card(f"{name}-{spec.head}-{width}", width, spec.nesting)
        placed = device, number_format(spec.precision, device)
        return cls._placed(spec, ImageEncoder(cast(Network, network), card, preparation), head, about.classes, placed)

    @classmethod
    def again(cls, spec: TrainSpec, encoder: ImageEncoder, weights: HeadWeights, placed: Placed) -> Model:
        """A model as it was committed."""
        return cls._placed(spec, encoder, MRLHead.from_weights(weights), weights.classes, placed)

    @classmethod
    def _placed(
        cls, spec: TrainSpec, encoder: ImageEncoder, head: Head, classes: tuple[str, ...], placed: Placed
    ) -> Model:
        device, dtype = placed
        kept = torch.float64 if dtype is torch.float64 else torch.float32
        encoder.module.to(device, kept)
        return cls(spec, encoder, head.to(device, kept), classes, dtype)

    @property
    def network(self) -> nn.Module:
        return self.encoder.module

    @property
    def device(self) -> torch.device:
        return self.encoder.device

    def trainee(self) -> Trainee:
        return Trainee(self.network, self.head, self.spec, self.dtype)

    def trained(self) -> list[nn.Parameter]:
        """The parameters that move; the others are told to keep no gradient."""
        return [*tuned(cast(Network, self.network), self.spec.encoder.tune), *self.head.parameters()]

    def training(self) -> None:
        """Put what is trained, and nothing else, into training mode."""
        train_mode(cast(Network, self.network), self.spec.encoder.tune)

    def finite(self) -> bool:
        """Whether no weight is NaN or Inf; the next loss would show it, but only after they were committed."""
        learnt = (*self.parameters(), *(b for name, b in self.network.named_buffers() if _STATISTIC.search(name)))
        return all(bool(torch.isfinite(t).all()) for t in learnt)

    def counters(self) -> dict[str, npt.NDArray[Any]]:
        """How many batches each norm has seen: training goes on from them, vectors do not depend on them."""
        return {name: b.cpu().numpy() for name, b in self.network.named_buffers() if is_counter(name)}

    def count_on(self, counters: Mapping[str, npt.NDArray[Any]]) -> None:
        """Take up `counters`."""
        for name, buffer in self.network.named_buffers():
            if name in counters:
                buffer.copy_(torch.from_numpy(counters[name].copy()))

    def parameters(self) -> list[nn.Parameter]:
        return [*self.network.parameters(), *self.head.parameters()]

    def weights(self) -> HeadWeights:
        """The classifiers as plain arrays, with their classes' names."""
        return self.head.export(self.classes)

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

    def loss(self, images: Tensor, labels: Tensor, through: nn.Module | None = None) -> NestedLoss:
        """Of uint8 images (n, H, W, C) and labels (n,). through: the trainee, as a team wrapped it."""
        module = through or self.trainee()
        total, levels, hits = module(self.encoder.normalised(images), labels.to(self.device, non_blocking=True))
        return NestedLoss(total, levels, hits)

    def accuracy(self, data: Samples, team: Team) -> Tensor:
        """(levels,): the share of samples whose most probable class is theirs, counted by all of a team."""
        team.as_main(self.network)  # what is measured is what is committed
        batch_size = max(1, min(_VALIDATED, self.spec.batch_size // (self.spec.accumulate * team.size)))
        hits = torch.zeros(len(self.spec.nesting), dtype=torch.float64)
        mine = np.array_split(np.arange(len(data)), team.size)[team.rank]
        for start in range(0, len(mine), batch_size):
            images, labels = batch(data, mine[start : start + batch_size])
            with torch.no_grad():
                logits = self.head(self.encoder.vectors(images.numpy()).to(self.head.weights[0].dtype))
            hits += torch.tensor([(level.argmax(1).cpu() == labels).sum().item() for level in logits])
        return team.total(hits) / len(data)


def prepared(spec: TrainSpec, about: Traits) -> Preparation:
    """What the network wants of its pictures, or what the data suggest. InputError if images have another shape."""
    wanted = wanted_preparation(spec.encoder)
    if wanted is None:
        return Preparation(Fit(about.size, about.channels), about.mean, about.std)
    if wanted.fit.shape != (*about.size, about.channels):
        raise InputError(
            f"{spec.encoder.network} takes images of {wanted.fit.shape} (H, W, C), the data have "
            f"{(*about.size, about.channels)}; open them with Opening.like(wanted_preparation(spec.encoder).fit)"
        )
    return wanted


def _network(spec: TrainSpec, fit: Fit, module: nn.Module | None) -> nn.Module:
    if module is None:
        return make_network(spec.encoder, fit, spec.width, spec.nesting)
    return ModuleNetwork(module, fit, spec.width or spec.nesting.width)

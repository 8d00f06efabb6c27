"""Model: an encoder and its classifiers while they are trained."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from mrl.card import Card
from mrl.encoders import ImageEncoder, ResidualConfig, ResidualNetwork
from mrl.encoders.pixels import Fit
from mrl.encoders.preparation import Preparation
from mrl.heads import HeadWeights
from mrl.nn import Head, NestedLoss, make_head, nested_cross_entropy
from mrl.training.batches import Traits, batch, even_batches
from mrl.training.data import Samples
from mrl.training.optimise import number_format
from mrl.training.spec import TrainSpec


@dataclass(frozen=True, eq=False)
class Model:
    """What is trained. dtype: what the network multiplies in while it trains."""

    spec: TrainSpec
    encoder: ImageEncoder
    head: Head
    classes: tuple[str, ...]
    dtype: torch.dtype

    @classmethod
    def new(cls, spec: TrainSpec, about: Traits, device: torch.device) -> Model:
        """Fresh weights that depend on the spec's seed alone."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(spec.seed)
            config = ResidualConfig.for_images(about.size, about.channels, spec.vector_width)
            network, head = ResidualNetwork(config), make_head(spec.head, spec.nesting, len(about.classes))
        card = Card(f"residual-{spec.head}-{config.width}", config.width, spec.nesting)
        fit = Fit(about.size, about.channels)
        encoder = ImageEncoder(network.to(device), card, Preparation(fit, about.mean, about.std))
        return cls(spec, encoder, head.to(device), about.classes, number_format(spec.precision, device))

    @property
    def network(self) -> nn.Module:
        return self.encoder.module

    @property
    def device(self) -> torch.device:
        return self.encoder.device

    def finite(self) -> bool:
        """Whether no weight is NaN or Inf; the next loss would show it, but only after they were committed."""
        state = (*self.network.state_dict().values(), *self.head.state_dict().values())
        return all(bool(torch.isfinite(t).all()) for t in state)

    def parameters(self) -> list[nn.Parameter]:
        return [*self.network.parameters(), *self.head.parameters()]

    def weights(self) -> HeadWeights:
        """The classifiers as plain arrays, with their classes' names."""
        return self.head.export(self.classes)

    def facts(self) -> dict[str, Any]:
        """For the log."""
        count = sum(p.numel() for p in self.parameters())
        return {"classes": len(self.classes), "parameters": count, "dtype": str(self.dtype), "device": str(self.device)}

    def loss(self, images: Tensor, labels: Tensor) -> NestedLoss:
        """Of uint8 images (n, H, W, C) and labels (n,)."""
        self.network.train()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.dtype is torch.bfloat16):
            z = self.network(self.encoder.normalised(images))
        spec = self.spec
        return nested_cross_entropy(
            self.head,
            z,
            labels.to(self.device),
            level_weights=spec.level_weights,
            reduction=spec.reduction,
            label_smoothing=spec.label_smoothing,
        )

    def accuracy(self, data: Samples) -> Tensor:
        """(levels,): the share of samples whose most probable class is theirs."""
        hits = torch.zeros(len(self.spec.nesting))
        for indices in even_batches(np.arange(len(data)), 512):
            images, labels = batch(data, indices)
            with torch.no_grad():
                logits = self.head(self.encoder.vectors(images.numpy()))
            hits += torch.tensor([(level.argmax(1).cpu() == labels).sum().item() for level in logits])
        return hits / len(data)

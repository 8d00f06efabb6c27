"""ImageEncoder: pictures in, nested vectors out; and its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from mrl.card import Card
from mrl.disk import read_tensors
from mrl.encoders.dry import evaluating
from mrl.encoders.encoder import KIND, Arrays, Encoder, Vectors, check_batch_size, fill
from mrl.encoders.encoder import RUN_KIND as RUN_KIND
from mrl.encoders.encoder import fingerprint as fingerprint
from mrl.encoders.encoder import is_counter as is_counter
from mrl.encoders.module import ModuleNetwork
from mrl.encoders.networks import Network, restored
from mrl.encoders.pixels import Fit, Images, Pixels, listed, stacked
from mrl.encoders.preparation import Preparation
from mrl.errors import InputError


class ImageEncoder(Encoder):
    """A trained network with what its input and its output mean.

    network: images to vectors. card: what the vectors are; its fingerprint is that of the weights. preparation: what
    happens to a picture before.
    """

    def __init__(self, network: Network, card: Card, preparation: Preparation) -> None:
        super().__init__(network, card)
        self.preparation = preparation

    @property
    def fit(self) -> Fit:
        """How a picture becomes pixels."""
        return self.preparation.fit

    def encode(self, images: Images, dim: int | None = None, *, raw: bool = False, batch_size: int = 256) -> Vectors:
        """The first `dim` coordinates (default: all) of each picture's vector, cut as the card's metric asks: (n, dim).

        images: uint8 (n, H, W[, C]), or a sequence of PIL images, paths and uint8 arrays; each is stretched to the
        trained size. raw: leave prefixes as they are, for heads and tables. Raises InputError for what is no picture
        and NestingError for a dim outside the trained ones.
        """
        check_batch_size(batch_size)
        dim = self._readable(dim)
        images = listed(images)
        blocks = [self._block(images[start : start + batch_size]) for start in range(0, len(images), batch_size)]
        return self._cut(np.concatenate([np.empty((0, self._card.width), np.float32), *blocks]), dim, raw)

    def _block(self, images: Images) -> Vectors:
        return self.vectors(stacked(images, self.fit)).cpu().numpy()

    def vectors(self, pixels: Pixels) -> Tensor:
        """uint8 (n, H, W, C) of the trained size -> raw vectors (n, width) on the network's device, in float32."""
        with evaluating(self.module), torch.no_grad():
            return self.network(self.normalised(torch.from_numpy(np.ascontiguousarray(pixels)))).float()

    def normalised(self, pixels: Tensor) -> Tensor:
        """uint8 (n, H, W, C) -> (n, C, H, W) as the network wants it, on its device and in its number format."""
        prepared = self.preparation.normalised(pixels, self.device)
        return prepared.to(next(self.module.parameters()).dtype)

    def _about(self) -> dict[str, Any]:
        return {"preparation": self.preparation.to_json()}

    @classmethod
    def load(cls, path: str | Path, network: nn.Module | None = None) -> ImageEncoder:
        """Read one encoder file. network: your own module, where it was trained with one; it gets the saved weights.

        DamagedError if a byte changed, InputError if the module is missing or another.
        """
        return cls.restored(*read_tensors(Path(path), KIND), network)

    @classmethod
    def restored(cls, tensors: Arrays, about: Mapping[str, Any], network: nn.Module | None = None) -> ImageEncoder:
        """The encoder that a file describes. network: as of `load`."""
        if about["network"]["kind"] == "text":
            raise InputError("this file is a text encoder's; read it with mrl.encoders.load")
        preparation = Preparation.from_json(about["preparation"])
        made = _network(about["network"], network, preparation.fit)
        fill(made, tensors)
        made.eval()
        return cls(cast(Network, made), Card.from_json(about["card"]), preparation)


def _network(document: Mapping[str, Any], module: nn.Module | None, fit: Fit) -> nn.Module:
    if module is None:
        return restored(document)
    if document["kind"] != "module":
        raise InputError(f"this file describes its own {document['kind']} network; leave network= out")
    return ModuleNetwork(module, fit, document["width"])

"""ImageEncoder: pictures in, nested vectors out; and its file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mrl.card import Card
from mrl.disk import Folder, read_tensors, sealed_tensors
from mrl.encoders.networks import Network, restored
from mrl.encoders.pixels import Fit, Images, Pixels, listed, stacked
from mrl.encoders.preparation import Preparation
from mrl.errors import CardError, InputError
from mrl.nesting import prefix

KIND = "mrl-encoder"
RUN_KIND = "mrl-run"  # the folder of a training run, whose manifest names its newest encoder

Vectors = npt.NDArray[np.float32]


class ImageEncoder:
    """A trained network with what its input and its output mean.

    network: images to vectors. card: what the vectors are; its fingerprint is that of the weights. preparation: what
    happens to a picture before.
    """

    def __init__(self, network: Network, card: Card, preparation: Preparation) -> None:
        if network.width != card.width:
            raise CardError(f"the network makes vectors of width {network.width}, its card says {card.width}")
        self.network = network
        self.preparation = preparation
        self._card = card

    @property
    def module(self) -> nn.Module:
        """The network as torch knows it."""
        return cast(nn.Module, self.network)

    @property
    def fit(self) -> Fit:
        """How a picture becomes pixels."""
        return self.preparation.fit

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @property
    def card(self) -> Card:
        """What the vectors are, with the digest of the weights as they are now."""
        return replace(self._card, fingerprint=fingerprint(self._weights()))

    def encode(self, images: Images, dim: int | None = None, *, raw: bool = False, batch_size: int = 256) -> Vectors:
        """The first `dim` coordinates (default: all) of each picture's vector, cut as the card's metric asks: (n, dim).

        images: uint8 (n, H, W[, C]), or a sequence of PIL images, paths and uint8 arrays; each is stretched to the
        trained size. raw: leave prefixes as they are, for heads and tables. Raises InputError for what is no picture
        and NestingError for a dim outside the trained ones.
        """
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        dim = self._card.width if dim is None else dim
        self._card.nesting.check_readable(dim, self._card.width)
        images = listed(images)
        blocks = [self._block(images[start : start + batch_size]) for start in range(0, len(images), batch_size)]
        vectors = np.concatenate([np.empty((0, self._card.width), np.float32), *blocks])
        cut: Vectors = prefix(vectors, dim) if raw else self._card.cut(vectors, dim)
        return cut

    def _block(self, images: Images) -> Vectors:
        return self.vectors(stacked(images, self.fit)).cpu().numpy()

    def vectors(self, pixels: Pixels) -> Tensor:
        """uint8 (n, H, W, C) of the trained size -> raw vectors (n, width) on the network's device, in float32."""
        training = self.module.training
        self.module.eval()
        try:
            with torch.no_grad():
                vectors = self.network(self.normalised(torch.from_numpy(np.ascontiguousarray(pixels)))).float()
        finally:
            self.module.train(training)
        return vectors

    def normalised(self, pixels: Tensor) -> Tensor:
        """uint8 (n, H, W, C) -> (n, C, H, W) as the network wants it, on its device and in its number format."""
        prepared = self.preparation.normalised(pixels, self.device)
        return prepared.to(next(self.module.parameters()).dtype)

    def sealed(self) -> bytes:
        """The bytes of the encoder's own file."""
        about = {
            "network": self.network.describe(),
            "card": self.card.to_json(),
            "preparation": self.preparation.to_json(),
        }
        return sealed_tensors(self._weights(), about, KIND)

    @classmethod
    def load(cls, path: str | Path) -> ImageEncoder:
        """Read one encoder file. DamagedError if a byte changed."""
        tensors, about = read_tensors(Path(path), KIND)
        network = restored(about["network"])
        counters = {name: t for name, t in network.state_dict().items() if not t.is_floating_point()}
        network.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()} | counters)
        network.eval()
        return cls(cast(Network, network), Card.from_json(about["card"]), Preparation.from_json(about["preparation"]))

    def _weights(self) -> dict[str, npt.NDArray[Any]]:
        """All that the vectors depend on; the norms' step counters are not among it."""
        state = self.module.state_dict()
        return {name: t.detach().cpu().contiguous().numpy() for name, t in state.items() if t.is_floating_point()}


def fingerprint(weights: Mapping[str, npt.NDArray[Any]]) -> str:
    """SHA-256 of named arrays, independent of their order."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def load(run: str | Path) -> ImageEncoder:
    """The newest encoder of a run folder, its bytes compared with their checksums.

    StorageError if nothing was committed there, DamagedError naming the file whose bytes changed.
    """
    folder = Folder.open(Path(run), RUN_KIND)
    return ImageEncoder.load(folder.verified(folder.manifest["encoder"]))

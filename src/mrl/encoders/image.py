"""ImageEncoder: pictures in, nested vectors out; and its file."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mrl.card import Card
from mrl.disk import Folder, read_tensors, sealed_tensors
from mrl.encoders.pixels import Images, Pixels, listed, stacked
from mrl.encoders.residual import ResidualConfig, ResidualNetwork
from mrl.errors import CardError, InputError
from mrl.nesting import prefix

KIND = "mrl-encoder"
RUN_KIND = "mrl-run"  # the folder of a training run, whose manifest names its newest encoder

Vectors = npt.NDArray[np.float32]


class ImageEncoder:
    """A trained network with what its input and its output mean.

    network: images to vectors. card: what the vectors are; its fingerprint is that of the weights. mean, std: of a
    channel's values, 0 to 255, by which images are normalised, (channels,).
    """

    def __init__(self, network: ResidualNetwork, card: Card, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        config = network.config
        if config.width != card.width:
            raise CardError(f"the network makes vectors of width {config.width}, its card says {card.width}")
        self.network = network
        self.mean, self.std = mean, std
        self._card = card

    @property
    def config(self) -> ResidualConfig:
        return self.network.config

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
        return self.vectors(stacked(images, self.config.size, self.config.channels)).cpu().numpy()

    def vectors(self, pixels: Pixels) -> Tensor:
        """uint8 (n, H, W, C) of the trained size -> raw vectors (n, width) on the network's device, in float32."""
        training = self.network.training
        self.network.eval()
        try:
            with torch.no_grad():
                vectors: Tensor = self.network(self.normalised(torch.from_numpy(np.ascontiguousarray(pixels))))
        finally:
            self.network.train(training)
        return vectors

    def normalised(self, pixels: Tensor) -> Tensor:
        """uint8 (n, H, W, C) -> float32 (n, C, H, W) of about mean 0 and variance 1; channels stay last in memory."""
        device = self.network.project.weight.device
        mean, std = (torch.tensor(values, device=device) for values in (self.mean, self.std))
        return ((pixels.to(device).float() - mean) / std).permute(0, 3, 1, 2)

    def sealed(self) -> bytes:
        """The bytes of the encoder's own file."""
        about = {
            "network": self.config.to_json(),
            "card": self.card.to_json(),
            "mean": list(self.mean),
            "std": list(self.std),
        }
        return sealed_tensors(self._weights(), about, KIND)

    @classmethod
    def load(cls, path: str | Path) -> ImageEncoder:
        """Read one encoder file. DamagedError if a byte changed."""
        tensors, about = read_tensors(Path(path), KIND)
        network = ResidualNetwork(ResidualConfig.from_json(about["network"]))
        counters = {name: t for name, t in network.state_dict().items() if not t.is_floating_point()}
        network.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()} | counters)
        network.eval()
        return cls(network, Card.from_json(about["card"]), tuple(about["mean"]), tuple(about["std"]))

    def _weights(self) -> dict[str, npt.NDArray[Any]]:
        """All that the vectors depend on; the norms' step counters are not among it."""
        state = self.network.state_dict()
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

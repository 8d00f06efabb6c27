"""Encoder: what image and text encoders share: a network, what its vectors are, and one sealed file."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from mrl.card import Card
from mrl.disk import sealed_tensors, write
from mrl.encoders.networks import Network
from mrl.errors import CardError, InputError
from mrl.nesting import prefix

KIND = "mrl-encoder"
RUN_KIND = "mrl-run"  # the folder of a training run, whose manifest names its newest encoder

Vectors = npt.NDArray[np.float32]
Arrays = Mapping[str, npt.NDArray[Any]]


class Encoder(ABC):
    """A trained network with what its input and its output mean.

    network: inputs to raw vectors. card: what the vectors are; its fingerprint is that of all that they depend on.
    cut_texts: how many texts were longer than such an encoder takes, and so cut.
    """

    def __init__(self, network: Network, card: Card) -> None:
        if network.width != card.width:
            raise CardError(f"the network makes vectors of width {network.width}, its card says {card.width}")
        self.network = network
        self._card = card
        self.cut_texts = 0

    @property
    def module(self) -> nn.Module:
        """The network as torch knows it."""
        return cast(nn.Module, self.network)

    @property
    def device(self) -> torch.device:
        return next(self.module.parameters()).device

    @property
    def card(self) -> Card:
        """What the vectors are, with the digest of the weights as they are now."""
        return replace(self._card, fingerprint=fingerprint(self._weights()))

    def to(self, device: str | torch.device) -> Self:
        """Move the network; the encoder itself."""
        self.module.to(device)
        return self

    def save(self, path: str | Path) -> None:
        """Write one sealed safetensors file, atomically."""
        write(Path(path), self.sealed())

    def sealed(self) -> bytes:
        """The bytes of the encoder's own file."""
        about = {"network": self.network.describe(), "card": self.card.to_json(), **self._about()}
        return sealed_tensors(self._weights(), about, KIND)

    @abstractmethod
    def _about(self) -> dict[str, Any]:
        """What the file says besides of the network and of the vectors."""

    def _weights(self) -> dict[str, npt.NDArray[Any]]:
        """All that the vectors depend on; the norms' step counters are not among it."""
        return {name: _array(name, t) for name, t in self.module.state_dict().items() if not is_counter(name)}

    def _readable(self, dim: int | None) -> int:
        """The dim that is asked for, default all. NestingError for one outside the trained ones."""
        dim = self._card.width if dim is None else dim
        self._card.nesting.check_readable(dim, self._card.width)
        return dim

    def _cut(self, vectors: Vectors, dim: int, raw: bool) -> Vectors:
        cut: Vectors = prefix(vectors, dim) if raw else self._card.cut(vectors, dim)
        return cut


def check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")


def fill(network: nn.Module, tensors: Arrays) -> None:
    """Give a network its saved weights. InputError if they are another's."""
    counters = {name: t for name, t in network.state_dict().items() if is_counter(name)}
    if any(array.dtype == np.float64 for array in tensors.values()):
        network.double()  # else what is loaded would be rounded
    try:
        network.load_state_dict({name: torch.from_numpy(array) for name, array in tensors.items()} | counters)
    except RuntimeError as error:
        line = " ".join(str(error).splitlines()[1:2]).strip()
        raise InputError(f"the saved weights are another network's: {line}; give the one that was trained") from error


def is_counter(name: str) -> bool:
    """Whether a tensor only counts the batches that a norm has seen."""
    return name.endswith("num_batches_tracked")


def _array(name: str, tensor: Tensor) -> npt.NDArray[Any]:
    if tensor.dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2):
        raise InputError(f"{name} is {tensor.dtype}, which no array can hold; keep the weights as float32: .float()")
    array: npt.NDArray[Any] = tensor.detach().cpu().contiguous().numpy()
    return array


def fingerprint(weights: Arrays) -> str:
    """SHA-256 of named arrays, independent of their order."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()

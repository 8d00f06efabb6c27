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
from mrl.disk import Folder, read_tensors, sealed_tensors, write
from mrl.encoders.dry import evaluating
from mrl.encoders.module import ModuleNetwork
from mrl.encoders.networks import Network, restored
from mrl.encoders.pixels import Fit, Images, Pixels, listed, stacked
from mrl.encoders.preparation import Preparation
from mrl.errors import CardError, InputError
from mrl.heads import chosen
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

    def to(self, device: str | torch.device) -> ImageEncoder:
        """Move the network; the encoder itself."""
        self.module.to(device)
        return self

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
        with evaluating(self.module), torch.no_grad():
            return self.network(self.normalised(torch.from_numpy(np.ascontiguousarray(pixels)))).float()

    def normalised(self, pixels: Tensor) -> Tensor:
        """uint8 (n, H, W, C) -> (n, C, H, W) as the network wants it, on its device and in its number format."""
        prepared = self.preparation.normalised(pixels, self.device)
        return prepared.to(next(self.module.parameters()).dtype)

    def save(self, path: str | Path) -> None:
        """Write one sealed safetensors file, atomically."""
        write(Path(path), self.sealed())

    def sealed(self) -> bytes:
        """The bytes of the encoder's own file."""
        about = {
            "network": self.network.describe(),
            "card": self.card.to_json(),
            "preparation": self.preparation.to_json(),
        }
        return sealed_tensors(self._weights(), about, KIND)

    @classmethod
    def load(cls, path: str | Path, network: nn.Module | None = None) -> ImageEncoder:
        """Read one encoder file. network: your own module, where it was trained with one; it gets the saved weights.

        DamagedError if a byte changed, InputError if the module is missing or another.
        """
        tensors, about = read_tensors(Path(path), KIND)
        preparation = Preparation.from_json(about["preparation"])
        made = _network(about["network"], network, preparation.fit)
        _fill(made, tensors)
        made.eval()
        return cls(cast(Network, made), Card.from_json(about["card"]), preparation)

    def _weights(self) -> dict[str, npt.NDArray[Any]]:
        """All that the vectors depend on; the norms' step counters are not among it."""
        return {name: _array(name, t) for name, t in self.module.state_dict().items() if not is_counter(name)}


def _network(document: Mapping[str, Any], module: nn.Module | None, fit: Fit) -> nn.Module:
    if module is None:
        return restored(document)
    if document["kind"] != "module":
        raise InputError(f"this file describes its own {document['kind']} network; leave network= out")
    return ModuleNetwork(module, fit, document["width"])


def _fill(network: nn.Module, tensors: Mapping[str, npt.NDArray[Any]]) -> None:
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


def fingerprint(weights: Mapping[str, npt.NDArray[Any]]) -> str:
    """SHA-256 of named arrays, independent of their order."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name])
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def load(run: str | Path, network: nn.Module | None = None, *, best: bool = False) -> ImageEncoder:
    """The newest encoder of a run folder, its bytes compared with their checksums, or an encoder's own file.

    network: as of ImageEncoder.load. best: of a run, that of the best validation accuracy. StorageError if there is
    none, DamagedError naming the file whose bytes changed.
    """
    path = Path(run)
    if path.is_file():
        return ImageEncoder.load(path, network)
    folder = Folder.open(path, RUN_KIND)
    return ImageEncoder.load(folder.verified(chosen(folder, best=best)["encoder"]), network)

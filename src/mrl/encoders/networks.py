"""What every network is to the rest of the house, and which one a file or a spec asks for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from torch import Tensor, nn

from mrl.encoders.residual import ResidualConfig, ResidualNetwork
from mrl.errors import InputError


class Network(Protocol):
    """An nn.Module from normalised images (n, C, H, W), or from Tokens of n texts, to raw float32 vectors (n, width).

    width: dims of a vector. macs: multiply-adds for one image or text, about.
    """

    @property
    def width(self) -> int: ...

    @property
    def macs(self) -> int: ...

    def blank(self) -> Any:
        """One input that means nothing, where the network is."""

    def describe(self) -> dict[str, Any]:
        """What `restored` makes the same network from, without its weights; `kind` says which."""

    def last(self) -> list[nn.Module]:
        """The modules that `tune=last` trains: the last block, and the projection."""

    def head(self) -> list[nn.Module]:
        """The modules that `tune=head` trains: the projection, or none."""

    def __call__(self, x: Any) -> Tensor: ...


def restored(document: Mapping[str, Any]) -> nn.Module:
    """The network that described itself so, with fresh weights."""
    about = dict(document)
    kind = about.pop("kind", None)
    if kind == "residual":
        return ResidualNetwork(ResidualConfig.from_json(about))
    if kind == "transformers":
        from mrl.encoders.vision import VisionConfig, VisionNetwork

        return VisionNetwork(VisionConfig.from_json(about))
    if kind == "text":
        from mrl.encoders.text_network import TextConfig, TextNetwork

        return TextNetwork(TextConfig.from_json(about))
    if kind == "module":
        raise InputError(
            f"this file has the weights of a {about.get('class')}, and no code; hand the module over with network="
        )
    raise InputError(f"unknown kind of network {kind!r}; install a newer mrl")

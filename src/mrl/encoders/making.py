"""From an EncoderSpec to a network, and which of its weights are trained."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from torch import nn

from mrl.encoders.configuration import CONFIG, as_json, configuration, is_config, sized
from mrl.encoders.dry import reached
from mrl.encoders.fit import Fit
from mrl.encoders.module import ModuleNetwork
from mrl.encoders.networks import Network
from mrl.encoders.residual import ResidualConfig, ResidualNetwork
from mrl.encoders.spec import EncoderSpec, Tune
from mrl.encoders.vision import VisionConfig, VisionNetwork
from mrl.encoders.wanted import wanted_preparation as wanted_preparation
from mrl.encoders.weights import loaded
from mrl.errors import InputError, NestingError
from mrl.nesting import Nesting


def make_network(spec: EncoderSpec, fit: Fit, width: int | None, nesting: Nesting) -> nn.Module:
    """The network that a spec asks for, for images as `fit` makes them; fresh weights come from torch's generator.

    width: dims of the vectors; None takes a pretrained model's own, or the widest dim of the residual network.
    NestingError where the dims do not fit into the vectors.
    """
    _check_image(spec)
    if spec.network == "residual":
        return ResidualNetwork(ResidualConfig.for_images(fit.size, fit.channels, width or nesting.width, spec.norm))
    if spec.norm != "batch":
        raise InputError(
            f"norm={spec.norm} is a setting of the residual network; {spec.network} has its own; leave it out"
        )
    network = _vision(spec, fit, width)
    if network.width < nesting.width:
        raise NestingError(
            f"{spec.network} makes vectors of {network.width} dims, and dims {nesting} need {nesting.width}; "
            f"drop the wider dims, or give width={nesting.width} for a projection"
        )
    return network


def _check_image(spec: EncoderSpec) -> None:
    """Raise InputError for settings that only texts have."""
    given = [name for name in ("max_length", "query_prompt", "document_prompt") if getattr(spec, name) is not None]
    if spec.pooling in ("last", "max"):
        given.append("pooling")
    if given:
        said = f"{given[0]}={getattr(spec, given[0])}"
        raise InputError(f"{said} is a setting of text encoders, and images are trained on; leave it out")


def _vision(spec: EncoderSpec, fit: Fit, width: int | None) -> VisionNetwork:
    config = configuration(spec.network)
    begun = spec.pretrained and not is_config(spec.network)
    if not begun:
        config = sized(config, fit)
    about = VisionConfig(as_json(config), fit.size, fit.channels, spec.pooling, width)
    return VisionNetwork(about, loaded(spec.network, config, spec.pooling) if begun else None)


def model_name(spec: EncoderSpec) -> str:
    """A short name for the card: residual, the last part of a name or folder, or a configuration's model type."""
    if is_config(spec.network):
        path = Path(spec.network)
        return path.stem if path.name != CONFIG else str(configuration(spec.network).model_type)
    return Path(spec.network).resolve().name if Path(spec.network).is_dir() else spec.network.split("/")[-1]


def tuned(network: Network, tune: Tune) -> list[nn.Parameter]:
    """The weights that are trained; the others, and those that no vector depends on, keep no gradient."""
    module = cast(nn.Module, network)
    module.requires_grad_(False)
    for part in _parts(network, tune):
        for parameter in part.parameters():
            parameter.requires_grad_(parameter.is_floating_point())
    if isinstance(module, ModuleNetwork):
        for parameter in module.frozen():
            parameter.requires_grad_(False)
    used = {id(parameter) for parameter in reached(module, network.blank())}
    for parameter in module.parameters():
        parameter.requires_grad_(id(parameter) in used)
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def train_mode(network: Network, tune: Tune) -> None:
    """Put what is trained into training mode and the rest into evaluation mode, so that frozen norms keep theirs."""
    cast(nn.Module, network).eval()
    for part in _parts(network, tune):
        part.train()


def _parts(network: Network, tune: Tune) -> list[nn.Module]:
    if tune == "all":
        return [cast(nn.Module, network)]
    return network.last() if tune == "last" else network.head()

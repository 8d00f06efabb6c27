"""The paper's released ResNets (RAIVNLab/MRL), and any other ResNet with torchvision's names, as encoders of ours."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mrl.card import Card
from mrl.encoders.configuration import as_json, understood
from mrl.encoders.fit import Fit
from mrl.encoders.hub import first_line
from mrl.encoders.image import ImageEncoder
from mrl.encoders.preparation import Preparation
from mrl.encoders.vision import VisionConfig, VisionNetwork
from mrl.errors import InputError, StorageError
from mrl.heads import HeadWeights
from mrl.nesting import Nesting

State = Mapping[str, Tensor]

# As the reference's data loader has it: the centre 224 of 256, ImageNet's mean and deviation.
PREPARATION = Preparation(
    Fit((224, 224), 3, crop=224 / 256),
    mean=(0.485 * 255, 0.456 * 255, 0.406 * 255),
    std=(0.229 * 255, 0.224 * 255, 0.225 * 255),
)
_STAGE = re.compile(r"layer(\d+)\.(\d+)\.(conv|bn)(\d)\.(.+)")
_SHORTCUT = re.compile(r"layer(\d+)\.(\d+)\.downsample\.([01])\.(.+)")
_STEM = re.compile(r"(conv|bn)1\.(.+)")
_PART = {"conv": "convolution", "bn": "normalization", "0": "convolution", "1": "normalization"}


def from_reference(checkpoint: str | Path, nesting: Nesting | None = None) -> tuple[ImageEncoder, HeadWeights]:
    """Encoder and classifiers of a checkpoint (.pt) of the reference implementation, trained with FFCV's ResNet-50.

    nesting: needed for MRL-E, whose file does not name its dims. Depths and channels are those of the weights, so that
    other ResNets with torchvision's names are read too. InputError for a file that is no plain state dict (nothing
    in it is run) and for weights of another network; StorageError if it cannot be read.
    """
    path = Path(checkpoint)
    state = {name.removeprefix("module."): tensor for name, tensor in _read(path).items()}
    network = _network(state, path)
    head = HeadWeights.from_reference(
        {name: tensor.float().numpy() for name, tensor in state.items() if name.startswith("fc.")}, nesting
    )
    encoder = ImageEncoder(network, Card(path.stem, network.width, head.nesting), PREPARATION)
    return encoder, replace(head, fingerprint=encoder.card.fingerprint)


def _read(path: Path) -> State:
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} is no plain state dict, and reading it could run code, which is refused; "
            "save model.state_dict() alone, in a place where you trust the file"
        ) from error
    except (OSError, RuntimeError, EOFError) as error:
        raise StorageError(f"cannot read {path}: {first_line(error)}; give a checkpoint of torch.save") from error
    if isinstance(found, Mapping):  # some trainers save the weights under a name
        found = next((found[name] for name in ("state_dict", "model") if isinstance(found.get(name), Mapping)), found)
    if not isinstance(found, Mapping) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise InputError(f"{path} holds no state dict (names to tensors); save model.state_dict() alone")
    return found


def _network(state: State, path: Path) -> VisionNetwork:
    if "conv1.weight" not in state or state["conv1.weight"].shape[1] != PREPARATION.fit.channels:
        raise InputError(f"{path} is no ResNet for colour pictures with torchvision's names, got {sorted(state)[:4]}")
    blur = any(name.endswith(".blur_filter") for name in state)
    model = as_json(understood(_shape(state), str(path)))
    network = VisionNetwork(VisionConfig(model, PREPARATION.fit.size, PREPARATION.fit.channels, "pooler", None, blur))
    weights = {_renamed(name): tensor for name, tensor in state.items() if not name.startswith("fc.")}
    try:
        network.model.load_state_dict(weights)
    except RuntimeError as error:
        line = " ".join(str(error).splitlines()[1:2]).strip()
        raise InputError(f"{path} has weights of another network than a ResNet: {line}; give a ResNet's") from error
    return network.eval()


def _shape(state: State) -> dict[str, Any]:
    """The configuration that these weights have: depths, channels and kind of block."""
    places = {(int(m[1]), int(m[2])) for name in state if (m := _STAGE.fullmatch(name))}
    depths = [sum(stage == s for s, _ in places) for stage in sorted({s for s, _ in places})]
    last = 3 if any(".conv3." in name for name in state) else 2
    return {
        "model_type": "resnet",
        "embedding_size": state["conv1.weight"].shape[0],
        "hidden_sizes": [state[f"layer{stage + 1}.0.bn{last}.weight"].shape[0] for stage in range(len(depths))],
        "depths": depths,
        "layer_type": "bottleneck" if last == 3 else "basic",
    }


def _renamed(name: str) -> str:
    """torchvision's name of a weight as Transformers'."""
    if m := _STAGE.fullmatch(name):
        return f"encoder.stages.{int(m[1]) - 1}.layers.{m[2]}.layer.{int(m[4]) - 1}.{_PART[m[3]]}.{m[5]}"
    if m := _SHORTCUT.fullmatch(name):
        return f"encoder.stages.{int(m[1]) - 1}.layers.{m[2]}.shortcut.{_PART[m[3]]}.{m[4]}"
    if m := _STEM.fullmatch(name):
        return f"embedder.embedder.{_PART[m[1]]}.{m[2]}"
    return name

"""Configurations of Transformers' vision models: what they say of a network's shape, and no code of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mrl.encoders.fit import Fit
from mrl.encoders.hub import first_line, read_document
from mrl.errors import InputError, StorageError

CONFIG = "config.json"
# What says nothing about the network's shape. Kernels and code could be fetched for some of them, so none is kept.
_LEFT_OUT = frozenset(
    "_name_or_path architectures attn_implementation _attn_implementation auto_map dtype experts_implementation "
    "_experts_implementation id2label label2id torch_dtype transformers_version".split()
)


def is_config(source: str) -> bool:
    """Whether a source is the path of a configuration, which has no weights beside it that are meant."""
    return source.endswith(".json")


def configuration(source: str) -> Any:
    """The Transformers configuration of a vision model: of the path of a .json file, a folder or a name."""
    if is_config(source):
        path = Path(source)
        if not path.is_file():
            raise StorageError(f"there is no configuration {source}; give the path of a model's {CONFIG}")
        document = read_document(str(path.parent), path.name)
    else:
        document = read_document(source, CONFIG)
    if document is None:
        raise StorageError(f"{source} has no {CONFIG}, so it is no model's folder; give the one that it was saved to")
    return understood(document, source)


def understood(document: Mapping[str, Any], source: str) -> Any:
    """A configuration from its JSON; of a model of several parts, that of its vision tower. InputError otherwise."""
    from transformers import CONFIG_MAPPING, PretrainedConfig

    kind = str(document.get("model_type"))
    if kind not in CONFIG_MAPPING:
        why = "its own code would have to run, which is refused" if "auto_map" in document else "it is not known here"
        raise InputError(f"{source} is a model of type {kind!r}: {why}; take a model that Transformers itself has")
    if document.get("quantization_config"):
        raise InputError(f"{source} has quantised weights, which cannot be trained; take the model as floats")
    try:
        config = CONFIG_MAPPING[kind].from_dict(_plain(document))
    except Exception as error:  # each model checks its settings in its own way
        raise InputError(f"{source} is no usable configuration of {kind}: {first_line(error)}; correct it") from error
    tower = getattr(config, "vision_config", None)
    config = tower if isinstance(tower, PretrainedConfig) else config
    _check_architecture(config, source)
    return config


def _check_architecture(config: Any, source: str) -> None:
    from transformers import MODEL_MAPPING

    found: Any = MODEL_MAPPING.get(type(config), None)
    found = found[0] if isinstance(found, tuple | list) else found
    if getattr(found, "main_input_name", None) != "pixel_values":
        raise InputError(f"{source} is a {config.model_type} model, which takes no images; take a vision model")
    if config.model_type == "vit_mae":
        raise InputError(
            f"{source} is a masked autoencoder (vit_mae), which drops patches at random; save its encoder "
            "as a ViT: ViTModel.from_pretrained(NAME).save_pretrained(FOLDER), and give the FOLDER"
        )


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in document.items() if key not in _LEFT_OUT}
    return {key: _plain(value) if isinstance(value, Mapping) else value for key, value in kept.items()}


def as_json(config: Any) -> dict[str, Any]:
    """All that `understood` needs, independent of where the model came from."""
    return _plain(json.loads(config.to_json_string(use_diff=False)))


def sized(config: Any, fit: Fit) -> Any:
    """The configuration of a new network for images of this size. InputError if patches do not fill them."""
    height, width = fit.size
    patch = getattr(config, "patch_size", None)
    if isinstance(patch, int) and (height % patch or width % patch):
        nearest = " x ".join(str(max(1, round(side / patch)) * patch) for side in fit.size)
        raise InputError(
            f"images of {height} x {width} pixels do not divide into patches of {patch}; "
            f"give a size that is a multiple, such as {nearest}, or another patch_size"
        )
    wanted = {"image_size": height if height == width else [height, width], "num_channels": fit.channels}
    return understood(as_json(config) | {k: v for k, v in wanted.items() if hasattr(config, k)}, config.model_type)

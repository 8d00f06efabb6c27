"""Configurations of Transformers' models: what they say of a network's shape, and no code of their own."""

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
    "_experts_implementation id2label is_matryoshka label2id matryoshka_dimensions torch_dtype "
    "transformers_version".split()
)


def is_config(source: str) -> bool:
    """Whether a source is the path of a configuration, which has no weights beside it that are meant."""
    return source.endswith(".json")


def configuration(source: str) -> Any:
    """The Transformers configuration of a vision model: of the path of a .json file, a folder or a name."""
    return understood(_document(source), source)


def text_configuration(source: str) -> Any:
    """The Transformers configuration of a text model: of the path of a .json file, a folder or a name."""
    return text_understood(_document(source), source)


def _document(source: str) -> dict[str, Any]:
    if is_config(source):
        path = Path(source)
        if not path.is_file():
            raise StorageError(f"there is no configuration {source}; give the path of a model's {CONFIG}")
        document = read_document(str(path.parent), path.name)
    else:
        document = read_document(source, CONFIG)
    if document is None:
        raise StorageError(
            f"{source} has no {CONFIG}, so it is no model's folder; give the one that it was saved to (to go on from a "
            "run of texts, `mrl export` it first)"
        )
    return document


def understood(document: Mapping[str, Any], source: str) -> Any:
    """A configuration from its JSON; of a model of several parts, that of its vision tower. InputError otherwise."""
    from transformers import PretrainedConfig

    config = _parsed(document, source)
    tower = getattr(config, "vision_config", None)
    config = tower if isinstance(tower, PretrainedConfig) else config
    _check_architecture(config, source)
    return config


def text_understood(document: Mapping[str, Any], source: str) -> Any:
    """The configuration of a text model from its JSON. InputError for other models, and where code would be needed."""
    if document.get("auto_map"):
        raise InputError(
            f"{source} brings code of its own (auto_map in its {CONFIG}), which is refused; take a model that "
            "Transformers itself has"
        )
    config = _parsed(document, source)
    if getattr(config, "is_encoder_decoder", False) and not has_encoder(config):
        raise InputError(
            f"{source} is a {config.model_type} model, which reads and writes texts; take one that only reads, as BERT"
        )
    if _architecture(config) != "input_ids" or config.get_text_config() is not config:
        raise InputError(f"{source} is a {config.model_type} model, which does not take texts alone; take a text model")
    return config


def _parsed(document: Mapping[str, Any], source: str) -> Any:
    from transformers import CONFIG_MAPPING

    kind = str(document.get("model_type"))
    if kind not in CONFIG_MAPPING:
        why = "its own code would have to run, which is refused" if "auto_map" in document else "it is not known here"
        raise InputError(f"{source} is a model of type {kind!r}: {why}; take a model that Transformers itself has")
    if document.get("quantization_config"):
        raise InputError(f"{source} has quantised weights, which cannot be trained; take the model as floats")
    try:
        return CONFIG_MAPPING[kind].from_dict(_plain(document))
    except Exception as error:  # each model checks its settings in its own way
        raise InputError(f"{source} is no usable configuration of {kind}: {first_line(error)}; correct it") from error


def _check_architecture(config: Any, source: str) -> None:
    if _architecture(config) != "pixel_values":
        raise InputError(
            f"{source} is a {config.model_type} model, which takes no images; take a vision model, or, for texts, name "
            "their column with text, --text-column"
        )
    if config.model_type == "vit_mae":
        raise InputError(
            f"{source} is a masked autoencoder (vit_mae), which drops patches at random; save its encoder "
            "as a ViT: ViTModel.from_pretrained(NAME).save_pretrained(FOLDER), and give the FOLDER"
        )


def has_encoder(config: Any) -> bool:
    """Whether a model that also writes texts, as T5, has an encoder of its own."""
    from transformers import MODEL_FOR_TEXT_ENCODING_MAPPING

    found: Any = MODEL_FOR_TEXT_ENCODING_MAPPING.get(type(config), None)
    return getattr(found, "__name__", "").endswith("EncoderModel")


def _architecture(config: Any) -> str | None:
    """What the model of a configuration takes; None where there is no such model."""
    from transformers import MODEL_MAPPING

    found: Any = MODEL_MAPPING.get(type(config), None)
    found = found[0] if isinstance(found, tuple | list) else found
    return getattr(found, "main_input_name", None)


def positions(model: Any) -> int | None:
    """Tokens of the longest text that a model has places for; None where there is no such limit."""
    limit = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(limit, int) or limit < 1:
        return None
    for part in model.modules():  # of RoBERTa's kind, which count from behind the padding's place
        table, padding = getattr(part, "position_embeddings", None), getattr(part, "padding_idx", None)
        if isinstance(padding, int) and getattr(table, "num_embeddings", None) == limit:
            return limit - padding - 1
    return limit


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

"""Transformers' models with fresh weights or with those of a checkpoint: safetensors only, in float32."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mrl.encoders.configuration import CONFIG, has_encoder
from mrl.encoders.hub import first_line, quiet
from mrl.errors import InputError, StorageError

CONVERT = (
    "where it is pickled (pytorch_model.bin), which can run code, convert it in a place you trust: "
    "AutoModel.from_pretrained(NAME).save_pretrained(FOLDER), and give the FOLDER"
)


def fresh(config: Any, pooling: str) -> nn.Module:
    """A network with weights that are drawn anew, in float32."""
    config.return_dict, config.output_hidden_states = True, False
    try:
        with quiet():
            model = _factory(config).from_config(config, dtype=torch.float32, trust_remote_code=False)
    except Exception as error:  # whatever a model's own constructor raises
        raise InputError(f"cannot build a {config.model_type}: {first_line(error)}; correct its settings") from error
    return _without_pooler(model, pooling)


def loaded(source: str, config: Any, pooling: str) -> nn.Module:
    """A network with the weights of a folder or a name, in float32. Heads that lie beside them are left out."""
    _check_safe(source)
    config.return_dict, config.output_hidden_states = True, False
    settings: dict[str, Any] = {"dtype": torch.float32, "trust_remote_code": False, "use_safetensors": True}
    try:
        with quiet():
            model, found = _factory(config).from_pretrained(source, config=config, output_loading_info=True, **settings)
    except OSError as error:
        raise StorageError(f"cannot read safe weights of {source}: {first_line(error)}; {CONVERT}") from error
    except Exception as error:  # sizes that do not match, settings that no model can have
        raise InputError(f"the weights of {source} do not fit its {CONFIG}: {first_line(error)}; fetch both") from error
    model = _without_pooler(model, pooling)
    if missing := sorted(set(found["missing_keys"]) & set(model.state_dict())):
        raise InputError(
            f"{source} lacks {len(missing)} weights of its {config.model_type} network, first {missing[0]}; "
            "take one that has them, pooling=cls or mean where they are the pooling layer's, or pretrained=False"
        )
    return model


def _factory(config: Any) -> Any:
    """What makes a model of a configuration: of one that also writes texts, as T5, its encoder alone."""
    from transformers import AutoModel, AutoModelForTextEncoding

    return AutoModelForTextEncoding if has_encoder(config) else AutoModel


def _check_safe(source: str) -> None:
    folder = Path(source)
    if folder.is_dir() and not any(folder.glob("*.safetensors")):
        raise StorageError(f"{source} has no weights as .safetensors; {CONVERT}")


def _without_pooler(model: Any, pooling: str) -> nn.Module:
    """Take off a pooling layer that nothing reads: one that is another pooling's, or a dense layer behind the class
    token, which is made for the classes of pretraining and which most checkpoints lack."""
    pooler = getattr(model, "pooler", None)
    optional = "add_pooling_layer" in inspect.signature(type(model).__init__).parameters
    if pooler and optional and (pooling not in ("auto", "pooler") or (pooling == "auto" and hasattr(pooler, "dense"))):
        model.pooler = None
    module: nn.Module = model
    return module

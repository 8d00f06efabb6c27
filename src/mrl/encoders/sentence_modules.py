"""What stands behind the Transformers part of a text encoder, as modules of sentence-transformers."""

from __future__ import annotations

from typing import Any, NamedTuple

from torch import nn

from mrl.encoders.layers import ACTIVATIONS, Layer
from mrl.encoders.sentence_folder import POOLING_FLAGS, POOLINGS
from mrl.encoders.text import TextEncoder


class Behind(NamedTuple):
    """One module. kind: its class. config: of its file. weights: the part of the network that has them, or None."""

    kind: str
    config: dict[str, Any]
    weights: nn.Module | None = None


def behind(encoder: TextEncoder) -> list[Behind]:
    """The modules in order: a pooling, the layers, and for the cosine a Normalize, so that vectors of full width are
    those of `encode`, and dot products their similarities."""
    network, inputs = encoder.network, encoder.network.inputs
    found = [] if network.config.pooling == "pooler" else [Behind("Pooling", _pooling(encoder, inputs))]
    for layer, weights in zip(network.config.layers, network.layers, strict=True):
        found.append(Behind("LayerNorm" if layer.kind == "norm" else "Dense", _layer(layer, inputs), weights))
        inputs = layer.width
    return [*found, Behind("Normalize", {})] if encoder.card.metric == "cosine" else found


def _pooling(encoder: TextEncoder, inputs: int) -> dict[str, Any]:
    """In the words of all versions, which the newest understands too."""
    mode = next(mode for mode, pooling in POOLINGS.items() if pooling == encoder.network.config.pooling)
    flags = {flag: name == mode for flag, name in POOLING_FLAGS.items()}
    return {"word_embedding_dimension": inputs, **flags, "include_prompt": encoder.prompting.pooled}


def _layer(layer: Layer, inputs: int) -> dict[str, Any]:
    if layer.kind == "norm":
        return {"dimension": layer.width}
    activation = ACTIVATIONS[layer.activation]
    config = {
        "in_features": inputs,
        "out_features": layer.width,
        "bias": layer.bias,
        "activation_function": f"{activation.__module__}.{activation.__qualname__}",
    }
    return config | ({"use_residual": True} if layer.residual else {})  # which older versions do not know

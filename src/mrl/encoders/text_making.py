"""From an EncoderSpec, or from a sentence-transformers folder, to a text encoder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from mrl.card import Card
from mrl.encoders.configuration import CONFIG, as_json, is_config, text_configuration
from mrl.encoders.hub import find_file, first_line
from mrl.encoders.making import model_name
from mrl.encoders.sentence_folder import Parts, parts_of
from mrl.encoders.spec import EncoderSpec
from mrl.encoders.text import TextEncoder
from mrl.encoders.text_network import TextConfig, TextNetwork
from mrl.encoders.tokenizer_files import lower_cased, read_tokenizer
from mrl.encoders.tokens import Tokenizer
from mrl.encoders.weights import CONVERT, loaded
from mrl.errors import InputError, NestingError, StorageError
from mrl.nesting import Nesting


def text_encoder(spec: EncoderSpec, width: int | None, nesting: Nesting, name_suffix: str) -> TextEncoder:
    """The text encoder that a spec asks for, for training; fresh weights come from torch's generator.

    width: dims of the vectors; None takes the model's own. name_suffix: what the card's name says of the training.
    InputError for what is no text model or needs code of strangers, NestingError where the dims do not fit into the
    vectors, StorageError for files that cannot be read.
    """
    _check_text(spec)
    parts = parts_of(spec.network)
    config = text_configuration(parts.model)
    network = _network(spec, parts, config, width)
    if network.width < nesting.width:
        raise NestingError(
            f"{spec.network} makes vectors of {network.width} dims, and dims {nesting} need {nesting.width}; "
            f"drop the wider dims, or give width={nesting.width} for a projection"
        )
    whole = is_config(spec.network) and Path(spec.network).name == CONFIG
    name = str(config.model_type) if whole else model_name(spec)
    card = Card(f"{name}-{name_suffix}-{network.width}", network.width, nesting)
    return _encoder(spec, parts, network, card)


def of_folder(path: Path) -> TextEncoder:
    """The encoder of a sentence-transformers folder: the dims that it declares, or its full width alone."""
    spec = EncoderSpec(str(path))
    parts = parts_of(spec.network)
    network = _network(spec, parts, text_configuration(parts.model), None)
    nesting = parts.nesting or Nesting((network.width,))
    return _encoder(spec, parts, network, Card(model_name(spec), network.width, nesting, parts.metric))


def _check_text(spec: EncoderSpec) -> None:
    if spec.network == "residual":
        raise InputError("network=residual is for images, and texts are trained on; name a text model or its folder")
    if spec.norm != "batch":
        raise InputError(f"norm={spec.norm} is a setting of the residual network for images; leave it out")


def _network(spec: EncoderSpec, parts: Parts, config: Any, width: int | None) -> TextNetwork:
    pooling = parts.pooling if spec.pooling == "auto" else spec.pooling
    pooling = "mean" if pooling == "auto" else pooling
    about = TextConfig(as_json(config), pooling, tuple(layer for _, layer in parts.layers))
    if not spec.pretrained or is_config(spec.network):
        return TextNetwork(about, None, width).eval()
    network = TextNetwork(about, loaded(parts.model, config, pooling), width)
    for (path, _), layer in zip(parts.layers, network.layers, strict=False):
        _fill(layer, spec.network, path)
    return network.eval()


def _fill(layer: nn.Module, source: str, path: str) -> None:
    """Give a layer behind the pooling its weights."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = find_file(source, f"{path}/model.safetensors")
    if file is None:
        raise StorageError(f"{source}/{path} has no weights as .safetensors; {CONVERT}")
    try:
        layer.load_state_dict(load_file(file))
    except (SafetensorError, RuntimeError) as error:
        raise InputError(f"{file} does not fit its {CONFIG}: {first_line(error)}; fetch both again") from error


def _encoder(spec: EncoderSpec, parts: Parts, network: TextNetwork, card: Card) -> TextEncoder:
    asked = {"query": spec.query_prompt, "document": spec.document_prompt}
    texts = {**parts.prompts.texts, **{name: text for name, text in asked.items() if text is not None}}
    return TextEncoder(network, card, _tokenizer(spec, parts, network), replace(parts.prompts, texts=texts))


def _tokenizer(spec: EncoderSpec, parts: Parts, network: TextNetwork) -> Tokenizer:
    source = str(Path(spec.network).parent) if is_config(spec.network) else parts.model
    lengths = {"asked": spec.max_length, "said": parts.max_length, "limit": network.positions}
    tokenizer = read_tokenizer(source, network.model.config, **lengths)
    return lower_cased(tokenizer) if parts.lower_case else tokenizer

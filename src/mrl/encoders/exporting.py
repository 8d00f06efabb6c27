"""A text encoder as a sentence-transformers folder, which other trainers and servers read too."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from safetensors.torch import save as serialised

from mrl.disk import absent, encoded, whole_folder, write
from mrl.disk.device import device
from mrl.encoders.configuration import CONFIG
from mrl.encoders.encoder import Encoder
from mrl.encoders.hub import quiet
from mrl.encoders.model_card import model_card
from mrl.encoders.prompts import Prompts
from mrl.encoders.sentence_folder import LENGTHS, METRICS, MODULES, SETTINGS
from mrl.encoders.sentence_modules import behind
from mrl.encoders.text import TextEncoder
from mrl.encoders.tokenizer_files import TOKENIZER, TOKENIZER_SETTINGS
from mrl.encoders.tokens import Tokenizer, parsed
from mrl.errors import InputError
from mrl.evaluation.rows import Row

_FORMAT = "5.0.0"  # the version of sentence-transformers whose files these are; older and newer ones read them
_TYPE = "sentence_transformers.models."  # before a module's name, as all versions understand it
_POOLER = {  # of `LENGTHS`, where the vector is that of the model's own pooling layer
    "transformer_task": "feature-extraction",
    "modality_config": {"text": {"method": "forward", "method_output_name": "pooler_output"}},
    "module_output_name": "sentence_embedding",
}


def export(encoder: Encoder, folder: str | Path, rows: Sequence[Row] = ()) -> Path:
    """Write a text encoder as a sentence-transformers folder, atomically; its path.

    There, `SentenceTransformer(folder).encode(texts, truncate_dim=dim, normalize_embeddings=True)` gives the vectors of
    `encoder.encode(texts, dim)`; without rescaling, their cosine similarities are the same. The configuration declares
    the trained dims as vLLM and SGLang read them. rows: measurements for the table of its README.md.

    ExistsError if anything is there but an empty folder; InputError for an encoder of images; StorageError when the
    disk is full or refuses, and nothing is left behind then.
    """
    path = Path(folder)
    if not isinstance(encoder, TextEncoder):
        raise InputError(
            f"{encoder.card.model} encodes images, and sentence-transformers folders are written of text encoders; "
            "keep it as it is: mrl.encoders.load reads it"
        )
    absent(path)
    with whole_folder(path) as place:
        _write_model(encoder, place)
        for name, content in {**_settings(encoder), **_tokenizer(encoder.tokenizer)}.items():
            write(place / name, _json(content))
        write(place / TOKENIZER, encoder.tokenizer.raw)
        write(place / MODULES, _json(_modules(encoder, place)))
        write(place / "README.md", model_card(encoder, path.name, rows).encode())
    return path


def _write_model(encoder: TextEncoder, place: Path) -> None:
    """The Transformers part, and the dims that were trained where servers look for them."""
    with quiet():
        encoder.network.model.save_pretrained(place)
    config = json.loads((place / CONFIG).read_text(encoding="utf-8"))
    nesting = encoder.card.nesting
    if nesting.dims != (encoder.card.width,):
        config |= {"is_matryoshka": True, "matryoshka_dimensions": list(nesting.dims)}
    write(place / CONFIG, _json(config))


def _settings(encoder: TextEncoder) -> dict[str, Mapping[str, Any]]:
    """The files about the whole."""
    prompting = encoder.prompting
    versions = {"sentence_transformers": _FORMAT, "transformers": version("transformers"), "pytorch": version("torch")}
    similarity = next(name for name, metric in METRICS.items() if metric == encoder.card.metric)
    return {
        SETTINGS: {
            "model_type": "SentenceTransformer",
            "__version__": versions,
            "prompts": _prompts(prompting),
            "default_prompt_name": prompting.default,
            "similarity_fn_name": similarity,
        },
        LENGTHS: {"max_seq_length": encoder.max_length, "do_lower_case": False, **_special(encoder)},
    }


def _prompts(prompting: Prompts) -> dict[str, str]:
    """The prompts; one for documents under that name too, for newer versions look for no other."""
    document = prompting.named("document")
    return {**prompting.texts, **({"document": document} if document else {})}


def _special(encoder: TextEncoder) -> Mapping[str, Any]:
    """Whether the model's own pooling layer makes the vector, or is not even made, for it is not among the weights."""
    if encoder.network.config.pooling == "pooler":
        return _POOLER
    optional = "add_pooling_layer" in inspect.signature(type(encoder.network.model).__init__).parameters
    return {"model_args": {"add_pooling_layer": False}} if optional else {}


def _tokenizer(tokenizer: Tokenizer) -> dict[str, Mapping[str, Any]]:
    """The files beside tokenizer.json. The class reads that file as it is, and builds nothing anew."""
    limits = tokenizer.limits
    roles = {"pad_token": parsed(tokenizer.raw).id_to_token(limits.pad), **dict(limits.special)}
    return {
        TOKENIZER_SETTINGS: {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": limits.max_length,
            "model_input_names": ["input_ids", "attention_mask"],
            "padding_side": "right",
            "truncation_side": limits.side,
            "clean_up_tokenization_spaces": False,
            **roles,
        },
        "special_tokens_map.json": roles,
    }


def _modules(encoder: TextEncoder, place: Path) -> list[dict[str, Any]]:
    """The list of modules; those behind the Transformers part are written, each into a folder of its own."""
    modules = [{"idx": 0, "name": "0", "path": "", "type": f"{_TYPE}Transformer"}]
    for number, (kind, config, module) in enumerate(behind(encoder), 1):
        folder = place / f"{number}_{kind}"
        device().make_folder(folder)
        write(folder / CONFIG, _json(config))
        if module is not None:
            weights = {name: tensor.cpu().contiguous() for name, tensor in module.state_dict().items()}
            write(folder / "model.safetensors", serialised(weights))
        modules.append({"idx": number, "name": str(number), "path": folder.name, "type": _TYPE + kind})
    return modules


def _json(content: Any) -> bytes:
    return encoded(json.dumps(content, indent=2, ensure_ascii=False))

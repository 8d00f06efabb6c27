"""What a folder of sentence-transformers says of a text model: its modules, prompts, metric and dims; none is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mrl.encoders.configuration import CONFIG, is_config
from mrl.encoders.hub import read_document, read_list
from mrl.encoders.layers import Layer
from mrl.encoders.prompts import NO_PROMPTS, Prompts
from mrl.encoders.spec import Pooling
from mrl.errors import InputError
from mrl.nesting import Metric, Nesting

MODULES = "modules.json"  # by which such a folder is known
SETTINGS = "config_sentence_transformers.json"
LENGTHS = "sentence_bert_config.json"
_OURS = "sentence_transformers."  # before the names of its own modules, old and new
POOLINGS: dict[str, Pooling] = {"cls": "cls", "mean": "mean", "max": "max", "lasttoken": "last"}
POOLING_FLAGS = {  # as pooling was written before version 6
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
METRICS: dict[str, Metric] = {"cosine": "cosine", "dot": "dot", "euclidean": "l2"}


@dataclass(frozen=True)
class Parts:
    """What a text model is made of. model: where its Transformers part is. layers: behind the pooling, with the places
    of their weights. max_length: tokens of a text, None if nothing is said. lower_case: whether texts are put into
    small letters first. nesting: the dims that were trained, None if nothing is said."""

    model: str
    pooling: Pooling = "auto"
    layers: tuple[tuple[str, Layer], ...] = ()
    prompts: Prompts = NO_PROMPTS
    max_length: int | None = None
    lower_case: bool = False
    metric: Metric = "cosine"
    nesting: Nesting | None = None


def parts_of(source: str) -> Parts:
    """The parts of a model, by a folder, a name or a configuration. InputError for a module that is not understood."""
    modules = None if is_config(source) else read_list(source, MODULES)
    if modules is None:
        return Parts(source)
    kinds = [(_kind(module, source), str(module.get("path", ""))) for module in modules]
    (first, place), *rest = kinds or [("", "")]
    if first != "Transformer":
        raise InputError(
            f"{source} begins with a {first or 'nothing'} module; take a folder that begins with Transformer"
        )
    model = f"{source}/{place}" if place else source
    settings = read_document(source, SETTINGS) or {}
    about = _lengths(model)
    pooling, included, rest = _pooling(source, about, rest)
    normalised = bool(rest) and rest[-1][0] == "Normalize"
    layers = tuple((path, _layer(source, kind, path)) for kind, path in (rest[:-1] if normalised else rest))
    return Parts(
        model,
        pooling,
        layers,
        _prompts(settings, included),
        _length(model, about),
        bool(about.get("do_lower_case", False)),
        _metric(source, settings, normalised),
        _nesting(model),
    )


def _kind(module: Any, source: str) -> str:
    """Transformer, Pooling, Dense … InputError for what would need code of its own."""
    name = str(module.get("type", "")) if isinstance(module, Mapping) else ""
    if not name.startswith(_OURS):
        raise InputError(
            f"{source} has a module of type {name!r}, whose own code would have to run, which is refused; "
            "take a model of sentence-transformers' own modules"
        )
    return name.split(".")[-1]


def _lengths(model: str) -> Mapping[str, Any]:
    """What is said beside the Transformers part; older files are named after its kind."""
    about = read_document(model, LENGTHS)
    if about is None:
        kind = (read_document(model, CONFIG) or {}).get("model_type", "bert")
        about = read_document(model, f"sentence_{kind}_config.json") or {}
    task = about.get("transformer_task", "feature-extraction")
    if task != "feature-extraction" or about.get("processing_kwargs"):
        said = f"transformer_task {task}" if task != "feature-extraction" else "processing_kwargs"
        raise InputError(f"{model} has {said} in {LENGTHS}, which is not understood; take a plain text encoder")
    return about


def _length(model: str, about: Mapping[str, Any]) -> int | None:
    length = about.get("max_seq_length")
    if length is not None and (not isinstance(length, int) or length < 1):
        raise InputError(f"{model} has max_seq_length {length!r} in {LENGTHS}; it must be a number of tokens")
    return length


Modules = list[tuple[str, str]]  # kind and path of each


def _pooling(source: str, about: Mapping[str, Any], rest: Modules) -> tuple[Pooling, bool, Modules]:
    """The pooling, whether prompts take part in it, and the modules that follow."""
    if _output(about) == "pooler_output":
        return "pooler", True, rest
    if not rest or rest[0][0] != "Pooling":
        raise InputError(
            f"{source} has {rest[0][0] if rest else 'nothing'} where Pooling is expected; give a whole folder"
        )
    config = _config(source, rest[0][1])
    modes = config.get("pooling_mode") or [mode for flag, mode in POOLING_FLAGS.items() if config.get(flag)] or "mean"
    modes = [modes] if isinstance(modes, str) else list(modes)
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise InputError(
            f"{source} pools by {', '.join(map(str, modes))}, which is not understood; known are one of "
            f"{', '.join(POOLINGS)}"
        )
    return POOLINGS[modes[0]], bool(config.get("include_prompt", True)), rest[1:]


def _output(about: Mapping[str, Any]) -> str:
    """Which of a model's outputs is meant; InputError for one that is not understood."""
    text = about.get("modality_config", {"text": {}}).get("text", {"method": None})
    name = text.get("method_output_name", "last_hidden_state")
    name = name[0] if isinstance(name, list) and len(name) == 1 else name
    if text.get("method", "forward") != "forward" or name not in ("last_hidden_state", "pooler_output"):
        raise InputError(f"a Transformer module of {text} in {LENGTHS} is not understood; take a plain text encoder")
    return str(name)


def _layer(source: str, kind: str, path: str) -> Layer:
    if kind not in ("Dense", "LayerNorm"):
        raise InputError(
            f"{source} has a {kind} module at {path or 'its root'}, which is not understood; known are Transformer, "
            "Pooling, Dense, LayerNorm, and Normalize at the end"
        )
    config = _config(source, path)
    if kind == "LayerNorm":
        return Layer("norm", config["dimension"])
    for name in ("module_input_name", "module_output_name"):
        if config.get(name) not in (None, "sentence_embedding"):
            raise InputError(f"{source}/{path} has {name} {config[name]!r}; only sentence_embedding is understood")
    activation = str(config.get("activation_function", "torch.nn.Tanh"))
    if not activation.startswith("torch.nn."):
        raise InputError(f"{source}/{path} has activation {activation!r}, which needs code of its own; it is refused")
    bias, residual = bool(config.get("bias", True)), bool(config.get("use_residual", False))
    return Layer("dense", config["out_features"], bias, activation.split(".")[-1], residual)


def _config(source: str, path: str) -> dict[str, Any]:
    found = read_document(source, f"{path}/{CONFIG}")
    if found is None:
        raise InputError(f"{source}/{path} has no {CONFIG}, so the module there is unknown; fetch the whole folder")
    return found


def _prompts(settings: Mapping[str, Any], pooled: bool) -> Prompts:
    texts = {str(name): text or "" for name, text in (settings.get("prompts") or {}).items()}
    return Prompts(texts, settings.get("default_prompt_name"), pooled)


def _metric(source: str, settings: Mapping[str, Any], normalised: bool) -> Metric:
    """The metric of the vectors before they are rescaled; of unit vectors every metric orders as cosine does."""
    kind = settings.get("model_type", "SentenceTransformer")
    if kind != "SentenceTransformer":
        raise InputError(f"{source} is a {kind}, which makes no dense vectors of texts; take a SentenceTransformer")
    name = settings.get("similarity_fn_name") or "cosine"
    if name not in METRICS and not normalised:
        raise InputError(f"{source} compares by {name}, which is not understood; known are {', '.join(METRICS)}")
    return "cosine" if normalised else METRICS[name]


def _nesting(model: str) -> Nesting | None:
    """The dims that a configuration declares, as servers read them."""
    dims = (read_document(model, CONFIG) or {}).get("matryoshka_dimensions")
    if not dims:
        return None
    if not isinstance(dims, list) or not all(isinstance(dim, int) for dim in dims):
        raise InputError(f"{model} declares matryoshka_dimensions {dims!r}; they must be a list of widths: correct it")
    return Nesting(tuple(sorted(set(dims))))

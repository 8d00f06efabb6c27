"""A map appended to a sentence-transformers folder, as modules that it runs without this package."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mrl.adapt.export_readme import with_map
from mrl.adapt.export_sentence_files import Model, Module, read_json, write_json
from mrl.adapt.export_sentence_modules import Layer, layers_of
from mrl.adapt.exporting import ExportSpec
from mrl.disk import absent, whole_folder, write
from mrl.errors import InputError
from mrl.maps import AnyMap, Residual

CONFIG, SETTINGS, README = "config.json", "config_sentence_transformers.json", "README.md"
SIMILARITIES = {"cosine": "cosine", "dot": "dot", "l2": "euclidean"}
_IGNORED = shutil.ignore_patterns(".git", ".cache", "__pycache__")
_DECLARED = ("is_matryoshka", "matryoshka_dimensions")


def to_sentence_transformers(turn: AnyMap, path: Path, spec: ExportSpec) -> Path:
    """Write a copy of the folder `spec.model` with the map behind its modules; its path.

    There, `SentenceTransformer(path).encode(texts, truncate_dim=dim, normalize_embeddings=True)` gives the images of
    the old folder's vectors, cut to a dim and, for cosine, rescaled. A rotation or linear map is one Dense without a
    bias. A residual map is two: the first makes [relu(u), relu(−u), relu(u A + a)], and u is relu(u) − relu(−u). For
    cosine a Normalize comes last. The configuration declares the fitted dims where servers look for them. All prompts
    and tasks share the map.

    InputError for what is no such folder, for one that makes vectors of another width, and for a model that is not
    given; ExistsError if anything is at the path but an empty folder; StorageError when the disk refuses.
    """
    if spec.model is None:
        raise InputError("a map is appended to a sentence-transformers folder; give the model whose vectors it maps")
    absent(path)
    model = Model.of(spec.model)
    _check_width(model, turn)
    kept, added = _arranged(model.modules, turn, spec)
    with whole_folder(path) as place:
        shutil.copytree(model.folder, place, ignore=_IGNORED, copy_function=shutil.copyfile, dirs_exist_ok=True)
        write_json(place / "modules.json", [*(module.to_json() for module in kept), *_written(added, kept, place)])
        _declare(place / model.modules[0].path / CONFIG, spec.dims(turn), spec.cut(turn))
        _settle(place / SETTINGS, spec)
        old = place / README
        text = old.read_text(encoding="utf-8") if old.exists() else ""
        write(old, with_map(text, path.name, turn, spec).encode())
    return path


def _check_width(model: Model, turn: AnyMap) -> None:
    if model.width != turn.width:
        raise InputError(
            f"the map {turn} takes vectors of width {turn.width} and {model.folder} makes them of width {model.width}; "
            "give the model that it was fitted for"
        )


def _arranged(modules: Sequence[Module], turn: AnyMap, spec: ExportSpec) -> tuple[list[Module], list[Layer]]:
    """The modules that stay, and those of the map behind them.

    For cosine a Normalize before a matrix changes nothing but lengths, and one comes after it: so the old one goes.
    """
    kept, hidden = list(modules), isinstance(turn, Residual)
    normalised = kept[-1].kind == "Normalize"
    if normalised and spec.rescaled and not hidden:
        kept.pop()
    first = [Layer("Normalize")] if isinstance(turn, Residual) and turn.unit and not normalised else []
    last = [Layer("Normalize")] if spec.rescaled else []
    return kept, [*first, *layers_of(turn, spec.cut(turn)), *last]


def _written(layers: Sequence[Layer], kept: Sequence[Module], place: Path) -> list[dict[str, Any]]:
    """Write the new modules, each into a folder of its own; their lines in the list of modules."""
    return [_write(layer, number, place).to_json() for number, layer in enumerate(layers, len(kept))]


def _write(layer: Layer, number: int, place: Path) -> Module:
    name = f"{number}_{layer.kind}"
    folder = place / name
    if layer.weights:
        shutil.rmtree(folder, ignore_errors=True)  # of a module that was left out
        folder.mkdir()
        write_json(folder / CONFIG, layer.config)
        write(folder / "model.safetensors", layer.sealed())
    return Module(number, name, layer.kind)


def _declare(path: Path, dims: tuple[int, ...], width: int) -> None:
    """The dims where servers look for them. Those of the model itself hold no longer."""
    config = {name: value for name, value in _read(path).items() if name not in _DECLARED}
    if dims and dims != (width,):
        config |= {"is_matryoshka": True, "matryoshka_dimensions": list(dims)}
    write_json(path, config)


def _settle(path: Path, spec: ExportSpec) -> None:
    """The similarity is that of the map; a cut that the model had made is left out."""
    settings = {name: value for name, value in _read(path).items() if name != "truncate_dim"}
    write_json(path, {**settings, "similarity_fn_name": SIMILARITIES[spec.metric]})


def _read(path: Path) -> Mapping[str, Any]:
    found = read_json(path, {})
    if not isinstance(found, dict):
        raise InputError(f"{path} must hold a JSON object; fetch the model again")
    return found

"""What a sentence-transformers folder is made of; nothing in it is run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrl.disk import encoded, read_bytes, write
from mrl.errors import InputError

MODULES = "modules.json"
TYPE = "sentence_transformers.models."  # before a module's name, as all versions understand it
KEEPING = ("Normalize", "Dropout", "LayerNorm")  # modules that leave the width as it is


@dataclass(frozen=True)
class Module:
    """One line of `modules.json`. path: its folder, empty for the model's own. type: of a class."""

    number: int
    path: str
    kind: str
    type: str = ""

    def to_json(self) -> dict[str, Any]:
        kind = self.type or TYPE + self.kind
        return {"idx": self.number, "name": str(self.number), "path": self.path, "type": kind}


@dataclass(frozen=True)
class Model:
    """A folder of sentence-transformers. width: of its vectors."""

    folder: Path
    modules: tuple[Module, ...]
    width: int

    @classmethod
    def of(cls, folder: str | Path) -> Model:
        """Read one. InputError for another folder, and for modules that make no single vector of a text."""
        place = Path(folder)
        if not (place / MODULES).is_file():
            raise InputError(f"{folder} is no sentence-transformers folder: it has no {MODULES}; give a model's folder")
        modules = tuple(_module(number, line, place) for number, line in enumerate(read_json(place / MODULES, [])))
        if not modules:
            raise InputError(f"{folder} has no modules; fetch the whole folder")
        return cls(place, modules, _width(place, modules))


def _module(number: int, line: Any, folder: Path) -> Module:
    kind = str(line.get("type", "")) if isinstance(line, Mapping) else ""
    name = kind.split(".")[-1]
    if name in ("Router", "Asym"):
        raise InputError(
            f"{folder} has a {name}, which has modules of its own for queries and for documents; "
            "append the map to each of its two models"
        )
    return Module(number, str(line.get("path", "")) if kind else "", name, kind)


def _width(folder: Path, modules: tuple[Module, ...]) -> int:
    """That of the last module that says one."""
    for module in reversed(modules):
        config = read_json(folder / module.path / "config.json", {})
        if module.kind not in KEEPING:
            return _stated(folder, module, config)
    raise InputError(f"{folder} has no module that says the width of its vectors; fetch the whole folder")


def _stated(folder: Path, module: Module, config: Any) -> int:
    """From the configuration of a Dense, a Pooling (which may put several vectors side by side) or a Transformer."""
    names = ("out_features", "embedding_dimension", "word_embedding_dimension", "hidden_size")
    widths = [config[name] for name in names if isinstance(config.get(name), int)] if isinstance(config, dict) else []
    if not widths:
        raise InputError(
            f"{folder}/{module.path} ({module.kind}) does not say the width of its vectors, so the map may not fit; "
            "take a model that ends in Transformer, Pooling, Dense or Normalize"
        )
    modes = config.get("pooling_mode") or [
        name for name, on in config.items() if name.startswith("pooling_mode_") and on
    ]
    sides = len(modes) if module.kind == "Pooling" and isinstance(modes, list) else 1
    return int(widths[0]) * max(sides, 1)


def read_json(path: Path, absent: Any) -> Any:
    """What a JSON file holds, or `absent` if it is not there. InputError if it is no JSON."""
    if not path.is_file():
        return absent
    try:
        return json.loads(read_bytes(path))
    except ValueError as error:
        raise InputError(f"{path} is no JSON: {error}; fetch the model again") from None


def write_json(path: Path, content: Any) -> None:
    write(path, encoded(json.dumps(content, indent=2, ensure_ascii=False)))

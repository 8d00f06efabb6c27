"""EncoderSpec: which network is trained, from what, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from mrl.errors import InputError

Norm = Literal["batch", "group"]
Tune = Literal["all", "last", "head"]
Pooling = Literal["auto", "pooler", "cls", "mean"]


@dataclass(frozen=True)
class EncoderSpec:
    """The network of a training run.

    network: `residual`, a small one for small images, or a Transformers vision model: its name, its folder, or the path
    of a configuration (.json), which gives fresh weights. pretrained: False takes a model's shape and not its weights.
    tune: what is trained: `all`, the `last` block with the projection, or the `head` (and the projection) alone.
    norm: of the residual network: `batch`, or `group`, which does not mix the rows of a batch. pooling: how a
    Transformers model's output becomes one vector: `auto` takes what its authors take.
    """

    network: str = "residual"
    pretrained: bool = True
    tune: Tune = "all"
    norm: Norm = "batch"
    pooling: Pooling = "auto"

    def __post_init__(self) -> None:
        for name, choices in (("tune", Tune), ("norm", Norm), ("pooling", Pooling)):
            if getattr(self, name) not in get_args(choices):
                raise InputError(f"unknown {name} {getattr(self, name)!r}; known are {', '.join(get_args(choices))}")
        if not self.network:
            raise InputError("network must be `residual` or a Transformers model's name, folder or configuration")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> EncoderSpec:
        if unknown := set(document) - {field.name for field in fields(cls)}:
            raise InputError(f"unknown encoder settings {', '.join(sorted(unknown))}; install a newer mrl")
        return cls(**document)

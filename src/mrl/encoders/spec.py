"""EncoderSpec: which network is trained, from what, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mrl.errors import InputError
from mrl.options import check_choices, from_document, option

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

    network: str = option("residual", "residual, or a Transformers model's name, folder or configuration (.json).")
    pretrained: bool = option(True, "Begin with a model's weights, not only with its shape.")
    tune: Tune = option("all", "What is trained: all, the last block, or the head alone.")
    norm: Norm = option("batch", "Of the residual network: batch, or group, which does not mix rows.")
    pooling: Pooling = option("auto", "How a Transformers model's output becomes a vector: auto, pooler, cls or mean.")

    def __post_init__(self) -> None:
        check_choices(self, {"tune": Tune, "norm": Norm, "pooling": Pooling})
        if not self.network:
            raise InputError("network must be `residual` or a Transformers model's name, folder or configuration")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> EncoderSpec:
        return from_document(cls, document, "encoder")

"""EncoderSpec: which network is trained, from what, and how much of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mrl.encoders.configuration import is_config
from mrl.errors import InputError
from mrl.options import check_choices, from_document, option

Norm = Literal["batch", "group"]
Tune = Literal["all", "last", "head"]
Pooling = Literal["auto", "pooler", "cls", "mean", "last", "max"]


@dataclass(frozen=True)
class EncoderSpec:
    """The network of a training run.

    network: `residual`, a small one for small images, or a Transformers model: its name, its folder, or the path of a
    configuration (.json), which gives fresh weights; a vision model for images, a text model or a folder of
    sentence-transformers for texts. pretrained: False takes a model's shape and not its weights.
    tune: what is trained: `all`, the `last` block with the projection, or the `head` (and the projection) alone.
    norm: of the residual network: `batch`, or `group`, which does not mix the rows of a batch. pooling: how a
    Transformers model's output becomes one vector: `auto` takes what its authors take; `last` and `max` are for texts.
    max_length: tokens of a text at most, special ones counted. query_prompt, document_prompt: what is put before texts.
    These three are None for what the model's authors chose, and for images.
    """

    network: str = option("residual", "residual, or a Transformers model's name, folder or configuration (.json).")
    pretrained: bool = option(True, "Begin with a model's weights, not only with its shape.")
    tune: Tune = option("all", "What is trained: all, the last block, or the head alone.")
    norm: Norm = option("batch", "Of the residual network: batch, or group, which does not mix rows.")
    pooling: Pooling = option(
        "auto", "How a Transformers model's output becomes a vector: auto, pooler, cls, mean; of texts also last, max."
    )
    max_length: int | None = option(
        None, "Tokens of a text at most, in place of the model's own limit; what is longer is cut."
    )
    query_prompt: str | None = option(None, "What is put before a query, in place of the model's own prompt.")
    document_prompt: str | None = option(None, "What is put before a document, in place of the model's own prompt.")

    def __post_init__(self) -> None:
        check_choices(self, {"tune": Tune, "norm": Norm, "pooling": Pooling})
        if not self.network:
            raise InputError("network must be `residual` or a Transformers model's name, folder or configuration")
        if self.max_length is not None and self.max_length < 1:
            raise InputError(f"max_length is tokens of a text, at least 1, got {self.max_length}")

    @property
    def begun(self) -> bool:
        """Whether training begins with weights that were learnt before, as those of a model's name or folder are."""
        return self.pretrained and self.network != "residual" and not is_config(self.network)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> EncoderSpec:
        return from_document(cls, document, "encoder")

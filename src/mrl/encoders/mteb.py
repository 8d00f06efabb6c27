"""An encoder in the shape that MTEB evaluates, each text encoded once for all dims.

MTEB runs a model again for every dim that it reports. Here full vectors are kept by text, and every dim is a view of
them: `MTEBModel(encoder).at(64)` and `.at(256)` share what either has encoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from importlib import import_module
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from mrl.card import Card
from mrl.errors import InputError, MissingError
from mrl.nesting import rescales, unit_prefix

Vectors = npt.NDArray[np.float32]
_SIMILARITY = {"cosine": "cosine", "dot": "dot", "l2": "euclidean"}  # as MTEB names them


class Encodes(Protocol):
    """What is wrapped: a text encoder, here or behind an endpoint."""

    @property
    def card(self) -> Card: ...

    def encode(
        self, texts: Sequence[str], dim: int | None = None, *, raw: bool, batch_size: int, prompt: str | None
    ) -> Vectors: ...


class Remembered:
    """Full raw vectors by prompt and text. encoded: how many texts the encoder was given; a repeated one is not."""

    def __init__(self, encoder: Encodes) -> None:
        self.encoder = encoder
        self.card = encoder.card  # its fingerprint reads all weights, so it is asked for once
        self.encoded = 0
        self._vectors: dict[tuple[str | None, str], Vectors] = {}

    def __call__(self, texts: Sequence[str], prompt: str | None, batch_size: int) -> Vectors:
        """(n, width) in the order of the texts. An empty text has a zero vector, which has cosine 0 with all."""
        new = [text for text in dict.fromkeys(texts) if text.strip() and (prompt, text) not in self._vectors]
        if new:
            found = self.encoder.encode(new, raw=True, batch_size=batch_size, prompt=prompt)
            self._vectors.update(zip(((prompt, text) for text in new), found, strict=True))
            self.encoded += len(new)
        nothing = np.zeros(self.card.width, np.float32)
        rows = [self._vectors.get((prompt, text), nothing) for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self.card.width), np.float32)


class MTEBModel:
    """MTEB's `EncoderProtocol` over an encoder of ours, at one dim.

    encoder: has `card` and `encode` as a TextEncoder. name: `organisation/model` in MTEB's results, default `mrl/` and
    the card's model. revision: default the start of the card's fingerprint, so that results of other weights are
    never taken for this one's. dim: default the full width. Queries and documents get the encoder's prompts `query` and
    `document`, other texts its default one. Its weights must stay as they are: vectors are kept.

    >>> mteb.evaluate(MTEBModel(encoder).at(64), mteb.get_task("STS12"))  # doctest: +SKIP
    """

    def __init__(
        self, encoder: Encodes, name: str | None = None, revision: str | None = None, *, dim: int | None = None
    ) -> None:
        self._memory = Remembered(encoder)
        self.name = f"mrl/{self.card.model.replace('/', '-')}" if name is None else name
        self.revision = (self.card.fingerprint[:12] or "unknown") if revision is None else revision
        self.dim = self.card.width if dim is None else dim
        self.card.nesting.check_readable(self.dim, self.card.width)
        if self.name.count("/") != 1:
            raise InputError(f"MTEB names models organisation/model, got {self.name!r}; give such a name")

    @property
    def card(self) -> Card:
        return self._memory.card

    @property
    def encoded(self) -> int:
        """How many texts were encoded so far, for all dims together."""
        return self._memory.encoded

    def at(self, dim: int) -> MTEBModel:
        """The same model at another dim, with the same vectors. NestingError for one that cannot be read."""
        self.card.nesting.check_readable(dim, self.card.width)
        other = copy(self)
        other.dim = dim
        return other

    def encode(self, inputs: Iterable[Mapping[str, Any]], *, prompt_type: str | None = None, **options: Any) -> Vectors:
        """Vectors of all texts of MTEB's batches, (n, dim), cut as the card's metric asks.

        options: MTEB's `batch_size` is heeded; what it tells of the task makes no difference here. InputError for
        batches without texts, and for a `precision` other than float32.
        """
        if options.get("precision", "float32") != "float32":
            raise InputError(
                f"vectors are float32 here, got precision={options['precision']!r}; "
                "wrap this model in MTEB's CompressionWrapper"
            )
        prompt = None if prompt_type is None else str(getattr(prompt_type, "value", prompt_type))
        texts = [text for batch in inputs for text in _texts(batch)]
        vectors = self._memory(texts, prompt, options.get("batch_size", 64))
        cut: Vectors = self.card.cut(vectors, self.dim)
        return cut

    def similarity(self, embeddings1: Any, embeddings2: Any) -> Vectors:
        """All with all by the card's metric, (n, d) and (m, d) -> (n, m); l2 is minus the distance."""
        a, b = self._compared(embeddings1), self._compared(embeddings2)
        products: Vectors = a @ b.T
        if self.card.metric != "l2":
            return products
        squares = (a * a).sum(1)[:, None] + (b * b).sum(1) - 2 * products
        distance: Vectors = -np.sqrt(np.maximum(squares, 0))
        return distance

    def similarity_pairwise(self, embeddings1: Any, embeddings2: Any) -> Vectors:
        """Row by row by the card's metric, (n, d) and (n, d) -> (n,)."""
        a, b = self._compared(embeddings1), self._compared(embeddings2)
        pairwise: Vectors = -np.linalg.norm(a - b, axis=1) if self.card.metric == "l2" else (a * b).sum(1)
        return pairwise

    def _compared(self, vectors: Any) -> Vectors:
        rows = np.atleast_2d(np.asarray(vectors, np.float32))
        return unit_prefix(rows, rows.shape[1]) if rescales(self.card.metric) else rows

    @property
    def mteb_model_meta(self) -> Any:
        """What MTEB files the results under: its `ModelMeta`, apart for each dim. MissingError without mteb."""
        try:
            models: Any = import_module("mteb.models.model_meta")
        except ModuleNotFoundError as error:
            raise MissingError("MTEB's own evaluation needs mteb: pip install mteb") from error
        return models.ModelMeta.create_empty(
            {
                "name": self.name,
                "revision": self.revision,
                "embed_dim": self.dim,
                "experiment_kwargs": {"embed_dim": self.dim},
                "max_tokens": getattr(self._memory.encoder, "max_length", None),
                "similarity_fn_name": models.ScoringFunction(_SIMILARITY[self.card.metric]),
                "modalities": ["text"],
            }
        )


def _texts(batch: Mapping[str, Any]) -> list[str]:
    if "text" not in batch:
        raise InputError(f"this model reads texts, and a batch has {', '.join(sorted(batch))}; give it a text task")
    return list(batch["text"])

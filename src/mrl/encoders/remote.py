"""RemoteEncoder: texts in, nested vectors out of any endpoint that speaks OpenAI's embeddings wire. No torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import repeat
from typing import Any
from weakref import finalize

import numpy as np

from mrl.card import Card
from mrl.encoders.answer import Vectors
from mrl.encoders.endpoint import Endpoint
from mrl.encoders.known import known_model
from mrl.errors import CardError, InputError
from mrl.nesting import Metric, Nesting, metric, prefix

LARGEST_BATCH = 2048  # inputs of one request on OpenAI's wire
_PROBE = "The width of a vector is learnt from this text."


class RemoteEncoder:
    """A text embedding model behind an OpenAI-compatible endpoint.

    model: its name there. card: what its vectors are; by default the card of the well-known model of that name. A card
    narrower than a well-known model asks the endpoint for that width. endpoint: its base address, or how it is asked.
    prompts: texts put before each text, by name; by default the known model's. fields: further fields of each request,
    such as {"input_type": "query"}. Vectors are always asked for at the card's full width and cut here as the card's
    metric asks: servers differ in whether they rescale what they cut. Raises InputError for an unknown model without a
    card: see `connect`.
    """

    def __init__(
        self,
        model: str,
        card: Card | None = None,
        *,
        endpoint: str | Endpoint,
        prompts: Mapping[str, str] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        known = known_model(model)
        if known is None and card is None:
            raise InputError(
                f"{model!r} is no model that is known here; give its card, or let RemoteEncoder.connect ask its width"
            )
        self.model = model
        self.endpoint = _endpoint(endpoint)
        self.card: Card = card or known.card  # type: ignore[union-attr]
        self.prompts = dict(prompts if prompts is not None else known.prompts if known else {})
        self.fields = {**(known.fields(self.card.width) if known else {}), **(fields or {})}
        self.tokens_used = 0
        self._client = self.endpoint.client()
        finalize(self, self._client.close)  # its connections end with the encoder

    @classmethod
    def connect(
        cls,
        model: str,
        *,
        endpoint: str | Endpoint,
        nesting: Nesting | None = None,
        metric: Metric = "cosine",
        prompts: Mapping[str, str] | None = None,
        fields: Mapping[str, Any] | None = None,
    ) -> RemoteEncoder:
        """An encoder for any model: one that is not known here is sent one short text, whose vector tells the width.

        nesting: the dims that were trained; by default the known model's, and otherwise the full width alone. metric:
        of a model that is not known. NestingError where the dims do not fit the width.
        """
        known = known_model(model)
        card = known.card if known else _learnt(model, _endpoint(endpoint), metric, fields or {})
        card = replace(card, nesting=nesting) if nesting else card
        return cls(model, card, endpoint=endpoint, prompts=prompts, fields=fields)

    def __repr__(self) -> str:
        return f"RemoteEncoder({self.model!r}, endpoint={self.endpoint.url!r}, width={self.card.width})"

    def encode(
        self,
        texts: Iterable[str],
        dim: int | None = None,
        *,
        raw: bool = False,
        batch_size: int = 64,
        prompt: str | None = None,
    ) -> Vectors:
        """The first `dim` coordinates (default: all) of each text's vector, cut as the card's metric asks: (n, dim).

        raw: leave prefixes as they came. batch_size: texts of one request, 2,048 at most. prompt: the name of one of
        `prompts` (default: none). Adds to `tokens_used` what the endpoint says it used. Raises InputError for what is
        no text or an empty one, NestingError for a dim outside the trained ones, EndpointError where the endpoint
        cannot be reached or refuses, CardError where it answers vectors of another width.
        """
        if not 1 <= batch_size <= LARGEST_BATCH:
            raise InputError(f"batch_size must be from 1 to {LARGEST_BATCH}, got {batch_size}")
        dim = self.card.width if dim is None else dim
        self.card.nesting.check_readable(dim, self.card.width)
        before = self.before(prompt)
        texts = [before + text for text in _checked(texts)]
        batches = {start: texts[start : start + batch_size] for start in range(0, len(texts), batch_size)}
        vectors = np.empty((len(texts), dim), np.float32)
        with ThreadPoolExecutor(self.endpoint.concurrent, "mrl-remote") as pool:
            answers = pool.map(self._asked, batches.values(), batches, repeat(dim), repeat(raw))
            for start, (block, tokens) in zip(batches, answers, strict=True):  # an error cancels what has not begun
                vectors[start : start + len(block)] = block
                self.tokens_used += tokens
        return vectors

    def _asked(self, texts: Sequence[str], first: int, dim: int, raw: bool) -> tuple[Vectors, int]:
        """The prefixes of one request's vectors, and the tokens that it used."""
        vectors, tokens = self.endpoint.ask(self._client, texts, first, self.model, self.fields)
        self._check_width(vectors)
        return prefix(vectors, dim) if raw else self.card.cut(vectors, dim), tokens

    def before(self, prompt: str | None) -> str:
        """The text of a prompt, by its name; `query` and `document` are "" for a model that has none for these, as for
        a `TextEncoder`. InputError for others that it does not have."""
        if prompt is None or (prompt in ("query", "document") and prompt not in self.prompts):
            return ""
        if prompt not in self.prompts:
            names = ", ".join(sorted(self.prompts)) or "none"
            raise InputError(f"{self.model} has no prompt {prompt!r}; known are: {names}")
        return self.prompts[prompt]

    def _check_width(self, block: Vectors) -> None:
        if block.shape[1] != self.card.width:
            raise CardError(
                f"{self.endpoint.url} answers for {self.model} with vectors of width {block.shape[1]}, its card says "
                f"{self.card.width}; ask for the right model, or give a card of width {block.shape[1]}"
            )


def _endpoint(endpoint: str | Endpoint) -> Endpoint:
    return Endpoint(endpoint) if isinstance(endpoint, str) else endpoint


def _learnt(model: str, endpoint: Endpoint, name: Metric, fields: Mapping[str, Any]) -> Card:
    """The card of a model of which nothing but one vector is seen."""
    with endpoint.client() as client:
        vector, _ = endpoint.ask(client, [_PROBE], 0, model, fields)
    width = vector.shape[1]
    unit = bool(abs(np.linalg.norm(vector[0].astype(np.float64)) - 1) < 1e-3)  # half precision is not closer
    return Card(model, width, Nesting((width,)), metric(name), normalised=unit)


def _checked(texts: Iterable[str]) -> Sequence[str]:
    """The texts as a list; InputError with the position of the first that cannot be embedded."""
    if isinstance(texts, str):
        raise InputError("give a list of texts, got one text; write [text]")
    listed = list(texts)
    for position, text in enumerate(listed):
        if not isinstance(text, str):
            raise InputError(f"text {position} is {type(text).__name__}, not a text; give strings")
        if not text.strip():
            raise InputError(f"text {position} is empty, and has no embedding; leave it out")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise InputError(f"text {position} holds half a character, which UTF-8 cannot; decode it anew") from None
    return listed

"""TextEncoder: texts in, nested vectors out; and its file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mrl.card import Card
from mrl.disk import read_tensors
from mrl.encoders.dry import evaluating
from mrl.encoders.encoder import KIND, Arrays, Encoder, Vectors, check_batch_size, fill
from mrl.encoders.prompts import Prompts
from mrl.encoders.text_network import TextConfig, TextNetwork
from mrl.encoders.tokens import Limits, Tokenizer, Tokens
from mrl.errors import InputError

_TOKENIZER = "tokenizer.json"  # the name of the tensor that holds the tokenizer's bytes


class TextEncoder(Encoder):
    """A trained network with what its texts and its vectors mean.

    network: tokens to vectors. card: what the vectors are; its fingerprint is that of the weights and the tokenizer.
    tokenizer: texts to tokens. prompts: what is put before a text, by name. cut_texts: how many texts were longer than
    `max_length` tokens and so cut.
    """

    network: TextNetwork

    def __init__(self, network: TextNetwork, card: Card, tokenizer: Tokenizer, prompting: Prompts) -> None:
        super().__init__(network, card)
        network.check_tokens(tokenizer)
        self.tokenizer, self.prompting = tokenizer, prompting

    @property
    def prompts(self) -> dict[str, str]:
        return dict(self.prompting.texts)

    @property
    def max_length(self) -> int:
        """Tokens of a text at most, special ones counted."""
        return self.tokenizer.max_length

    def limited(self, max_length: int) -> TextEncoder:
        """The same encoder for texts of at most so many tokens. InputError for more than the model has places for."""
        limits = replace(self.tokenizer.limits, max_length=max_length)
        return TextEncoder(self.network, self._card, Tokenizer(self.tokenizer.raw, limits), self.prompting)

    def encode(
        self,
        texts: Sequence[str],
        dim: int | None = None,
        *,
        raw: bool = False,
        batch_size: int = 64,
        prompt: str | None = None,
    ) -> Vectors:
        """The first `dim` coordinates (default: all) of each text's vector, cut as the card's metric asks: (n, dim).

        raw: leave prefixes as they are, for heads and tables. prompt: the name of one of `prompts`, as `query` or
        `document`; None the model's default one. Raises InputError for what is no text and NestingError for a dim
        outside the trained ones. What is longer than `max_length` is cut, and counted in `cut_texts`.
        """
        check_batch_size(batch_size)
        dim = self._readable(dim)
        before = self.prompting.named(prompt)
        texts = checked(texts)
        vectors = np.empty((len(texts), self._card.width), np.float32)
        # Texts of about one length together, so that little is spent on padding; the longest first.
        order = np.argsort([-len(text) for text in texts], kind="stable")
        for start in range(0, len(texts), batch_size):
            places = order[start : start + batch_size]
            vectors[places] = self.vectors(self._tokens([texts[i] for i in places], before)).cpu().numpy()
        return self._cut(vectors, dim, raw)

    def tokens(self, texts: Sequence[str], prompt: str = "") -> Tokens:
        """Tokens of texts, each with the text of a prompt before it. InputError names the place of what is no text."""
        return self._tokens(checked(texts), prompt)

    def _tokens(self, texts: Sequence[str], prompt: str) -> Tokens:
        length = self.tokenizer.prompt_length(prompt)
        left_out = 0 if self.prompting.pooled else length
        tokens, cut = self.tokenizer([prompt + text for text in texts] if prompt else texts, left_out)
        self.cut_texts += cut
        return tokens._replace(start=left_out)

    def vectors(self, tokens: Tokens) -> Tensor:
        """Tokens of n texts -> raw vectors (n, width) on the network's device, in float32, without a gradient."""
        with evaluating(self.module), torch.no_grad():
            vectors: Tensor = self.network(tokens)
            return vectors.float()

    def _about(self) -> dict[str, Any]:
        return {"tokenizer": self.tokenizer.limits.to_json(), "prompts": asdict(self.prompting)}

    def _weights(self) -> dict[str, npt.NDArray[Any]]:
        return {**super()._weights(), _TOKENIZER: np.frombuffer(self.tokenizer.raw, np.uint8)}

    @classmethod
    def load(cls, path: str | Path) -> TextEncoder:
        """Read one encoder file. DamagedError if a byte changed, InputError if it is an image encoder's."""
        return cls.restored(*read_tensors(Path(path), KIND))

    @classmethod
    def restored(cls, tensors: Arrays, about: Mapping[str, Any]) -> TextEncoder:
        """The encoder that a file describes."""
        document = dict(about["network"])
        if document.pop("kind") != "text":
            raise InputError("this file is an image encoder's; read it with mrl.encoders.load")
        network = TextNetwork(TextConfig.from_json(document))
        fill(network, {name: array for name, array in tensors.items() if name != _TOKENIZER})
        tokenizer = Tokenizer(tensors[_TOKENIZER].tobytes(), Limits.from_json(about["tokenizer"]))
        return cls(network.eval(), Card.from_json(about["card"]), tokenizer, Prompts(**about["prompts"]))


def checked(texts: Sequence[str]) -> Sequence[str]:
    """The texts, each a string with something in it. InputError names the place of the first that is not."""
    if isinstance(texts, str):
        raise InputError(f"texts must be several, got one string {texts[:40]!r}; put it into a list")
    try:
        texts = list(texts)
    except TypeError:
        raise InputError(f"texts must be a list of strings, got {type(texts).__name__}") from None
    for place, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(
                f"texts must be strings, got {type(text).__name__} at position {place}; convert it, or leave it out"
            )
        if not text.strip():
            raise InputError(f"the text at position {place} is empty, got {text[:20]!r}; leave it out or fill it in")
        if not _writable(text):
            raise InputError(f"the text at position {place} holds half a character, {text[:40]!r}; correct it")
    return texts


def _writable(text: str) -> bool:
    """Whether UTF-8, and so a tokenizer, can hold a text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

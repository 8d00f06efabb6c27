"""Tokens of texts, and the tokenizer that makes them: the bytes of a tokenizer.json, and what its reader must know."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from mrl.encoders.hub import first_line
from mrl.errors import InputError


class Tokens(NamedTuple):
    """Texts as a network reads them. ids: (n, t) int64. mask: (n, t) int64, 1 for a token and 0 for padding. start:
    how many tokens of each text, from its first one on, are read but not pooled: a prompt's, or none."""

    ids: Tensor
    mask: Tensor
    start: int = 0

    def to(self, device: torch.device) -> Tokens:
        """The same where a network is; nothing is copied that is there already."""
        return Tokens(self.ids.to(device, non_blocking=True), self.mask.to(device, non_blocking=True), self.start)


@dataclass(frozen=True)
class Limits:
    """How texts become rows of equal length. max_length: tokens of a text at most, special ones counted. pad: the id
    that fills shorter rows. side: where a longer text is cut, `right` or `left`. special: names of special tokens by
    their roles, as `cls_token`."""

    max_length: int
    pad: int = 0
    side: str = "right"
    special: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "special", tuple((role, name) for role, name in self.special))

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Limits:
        return cls(**document)


class Tokenizer:
    """Texts to tokens. raw: the bytes of a tokenizer.json. InputError if they are none, or allow no text at all."""

    def __init__(self, raw: bytes, limits: Limits) -> None:
        self.raw, self.limits = raw, limits
        self._whole = parsed(raw)
        self._whole.no_truncation()
        self._cutting = parsed(raw)
        special = self._cutting.num_special_tokens_to_add(False)
        if limits.max_length <= special:
            raise InputError(
                f"max_length must be more than the {special} special tokens of every text, got {limits.max_length}"
            )
        self._cutting.enable_truncation(limits.max_length, direction=limits.side)
        self._prompt_length = lru_cache(maxsize=64)(self._measured)

    @property
    def max_length(self) -> int:
        """Tokens of a text at most, special ones counted; what is longer is cut."""
        return self.limits.max_length

    @cached_property
    def size(self) -> int:
        """One more than the largest id."""
        return int(max(self._whole.get_vocab(with_added_tokens=True).values(), default=-1)) + 1

    def prompt_length(self, prompt: str) -> int:
        """Tokens of a prompt that stands before a text, the special ones before it counted and those behind it not.

        InputError if it leaves no room for a text.
        """
        return self._prompt_length(prompt) if prompt else 0

    def _measured(self, prompt: str) -> int:
        encoding = self._whole.encode(prompt)
        if len(encoding.ids) >= self.max_length:
            raise InputError(
                f"the prompt {prompt!r} has {len(encoding.ids)} tokens and leaves no room for a text within "
                f"max_length={self.max_length}; shorten it, or give a larger max_length"
            )
        trailing = bool(encoding.ids) and encoding.ids[-1] in self._special
        return len(encoding.ids) - trailing

    @cached_property
    def _special(self) -> frozenset[int]:
        return frozenset(i for i, token in self._whole.get_added_tokens_decoder().items() if token.special)

    def __call__(self, texts: Sequence[str], least: int = 0) -> tuple[Tokens, int]:
        """Tokens of texts, padded on the right, and how many of them were longer than allowed and so cut.

        least: tokens of the prompt. InputError for a text that has none beyond these.
        """
        encodings = self._cutting.encode_batch(list(texts))
        rows = [encoding.ids for encoding in encodings]
        empty = next((i for i, row in enumerate(rows) if len(row) <= least), None)
        if empty is not None:
            raise InputError(f"the text {texts[empty][:80]!r} has no tokens to the tokenizer; leave it out")
        length = max(map(len, rows), default=1)
        ids = np.full((len(rows), length), self.limits.pad, np.int64)
        mask = np.zeros((len(rows), length), np.int64)
        for i, row in enumerate(rows):
            ids[i, : len(row)], mask[i, : len(row)] = row, 1
        cut = sum(1 for encoding in encodings if encoding.overflowing)
        return Tokens(torch.from_numpy(ids), torch.from_numpy(mask)), cut


def parsed(raw: bytes) -> Any:
    """The library's tokenizer of a tokenizer.json, which neither cuts nor pads. InputError if it is none."""
    from tokenizers import Tokenizer as Backend

    try:
        backend = Backend.from_buffer(raw)
    except Exception as error:  # whatever the library makes of other bytes
        raise InputError(f"the tokenizer.json cannot be read: {first_line(error)}; fetch it again") from error
    backend.no_padding()
    backend.no_truncation()
    return backend

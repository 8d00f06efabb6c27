"""A batch of texts in parts of about one length, so that little is spent on padding."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from mrl.encoders.tokens import Tokens

PARTS = 4  # at most
_LEAST = 8  # rows of a part, about: products of fewer are slow
_WORTH = 0.8  # of the tokens, padding counted, must be left, or the parts are not worth their trouble


class Parted(NamedTuple):
    """parts: shortest texts first. back: (n,), where each text's row is in the parts joined."""

    parts: list[Tokens]
    back: Tensor


def by_length(tokens: Tokens) -> Parted | None:
    """The same texts in parts, or None where that saves little: they are few, or alike, or not padded on the right.

    Where a processor's time goes by tokens, this takes a third off a usual batch; a GPU's goes by launches.
    """
    count = min(PARTS, len(tokens.ids) // _LEAST)
    if count < 2 or tokens.ids.device.type != "cpu" or not bool(tokens.mask[:, 0].all()):
        return None
    lengths = tokens.mask.sum(1)
    order = torch.argsort(lengths, stable=True)
    rows = order.tensor_split(count)
    longest = [int(lengths[part[-1]]) for part in rows]
    if sum(len(part) * length for part, length in zip(rows, longest, strict=True)) > _WORTH * tokens.ids.numel():
        return None
    parts = [
        Tokens(tokens.ids[part, :length], tokens.mask[part, :length], tokens.start)
        for part, length in zip(rows, longest, strict=True)
    ]
    return Parted(parts, torch.argsort(order))

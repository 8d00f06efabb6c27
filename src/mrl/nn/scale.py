"""A learnable scale of similarities, the inverse of a temperature."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from mrl.errors import InputError


class LogitScale(nn.Module):
    """Keeps log(scale), as CLIP does (arXiv 2103.00020 §2.5), so that steps are relative and the scale stays positive.

    start, smallest, largest: 0 < smallest ≤ start ≤ largest; CLIP's largest is 100. Raises InputError for others.
    """

    def __init__(self, start: float = 20.0, smallest: float = 1e-2, largest: float = 100.0) -> None:
        super().__init__()
        if not 0 < smallest <= start <= largest < math.inf:
            raise InputError(
                f"a scale needs 0 < smallest ≤ start ≤ largest, finite; got start={start} of {smallest} to {largest}"
            )
        self.smallest, self.largest = smallest, largest
        self.log = nn.Parameter(torch.tensor(math.log(start)))

    def forward(self) -> Tensor:
        """The scale, 0-d."""
        return self.log.exp()

    @torch.no_grad()
    def clamp_(self) -> bool:
        """Bring the scale back to [smallest, largest], in place; whether it had left. To be called after each step."""
        low, high = (self.log.new_tensor(math.log(end)) for end in (self.smallest, self.largest))
        left = bool((self.log < low) | (self.log > high))
        if left:
            self.log.clamp_(low, high)
        return left

    def extra_repr(self) -> str:
        return f"smallest={self.smallest}, largest={self.largest}"

"""Convolutions that see a blurred image: what FFCV's ResNets, and with them the paper's, have at every stride of 2."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SMALLEST = 16  # input channels below which a convolution is left as it is: the first one sees pixels


class BlurredConvolution(nn.Module):
    """A strided convolution after a binomial 3 x 3 blur of each channel (arXiv 1904.11486)."""

    blur_filter: Tensor

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("blur_filter", torch.outer(row, row).repeat(conv.in_channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(n, C, h, w) -> what the convolution makes of it, blurred at its own resolution."""
        return self.conv(F.conv2d(x, self.blur_filter.to(x.dtype), padding=1, groups=x.shape[1]))  # type: ignore[no-any-return]


def blurred(module: nn.Module) -> nn.Module:
    """The module with every strided convolution of at least 16 channels behind a blur; changed in place."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and max(child.stride) > 1 and child.in_channels >= _SMALLEST:
            setattr(module, name, BlurredConvolution(child))
        else:
            blurred(child)
    return module

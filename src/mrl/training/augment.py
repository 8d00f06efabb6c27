"""Random shifts and mirror images that depend on (seed, epoch, index) alone, whatever the batches and threads."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mrl.training.spec import Augmentation

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Augment:
    """shift: largest move in pixels, (down, right); edges are repeated. flip: mirror half of the images."""

    shift: tuple[int, int]
    flip: bool

    @classmethod
    def choose(cls, how: Augmentation, size: tuple[int, int], channels: int) -> Augment:
        """What a name means for images of this size: a shift is up to an eighth; `auto` flips colour images only."""
        if how == "none":
            return cls((0, 0), False)
        height, width = (max(1, round(side / 8)) for side in size)
        return cls((height, width), how == "shift-flip" or (how == "auto" and channels == 3))

    def __call__(self, images: Tensor, draws: npt.NDArray[np.float64]) -> Tensor:
        """uint8 (n, H, W, C) -> the same shape; draws: (n, 3) numbers from 0 to 1, below 1."""
        if self.shift == (0, 0) and not self.flip:
            return images
        n, height, width, _ = images.shape
        rows = _moved(height, self.shift[0], draws[:, 0])
        columns = _moved(width, self.shift[1], draws[:, 1])
        if self.flip:
            columns = np.where(draws[:, 2:3] < 0.5, columns[:, ::-1], columns)
        image = torch.arange(n)[:, None, None]
        return images[image, torch.from_numpy(rows)[:, :, None], torch.from_numpy(columns)[:, None, :]]


def _moved(side: int, most: int, draws: npt.NDArray[np.float64]) -> Ids:
    """(n, side): which row (or column) each one of the result shows, moved by -most … most, edges repeated."""
    offsets = np.floor(draws * (2 * most + 1)).astype(np.int64) - most
    moved: Ids = np.clip(np.arange(side) + offsets[:, None], 0, side - 1)
    return moved


def order(seed: int, epoch: int, n: int) -> Ids:
    """The order of n samples in an epoch."""
    return np.random.default_rng((seed, epoch)).permutation(n)


def draws(seed: int, epoch: int, indices: Ids, count: int) -> npt.NDArray[np.float64]:
    """(len(indices), count) uniform numbers in [0, 1), each a function of (seed, epoch, index, column) alone."""
    key = np.random.SeedSequence((seed, epoch)).generate_state(1, np.uint64)[0]
    counters = indices.astype(np.uint64)[:, None] * np.uint64(count) + np.arange(count, dtype=np.uint64)
    return (_mixed(counters + key) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def _mixed(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea and Flood, OOPSLA 2014): neighbouring counters become independent-looking bits."""
    x = x * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))

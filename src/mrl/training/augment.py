"""Random shifts, crops and mirror images: functions of (seed, epoch, index) alone, whatever the batches and threads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from mrl.encoders.pixels import Box, Fit, Pixels, fitted
from mrl.training.spec import Augmentation

Ids = npt.NDArray[np.int64]
Draws = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Augment:
    """How images are varied. fit: what they become, where a random part of the original picture is shown.

    shift: largest move in pixels, (down, right); edges are repeated. flip: mirror half of the images. least: the
    smallest share of a picture's area that is shown, or None to show what `fit` shows.
    """

    fit: Fit
    shift: tuple[int, int] = (0, 0)
    flip: bool = False
    least: float | None = None

    @classmethod
    def choose(cls, how: Augmentation, fit: Fit, smallest_crop: float) -> Augment:
        """What a name means for such images: a shift is up to an eighth; `auto` flips colour images only."""
        if how == "none":
            return cls(fit)
        if how.startswith("crop"):
            return cls(fit, flip=how == "crop-flip", least=smallest_crop)
        height, width = (max(1, round(side / 8)) for side in fit.size)
        return cls(fit, (height, width), how == "shift-flip" or (how == "auto" and fit.channels == 3))

    @property
    def crops(self) -> bool:
        """Whether the original pictures are needed: then call `cropped`, not the value itself."""
        return self.least is not None

    @property
    def count(self) -> int:
        """Random numbers for one image."""
        return 5 if self.crops else 3

    def __call__(self, images: Pixels, draws: Draws) -> Pixels:
        """uint8 (n, H, W, C) -> the same shape; draws: (n, 3) numbers from 0 to 1, below 1."""
        if self.shift == (0, 0) and not self.flip:
            return images
        n, height, width, _ = images.shape
        rows = _moved(height, self.shift[0], draws[:, 0])
        columns = _moved(width, self.shift[1], draws[:, 1])
        if self.flip:
            columns = np.where(draws[:, 2:3] < 0.5, columns[:, ::-1], columns)
        return images[np.arange(n)[:, None, None], rows[:, :, None], columns[:, None, :]]

    def cropped(self, pictures: Sequence[Image.Image], draws: Draws) -> Pixels:
        """(n, H, W, C): a random part of each picture, of `least` … 1 of its area and 3:4 … 4:3 (Szegedy et al.,
        arXiv 1409.4842); a part that would stick out is cut to what fits. draws: (n, 5)."""
        shown = [fitted(*self._part(picture, row)) for picture, row in zip(pictures, draws, strict=True)]
        flips = [self.flip and row[4] < 0.5 for row in draws]
        return np.stack([image[:, ::-1] if flip else image for image, flip in zip(shown, flips, strict=True)])

    def _part(self, picture: Image.Image, draws: Draws) -> tuple[Image.Image, Fit, Box]:
        """The picture, turned upright, and a window of it."""
        upright = ImageOps.exif_transpose(picture)
        least = 1.0 if self.least is None else self.least
        area = (least + (1 - least) * draws[0]) * upright.width * upright.height
        shape = (3 / 4) ** (1 - 2 * draws[1])  # log-uniform from 3:4 to 4:3
        width, height = min(upright.width, math.sqrt(area * shape)), min(upright.height, math.sqrt(area / shape))
        left, top = draws[2] * (upright.width - width), draws[3] * (upright.height - height)
        return upright, self.fit, (left, top, left + width, top + height)


def _moved(side: int, most: int, draws: Draws) -> Ids:
    """(n, side): which row (or column) each one of the result shows, moved by -most … most, edges repeated."""
    offsets = np.floor(draws * (2 * most + 1)).astype(np.int64) - most
    moved: Ids = np.clip(np.arange(side) + offsets[:, None], 0, side - 1)
    return moved


def order(seed: int, epoch: int, n: int) -> Ids:
    """The order of n samples in an epoch."""
    return np.random.default_rng((seed, epoch)).permutation(n)


def draws(seed: int, epoch: int, indices: Ids, count: int) -> Draws:
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

"""What the loop needs to know of a dataset, and its samples as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from mrl.errors import InputError
from mrl.training.data import Ids, ImageData, Labels, Samples

_LOOKED_AT = 4096  # images that decide mean and standard deviation


@dataclass(frozen=True)
class Traits:
    """What a network is made for. size: (H, W). classes: names by label. mean, std: of a channel, 0 to 255."""

    size: tuple[int, int]
    channels: int
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]


def traits(data: Samples) -> Traits:
    """Look at a training set. InputError if it has fewer than two images or classes, or no labels."""
    if len(data) < 2:
        raise InputError(f"training needs at least two images, got {len(data)}; add some")
    found = labels(data)
    classes = _names(data, found)
    present = [classes[label] for label in np.unique(found)]
    if len(present) < 2:
        raise InputError(f"training needs at least two classes, got {', '.join(present) or 'none'}; add another one")
    images, _ = batch(data, np.unique(np.linspace(0, len(data) - 1, _LOOKED_AT, dtype=np.int64)))
    values = images.reshape(-1, images.shape[-1]).double()
    mean, std = values.mean(0), values.std(0).clamp_min(1.0)
    size = (int(images.shape[1]), int(images.shape[2]))
    return Traits(size, int(images.shape[3]), classes, tuple(mean.tolist()), tuple(std.tolist()))


def class_names(data: Samples) -> tuple[str, ...]:
    """Names by label: the dataset's own `classes`, else the numbers up to the largest label."""
    return _names(data, labels(data))


def _names(data: Samples, found: Labels) -> tuple[str, ...]:
    if not len(found) or found.min() < 0:
        raise InputError("these data have no labels; training needs one for each image")
    own = tuple(getattr(data, "classes", ()))
    names = own or tuple(map(str, range(int(found.max()) + 1)))
    if found.max() >= len(names):
        raise InputError(f"label {found.max()} has no name among {len(names)} classes; name every class")
    return names


def labels(data: Samples) -> Labels:
    """(n,) int64, -1 where there is none; reads every sample of a dataset that does not keep them apart."""
    if isinstance(data, ImageData):
        return np.full(len(data), -1) if data.labels is None else data.labels
    return np.array([int(data[i][1]) for i in range(len(data))], np.int64)


def batch(data: Samples, indices: npt.NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """Samples as uint8 images (n, H, W, C) and labels (n,) int64; InputError names one that does not fit."""
    several = getattr(data, "__getitems__", None)
    at = indices.tolist()
    samples: Sequence[tuple[Any, int]] = several(at) if several else [data[i] for i in at]
    images = [np.asarray(image) for image, _ in samples]
    first = images[0]
    if first.ndim != 3 or first.shape[2] not in (1, 3):
        raise InputError(f"image {at[0]} has shape {first.shape}; give (H, W, C) with C = 1 grey or 3 colour")
    for i, image in zip(at, images, strict=True):
        if image.dtype != np.uint8 or image.shape != first.shape:
            raise InputError(
                f"image {i} is {image.dtype} of shape {image.shape}, image {at[0]} is uint8 of shape {first.shape}; "
                "give uint8 images of one size"
            )
    target = torch.tensor([int(label) for _, label in samples], dtype=torch.int64)
    return torch.from_numpy(np.stack(images)), target


def ids(data: Samples) -> Ids:
    """The dataset's `ids`, else 0 … n-1."""
    own = getattr(data, "ids", None)
    return np.arange(len(data)) if own is None else np.asarray(own)


def even_batches(order: npt.NDArray[np.int64], batch_size: int) -> list[npt.NDArray[np.int64]]:
    """Cut an order into batches of at most `batch_size`, whose lengths differ by at most one: no tiny last one."""
    return np.array_split(order, -(-len(order) // batch_size)) if len(order) else []

"""What the loop needs to know of a dataset, and its samples as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from mrl.encoders.pixels import as_picture
from mrl.errors import InputError
from mrl.training.data import Ids, ImageData, Labels, Samples
from mrl.training.stream import Stream

Channels = tuple[float, ...]  # one number a channel

_LOOKED_AT = 4096  # images in memory that decide mean and standard deviation
_DECODED = 1024  # of those that must be decoded to be looked at


@dataclass(frozen=True)
class Traits:
    """What a network is made for. size: (H, W). classes: names by label. mean, std: of a channel, 0 to 255."""

    size: tuple[int, int]
    channels: int
    classes: tuple[str, ...]
    mean: Channels
    std: Channels


def traits(data: Samples | Stream, mean: Channels | None = None, std: Channels | None = None) -> Traits:
    """Look at a training set, for mean and standard deviation only where they are not given.

    InputError if it has fewer than two images or classes, or no labels.
    """
    if len(data) < 2:
        raise InputError(f"training needs at least two images, got {len(data)}; add some")
    classes = _two_classes(data)
    images = _some(data, 1 if mean and std else _LOOKED_AT)
    size, channels = (int(images.shape[1]), int(images.shape[2])), int(images.shape[3])
    if mean is None or std is None:
        values = images.reshape(-1, channels).double()
        mean, std = tuple(values.mean(0).tolist()), tuple(values.std(0).clamp_min(1.0).tolist())
    return Traits(size, channels, classes, mean, std)


def _two_classes(data: Samples | Stream) -> tuple[str, ...]:
    """The classes' names, at least two of which occur; a stream's are taken at its word."""
    if isinstance(data, Stream):
        if not data.labelled:
            raise InputError("these data have no labels; training needs one for each image")
        classes = data.classes
        present = list(classes)
    else:
        found = labels(data)
        classes = _names(data, found)
        present = [classes[label] for label in np.unique(found)]
    if len(present) < 2:
        raise InputError(f"training needs at least two classes, got {', '.join(present) or 'none'}; add another one")
    return classes


def _some(data: Samples | Stream, count: int) -> Tensor:
    """(n, H, W, C): at most `count` images, spread over data that are at hand, the first ones of a stream."""
    if isinstance(data, Stream):
        return torch.from_numpy(np.stack([data.decode(raw) for raw in islice(data.read(), min(count, _DECODED))]))
    most = count if in_memory(data) else min(count, _DECODED)
    return batch(data, np.unique(np.linspace(0, len(data) - 1, most, dtype=np.int64)))[0]


def in_memory(data: Samples | Stream) -> bool:
    """Whether images are at hand without decoding."""
    return isinstance(data, ImageData) and isinstance(data.images, np.ndarray)


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


def pictures(data: Samples, indices: npt.NDArray[np.int64]) -> tuple[list[Image.Image], Labels]:
    """The pictures as they were before anything was cut from them, and their labels."""
    if isinstance(data, ImageData):
        return data.pictures(indices.tolist()), labels(data)[indices]
    images, target = batch(data, indices)
    return [as_picture(image) for image in images.numpy()], target.numpy()


def ids(data: Any) -> Ids:
    """The dataset's `ids`, else 0 … n-1."""
    own = getattr(data, "ids", None)
    return np.arange(len(data)) if own is None else np.asarray(own)


def even_batches(order: npt.NDArray[np.int64], batch_size: int) -> list[npt.NDArray[np.int64]]:
    """Cut an order into batches of at most `batch_size`, whose lengths differ by at most one: no tiny last one."""
    return np.array_split(order, -(-len(order) // batch_size)) if len(order) else []

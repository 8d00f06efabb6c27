"""Labelled images: in memory, on disk, or as a stream."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt
from PIL import Image

from mrl.encoders.pixels import Fit, Pixels, as_picture, check_array, stacked
from mrl.errors import InputError
from mrl.training.decoding import LazyImages, Stored, decode, looked_at, opened, suited
from mrl.training.folder import existing, scan
from mrl.training.listing import Ids, Labels, Listing, renamed
from mrl.training.opening import Opening, Origin, Rows
from mrl.training.rows import list_rows
from mrl.training.sources import find
from mrl.training.stream import Stream, open_stream

__all__ = ["Ids", "ImageData", "Labels", "Opening", "Pixels", "Rows", "Samples", "Stream", "from_arrays", "open_data"]

Sample = tuple[Pixels, int]


class Samples(Protocol):
    """Any map-style dataset: `data[i]` is an image (H, W, C) uint8 and its label.

    Optional: `__getitems__(indices)` for several at once, `classes` (names by label), `ids` (one a row).
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Any, int]: ...


@dataclass(frozen=True, eq=False)
class ImageData:
    """Labelled images, all of one size.

    images: uint8 (n, H, W, C), or pictures that are decoded when asked for. labels: (n,) int64, or None where there are
    none. classes: names by label. ids: (n,) integers or strings. skipped: pictures left out because they could not be
    decoded. unknown: classes that the run which these data were mapped onto does not have. originals: what an array of
    images was decoded from, if it was. origin: what was opened. Safe to use from several threads.
    """

    images: Pixels | LazyImages
    labels: Labels | None
    classes: tuple[str, ...]
    ids: Ids
    skipped: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()
    originals: Stored | None = None
    origin: Origin | None = None

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(H, W, C) of every image."""
        _, height, width, channels = self.images.shape
        return height, width, channels

    def __getitem__(self, index: int) -> Sample:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: Sequence[int]) -> list[Sample]:
        """Several samples at once; the label is -1 where there is none."""
        at = np.asarray(indices, np.int64)
        labels = [-1] * len(at) if self.labels is None else self.labels[at].tolist()
        return list(zip(self.images[at], labels, strict=True))

    def pictures(self, indices: Sequence[int]) -> list[Image.Image]:
        """Several pictures of their own sizes, as they are stored; images that were given as an array, as they are."""
        at = np.asarray(indices, np.int64)
        stored = self.images.stored if isinstance(self.images, LazyImages) else self.originals
        if stored is None:
            return [as_picture(image) for image in self.images[at]]
        part = stored.part(at)
        return [opened(content, part.name(i)) for i, content in enumerate(part.taken(np.arange(len(at))))]

    def part(self, at: npt.NDArray[np.int64]) -> ImageData:
        """The images at these positions, with the classes of all."""
        images = self.images
        return replace(
            self,
            images=LazyImages(images.stored.part(at), images.fit) if isinstance(images, LazyImages) else images[at],
            labels=None if self.labels is None else self.labels[at],
            ids=self.ids[at],
            originals=None if self.originals is None else self.originals.part(at),
        )

    def named(self, classes: Sequence[str]) -> ImageData:
        """The same images, labelled by the positions of their classes' names in `classes`; other names come after."""
        if self.labels is None or not classes:
            return self
        new = renamed(self.classes, classes)
        return replace(self, labels=new.labels[self.labels], classes=new.classes, unknown=new.unknown)


def from_arrays(
    images: npt.NDArray[Any],
    labels: npt.ArrayLike | None,
    classes: Sequence[str] = (),
    size: tuple[int, int] | None = None,
    channels: int | None = None,
) -> ImageData:
    """Images (n, H, W[, C]) uint8 with integer labels (n,), as they are or stretched to `size`; ids are 0 … n-1.

    Without names, classes are called "0", "1" and so on. InputError for what does not fit together.
    """
    checked = check_array(np.asarray(images))
    height, width, depth = checked.shape[1:]
    pixels = stacked(checked, Fit(size or (height, width), channels or min(depth, 3)))
    ids = np.arange(len(pixels))
    if labels is None:
        return ImageData(pixels, None, (), ids)
    numbers = _checked_labels(np.asarray(labels), len(pixels))
    names = tuple(map(str, classes)) or tuple(map(str, range(int(numbers.max(initial=-1)) + 1)))
    if len(numbers) and numbers.max() >= len(names):
        raise InputError(f"label {numbers.max()} has no name among the {len(names)} classes; name every class")
    if len(set(names)) < len(names):
        raise InputError(f"class names must differ, got {len(names)} of which {len(set(names))} differ; rename some")
    return ImageData(pixels, numbers, names, ids)


def _checked_labels(labels: npt.NDArray[Any], n: int) -> Labels:
    if labels.dtype.kind not in "iu" or labels.ndim != 1:
        raise InputError(f"labels must be integers (n,), got {labels.dtype} of shape {labels.shape}")
    if len(labels) != n:
        raise InputError(f"{len(labels)} labels for {n} images; give each image one label")
    if n and labels.min() < 0:
        raise InputError(f"labels must be 0 or more, got {labels.min()}; leave unlabelled images out")
    return labels.astype(np.int64)


def open_data(source: str | Path, how: Opening | None = None) -> ImageData | Stream:
    """Open labelled pictures, of whatever these are:

    a folder with one sub-folder of images a class; an .npz file with `images`, `labels` and maybe `classes`;
    a table (.parquet, .csv, .tsv, .jsonl, .json, .arrow) whose rows hold pictures or their paths, or a folder or a
    pattern of such files (data/*.parquet); a folder that `datasets` saved; a name on the Hugging Face hub (owner/name,
    or hub:owner/name where a folder has the same name).

    A Stream if `how.rows.stream`, else ImageData. Raises StorageError if nothing is there, InputError with the rule
    for what cannot be used, and MissingError if a table cannot be read without a package that is absent.
    """
    how = how or Opening()
    return replace(_opened(source, how), origin=Origin.of(source, how))


def _opened(source: str | Path, how: Opening) -> ImageData | Stream:
    table = find(str(source), how.rows.split)
    if table is not None:
        return open_stream(table, how) if how.rows.stream else _decoded(list_rows(table, how), how)
    path = existing(Path(source))
    if how.rows.stream:
        raise InputError(f"{path} is no table and cannot be a stream; it need not fit into memory either way")
    return _decoded(scan(path, labelled=how.labelled), how) if path.is_dir() else _from_npz(path, how)


def _decoded(listing: Listing, how: Opening) -> ImageData:
    """In memory where that is allowed; what cannot be decoded is looked for only where it is to be skipped."""
    size, channels = suited(looked_at(listing.stored), how.size, how.channels)
    fit, n = Fit(size, channels, how.crop, how.resample), len(listing.stored)
    room = np.empty((n, *fit.shape), np.uint8) if n * math.prod(fit.shape) <= how.memory else None
    bad = decode(listing.stored, fit, room, skip=how.skip_corrupt) if how.skip_corrupt or room is not None else []
    skipped = tuple(map(str, listing.ids[bad]))
    if bad:
        listing = listing.without(bad)
    stored = listing.stored
    images, originals = (LazyImages(stored, fit), None) if room is None else (room[: len(stored)], stored)
    return ImageData(images, listing.labels, listing.classes, listing.ids, skipped, originals=originals)


def _from_npz(path: Path, how: Opening) -> ImageData:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in ("images", "labels", "classes") if name in archive}
    except (OSError, ValueError, TypeError, AttributeError, BadZipFile, EOFError) as error:
        raise InputError(f"cannot read {path} as .npz of plain arrays; write it with numpy.savez") from error
    if "images" not in arrays:
        raise InputError(f"{path} has no array `images`; name the arrays images, labels and, if you like, classes")
    if "labels" not in arrays and how.labelled:
        raise InputError(f"{path} has no array `labels`; training needs one integer an image")
    return from_arrays(arrays["images"], arrays.get("labels"), arrays.get("classes", ()), how.size, how.channels)

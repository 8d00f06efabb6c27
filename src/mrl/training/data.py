"""Labelled images as map-style datasets: arrays in memory, and folders with one sub-folder a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol
from zipfile import BadZipFile

import numpy as np
import numpy.typing as npt

from mrl.encoders.pixels import Fit, Pixels, Resample, check_array, stacked
from mrl.errors import InputError
from mrl.training.folder import Decoding, Listing, Paths, existing, scan, suited

Ids = npt.NDArray[Any]
Labels = npt.NDArray[np.int64]
Sample = tuple[Pixels, int]
MEMORY = 2 << 30  # bytes of decoded images that are held rather than decoded again in every epoch


class Samples(Protocol):
    """Any map-style dataset: `data[i]` is an image (H, W, C) uint8 and its label.

    Optional: `__getitems__(indices)` for several at once, `classes` (names by label), `ids` (one a row).
    """

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> tuple[Any, int]: ...


@dataclass(frozen=True, eq=False)
class LazyImages:
    """Files that are decoded each time they are asked for, because all of them together do not fit."""

    paths: Paths
    decoding: Decoding

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, H, W, C), as of an array."""
        return (len(self.paths), *self.decoding.fit.shape)

    def __getitem__(self, indices: npt.NDArray[np.int64]) -> Pixels:
        return self.decoding.all(self.paths[indices])


@dataclass(frozen=True, eq=False)
class ImageData:
    """Labelled images, all of one size.

    images: uint8 (n, H, W, C), or files that are decoded when asked for. labels: (n,) int64, or None where there are
    none. classes: names by label. ids: (n,) integers or strings. skipped: files left out because they could not be
    decoded. unknown: classes that the run which these data were mapped onto does not have.
    """

    images: Pixels | LazyImages
    labels: Labels | None
    classes: tuple[str, ...]
    ids: Ids
    skipped: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

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

    def named(self, classes: Sequence[str]) -> ImageData:
        """The same images, labelled by the positions of their classes' names in `classes`; other names come after."""
        if self.labels is None or not classes:
            return self
        unknown = tuple(name for name in self.classes if name not in classes)
        position = {name: i for i, name in enumerate((*classes, *unknown))}
        new = np.array([position[name] for name in self.classes], np.int64)
        return replace(self, labels=new[self.labels], classes=tuple(position), unknown=unknown)


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


@dataclass(frozen=True)
class Opening:
    """How to open data. size: (H, W), channels: 1 or 3 (defaults: what the pictures have). skip_corrupt: leave files
    out that cannot be decoded, rather than stop. labelled: whether labels are needed. memory: bytes of decoded images
    that may be held; more are decoded anew whenever they are asked for. crop, resample: see `Fit`."""

    size: tuple[int, int] | None = None
    channels: int | None = None
    skip_corrupt: bool = False
    labelled: bool = True
    memory: int = MEMORY
    crop: float | None = None
    resample: Resample = "bilinear"

    @classmethod
    def like(cls, fit: Fit, *, skip_corrupt: bool = False, labelled: bool = True, memory: int = MEMORY) -> Opening:
        """As an encoder expects its pictures."""
        return cls(fit.size, fit.channels, skip_corrupt, labelled, memory, fit.crop, fit.resample)


def open_data(path: str | Path, how: Opening | None = None) -> ImageData:
    """A folder with one sub-folder of images a class, or an .npz file with `images`, `labels` and maybe `classes`.

    Raises StorageError if nothing is there, and InputError with the rule for what cannot be used.
    """
    path, how = existing(Path(path)), how or Opening()
    return _from_folder(scan(path, labelled=how.labelled), how) if path.is_dir() else _from_npz(path, how)


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


def _from_folder(listing: Listing, how: Opening) -> ImageData:
    size, channels = suited(listing.paths, how.size, how.channels)
    decoding = Decoding(Fit(size, channels, how.crop, how.resample))
    n = len(listing.paths)
    room = np.empty((n, *decoding.fit.shape), np.uint8) if n * decoding.bytes <= how.memory else None
    bad = decoding.fill(listing.paths, room, skip=how.skip_corrupt)
    kept = np.array([path not in bad for path in listing.paths], bool)
    paths = listing.paths[kept]
    return ImageData(
        LazyImages(paths, decoding) if room is None else room[: len(paths)],
        None if listing.labels is None else _none_lost(listing.labels[kept], listing),
        listing.classes,
        np.array([_name(path, listing.root) for path in paths], dtype=np.str_),
        tuple(_name(path, listing.root) for path in bad),
    )


def _none_lost(labels: Labels, listing: Listing) -> Labels:
    """The labels; InputError if a class lost all its images."""
    lost = np.flatnonzero(np.bincount(labels, minlength=len(listing.classes)) == 0)
    if len(lost):
        name = listing.root / listing.classes[lost[0]]
        raise InputError(f"no image of class folder {name} could be decoded; replace them, or remove the folder")
    return labels


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()

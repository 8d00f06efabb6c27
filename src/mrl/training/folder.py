"""Folders of images, one sub-folder a class: listing them, and decoding them in parallel."""

from __future__ import annotations

import math
import os
import struct
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import numpy.typing as npt

from mrl.encoders.pixels import Fit, Pixels, coloured, fitted, read_picture
from mrl.errors import InputError, StorageError

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")
LARGEST = 64  # pixels of the longer side, where no size is asked for
_LOOKED_AT = 256  # pictures that decide the size and the colour

Paths = npt.NDArray[np.object_]


@dataclass(frozen=True, eq=False)
class Listing:
    """What a folder holds: paths (n,), labels (n,) int64 or None, and the classes' names, sorted."""

    root: Path
    paths: Paths
    labels: npt.NDArray[np.int64] | None
    classes: tuple[str, ...]


def scan(root: Path, *, labelled: bool = True) -> Listing:
    """List ROOT/class/…/image. Without `labelled`, ROOT may also hold images and no class folders.

    InputError for no images, images outside of the class folders, and a class folder without an image.
    """
    loose = _images(root, recursive=False)
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if loose and not folders and not labelled:
        return Listing(root, _array(loose), None, ())
    if not folders:
        raise InputError(
            f"{root} has no class folders, so its {len(loose)} images have no labels; put the images of each class "
            "into a folder with the class's name"
        )
    if loose:
        raise InputError(f"{loose[0]} lies outside of the class folders of {root}; move it into one, or remove it")
    found = [_images(folder, recursive=True) for folder in folders]
    for folder, images in zip(folders, found, strict=True):
        if not images:
            raise InputError(f"class folder {folder} has no image ({', '.join(ENDINGS)}); remove it or fill it")
    labels = np.repeat(np.arange(len(folders)), [len(images) for images in found])
    return Listing(root, _array(list(chain.from_iterable(found))), labels, tuple(folder.name for folder in folders))


def _images(folder: Path, *, recursive: bool) -> list[Path]:
    entries = folder.rglob("*") if recursive else folder.iterdir()
    return sorted(p for p in entries if p.suffix.lower() in ENDINGS and not p.name.startswith(".") and p.is_file())


def _array(paths: Sequence[Path]) -> Paths:
    array = np.empty(len(paths), object)
    array[:] = paths
    return array


@dataclass(frozen=True)
class Decoding:
    """How files become pixels."""

    fit: Fit

    @property
    def bytes(self) -> int:
        """Of one image."""
        return math.prod(self.fit.shape)

    def one(self, path: Path) -> Pixels:
        """(H, W, channels); InputError names a file that cannot be decoded."""
        return fitted(read_picture(path), self.fit)

    def all(self, paths: Iterable[Path]) -> Pixels:
        """(n, H, W, channels) by several threads."""
        listed = list(paths)
        room = np.empty((len(listed), *self.fit.shape), np.uint8)
        self.fill(listed, room)
        return room

    def fill(self, paths: Iterable[Path], room: Pixels | None, *, skip: bool = False) -> dict[Path, InputError]:
        """Decode by several threads into the first rows of `room`, or only to see that it can be done.

        The files that could not be decoded with the reason, if they are to be skipped; else the first one raises.
        """
        bad: dict[Path, InputError] = {}
        listed = list(paths)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for position, (path, image) in enumerate(zip(listed, pool.map(self._attempt, listed), strict=True)):
                if isinstance(image, InputError):
                    if not skip:
                        pool.shutdown(cancel_futures=True)
                        raise image
                    bad[path] = image
                elif room is not None:
                    room[position - len(bad)] = image
        return bad

    def _attempt(self, path: Path) -> Pixels | InputError:
        try:
            return self.one(path)
        except InputError as error:
            return error
        except (OSError, ValueError, TypeError, SyntaxError, KeyError, struct.error) as error:
            return InputError(f"cannot decode {path}: {error}; replace it, or leave such files out with skip_corrupt")


def suited(paths: Paths, size: tuple[int, int] | None, channels: int | None) -> tuple[tuple[int, int], int]:
    """The size (H, W) and channels asked for, or those that a sample of the pictures has.

    Size: the commonest one, reduced until no side is longer than 64. Channels: 3 if any picture has colours.
    """
    if size is not None and channels is not None:
        return size, channels
    sizes, colours = Counter[tuple[int, int]](), False
    for path in paths[np.unique(np.linspace(0, len(paths) - 1, _LOOKED_AT, dtype=np.int64))]:
        try:
            picture = read_picture(path)
        except InputError:
            continue  # it is named where all are decoded
        sizes[picture.height, picture.width] += 1
        colours = colours or coloured(picture)
    if not sizes:
        raise InputError(f"none of the pictures looked at could be decoded, {paths[0]} for one; replace them")
    return size or _reduced(sizes.most_common(1)[0][0]), channels or (3 if colours else 1)


def _reduced(size: tuple[int, int]) -> tuple[int, int]:
    share = min(1.0, LARGEST / max(size))
    return max(4, math.floor(size[0] * share)), max(4, math.floor(size[1] * share))


def existing(path: Path) -> Path:
    """The path, or StorageError if there is nothing."""
    if not path.exists():
        raise StorageError(f"cannot read {path}: nothing is there; give a folder of class folders, or a .npz file")
    return path

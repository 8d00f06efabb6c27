"""Pictures as they are stored, and decoding them in parallel."""

from __future__ import annotations

import math
import os
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from mrl.encoders.pixels import Fit, Pixels, coloured, fitted, read_picture
from mrl.errors import InputError, MrlError, StorageError

LARGEST = 64  # pixels of the longer side, where no size is asked for
LOOKED_AT = 256  # pictures that decide the size and the colour
FEW = 32  # pictures that are not worth threads of their own
_BLOCK = 512  # pictures that are read at once before they are decoded

At = npt.NDArray[np.int64]
_TROUBLE = (OSError, ValueError, TypeError, SyntaxError, KeyError, struct.error)  # what damaged files raise in Pillow
_REMEDY = "replace it, or leave such pictures out with skip_corrupt"
Content = bytes | str | Path | Image.Image | None  # a file's bytes, its path or address, or what was decoded already


class Stored(Protocol):
    """Pictures that are not decoded yet, by row. Safe to use from several threads."""

    def __len__(self) -> int: ...

    def taken(self, at: At) -> list[Content]: ...

    def name(self, row: int) -> str: ...

    def part(self, at: At) -> Stored: ...


@dataclass(frozen=True, eq=False)
class Files:
    """paths: (n,) of Path."""

    paths: npt.NDArray[np.object_]

    @classmethod
    def of(cls, paths: Sequence[Path]) -> Files:
        array = np.empty(len(paths), object)
        array[:] = paths
        return cls(array)

    def __len__(self) -> int:
        return len(self.paths)

    def taken(self, at: At) -> list[Content]:
        taken: list[Content] = self.paths[at].tolist()
        return taken

    def name(self, row: int) -> str:
        return str(self.paths[row])

    def part(self, at: At) -> Files:
        return Files(self.paths[at])


def opened(content: Content, name: str) -> Image.Image:
    """A decoded picture of its own size. StorageError for a file that is not there, InputError by name for the rest."""
    try:
        return _opened(content, name)
    except MrlError:
        raise
    except (*_TROUBLE, Image.DecompressionBombError) as error:
        raise InputError(f"cannot decode {name}: {error}; {_REMEDY}") from error


def pixels(content: Content, name: str, fit: Fit) -> Pixels:
    """(H, W, channels) of one picture; the error names it."""
    picture = opened(content, name)
    try:
        return fitted(picture, fit)
    except _TROUBLE as error:
        raise InputError(f"cannot decode {name}: {error}; {_REMEDY}") from error


def _opened(content: Content, name: str) -> Image.Image:
    if isinstance(content, Image.Image):
        return content
    if content is None:
        raise InputError(f"{name} has no picture; {_REMEDY}")
    if isinstance(content, str) and "://" in content:
        content = _fetched(content, name)
    if not isinstance(content, bytes):
        return read_picture(Path(content))
    try:
        with Image.open(BytesIO(content)) as picture:
            picture.load()
            return picture
    except UnidentifiedImageError:
        said = f"its {len(content)} bytes are no known kind of picture"
        raise InputError(f"cannot decode {name}: {said}; {_REMEDY}") from None


def _fetched(address: str, name: str) -> bytes:
    import fsspec  # type: ignore[import-untyped]

    try:
        with fsspec.open(address, "rb") as file:
            content: bytes = file.read()
            return content
    except (OSError, ValueError, ImportError) as error:
        raise StorageError(f"cannot read {address} of {name}: {error}; see that it can be reached") from error


def decode(stored: Stored, fit: Fit, room: Pixels | None, *, skip: bool = False) -> list[int]:
    """Decode by several threads into the first rows of `room`, or only to see that it can be done.

    The rows that could not be decoded, if they are to be skipped; else the first one raises.
    """
    bad: list[int] = []

    def attempt(content: Content, name: str) -> Pixels | MrlError:
        try:
            return pixels(content, name, fit)
        except MrlError as error:
            return error

    with _several(len(stored)) as each:
        for start in range(0, len(stored), _BLOCK):
            rows = range(start, min(start + _BLOCK, len(stored)))
            images = each(attempt, stored.taken(np.array(rows)), map(stored.name, rows))
            for row, image in zip(rows, images, strict=True):
                if isinstance(image, np.ndarray):
                    if room is not None:
                        room[row - len(bad)] = image
                elif skip:
                    bad.append(row)
                else:
                    raise image
    return bad


@contextmanager
def _several(count: int) -> Iterator[Callable[..., Iterable[Any]]]:
    """`map` by several threads, unless there is so little to do that whoever asks is likely one of several himself."""
    if count <= FEW:
        yield map
        return
    pool = ThreadPoolExecutor(os.cpu_count())
    try:
        yield pool.map
    finally:
        pool.shutdown(cancel_futures=True)


@dataclass(frozen=True, eq=False)
class LazyImages:
    """Pictures that are decoded each time they are asked for, because all of them together do not fit."""

    stored: Stored
    fit: Fit

    def __len__(self) -> int:
        return len(self.stored)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, H, W, C), as of an array."""
        return (len(self.stored), *self.fit.shape)

    def __getitem__(self, at: At) -> Pixels:
        room = np.empty((len(at), *self.fit.shape), np.uint8)
        decode(self.stored.part(at), self.fit, room)
        return room


def looked_at(stored: Stored) -> Iterable[tuple[Content, str]]:
    """Some pictures spread over all, with their names."""
    some = np.unique(np.linspace(0, len(stored) - 1, LOOKED_AT, dtype=np.int64))
    return zip(stored.taken(some), map(stored.name, some.tolist()), strict=True)


def suited(
    some: Iterable[tuple[Content, str]], size: tuple[int, int] | None, channels: int | None
) -> tuple[tuple[int, int], int]:
    """The size (H, W) and channels asked for, or those that some pictures have.

    Size: the commonest one, reduced until no side is longer than 64. Channels: 3 if any picture has colours.
    """
    if size is not None and channels is not None:
        return size, channels
    sizes, colours, failed = Counter[tuple[int, int]](), False, "none"
    for content, name in some:
        try:
            picture = opened(content, name)
        except MrlError:
            failed = name
            continue  # its reason is given where it is decoded
        sizes[picture.height, picture.width] += 1
        colours = colours or coloured(picture)
    if not sizes:
        raise InputError(f"none of the pictures looked at could be decoded, {failed} for one; replace them")
    return size or _reduced(sizes.most_common(1)[0][0]), channels or (3 if colours else 1)


def _reduced(size: tuple[int, int]) -> tuple[int, int]:
    share = min(1.0, LARGEST / max(size))
    return max(4, math.floor(size[0] * share)), max(4, math.floor(size[1] * share))

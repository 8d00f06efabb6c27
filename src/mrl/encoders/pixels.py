"""Pictures of any kind as uint8 arrays of one size: what every image encoder and image dataset begins with."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from mrl.encoders.fit import Box as Box
from mrl.encoders.fit import Fit as Fit
from mrl.encoders.fit import Resample as Resample
from mrl.errors import InputError, StorageError

Pixels = npt.NDArray[np.uint8]
Images = npt.NDArray[np.uint8] | Sequence[Any]  # (n, H, W[, C]), or pictures: PIL images, paths, (H, W[, C]) arrays

_WHITE = (255, 255, 255, 255)
_SIXTEEN_BIT = ("I", "I;16", "I;16B", "I;16L", "I;16N")  # what Pillow calls greys up to 65,535


def read_picture(path: Path) -> Image.Image:
    """Open and decode one file. StorageError if it cannot be read, InputError if it is no picture, by name."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise StorageError(f"cannot read {path}: {error.strerror}") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise InputError(
            f"cannot decode {path}: {error}; remove it, or skip such files with skip_corrupt=True"
        ) from None


def coloured(picture: Image.Image) -> bool:
    """Whether a picture has colours, by its mode: palettes count as colour."""
    return picture.mode not in ("1", "L", "LA", "La", "F", *_SIXTEEN_BIT)


def fitted(picture: Image.Image, fit: Fit, box: Box | None = None) -> Pixels:
    """A picture as (H, W, channels) uint8, turned as its EXIF data say, and resized to fit.size.

    Transparency is laid on white, 16-bit greys lose their low byte, and colour becomes grey or grey colour if
    `fit.channels` asks for it. box: the window to show instead of the one that `fit` chooses.
    """
    plain = _plain(ImageOps.exif_transpose(picture)).convert("L" if fit.channels == 1 else "RGB")
    whole = (0.0, 0.0, float(plain.width), float(plain.height))
    window = fit.box((plain.height, plain.width)) if box is None else box
    if plain.size != fit.size[::-1] or window != whole:
        plain = plain.resize(fit.size[::-1], Image.Resampling[fit.resample.upper()], box=window)
    return np.asarray(plain).reshape(fit.shape)


def _plain(picture: Image.Image) -> Image.Image:
    """In a mode that converts to L and RGB without surprises."""
    if picture.mode == "F":
        raise InputError("a picture of floats (mode F) has no known scale; save it with 8 or 16 bits a pixel")
    if picture.mode in _SIXTEEN_BIT:
        return Image.fromarray((np.asarray(picture).clip(0, 65535) >> 8).astype(np.uint8))
    if picture.has_transparency_data:
        opaque = Image.new("RGBA", picture.size, _WHITE)
        opaque.alpha_composite(picture.convert("RGBA"))
        return opaque
    return picture


def listed(images: Images) -> Images:
    """An array, or a list of whatever gives one picture after another. InputError for a single path or picture."""
    if isinstance(images, str | PathLike | Image.Image):
        raise InputError(f"images must be several, got {images!r}; give a list of one")
    return images if isinstance(images, np.ndarray) else list(images)


def stacked(images: Images, fit: Fit) -> Pixels:
    """Pictures as one (n, H, W, channels) uint8 array. An array of this shape is taken as it is.

    InputError for floats and for shapes that are no pictures; it says which picture of a sequence it was.
    """
    if isinstance(images, np.ndarray):
        checked = check_array(images)
        if checked.shape[1:] == fit.shape:
            return checked
        pictures = [as_picture(image) for image in checked]
    else:
        pictures = [_opened(image, position) for position, image in enumerate(images)]
    room = np.empty((len(pictures), *fit.shape), np.uint8)
    for row, picture in zip(room, pictures, strict=True):
        row[:] = fitted(picture, fit)
    return room


def check_array(images: npt.NDArray[Any]) -> Pixels:
    """(n, H, W[, C]) uint8 as (n, H, W, C). InputError for anything else."""
    if images.dtype != np.uint8:
        raise InputError(
            f"images must be uint8 from 0 to 255, got {images.dtype}; "
            "if they run from 0 to 1, give (images * 255).round().astype(np.uint8)"
        )
    single = images.ndim == 2 or (images.ndim == 3 and images.shape[-1] in (3, 4) and images.shape[0] != 0)
    if single:
        raise InputError(f"images must be (n, H, W[, C]); {images.shape} looks like a single one, so give images[None]")
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4 or images.shape[-1] not in (1, 3, 4) or 0 in images.shape[1:]:
        raise InputError(
            f"images must be (n, H, W) grey or (n, H, W, C) with C = 1 grey, 3 RGB or 4 RGBA, got shape {images.shape}"
        )
    return images


def as_picture(image: Pixels) -> Image.Image:
    """An array (H, W, C) as a picture, of one size with it."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def _opened(image: Any, position: int) -> Image.Image:
    if isinstance(image, Image.Image):
        return image
    if isinstance(image, str | PathLike):
        return read_picture(Path(image))
    if isinstance(image, np.ndarray) and image.ndim in (2, 3):
        return as_picture(check_array(image[None])[0])
    raise InputError(
        f"picture {position} is a {type(image).__name__}; give PIL images, paths or uint8 arrays (H, W[, C])"
    )

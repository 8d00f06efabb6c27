"""Folders of images, one sub-folder a class: listing them."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from mrl.errors import InputError, StorageError
from mrl.training.decoding import Files
from mrl.training.listing import Listing

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".pgm", ".ppm")


def scan(root: Path, *, labelled: bool = True) -> Listing:
    """List ROOT/class/…/image. Without `labelled`, ROOT may also hold images and no class folders.

    InputError for no images, images outside of the class folders, and a class folder without an image.
    """
    loose = sorted(images(root, recursive=False))
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if loose and not folders and not labelled:
        return _listed(root, loose, None, ())
    if not folders:
        raise InputError(
            f"{root} has no class folders, so its {len(loose)} images have no labels; put the images of each class "
            "into a folder with the class's name"
        )
    if loose:
        raise InputError(f"{loose[0]} lies outside of the class folders of {root}; move it into one, or remove it")
    found = [sorted(images(folder, recursive=True)) for folder in folders]
    for folder, inside in zip(folders, found, strict=True):
        if not inside:
            raise InputError(f"class folder {folder} has no image ({', '.join(ENDINGS)}); remove it or fill it")
    labels = np.repeat(np.arange(len(folders)), [len(inside) for inside in found])
    return _listed(root, list(chain.from_iterable(found)), labels, tuple(folder.name for folder in folders))


def images(folder: Path, *, recursive: bool) -> Iterator[Path]:
    """The image files in a folder, in no order."""
    entries = folder.rglob("*") if recursive else folder.iterdir()
    return (p for p in entries if p.suffix.lower() in ENDINGS and not p.name.startswith(".") and p.is_file())


def _listed(root: Path, paths: list[Path], labels: np.ndarray | None, classes: tuple[str, ...]) -> Listing:
    ids = np.array([path.relative_to(root).as_posix() for path in paths], dtype=np.str_)
    return Listing(Files.of(paths), labels, classes, ids, root)


def existing(path: Path) -> Path:
    """The path, or StorageError if there is nothing."""
    if not path.exists():
        raise StorageError(
            f"cannot read {path}: nothing is there; give a folder of class folders, a table of pictures, a .npz file, "
            "or hub:NAME for a data set of the hub"
        )
    return path

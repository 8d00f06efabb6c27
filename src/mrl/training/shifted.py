"""Test sets whose pictures differ from the training set's, with the classes that they share with it.

The usual folders: ImageNet-V2 numbers its folders 0 … 999 by position in the sorted list of all classes; ImageNet-A and
ImageNet-R have 200 of the classes by name, ImageNet-Sketch has them all. A model is measured on the classes that occur
in a set alone (Hendrycks et al., arXiv 1907.07174 and 2006.16241; arXiv 2205.13147, appendix on robustness).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from mrl.errors import InputError
from mrl.training.columns import is_number
from mrl.training.data import ImageData, Opening, open_data


def open_shifted(
    path: str | Path, classes: Sequence[str], how: Opening | None = None
) -> tuple[ImageData, tuple[str, ...]]:
    """The data of a shifted test set, and which of a model's classes occur in it, in the order of `classes`.

    classes: all names that the model knows, by label. Labels and classes of the data are numbered by those that occur,
    as the head is that `HeadWeights.only` makes of them. InputError names a folder that stands for no class.
    """
    data = open_data(path, replace(how or Opening(), labelled=True))
    if not isinstance(data, ImageData) or data.labels is None:
        raise InputError(f"{path} is a stream, whose classes are not known before all is read; open it without stream")
    present = np.unique(data.labels)
    meant = _meant([data.classes[label] for label in present], classes, path)
    subset = tuple(name for name in classes if name in meant)
    position = {name: i for i, name in enumerate(subset)}
    numbers = np.zeros(len(data.classes), np.int64)
    numbers[present] = [position[name] for name in meant]
    return replace(data, labels=numbers[data.labels], classes=subset), subset


def _meant(folders: Sequence[str], classes: Sequence[str], path: str | Path) -> list[str]:
    """The class that each folder stands for: the one of its name, or of its number if all are numbers."""
    known = set(classes)
    if known.issuperset(folders):
        return list(folders)
    if not all(map(is_number, folders)):
        unknown = [name for name in folders if name not in known]
        raise InputError(
            f"{len(unknown)} classes of {path} are none of the model's {len(known)}: {', '.join(unknown[:5])}; "
            "rename their folders as the model's classes are called, or remove them"
        )
    beyond = [name for name in folders if int(name) >= len(known)]
    if beyond:
        raise InputError(
            f"folder {beyond[0]} of {path} is beyond the last of {len(known)} classes, which are numbered from 0; "
            "give a test set of the model's own classes"
        )
    ordered = sorted(classes)
    return [ordered[int(name)] for name in folders]

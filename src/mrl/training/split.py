"""Part of a dataset held out, class by class."""

from __future__ import annotations

import numpy as np

from mrl.errors import InputError
from mrl.training.data import ImageData


def held_out(data: ImageData, share: float = 0.2, seed: int = 0) -> tuple[ImageData, ImageData]:
    """(rest, held out): about `share` of every class is held out, and at least one image of each stays in the rest.

    InputError unless 0 < share < 1 and there are labels, or if nothing would be held out.
    """
    if not 0 < share < 1:
        raise InputError(f"the share to hold out must lie between 0 and 1, got {share}")
    if data.labels is None:
        raise InputError("images without labels cannot be split by class; give one folder a class")
    draws = np.random.default_rng(seed)
    out = np.zeros(len(data), bool)
    for label in np.unique(data.labels):
        members = draws.permutation(np.flatnonzero(data.labels == label))
        out[members[: min(len(members) - 1, round(share * len(members)))]] = True
    if not out.any():
        raise InputError(f"{len(data)} images leave none to hold out; give at least a few of each class")
    return data.part(np.flatnonzero(~out)), data.part(np.flatnonzero(out))

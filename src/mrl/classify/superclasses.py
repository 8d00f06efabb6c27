"""Superclasses: where a cascade errs between kinds of classes, and not only between classes of a kind."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.promise import Estimate
from mrl.promise.bootstrap import wilson

Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Superclasses:
    """names: (s) of the superclasses. accuracy: (levels), the share of rows for whose class and answer at each level
    the superclass is the same. cascade: that of the cascade's own answers. confusion: (levels, s, s), how many rows of
    one superclass, first axis, are answered with a class of another; answers: (s, s), of the cascade's own answers."""

    names: tuple[str, ...]
    accuracy: tuple[Estimate, ...]
    cascade: Estimate
    confusion: Numbers
    answers: Numbers


def superclassed(of_class: Sequence[str], wanted: Numbers, told: Numbers, answers: Numbers) -> Superclasses:
    """of_class: (classes) the superclass of each. wanted: (n,) true classes, negative for unknown ones, which are
    missed and in no confusion. told: (levels, n) the answers of each level. answers: (n,) those of the cascade."""
    names = tuple(dict.fromkeys(of_class))
    place = {name: number for number, name in enumerate(names)}
    kind = np.array([place[name] for name in of_class], np.int64)
    known = wanted >= 0
    true = np.where(known, kind[wanted], -1)
    levels = kind[told]
    confusion = np.stack([_confusion(true[known], each[known], len(names)) for each in levels])
    accuracy = tuple(share(each == true) for each in levels)
    mine = kind[answers]
    return Superclasses(
        names, accuracy, share(mine == true), confusion, _confusion(true[known], mine[known], len(names))
    )


def check_superclasses(of_class: Sequence[str], classes: int) -> None:
    """Raise InputError unless there is a name for each class."""
    if len(of_class) != classes or not all(of_class):
        raise InputError(
            f"superclasses must be one name for each of the {classes} classes, in their order, got {len(of_class)}, of "
            f"which {sum(not name for name in of_class)} empty; name them all"
        )


def share(right: npt.NDArray[np.bool_]) -> Estimate:
    """The share of yes among answers (n,), with Wilson's 95 % interval."""
    mean = np.asarray(right.mean())
    low, high = wilson(mean, len(right))
    return Estimate(float(mean), float(low), float(high))


def _confusion(true: Numbers, told: Numbers, count: int) -> Numbers:
    return np.bincount(true * count + told, minlength=count * count).reshape(count, count)

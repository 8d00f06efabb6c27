"""Vectors for cascades, of any format, and through a map first where one is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mrl.cli.contents import many
from mrl.cli.vectors import Reading, said
from mrl.errors import CardError, InputError
from mrl.options import option
from mrl.vectors import Described, Held, Source, is_table

if TYPE_CHECKING:
    from mrl.adapt import Map
    from mrl.classify import Answers, Cascade

NAMES = {"by": "map"}  # of Turning: the option is --map


@dataclass(frozen=True)
class Turning:
    """What is done with vectors first."""

    by: Path | None = option(
        None, "A map's folder: vectors go through it first. Labelled rows that it was fitted on are left out."
    )

    def map(self) -> Map | None:
        """The map, if there is one. InputError for one that has two sides."""
        if self.by is None:
            return None
        from mrl.adapt import Map
        from mrl.adapt.map import KIND

        if not holds(self.by, KIND):
            raise InputError(f"{self.by}, which --map names, is no map; give the folder that mrl adapt fit made")
        found = Map.load(self.by)
        if found.queries is not None:
            raise InputError(
                f"the map {self.by} treats queries and documents differently, and what is classified is neither; map "
                "the vectors as one of them, with mrl adapt apply --as, and give the table"
            )
        return found


def is_cascade(path: Path) -> bool:
    """Whether there is the folder of a cascade."""
    from mrl.classify.cascade import KIND

    return holds(path, KIND)


def loaded(path: Path) -> Cascade:
    """The cascade of a folder. InputError for anything else."""
    from mrl.classify import Cascade

    if not is_cascade(path):
        raise InputError(f"{path} is no cascade; give the folder that mrl classify fit made")
    return Cascade.load(path)


def holds(path: Path, kind: str) -> bool:
    """Whether there is a folder of this kind."""
    from mrl.disk import MANIFEST, Folder

    if not (path / MANIFEST).is_file():
        return False
    try:
        Folder.open(path, kind).close()
    except InputError:  # another kind of folder
        return False
    return True


def opened(cascade: Cascade, path: Path, reading: Reading, by: Map | None) -> Source:
    """Vectors for a cascade, unread; those of a file are taken for its model's. CardError for what does not fit it."""
    about = None if is_table(path) or by is None else Described(by.before.model, by.before.metric)
    source = reading.source(path, about)
    if not len(source):
        raise InputError(f"{path} has no rows; give vectors")
    if by is not None:
        by.check(source.card, str(path))
        cascade.check(by.card_of(source.card), f"{path}, mapped,")
        return source
    _check_mapped(cascade, source)
    if not is_table(path) and source.card.width == cascade.card.width:
        source = replace(source, card=cascade.card)
    cascade.check(source.card, str(path))
    return source


def _check_mapped(cascade: Cascade, source: Source) -> None:
    """CardError for vectors that were not mapped, or do not say so, where the cascade takes mapped ones."""
    if cascade.card.maps and not source.card.maps:
        through = ", ".join(cascade.card.maps)
        has = "went through no map" if is_table(source.path) else "does not say whether it did"
        raise CardError(
            f"the cascade was fitted on vectors that went through {through}, and {source.path} {has}; name the map's "
            "folder with --map, or give a table that mrl adapt apply made"
        )


def answered(cascade: Cascade, source: Source, by: Map | None) -> Iterator[tuple[npt.NDArray[Any], Answers]]:
    """(ids, answers) of one batch after another."""
    for vectors, ids, _ in source.batches():
        yield ids, cascade.predict(vectors if by is None else by.apply(vectors))


def labelled(source: Source, why: str, option: str = "--labels") -> Held:
    """The rows and labels in memory. InputError, before anything is read, where there are none."""
    if not source.labelled:
        raise InputError(f"{source.path} has no labels, and {why}; give them with {option}")
    if not len(source):
        raise InputError(f"{source.path} has no rows; give labelled vectors")
    return source.held()


class Asked(NamedTuple):
    """held: labelled rows that no map was fitted on. kept: (n,) which rows of the file these are, of `total`."""

    held: Held
    kept: npt.NDArray[np.int64]
    total: int


def asked(cascade: Cascade, path: Path, reading: Reading, by: Map | None) -> Asked:
    """Labelled rows for a cascade, mapped; without odd ones, if so asked, and those that its map was fitted on."""
    source = opened(cascade, path, reading, by)
    held = labelled(source, "a cascade is measured by labels")
    total = len(source) + len(source.left_out)
    kept = np.delete(np.arange(total), source.left_out)
    if by is None:
        return Asked(held, kept, total)
    seen = by.seen(held.vectors)
    return Asked(by.turned(without(held, seen, fitted_on(by))), kept[~seen], total)


def fitted_on(by: Map) -> str:
    """What rows are that a map has seen."""
    return f"the map {by} was fitted on"


def without(held: Held, gone: npt.NDArray[np.bool_], which: str) -> Held:
    """The other rows; how many are gone is said. which: what they are, such as `the map … was fitted on`."""
    if gone.all():
        raise InputError(f"every row of {held.path} ({len(held):,}) is one that {which}; give others")
    if not gone.any():
        return held
    are = "is a row" if gone.sum() == 1 else "are rows"
    said(f"{int(gone.sum()):,} of {many(len(held))} of {held.path} {are} that {which}: left out")
    return held.only(np.flatnonzero(~gone))

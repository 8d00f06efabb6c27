"""Vectors to be inspected, read once: a survey of all rows, and a seeded sample of them in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.advise.lengths import extreme
from mrl.advise.soundness import Found, Soundness, survey
from mrl.evaluation import Judgements
from mrl.nesting import Nesting
from mrl.vectors import Embedded, Held, Source

BLOCK = 4096  # rows read together

Array = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Material:
    """soundness: of all rows. held: the usable rows of the sample, float32, in random order. numbers: (n,) theirs."""

    soundness: Soundness
    held: Held
    numbers: Numbers

    @property
    def whole(self) -> bool:
        """Whether the sample is every row that can be measured."""
        return len(self.held) == self.soundness.rows - self.soundness.left_out(self.held.card.metric)


def read(source: Source | Embedded, wanted: Numbers, seed: int) -> Material:
    """Survey every row and hold the wanted ones, as far as they can be measured. wanted: row numbers, in order."""
    ids: list[Array] = []
    seen = survey(_kept_ids(source, wanted, ids), wanted)
    usable = np.flatnonzero(seen.usable(source.card.metric))
    order = np.random.default_rng(seed).permutation(usable)
    names = np.concatenate(ids) if ids else wanted
    labels = None if source.labels is None else np.asarray(source.labels)[wanted[order]]
    held = Held(source.path, source.card, seen.vectors[order], names[order], labels, source.label_names)
    return Material(seen.soundness, held, wanted[order])


def measurable(material: Material, cuts: Nesting) -> tuple[Held, tuple[str, ...]]:
    """The rows whose prefixes can all be measured; and which cannot, in words."""
    held = material.held
    odd = extreme(held.vectors, cuts, held.card.metric).any(axis=1)
    if not odd.any():
        return held, ()
    found = Found.of(np.sort(material.numbers[odd]))
    told = f"{held.path}: left out rows with a prefix of a length beyond what float32 products hold: {found}"
    return held.only(np.flatnonzero(~odd)), (told,)


def judged_rows(source: Source | Embedded, judgements: Judgements) -> Numbers:
    """The rows, in order, whose ids were judged."""
    judged = judgements.documents()
    found, first = [], 0
    for vectors, ids in pieces(source):
        names = np.arange(first, first + len(vectors)) if ids is None else ids
        found += [first + place for place, name in enumerate(names.tolist()) if str(name) in judged]
        first += len(vectors)
    return np.array(found, np.int64)


def pieces(source: Source | Embedded) -> Iterator[tuple[Array, Array | None]]:
    """All rows as they are stored, (n, width), with their ids, or None where rows are called by their number."""
    if not isinstance(source, Source):
        for start in range(0, len(source), BLOCK):
            rows = slice(start, start + BLOCK)
            yield source.vectors[rows], source.ids[rows]
        return
    first = 0
    for vectors, own in source.reader.pieces(0, BLOCK):
        rows = slice(first, first + len(vectors))
        yield vectors, own if source.ids is None else source.ids[rows]
        first = rows.stop


def _kept_ids(source: Source | Embedded, wanted: Numbers, ids: list[Array]) -> Iterator[Array]:
    """The vectors piece by piece; the ids of wanted rows go to `ids`."""
    first = 0
    for vectors, own in pieces(source):
        if own is not None:
            ids.append(own[wanted[slice(*np.searchsorted(wanted, [first, first + len(vectors)]))] - first])
        first += len(vectors)
        yield vectors

"""An index cut to fewer dims: its rows as they are stored, without those coordinates that nobody wants any more."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.nesting import Nesting, prefix
from mrl.retrieval.building import BuildSpec, Progress, Turned, build
from mrl.retrieval.encodings import Floats
from mrl.retrieval.layout import Layout
from mrl.retrieval.leading import Leading
from mrl.retrieval.rows import BATCH, Batch, Rows
from mrl.retrieval.snapshot import Snapshot
from mrl.retrieval.state import living
from mrl.segments import LARGEST, prefix_norms
from mrl.vectors.migrating import narrow_card


def narrow_layout(layout: Layout, dim: int) -> Layout:
    """The cuts up to `dim` and one there, encoded as they were. dim: below the width."""
    cuts = Nesting((*(cut for cut in layout.cuts.dims if cut < dim), dim))
    return Layout(cuts, layout.reference[: len(cuts)], layout.beside[: len(cuts)])


def migrate(
    snapshot: Snapshot, out: Path, dim: int, layout: Layout | None, progress: Progress, *, untrained: bool
) -> None:
    """All living rows with their first `dim` stored dims, in a new index; see `Index.migrate`."""
    card = narrow_card(snapshot.card, dim, untrained=untrained)
    numbers = [block.about.number for block in snapshot.blocks]
    last = int(np.searchsorted(snapshot.layout.cuts.dims, dim))  # the level in which the new vectors end

    def batches() -> Iterator[Batch]:
        for vectors, ids, payload in living(snapshot, numbers, BATCH, last):
            cut = np.ascontiguousarray(prefix(vectors, dim))
            if card.metric == "cosine":
                _check_lengths(cut, ids, snapshot.folder.path)
            yield Batch(cut, ids, payload)

    rows = Rows(card, batches, snapshot.rows)
    turned = None if snapshot.map is None else Turned(Leading.of(snapshot.map, dim), snapshot.raw_card())
    build(out, rows, BuildSpec(layout or narrow_layout(snapshot.layout, dim)), progress, turned)


def _check_lengths(cut: Floats, ids: npt.NDArray[Any], path: Path) -> None:
    """InputError naming the first row of which next to nothing is left, and no cosine can be told."""
    lengths = prefix_norms(cut, Nesting((cut.shape[1],)))[:, 0]
    lost = np.flatnonzero((lengths > 0) & (lengths < 1 / LARGEST))
    if len(lost):
        name, dim = ids[lost[0]].item(), cut.shape[1]
        raise InputError(
            f"the first {dim} dims of id {name!r} have length {lengths[lost[0]]:.0e}, too little to compare by "
            f"cosine; keep more dims, or delete the row: mrl index delete {path} -- {name}"
        )

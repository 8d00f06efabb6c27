"""A whole state at once: compared with its checksums, copied, or written anew in another layout."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mrl.disk import Content, Folder
from mrl.disk.names import kept_manifests
from mrl.disk.state import State
from mrl.errors import DamagedError, InputError, MrlError, StorageError
from mrl.retrieval.blocks import OWNED
from mrl.retrieval.building import BuildSpec, Progress, Turned, build
from mrl.retrieval.layout import Layout
from mrl.retrieval.rows import BATCH, Batch, Rows
from mrl.retrieval.snapshot import KIND, Snapshot
from mrl.retrieval.state import living, publish


def verify(snapshot: Snapshot) -> list[str]:
    """A line for each file of the state that is damaged or missing, and for each earlier manifest that is damaged."""
    found = [f"{path} {reason}" for path, reason in snapshot.folder.damaged()]
    return [*found, *_damaged_manifests(snapshot.folder.path)]


def _damaged_manifests(folder: Path) -> Iterator[str]:
    for path in kept_manifests(folder).values():
        try:
            State.read(path, KIND)
        except (DamagedError, InputError) as error:
            yield str(error)
        except StorageError:
            pass  # a writer removed it just now


def copy(snapshot: Snapshot, out: Path) -> None:
    """The files of the state, each compared with its checksum before and committed together."""
    folder = Folder.create(out, KIND, OWNED)
    files: dict[str, Content] = {
        name: partial(_copied, snapshot.folder.verified(name)) for name in snapshot.folder.entries
    }
    publish(folder, snapshot.contents, files)
    for name, entry in folder.entries.items():
        if entry != snapshot.folder.entries[name]:
            raise MrlError(f"{snapshot.folder.path / name} changed while it was copied; copy it again")


def _copied(path: Path, file: Any) -> None:
    with path.open("rb") as source:
        shutil.copyfileobj(source, file, 1 << 20)


def relayout(snapshot: Snapshot, out: Path, spec: BuildSpec, progress: Progress) -> None:
    """All living rows, in another layout; a map that they went through stays."""
    if spec.map is not None and snapshot.contents.map:
        raise InputError(f"{snapshot.folder.path} has the map {snapshot.card.maps[-1]}; build anew to have another")
    numbers = [block.about.number for block in snapshot.blocks]

    def batches() -> Iterator[Batch]:
        return (Batch(*batch) for batch in living(snapshot, numbers, BATCH))

    rows = Rows(snapshot.card, batches, snapshot.rows)
    layout: Layout = spec.layout or snapshot.layout
    turned = None if snapshot.map is None else Turned(snapshot.map, snapshot.contents.raw)
    build(out, rows, replace(spec, layout=layout), progress, turned)

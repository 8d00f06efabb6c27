"""Where tables of pictures are: files, folders of them, what `datasets` saved, and names on the hub."""

from __future__ import annotations

import glob
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mrl.errors import InputError, StorageError
from mrl.training.folder import images

MODULES = {
    ".parquet": "parquet",
    ".csv": "csv",
    ".tsv": "csv",
    ".jsonl": "json",
    ".json": "json",
    ".arrow": "arrow",
}
HUB = "hub:"
WHOLE = "train"  # what files that know no splits count as
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
_SHARD = re.compile(r"(.+)-\d+-of-\d+")
_SPLITS = {
    "train": {"train", "training"},
    "validation": {"validation", "valid", "val", "dev"},
    "test": {"test", "testing", "eval", "evaluation"},
}
_SAVED = ("dataset_info.json", "dataset_dict.json")  # what save_to_disk leaves in a folder


@dataclass(frozen=True)
class Source:
    """Where rows are. kind: a builder of `datasets` for `files`, or "saved" for a folder, or "hub" for a name."""

    name: str
    kind: str
    files: tuple[str, ...]

    @property
    def untyped(self) -> bool:
        """Whether every column is text, whatever is in it."""
        return self.kind == "csv"

    @property
    def mapped(self) -> bool:
        """Whether even a stream is read from Arrow files that the system maps: saved ones, and those that a .csv is
        brought into, which is small, and whose own reader leaves its file open."""
        return self.kind in ("saved", "csv")

    @property
    def folder(self) -> Path | None:
        """What relative paths in the rows are relative to; None if there is no such folder."""
        if self.kind == "hub":
            return None
        folders = {Path(file) if self.kind == "saved" else Path(file).parent for file in self.files}
        return folders.pop() if len(folders) == 1 else None

    def placed(self, path: str, name: str) -> str:
        """A path in a row as one that can be opened. InputError if it is relative to nothing."""
        if "://" in path or Path(path).is_absolute():
            return path
        if self.folder is None:
            raise InputError(
                f"{name} has the relative path {path}, but {self.name} is not in one local folder; "
                "write absolute paths, or put the tables into one folder"
            )
        return str(self.folder / path)

    def content(self, cell: Any, name: str) -> bytes | str | None:
        """What a picture's cell holds: its bytes, or where they are."""
        if isinstance(cell, dict):
            cell = cell["path"] if cell["bytes"] is None else cell["bytes"]
        return self.placed(cell, name) if isinstance(cell, str) else cell


def find(source: str, split: str) -> Source | None:
    """The table that a path, a glob or a hub name stands for; None for class folders, .npz files and nothing.

    InputError for a split of what has none: rows of another one would be taken for it.
    """
    if source.startswith(HUB):
        return Source(source, "hub", (source.removeprefix(HUB),))
    path = Path(source)
    if path.is_file():
        return _whole(source, [path], split) if path.suffix.lower() in MODULES else None
    if path.is_dir():
        return _folder(path, split)
    if glob.has_magic(source):
        return _whole(source, [Path(file) for file in sorted(glob.glob(source, recursive=True))], split)  # noqa: PTH207
    # Where its first folder is here, a name was meant as a path, and misspelt.
    if _HUB_NAME.fullmatch(source) and path.suffix.lower() not in (*MODULES, ".npz") and not path.parent.exists():
        return Source(source, "hub", (source,))
    return None


def _whole(source: str, files: Sequence[Path], split: str) -> Source:
    """Files that are all meant, whatever they are called."""
    if split != WHOLE:
        raise InputError(f"{source} is read whole and has no split {split!r}; give the file of that split")
    return _files(source, files)


def _files(source: str, files: Sequence[Path]) -> Source:
    if not files:
        raise StorageError(f"cannot read {source}: no file has such a name; check the pattern")
    kinds = {MODULES.get(file.suffix.lower()) for file in files}
    endings = sorted({file.suffix.lower() for file in files})
    if len(endings) > 1 or None in kinds:
        raise InputError(f"{source} stands for files of kinds {', '.join(endings)}; give tables of one kind")
    return Source(source, MODULES[endings[0]], tuple(str(file.absolute()) for file in files))


def _folder(path: Path, split: str) -> Source | None:
    """Saved by `datasets`, shards of a table, or a table beside its images; None where the images are in folders."""
    if any((path / name).is_file() for name in _SAVED):
        return Source(str(path), "saved", (str(path.absolute()),))
    tables = _tables(path) or _tables(path / "data")
    beside = [table for table in tables if table.stem == "metadata"]
    if beside:
        return _files(str(path), beside)
    folders = (entry for entry in path.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    if not tables or any(next(images(folder, recursive=True), None) for folder in folders):
        return None
    return _of_split(_files(str(path), tables), split)


def _tables(folder: Path) -> list[Path]:
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return [entry for entry in entries if entry.suffix.lower() in MODULES and not entry.name.startswith(".")]


def _of_split(source: Source, split: str) -> Source:
    """Of the files those whose names tell the split, as train-00000-of-00002.parquet or test.csv; all if none does."""
    found: dict[str, list[str]] = {}
    for file in source.files:
        found.setdefault(_told(Path(file).stem), []).append(file)
    found = {"train": found[""]} if set(found) == {""} else {name: files for name, files in found.items() if name}
    return Source(source.name, source.kind, tuple(of_split(found, split, source.name)))


def _told(stem: str) -> str:
    """The split that a file's name tells, as on the hub; "" for none."""
    shard = _SHARD.fullmatch(stem)
    words = set(re.split(r"[^a-z]+", stem.lower()))
    return shard[1] if shard else next((split for split, names in _SPLITS.items() if words & names), "")


def of_split(found: Mapping[str, Any], split: str, name: str) -> Any:
    """The entry of a split; InputError names those that there are."""
    if split not in found or not len(found[split]):
        raise InputError(f"{name} has no split {split!r}; it has {', '.join(sorted(found))}, so name one with split")
    return found[split]

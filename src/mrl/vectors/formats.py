"""open_vectors: which format a path has, and what goes with its vectors."""

from __future__ import annotations

import glob
from collections.abc import Callable
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from mrl.disk import MANIFEST
from mrl.errors import InputError
from mrl.vectors.beside import checked_ids, numbered, read_ids, read_labels
from mrl.vectors.described import Described
from mrl.vectors.dropping import without
from mrl.vectors.found import Array, Found, Reader
from mrl.vectors.source import BATCH_BYTES, Note, Source
from mrl.vectors.source_arrow import read_arrow
from mrl.vectors.source_hdf5 import read_hdf5
from mrl.vectors.source_parquet import read_parquet
from mrl.vectors.source_raw import read_fvecs, read_npy, read_npz, read_safetensors
from mrl.vectors.source_table import OfTable, of_table
from mrl.vectors.table import Table

Drop = Literal["no", "yes", "zero"]
Opener = Callable[[Path, str | None], Found]

OPENERS: dict[str, Opener] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".parquet": read_parquet,
    **dict.fromkeys((".arrow", ".feather", ".ipc"), read_arrow),
    ".safetensors": read_safetensors,
    **dict.fromkeys((".h5", ".hdf5"), read_hdf5),
    ".fvecs": read_fvecs,
}
FORMATS = (
    "A table's folder, as `mrl embed` writes it, or floats (n, width) in a file that ends in "
    f"{', '.join(list(OPENERS)[:-1])} or {list(OPENERS)[-1]}; or many .parquet: their folder, or a quoted pattern"
)


def open_vectors(
    path: str | Path,
    *,
    about: Described | None = None,
    ids: str | Path | None = None,
    labels: str | Path | None = None,
    key: str | None = None,
    drop_bad: Drop = "no",
    note: Note = lambda _: None,
) -> Source:
    """Vectors from a file of any format, to be held or to be read in a stream.

    path: by its ending .npy, .npz, .parquet, .arrow, .feather, .ipc, .safetensors, .h5, .hdf5 or .fvecs; a table's
    folder; a folder or a quoted pattern of .parquet files. key: the array or column of the vectors, where it is not
    called vectors or embeddings and is not the only one that fits. about: what the file does not say of itself; a
    table's card says it. ids, labels: files of their own, see `read_ids` and `read_labels`, in place of the file's.
    Without ids rows are called by their number. Labels are integers ≥ 0, or strings, numbered in sorted order; those of
    a file with a column `id` are found by it, whatever their order.

    Vectors are float32 or float16; float64 becomes float32. drop_bad: rows that are left out, and named in a note:
    none ("no"), those with a NaN or an Inf ("yes"), and zero vectors too ("zero"); this reads the file once more.
    Rows with a NaN or an Inf are refused otherwise; zero vectors are kept, and under cosine a note counts them.

    InputError names the file, the place and the remedy; MissingError the package that a format needs.
    """
    if drop_bad not in get_args(Drop):
        raise InputError(f"unknown drop_bad {drop_bad!r}; known are {', '.join(get_args(Drop))}")
    path = Path(path)
    found = _found(path, key)
    _check_table(path, found, about, ids)
    card = found.card or (about or Described()).card(path.parent if _is_pattern(path) else path, found.reader.width)
    own = found.ids if ids is None else read_ids(Path(ids))
    classes = found.labels if labels is None else read_labels(Path(labels), lambda: _ids(found.reader, own))
    names = found.label_names if labels is None else ()
    if found.card is None or labels is not None:
        classes, names = numbered(classes, str(path if labels is None else labels))
    for what, file, given in (("ids", ids, own), ("labels", labels, classes)):
        _check_count(path, found.reader.rows, what, file, given)
    checked = None if own is None else checked_ids(own, str(path if ids is None else ids))
    source = Source(path, card, found.reader, checked, classes, names, note=_once(note), prompt=found.prompt)
    return source if drop_bad == "no" else without(source, zero=drop_bad == "zero")


def is_table(path: Path) -> bool:
    """Whether this is opened as a table: its folder, or nothing at all, which is refused as one."""
    if path.is_dir():
        return (path / MANIFEST).exists() or not any(path.glob("*.parquet"))
    return not (path.suffix in OPENERS or path.exists() or _is_pattern(path))


def _is_pattern(path: Path) -> bool:
    return any(sign in str(path) for sign in "*?[") and not path.exists()


def _found(path: Path, key: str | None) -> Found:
    if is_table(path):
        return of_table(Table.open(path), key)
    if path.is_dir():
        return read_parquet(path, key, sorted(path.glob("*.parquet")))
    if _is_pattern(path):
        return _of_pattern(path, key)
    if path.suffix not in OPENERS:
        others = list(OPENERS)[1:]
        raise InputError(
            f"no format of vectors ends as {path.name} does: vectors are a table's folder or an .npy, got {path}; "
            f"write it with numpy.save, or as {', '.join(others[:-1])} or {others[-1]}"
        )
    return OPENERS[path.suffix](path, key)


def _of_pattern(path: Path, key: str | None) -> Found:
    names = glob.glob(str(path), recursive=True)  # noqa: PTH207, as Path.glob takes no absolute patterns
    files = [Path(name) for name in sorted(names)]
    if not files or any(file.suffix != ".parquet" for file in files):
        raise InputError(
            f"{path} is a pattern for .parquet files, got {len(files)} files; quote it, end it in .parquet"
        )
    return read_parquet(path, key, files)


def _check_table(path: Path, found: Found, about: Described | None, ids: str | Path | None) -> None:
    """InputError for what a table says itself."""
    if found.card is not None and about is not None and about.given:
        given = ", ".join(f"--{name}" for name in about.given)
        raise InputError(f"{path} is a table, whose card says what it is; leave {given} out")
    if found.card is not None and ids is not None:
        raise InputError(f"{path} is a table, which has ids; leave --ids {ids} out")


def _ids(reader: Reader, own: Array | None) -> Array:
    """(rows,) of all vectors: their own, those that are read along with them, or their numbers."""
    if own is not None or not reader.named:
        return np.arange(reader.rows) if own is None else own
    if isinstance(reader, OfTable):
        return reader.table.ids
    size = max(BATCH_BYTES // (4 * reader.width), 1)
    parts = [ids for _, ids in reader.pieces(0, size) if ids is not None]
    return np.concatenate(parts) if parts else np.empty(0, np.int64)


def _check_count(path: Path, rows: int, what: str, file: str | Path | None, given: Array | None) -> None:
    if given is not None and given.shape != (rows,):
        where = f"{path} itself" if file is None else file
        has = len(given) if given.ndim == 1 else f"shape {given.shape}"
        raise InputError(f"{rows} vectors came with {has} {what}, of {where}; give one for each vector")


def _once(note: Note) -> Note:
    """Each text but the first time it is said."""
    said: set[str] = set()

    def tell(text: str) -> None:
        if text not in said:
            said.add(text)
            note(text)

    return tell

"""Vectors in a data set of an HDF5 file. Its ids and labels are held whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mrl.errors import InputError, MissingError
from mrl.vectors.found import IDS, LABELS, Array, Found, check_floats, chosen, first_of


@dataclass(frozen=True, eq=False)
class HDF5:
    """A data set of rows. name: its path in the file."""

    path: Path
    name: str
    rows: int
    width: int
    named: bool = False

    def pieces(self, start: int, size: int) -> Iterator[tuple[Array, None]]:
        """See `Reader`."""
        try:
            with _opened(self.path) as file:
                for first in range(start, self.rows, size):
                    yield np.asarray(file[self.name][first : min(first + size, self.rows)]), None
        except OSError as error:
            raise InputError(f"{self.path} cannot be read to its end: {error}; copy it again") from None


def read_hdf5(path: Path, key: str | None) -> Found:
    """The data set named `vectors`, or `key`, or the only float matrix; `ids` and `labels` if there."""
    with _opened(path) as file:
        sets = _sets(file)
        fitting = [name for name, each in sets.items() if each.dtype.kind == "f" and each.ndim == 2]
        name = chosen(path, list(sets), fitting, key, "data set")
        check_floats(f"the data set {name} of {path}", sets[name].dtype, sets[name].shape)
        ids, labels = (_column(path, sets, first_of(list(sets), names)) for names in (IDS, LABELS))
        return Found(HDF5(path, name, *sets[name].shape), ids, labels)


def _opened(path: Path) -> Any:
    try:
        import h5py
    except ImportError:
        raise MissingError("HDF5 needs h5py: pip install 'mrl[hdf5]', or save an .npy") from None
    with path.open("rb"):  # so that one that is not there is called by its name
        pass
    try:
        return h5py.File(path, "r")
    except OSError as error:
        raise InputError(f"{path} is no HDF5: {error}; write it with h5py, or copy it again") from None


def _sets(file: Any) -> dict[str, Any]:
    """Every data set by its path."""
    import h5py

    found: dict[str, Any] = {}
    file.visititems(lambda name, each: found.update({name: each}) if isinstance(each, h5py.Dataset) else None)
    return found


def _column(path: Path, sets: dict[str, Any], name: str | None) -> Array | None:
    import h5py

    if name is None:
        return None
    if h5py.check_string_dtype(sets[name].dtype):
        try:
            return np.array(sets[name].asstr()[()].tolist(), np.str_)
        except UnicodeDecodeError as error:
            raise InputError(f"the data set {name} of {path} is no UTF-8: {error}; write it again") from None
    return np.asarray(sets[name][()])

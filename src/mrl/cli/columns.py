"""Payloads that come in files of their own; ids do so in `mrl.vectors.beside`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mrl.errors import InputError
from mrl.vectors.beside import ENDINGS, as_keys, key_column, of_kind, read_columns, read_ids, typed
from mrl.vectors.beside import Array as Ids

if TYPE_CHECKING:
    import pyarrow

__all__ = ["Ids", "Payload", "of_kind", "read_ids", "typed"]


class Payload:
    """Columns for rows: in the rows' order, or joined on the column `id` where there is one.

    path: where they come from. rows: how many.
    """

    def __init__(self, path: Path) -> None:
        import pyarrow

        if path.suffix not in ENDINGS:
            raise InputError(f"a payload is a {', '.join(ENDINGS)}, got {path}; write it as one of these")
        table = read_columns(path)
        self.path, self.rows = path, len(table)
        self.joined = "id" in table.column_names
        self._ids = key_column(table, "id", path) if self.joined else pyarrow.nulls(0)
        self._columns = table.drop_columns("id") if self.joined else table
        if not self._columns.num_columns:
            raise InputError(f"{path} has no columns but the ids; give some, or leave --payload out")
        self._keys: Ids | None = None
        self._order: Ids | None = None

    def of(self, ids: Ids | None, first: int, count: int) -> pyarrow.Table:
        """The columns of `count` rows, which begin at row `first` and have these ids."""
        import pyarrow

        if not self.joined:
            return self._columns.slice(first, count)
        if ids is None:
            raise InputError(
                f"{self.path} has a column id and the vectors have no ids to join it with; "
                f"give them with --ids, or --ids {self.path} if its rows are in the order of the vectors"
            )
        return self._columns.take(pyarrow.array(self._places(ids)))

    def _places(self, ids: Ids) -> npt.NDArray[np.int64]:
        from mrl.vectors.keys import digests

        keys, order = self._index(strings=ids.dtype.kind == "U")
        wanted = digests(ids)
        at = np.minimum(np.searchsorted(keys, wanted), max(len(keys) - 1, 0))
        missing = keys[at] != wanted if len(keys) else np.ones(len(ids), np.bool_)
        if missing.any():
            which = ids[np.argmax(missing)].item()
            raise InputError(f"{self.path} has no row with id {which!r}; every vector needs one")
        return order[at]

    def _index(self, *, strings: bool) -> tuple[Ids, Ids]:
        """The digests of the ids in order, and the row of each."""
        import pyarrow

        from mrl.vectors.keys import digests

        if self._keys is None or self._order is None:
            try:
                ids = as_keys(self._ids.cast(pyarrow.string() if strings else pyarrow.int64()))
            except pyarrow.ArrowInvalid as error:
                raise InputError(f"the ids of the vectors are integers, those of {self.path} not: {error}") from None
            keys = digests(ids)
            self._order = np.argsort(keys, kind="stable")
            self._keys = keys[self._order]
            twice = self._order[1:][self._keys[1:] == self._keys[:-1]]
            if len(twice):
                raise InputError(f"id {ids[twice[0]].item()!r} occurs twice in {self.path}; keep one row of each id")
        return self._keys, self._order

"""Writing blocks: rows come in a stream and leave, segment by segment, as files; memory holds one chunk of them."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mrl.disk import Content, Draft, Folder
from mrl.errors import InputError
from mrl.nesting import Nesting
from mrl.retrieval.blocks import About, file_name, payload_name
from mrl.retrieval.encodings import CHUNK, Coded, Floats, check_halves, encode
from mrl.retrieval.layout import Layout
from mrl.segments import LARGEST, prefix_norms
from mrl.vectors.keys import digests

if TYPE_CHECKING:
    import pyarrow

BLOCK_ROWS = 64 * CHUNK  # 262,144


class BlockWriter:
    """Collects the rows of one block. `add` in any portions, then `finish`; `discard` if something failed.

    number: the block's. rows: how many came so far.
    """

    def __init__(self, folder: Folder, layout: Layout, number: int) -> None:
        self._folder, self._layout, self.number = folder, layout, number
        self._columns: dict[str, Column] = {}
        self._waiting: list[Floats] = []
        self._norms: list[Floats] = []
        self._ids: list[npt.NDArray[Any]] = []
        self._payload: list[pyarrow.Table] = []
        self.rows = 0

    def add(self, vectors: Floats, ids: npt.NDArray[Any], payload: pyarrow.Table | None) -> None:
        """vectors (n, width) float32, checked; ids (n,); payload (n rows) or None."""
        self._ids.append(ids)
        if payload is not None:
            self._payload.append(payload)
        self.rows += len(vectors)
        self._waiting.append(vectors)
        if sum(map(len, self._waiting)) >= CHUNK:
            rows = np.concatenate(self._waiting)
            whole = len(rows) - len(rows) % CHUNK
            for start in range(0, whole, CHUNK):
                self._encode(rows[start : start + CHUNK])
            self._waiting = [rows[whole:].copy()]

    def _encode(self, rows: Floats) -> None:
        """Write one chunk: each segment in each of its encodings, and the lengths of what they stand for."""
        record = np.empty_like(rows)
        for level, (start, stop) in enumerate(self._layout.cuts.segments):
            names = self._layout.encodings(level)
            coded = [encode(rows[:, start:stop], name) for name in names]
            record[:, start:stop] = coded[0].decoded(slice(None))
            for name, codes in zip(names, coded, strict=True):
                self._append(f"{self._layout.segment(level)}.{name}", codes)
        self._norms.append(prefix_norms(record, self._layout.cuts).T.astype(np.float32))

    def _append(self, name: str, coded: Coded) -> None:
        if name not in self._columns:
            self._columns[name] = Column(self._folder.draft(file_name(self.number, name)), coded.codes)
        column = self._columns[name]
        column.append(coded.codes)
        if len(coded.scales):
            column.scales.append(coded.scales)

    def finish(self) -> tuple[About, dict[str, Content]]:
        """The block and its files, ready to be committed."""
        rest = np.concatenate(self._waiting)
        if len(rest) or not self._norms:
            self._encode(rest)
        new: dict[str, Content] = {}
        for name, column in self._columns.items():
            new[file_name(self.number, name)] = column.finished()
            if column.scales:
                new[file_name(self.number, f"{name}.scales")] = saved(np.concatenate(column.scales))
        new |= {file_name(self.number, name): saved(array) for name, array in self._small().items()}
        if self._payload:
            new[payload_name(self.number)] = partial(_save_payload, self._payload)
        return About(self.number, self.rows), new

    def _small(self) -> dict[str, npt.NDArray[Any]]:
        ids = np.concatenate(self._ids)
        keys = digests(ids)
        places = np.argsort(keys, kind="stable").astype(np.int32)
        return {
            "norms": np.concatenate(self._norms, axis=1),
            "ids": ids,
            "keys": keys[places],
            "places": places,
        }

    def discard(self) -> None:
        for column in self._columns.values():
            column.discard()


class Column:
    """An .npy file that grows; its header, which has room for it, gets the number of rows at the end."""

    def __init__(self, draft: Draft, like: npt.NDArray[Any]) -> None:
        self._draft, self._like, self._rows = draft, like[:0], 0
        self.scales: list[Floats] = []
        self._write_header()

    def append(self, codes: npt.NDArray[Any]) -> None:
        self._draft.write(np.ascontiguousarray(codes).data)
        self._rows += len(codes)

    def finished(self) -> Draft:
        self._draft.seek(0)
        self._write_header()
        self._draft.close()
        return self._draft

    def discard(self) -> None:
        self._draft.discard()

    def _write_header(self) -> None:
        header = {
            "descr": np.lib.format.dtype_to_descr(self._like.dtype),
            "fortran_order": False,
            "shape": (self._rows, *self._like.shape[1:]),
        }
        np.lib.format.write_array_header_1_0(self._draft, header)


def check_storable(vectors: Floats, layout: Layout) -> None:
    """InputError for rows (n, width), mapped already, that the encodings of the layout cannot hold."""
    for level, (start, stop) in enumerate(layout.cuts.segments):
        if "float16" in layout.encodings(level):
            check_halves(vectors[:, start:stop])


def check_lengths(vectors: npt.NDArray[Any], *, cosine: bool, what: str = "row", first: int = 0) -> None:
    """InputError naming the first of the vectors (n, d) that no search can answer from; they count from `first`."""
    norms = prefix_norms(vectors, Nesting((vectors.shape[1],)))[:, 0]
    bad = np.flatnonzero(~np.isfinite(norms))
    if len(bad):
        raise InputError(f"{what} {first + bad[0]} has a NaN or an Inf ({len(bad)} in all are such); leave these out")
    extreme = norms > LARGEST
    if cosine:
        extreme |= (norms > 0) & (norms < 1 / LARGEST)
    bad = np.flatnonzero(extreme)
    if len(bad):
        raise InputError(
            f"{what} {first + bad[0]} has length {norms[bad[0]]:.1e}; float32 products hold lengths from "
            f"{1 / LARGEST:.0e} to {LARGEST:.0e}: rescale the vectors"
        )


def saved(array: npt.NDArray[Any]) -> Content:
    return lambda file: np.save(file, array, allow_pickle=False)


def _save_payload(tables: list[pyarrow.Table], file: Any) -> None:
    import pyarrow

    table = pyarrow.concat_tables(tables).unify_dictionaries()  # of which a file has but one for each column
    with pyarrow.ipc.new_file(pyarrow.PythonFile(file, "w"), table.schema) as writer:
        writer.write_table(table)

"""The same vectors, ids and labels in files of every format, each written with the format's own library."""

from __future__ import annotations

import h5py
import numpy as np
import pyarrow
from pyarrow import feather, ipc, parquet
from safetensors.numpy import save_file

from mrl import Card, Nesting, Table


def vectors(rows, width, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, width)).astype(dtype)


def ids(rows):
    return np.array([f"item{i}" for i in range(rows)], np.str_)


def labels(rows):
    return np.arange(rows) * 7 % 3


def npy(path, v):
    np.save(path, v)
    return False


def npy_by_columns(path, v):
    np.save(path, np.asfortranarray(v))
    return False


def npz(path, v):
    np.savez(path, vectors=v, ids=ids(len(v)), labels=labels(len(v)))
    return True


def npz_compressed(path, v):
    np.savez_compressed(path, embeddings=v, ids=ids(len(v)), labels=labels(len(v)))
    return True


def arrow_table(v, fixed=True):
    kind = pyarrow.from_numpy_dtype(v.dtype)
    flat = pyarrow.array(v.reshape(-1))
    starts = np.arange(0, v.size + 1, v.shape[1]).astype(np.int32)
    lists = pyarrow.FixedSizeListArray.from_arrays(flat, v.shape[1]) if fixed else None
    lists = lists if fixed else pyarrow.ListArray.from_arrays(pyarrow.array(starts), flat, pyarrow.list_(kind))
    names = [["ant", "bee", "cow"][label] for label in labels(len(v))]
    return pyarrow.table({"id": ids(len(v)), "vector": lists, "label": names})


def parquet_fixed(path, v):
    parquet.write_table(arrow_table(v), path, row_group_size=11)
    return True


def parquet_lists(path, v):
    parquet.write_table(arrow_table(v, fixed=False), path, row_group_size=7)
    return True


def shards(path, v):
    path.mkdir()
    table = arrow_table(v)
    for number, start in enumerate(range(0, len(v), 10)):
        parquet.write_table(table.slice(start, 10), path / f"{number:03d}.parquet")
    return True


def arrow_stream(path, v):
    table = arrow_table(v)
    with ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=9)
    return True


def arrow_file(path, v):
    table = arrow_table(v, fixed=False)
    with ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=9)
    return True


def feather_lz4(path, v):
    feather.write_feather(arrow_table(v), str(path), compression="lz4", chunksize=8)
    return True


def safetensors(path, v):
    save_file({"other": np.arange(5), "vectors": v, "labels": labels(len(v))}, path)
    return False


def hdf5(path, v):
    with h5py.File(path, "w") as file:
        file["group/vectors"] = v
        file["ids"] = ids(len(v)).tolist()
        file["labels"] = labels(len(v))
    return True


def hdf5_packed(path, v):
    with h5py.File(path, "w") as file:
        file.create_dataset("train", data=v, chunks=(min(5, len(v)), v.shape[1]), compression="gzip")
    return False


def fvecs(path, v):
    rows = np.empty((len(v), v.shape[1] + 1), "<f4")
    rows[:, 0] = np.array([v.shape[1]], "<i4").view("<f4")
    rows[:, 1:] = v
    rows.tofile(path)
    return False


def table(path, v):
    with Table.create(path, Card("clouds", v.shape[1], Nesting((v.shape[1],))), ("ant", "bee", "cow")) as writer:
        for start in range(0, len(v), 8):
            part = slice(start, start + 8)
            writer.add(v[part], ids(len(v))[part], labels(len(v))[part])
    return True


# ending -> how it is written; each says whether it wrote ids (and, but for what cannot hold them, labels)
WRITERS = {
    "plain.npy": npy,
    "columns.npy": npy_by_columns,
    "plain.npz": npz,
    "packed.npz": npz_compressed,
    "fixed.parquet": parquet_fixed,
    "lists.parquet": parquet_lists,
    "shards": shards,
    "stream.arrow": arrow_stream,
    "file.ipc": arrow_file,
    "packed.feather": feather_lz4,
    "plain.safetensors": safetensors,
    "plain.h5": hdf5,
    "packed.hdf5": hdf5_packed,
    "plain.fvecs": fvecs,
    "table": table,
}
LABELLED = {name for name in WRITERS if name not in ("plain.npy", "columns.npy", "packed.hdf5", "plain.fvecs")}
NAMED_LABELS = {name for name in LABELLED if name.endswith(("parquet", "arrow", "ipc", "feather", "shards", "table"))}
HALVES = sorted(set(WRITERS) - {"plain.fvecs"})  # that can hold float16
DOUBLES = sorted(set(WRITERS) - {"plain.fvecs", "table"})  # that can hold float64

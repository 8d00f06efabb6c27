"""What is read in a stream is in memory a batch at a time."""

from __future__ import annotations

import subprocess
import sys

import h5py
import numpy as np
import pyarrow
import pytest
from pyarrow import ipc, parquet

from mrl import Card, Nesting, Table
from vectors.written import WRITERS

STREAMED = ("plain.npy", "plain.npz", "packed.npz", "plain.safetensors", "plain.h5", "plain.fvecs", "table")
LISTS = ("one.parquet", "one.arrow", "one.ipc", "packed.ipc")
ROWS, WIDTH = 40_000, 256  # 41 MB
MEASURE = """
import sys
import pyarrow
from pathlib import Path
pyarrow.set_cpu_count(1)  # each of its threads has a batch of its own, and more of them where the machine is busy
pyarrow.set_io_thread_count(1)
from mrl.vectors import open_vectors
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
open_vectors(sys.argv[2]).held()  # so that all is imported
before = peak()
source = open_vectors(sys.argv[1])
rows = sum(len(block.vectors) for block in source.batches(512))
print(rows, peak() - before)
"""


def check_stream(path, small):
    """small: a file of the same format, of a few rows."""
    done = subprocess.run([sys.executable, "-c", MEASURE, str(path), str(small)], capture_output=True, check=True)
    rows, grown = map(int, done.stdout.split())
    assert rows == ROWS
    assert grown < 16e6


@pytest.mark.parametrize("name", STREAMED)
def test_a_stream_holds_a_few_batches(name, tmp_path):
    v = np.random.default_rng(0).standard_normal((ROWS, WIDTH), np.float32)
    if name == "packed.npz":
        v = np.ones_like(v)  # which is packed in no time
    if name == "plain.h5":  # without the ids, which are held whole
        with h5py.File(tmp_path / name, "w") as file:
            file["vectors"] = v
    elif name == "table":  # in one block
        with Table.create(tmp_path / name, Card("clouds", WIDTH, Nesting((WIDTH,)))) as writer:
            writer.add(v)
    else:
        WRITERS[name](tmp_path / name, v)
    WRITERS[name](tmp_path / f"small-{name}", v[:9])
    check_stream(tmp_path / name, tmp_path / f"small-{name}")


def write_lists(path, v):
    """In one row group, or in one batch, but for `packed`."""
    lists = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(v.reshape(-1)), v.shape[1])
    table = pyarrow.table({"vector": lists})
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=len(v))
        return
    options = ipc.IpcWriteOptions(compression="lz4" if "packed" in path.name else None)
    new = ipc.new_file if path.suffix == ".ipc" else ipc.new_stream
    with new(str(path), table.schema, options=options) as writer:
        writer.write_table(table, max_chunksize=2000 if "packed" in path.name else len(v))


@pytest.mark.parametrize("name", LISTS)
def test_a_stream_of_lists_holds_a_few_batches_or_one_that_is_packed(name, tmp_path):
    v = np.random.default_rng(0).standard_normal((ROWS, WIDTH), np.float32)
    write_lists(tmp_path / name, v)
    write_lists(tmp_path / f"small-{name}", v[:9])
    check_stream(tmp_path / name, tmp_path / f"small-{name}")

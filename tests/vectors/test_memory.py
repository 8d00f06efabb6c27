"""What is read in a stream is in memory a batch at a time."""

from __future__ import annotations

import subprocess
import sys

import h5py
import numpy as np
import pytest

from mrl import Card, Nesting, Table
from vectors.written import WRITERS

STREAMED = ("plain.npy", "plain.npz", "packed.npz", "plain.safetensors", "plain.h5", "plain.fvecs", "table")
ROWS, WIDTH = 60_000, 256  # 61 MB
MEASURE = """
import sys
from pathlib import Path
from mrl.vectors import open_vectors
def peak():
    return int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) * 1024
source = open_vectors(sys.argv[1])
for block in source.batches(512):
    before = peak()  # once all is imported
    break
rows = sum(len(block.vectors) for block in source.batches(512))
print(rows, peak() - before)
"""


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
    done = subprocess.run([sys.executable, "-c", MEASURE, str(tmp_path / name)], capture_output=True, check=True)
    rows, grown = map(int, done.stdout.split())
    assert rows == ROWS
    assert grown < 16e6

"""A table that was killed while it was written, and gone on with, is the one that nobody disturbed."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mrl.errors import StorageError
from mrl.training import embed, embedding
from mrl.vectors import Table
from training import embedder
from training.embedder import contents, encoder, named


class Worker:
    """The process of embedder.py."""

    def __init__(self):
        command = [sys.executable, str(Path(embedder.__file__))]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def embed(self, out, seconds=-1.0):
        """How it ended: killed, or done."""
        self.process.stdin.write(f"{out} {seconds}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()

    def close(self):
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def worker():
    made = Worker()
    yield made
    made.close()


def check_kills(worker, root, kills, longest, seed):
    """Kill at random moments, from the first file on, until one table after another is done."""
    assert worker.embed(root / "once") == "done"
    want, draws = contents(root / "once"), np.random.default_rng(seed)
    ended, out, rows = [], root / "often-0", 0
    while ended.count("killed") < kills:
        ended.append(worker.embed(out, draws.uniform(0, longest)))
        if (out / "manifest.json").exists():
            table = Table.open(out, unfinished=True)
            table.verify()
            assert table.rows >= rows
            rows = table.rows
        if ended[-1] == "done":
            assert contents(out) == want
            out, rows = root / f"often-{len(ended)}", 0
    assert worker.embed(out) == "done"
    assert contents(out) == want
    assert set(ended) <= {"killed", "done"}


def test_kills_change_nothing(worker, tmp_path):
    check_kills(worker, tmp_path, kills=5, longest=0.4, seed=1)


@pytest.mark.slow
def test_many_kills_change_nothing(worker, tmp_path):
    check_kills(worker, tmp_path, kills=30, longest=0.8, seed=2)


@pytest.fixture
def full_disk():
    """A function that lets files grow no further than so many bytes, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("after", [0, 4, 12])
def test_a_disk_that_fills_up_leaves_the_blocks_before(tmp_path, full_disk, monkeypatch, after):
    monkeypatch.setattr(embedding, "BLOCK", 4)
    model, data, done = encoder(), named(18), []

    def each(n):
        done.append(n)
        if sum(done) == after:
            full_disk(100)

    embed(model, data, tmp_path / "once", batch_size=4)
    if not after:
        full_disk(100)
    with pytest.raises(StorageError, match=r"cannot write .*\.vectors\.npy: .*; nothing was changed\. Free some space"):
        embed(model, data, tmp_path / "table", batch_size=4, each=each)
    full_disk(resource.RLIM_INFINITY)
    if after:
        table = Table.open(tmp_path / "table", unfinished=True)
        assert table.rows == after
        table.verify()
    embed(model, data, tmp_path / "table", batch_size=4, resume=True)
    assert contents(tmp_path / "table") == contents(tmp_path / "once")

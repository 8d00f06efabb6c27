"""What SIGKILL and a full disk leave behind: what was committed, whole, or nothing."""

import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from mrl.card import Card
from mrl.errors import StorageError
from mrl.nesting import Nesting
from mrl.training import Run, train
from mrl.vectors import Table
from training import crasher
from training.pictures import TINY, tiny

KILLS = 5  # of each kind
LONGEST = 1.5  # seconds until one


@pytest.fixture(scope="module")
def worker():
    command = [sys.executable, str(Path(crasher.__file__))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


def killed(worker, job, path, seconds):
    """Let the worker do its job for so long, then kill it."""
    worker.stdin.write(f"{job} {path}\n")
    worker.stdin.flush()
    child = int(worker.stdout.readline())
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    assert worker.stdout.readline() == "done\n"


def committed(opening):
    """What opens, or None if it says that nothing was committed; any other error is one."""
    try:
        return opening()
    except StorageError as error:
        if "nothing was committed" not in str(error):
            raise
        return None


def moments(seed):
    """One at once, when nothing may be there yet, the others at random."""
    return [0.0, *np.random.default_rng(seed).uniform(0.02, LONGEST, KILLS - 1)]


def test_a_killed_table_holds_whole_blocks(worker, tmp_path):
    rows = 0
    for i, moment in enumerate(moments(1)):
        path = tmp_path / f"{i}"
        killed(worker, "table", path, moment)
        table = committed(partial(Table.open, path, unfinished=True))
        if table is None:
            continue
        table.verify()
        assert table.rows % crasher.ROWS == 0
        want = [crasher.block(number) for number in range(table.rows // crasher.ROWS)]
        np.testing.assert_array_equal(table.vectors, np.concatenate([np.empty((0, 64), np.float32), *want]))
        rows += table.rows
    assert rows > 0, "no kill came after a block"


def test_a_killed_run_holds_whole_epochs(worker, tmp_path):
    epochs = 0
    for i, moment in enumerate(moments(2)):
        path = tmp_path / f"{i}"
        killed(worker, "run", path, moment)
        run = committed(partial(Run.open, path))
        if run is None:
            continue
        run.verify()
        assert np.isfinite(run.encoder.encode(tiny(4).images)).all()
        assert run.head.classes == run.classes == ("fine", "middle", "wide")
        check_log(run)
        epochs += run.epoch
    assert epochs > 0, "no kill came after an epoch"


def check_log(run):
    """Its lines are a prefix of what a whole run would have written; that of an epoch not committed may be there."""
    if not (run.path / "log.jsonl").exists():
        assert run.epoch == 0
        return
    lines = [(line["event"], line.get("epoch"), line.get("step")) for line in run.log]
    want = [("start", None, None)]
    for epoch in range(1, run.epoch + 2):
        want += [("step", epoch, 1), ("step", epoch, 2), ("epoch", epoch, None)]
    assert lines == want[: len(lines)]
    assert run.epoch <= sum(event == "epoch" for event, *_ in lines) <= run.epoch + 1


@pytest.fixture
def full_disk():
    """A function that lets files grow no further than so many bytes, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_fills_up_leaves_the_epoch_before(tmp_path, full_disk):
    class Filling:
        """Data that fill the disk once the first epoch is done."""

        classes, data, log = tiny().classes, tiny(), tmp_path / "run" / "log.jsonl"

        def __len__(self):
            return 48

        def __getitem__(self, index):
            if self.log.exists() and '"epoch", "epoch": 1' in self.log.read_text():
                full_disk(1000)
            return self.data[index]

    with pytest.raises(StorageError, match=r"cannot write .*encoder-00000006\.safetensors: .*; nothing was changed"):
        train(replace(TINY, epochs=3, log_every=100), Filling(), tmp_path / "run", quiet=True)
    full_disk(resource.RLIM_INFINITY)
    run = Run.open(tmp_path / "run")
    assert run.epoch == 1
    assert run.verify() == 3
    assert not [path for path in run.path.iterdir() if path.name.startswith(".tmp")]
    Filling.log = tmp_path / "nowhere"
    spec = replace(TINY, epochs=3, log_every=100)
    resumed = train(spec, Filling(), run.path, resume=True, quiet=True)
    undisturbed = train(spec, Filling(), tmp_path / "other", quiet=True)
    assert resumed.card == undisturbed.card


def test_a_disk_that_fills_up_leaves_the_blocks_before(tmp_path, full_disk):
    vectors = np.ones((10, 8), np.float32)
    writer = Table.create(tmp_path / "table", Card("m", 8, Nesting((8,))))
    writer.add(vectors)
    full_disk(100)
    with pytest.raises(StorageError, match="cannot write"):
        writer.add(vectors)
    full_disk(resource.RLIM_INFINITY)
    table = Table.open(tmp_path / "table", unfinished=True)
    assert table.rows == 10
    table.verify()

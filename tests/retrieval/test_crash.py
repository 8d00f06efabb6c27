"""What SIGKILL leaves behind: all that was acknowledged, and at most the change that was going on."""

import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress

import numpy as np
import pytest

from mrl.disk import Folder
from mrl.errors import StorageError
from mrl.retrieval import Index, Rows
from retrieval import keeper
from retrieval.keeper import CARD, MANY, SPEC, Twin, act, caught_up, check, check_planned, plan_for

KILLS, MANY_KILLS = 6, 200
LONGEST = 0.1  # seconds from what was said last to one: about a change


@pytest.fixture(scope="module")
def worker():
    command = [sys.executable, keeper.__file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.stdin.close()


def killed(worker, job, lines, seconds):
    """Let the worker say so many lines, and go on for so long, then kill it; what it said, line by line."""
    worker.stdin.write(f"{job}\n")
    worker.stdin.flush()
    child = int(worker.stdout.readline())
    assert worker.stdout.readline() == "ready\n"
    said = [worker.stdout.readline() for _ in range(lines)]
    time.sleep(seconds)
    with suppress(ProcessLookupError):  # it was done already
        os.kill(child, signal.SIGKILL)
    said += iter(worker.stdout.readline, "done\n")
    return [line.strip() for line in said]


def check_killed(worker, tmp_path, kills, seed):
    """Kill one keeper after the other at work on one index."""
    draws = random.Random(seed)
    plan_for(Twin().build(tmp_path / "index", list(range(10))))
    step = 0
    for _ in range(kills):
        job = f"change {tmp_path / 'index'} {seed} {step + 1}"
        said = killed(worker, job, draws.randrange(4), draws.uniform(0, LONGEST))
        assert said == [str(step + 1 + n) for n in range(len(said))]
        step = step_of(Index.open(tmp_path / "index"), seed, step + len(said))


def step_of(index, seed, acknowledged):
    """The step that the index is at: the last acknowledged one, or the one after it."""
    assert index.verify() == []
    for step in (acknowledged, acknowledged + 1):
        try:
            check(index, caught_up(seed, step))
            break
        except (AssertionError, KeyError):
            if step > acknowledged:
                raise
    check_goes_on(index, caught_up(seed, step))
    return step


def check_goes_on(index, twin):
    """A writer goes on, what the killed one left is swept, and all is as it was once it took its change back."""
    for verb in ("add", "delete"):
        assert act(index, twin, verb, [1000], 0) == 1
    check(index, twin)
    check_planned(index)
    names = {file.name for file in index.path.iterdir() if not file.match("manifest*.json")}
    assert names - {".lock"} == set(index.snapshot.folder.entries)


def test_a_killed_writer_leaves_what_it_acknowledged(worker, tmp_path):
    check_killed(worker, tmp_path, KILLS, 1)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2, 6))
def test_many_killed_writers_leave_what_they_acknowledged(worker, tmp_path, seed):
    check_killed(worker, tmp_path, MANY_KILLS // 4, seed)


@pytest.mark.parametrize("seconds", [0, 0.01, 0.05, 0.1])
def test_a_killed_build_leaves_nothing_and_can_be_done_again(worker, tmp_path, seconds):
    path = tmp_path / "index"
    killed(worker, f"build {path}", 0, seconds)
    rows = np.random.default_rng(0).standard_normal((MANY, 8)).astype(np.float32)
    index = Index.open(path) if Folder.committed(path) else Index.build(path, Rows.of(rows, CARD), SPEC)
    assert index.rows == MANY
    assert index.verify() == []
    np.testing.assert_array_equal(index.get([0, MANY - 1]).vectors, rows[[0, -1]])
    names = {file.name for file in path.iterdir()}
    assert names == {*index.snapshot.folder.entries, "manifest.json", ".lock"}


def test_a_folder_of_somebody_else_is_not_taken_for_a_killed_build(tmp_path):
    (tmp_path / "index").mkdir()
    (tmp_path / "index" / "notes.txt").write_text("mine")
    with pytest.raises(StorageError, match="index already exists and is not overwritten"):
        Index.build(tmp_path / "index", Rows.of(np.ones((1, 8), np.float32), CARD), SPEC)
    assert [file.name for file in (tmp_path / "index").iterdir()] == ["notes.txt"]

"""One Index in a forked child, streams read twice, and changes that change nothing."""

import os
import threading

import numpy as np
import pytest

from mrl.errors import InputError
from mrl.retrieval import Batch, BuildSpec, Index, Rows
from retrieval import made

WIDTH = 8


def test_a_child_forked_while_another_thread_adds_can_add(tmp_path):
    index = made.index(tmp_path / "i", made.random(50, WIDTH))
    stop, ids = threading.Event(), iter(range(1000, 100_000))

    def adding():
        while not stop.is_set():
            index.add(made.random(1, WIDTH), [next(ids)])

    thread = threading.Thread(target=adding)
    thread.start()
    try:
        for child in range(3):
            process = os.fork()
            if not process:
                index.refresh().search(made.random(1, WIDTH))
                with index._group.alone():  # the lock that a parent's thread may have held
                    os._exit(0)
            assert os.waitpid(process, 0)[1] == 0, child
    finally:
        stop.set()
        thread.join()


def test_a_stream_is_read_once(tmp_path):
    rows = Rows.stream([Batch(made.random(5, WIDTH))], made.card(WIDTH, "cosine"))
    assert Index.build(tmp_path / "a", rows).rows == 5
    with pytest.raises(InputError, match="this stream of rows was read already; make a new one"):
        Index.build(tmp_path / "b", rows)
    assert not (tmp_path / "b").exists()


def test_a_change_that_changes_nothing_commits_nothing(tmp_path):
    index = made.index(tmp_path / "i", made.random(5, WIDTH))
    number = index.snapshot.folder.number
    assert index.delete([77]) == index.add(np.empty((0, WIDTH), np.float32)) == 0
    assert Index.open(index.path).snapshot.folder.number == number


def test_what_is_no_plan_and_no_rows_is_refused(tmp_path):
    index = made.index(tmp_path / "i", made.random(5, WIDTH))
    with pytest.raises(InputError, match="plan is a Plan or its text such as 32:200,1024:10, got 5"):
        index.search(made.random(1, WIDTH), plan=5)
    with pytest.raises(
        InputError, match=r"built from Rows or a Table, and a BuildSpec, got ndarray and BuildSpec; Rows"
    ):
        Index.build(tmp_path / "b", made.random(5, WIDTH), BuildSpec())

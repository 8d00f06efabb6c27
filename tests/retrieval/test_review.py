"""What a review found: answers from memory that was given back, from other maps, and below what float32 holds."""

import subprocess
import sys
import textwrap
import threading

import numpy as np
import pyarrow as pa
import pytest
from threadpoolctl import threadpool_info

from mrl import Nesting
from mrl.errors import CardError, InputError
from mrl.retrieval import Index, Layout, threads
from retrieval import made

WIDTH, CUTS = 16, (4, 16)
QUERIES = made.random(20, WIDTH, 6)


def together(works):
    """Run all at once, each in a thread; raise what any of them raised."""
    begin, errors = threading.Barrier(len(works)), []

    def run(work):
        begin.wait()
        try:
            work()
        except Exception as error:
            errors.append(error)

    started = [threading.Thread(target=run, args=(work,)) for work in works]
    for thread in started:
        thread.start()
    for thread in started:
        thread.join()
    if errors:
        raise errors[0]


def test_threads_that_open_a_segment_at_once_share_one(tmp_path):
    """Exact search keeps its address: a second one in its place left the first to the operating system."""
    made.index(tmp_path / "i", made.random(20_000, WIDTH), CUTS)
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(30):
            block, found = Index.open(tmp_path / "i").snapshot.blocks[0], []
            together([lambda block=block, found=found: found.append(block.segment(0, "float32"))] * 4)
            assert len(set(map(id, found))) == 1
    finally:
        sys.setswitchinterval(before)


@pytest.mark.parametrize("metric", ["dot", "l2"])
@pytest.mark.parametrize("scale", [1e-20, 6e-22, 2e-22, 1e-22, 5e-23])
def test_many_queries_whose_products_float32_can_hardly_tell_apart(tmp_path, metric, scale):
    rows, queries = made.random(2000, WIDTH, 5) * np.float32(scale), QUERIES * np.float32(scale)
    index = made.index(tmp_path / "i", rows, (WIDTH,), metric)
    made.check_exact(index.search(queries, 4), rows, np.arange(2000), queries, 4, metric)


def test_many_queries_where_no_row_may_be_found(tmp_path, metric):
    index = made.index(tmp_path / "i", made.random(50, WIDTH), (WIDTH,), metric, payload=pa.table({"n": range(50)}))
    assert index.search(QUERIES, 3, where="n < 0").counts.tolist() == [0] * 20
    index.delete(np.arange(50))
    assert index.search(QUERIES, 3).counts.tolist() == [0] * 20


def test_queries_that_were_prepared_for_other_vectors_are_refused(tmp_path):
    rows = made.random(50, WIDTH)
    plain, turned = made.index(tmp_path / "a", rows), made.index(tmp_path / "b", rows, map="pca")
    wide = made.index(tmp_path / "c", made.random(50, 2 * WIDTH))
    for index, other, field in [(turned, plain, "maps"), (plain, turned, "maps"), (wide, plain, "width")]:
        with pytest.raises(CardError, match=f"the prepared queries do not belong together: {field} is"):
            index.search(other.prepare(QUERIES), 3)
    again = made.index(tmp_path / "d", rows)
    assert (again.search(plain.prepare(QUERIES), 3).ids == plain.search(QUERIES, 3).ids).all()


def test_an_encoding_is_named_once_beside_a_segment():
    with pytest.raises(InputError, match="segment 0-4 names an encoding twice, int8, int8; once is all"):
        Layout(Nesting((4,)), ("float32",), (("int8", "int8"),))


def test_searches_that_overlap_leave_the_threads_of_blas_as_they_were():
    def counts():
        return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]

    before, first, second = counts(), threading.Event(), threading.Event()

    def early():
        with threads.one_blas_thread():
            first.set()
            second.wait()

    def late():
        first.wait()
        with threads.one_blas_thread():
            second.set()
            leaving.join()

    leaving, staying = threading.Thread(target=early), threading.Thread(target=late)
    leaving.start()
    staying.start()
    staying.join()
    assert counts() == before


MANY_BLOCKS = """
    import resource, sys
    import numpy as np
    import pyarrow as pa
    from mrl.retrieval import Index
    index = Index.open(sys.argv[1])
    for row in range(1, 60):
        index.add(np.full((1, 16), row, np.float32), [row], pa.table({"n": [row]}))
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, most))
    assert index.search(np.ones(16), 60, where="n >= 0").counts[0] == 60
    assert index.compact()
    print(index.rows)
"""


def test_many_small_blocks_do_not_use_up_the_files_that_a_process_may_open(tmp_path):
    rows = np.zeros((1, WIDTH), np.float32)
    made.index(tmp_path / "i", rows, CUTS, "l2", payload=pa.table({"n": [0]}))
    command = [sys.executable, "-c", textwrap.dedent(MANY_BLOCKS), str(tmp_path / "i")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "60\n"), done.stderr


NO_MORE = """
    import os, resource, sys
    from mrl.errors import StorageError
    from mrl.retrieval import Index
    snapshot = Index.open(sys.argv[1]).snapshot
    list(map(snapshot.folder.verified, snapshot.folder.entries))
    handle = os.dup(0)
    os.close(handle)
    resource.setrlimit(resource.RLIMIT_NOFILE, (handle + 1, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    try:
        snapshot.blocks[0].segment(1, "float32")
    except StorageError as error:
        print(error)
"""


def test_a_process_that_may_open_no_more_files_is_told_what_to_do(tmp_path):
    made.index(tmp_path / "i", made.random(5000, WIDTH), CUTS)
    command = [sys.executable, "-c", textwrap.dedent(NO_MORE), str(tmp_path / "i")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == (
        f"cannot read {tmp_path}/i/000000.4-16.float32.npy: Too many open files; where too many files are open, "
        "compact the index or raise the limit (ulimit -n)\n"
    ), done.stderr


def test_a_refresh_never_takes_back_what_a_commit_of_another_thread_showed(tmp_path):
    index, read, added = made.index(tmp_path / "i", made.random(5, WIDTH)), threading.Event(), threading.Event()
    Index.open(tmp_path / "i").add(made.random(1, WIDTH), [5])  # so that there is something to see

    def pause(frame, event, value):
        if (event, frame.f_code.co_name) == ("return", "refreshed"):
            read.set()
            added.wait(1)  # which it never is where the commit has to wait for this

    def refresh():
        sys.setprofile(pause)
        index.refresh()

    def add():
        read.wait()
        index.add(made.random(1, WIDTH), [6])
        added.set()

    together([refresh, add])
    assert index.known([6]).all()

"""Writers that come together, and readers that look on."""

import gc
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from mrl.errors import InputError, StorageError
from mrl.nesting import Nesting
from mrl.retrieval import BuildSpec, Index, Layout, Rows
from retrieval import keeper
from retrieval.keeper import CARD, QUERIES, SPEC, Twin, act, check, vectors

THREADS = 16


@pytest.fixture
def twin():
    return Twin()


@pytest.fixture
def index(tmp_path, twin):
    return twin.build(tmp_path / "index", list(range(10)))


def together(calls):
    """Make all the calls at once, each in a thread; what each returned or was refused with."""
    ready = threading.Barrier(len(calls))

    def one(call):
        ready.wait()
        try:
            return call()
        except (InputError, StorageError) as error:
            return error

    with ThreadPoolExecutor(len(calls)) as pool:
        return list(pool.map(one, calls))


def waiting(index, calls):
    """Make the calls in threads that all wait for one writer, so that they come in one group."""
    done = [None] * len(calls)

    def one(n):
        try:
            done[n] = calls[n]()
        except (InputError, StorageError) as error:
            done[n] = error

    threads = [threading.Thread(target=one, args=(n,)) for n in range(len(calls))]
    with index.writing():
        for n, thread in enumerate(threads):
            thread.start()
            while len(index._group._waiting) <= n and thread.is_alive():
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    return done


def child(code, *arguments):
    """A process that runs `code`; it says `ready` before it waits for a line."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def ended(process):
    """Let a child go on, and wait for its end; what it said."""
    said, _ = process.communicate("\n")
    assert process.returncode == 0
    return said


# --------------------------------------------------------------------------------------------- writers


def test_rows_that_threads_add_at_once_are_all_there(index, twin):
    def add(number):
        assert act(index, twin, "add", [number], 1) == 1
        assert Index.open(index.path).known([number]).all(), "committed when the call returns"

    together([lambda n=n: add(n) for n in range(20, 20 + THREADS)])
    twin.apply("add", list(range(20, 20 + THREADS)), 1)
    check(index, twin)
    check(Index.open(index.path), twin)


def test_changes_that_wait_for_a_writer_share_one_commit(index, twin):
    before = index.snapshot.folder.number
    assert waiting(index, [lambda n=n: act(index, twin, "add", [n], 1) for n in range(20, 28)]) == [1] * 8
    twin.apply("add", list(range(20, 28)), 1)
    check(index, twin)
    assert index.snapshot.folder.number == before + 1
    assert len(index.snapshot.blocks) == 2


def test_rows_that_threads_number_on_have_numbers_of_their_own(tmp_path):
    index = Index.build(tmp_path / "index", Rows.of(np.empty((0, 8), np.float32), CARD), SPEC)
    together([lambda n=n: index.add(vectors([n] * 3, 0)) for n in range(THREADS)])
    assert index.rows == 3 * THREADS
    assert index.known(np.arange(3 * THREADS)).all()
    got = index.get(np.arange(3 * THREADS)).vectors.reshape(THREADS, 3, 8)
    np.testing.assert_array_equal(got, got[:, :1].repeat(3, axis=1))


def test_a_refused_change_harms_no_other(index, twin):
    other = pa.table({"other": [1]})
    calls = [
        lambda: act(index, twin, "add", [20], 1),
        lambda: act(index, twin, "add", [3], 1),  # there already
        lambda: index.add(vectors([21], 1), [21], other),
        lambda: index.delete(["a string"]),
        lambda: index.add(vectors([22], 1), ["a string"], keeper.payload([22], 1)),
        lambda: act(index, twin, "delete", [4, 5], 1),
        lambda: act(index, twin, "add", [20], 2),  # the same as the first
        lambda: act(index, twin, "upsert", [6, 23], 1),
    ]
    done = waiting(index, calls)
    assert [done[n] for n in (0, 5, 7)] == [1, 2, 2]
    said = [str(done[n]) for n in (1, 2, 3, 4, 6)]
    for message, want in zip(
        said,
        ["id 3 is in", "the payload columns", "are integers, got 'a string'", "give ids of one kind", "id 20 is in"],
        strict=True,
    ):
        assert want in message
    for verb, numbers in (("add", [20]), ("delete", [4, 5]), ("upsert", [6, 23])):
        twin.apply(verb, numbers, 1)
    check(index, twin)
    check(Index.open(index.path), twin)


def test_the_first_rows_of_an_index_decide_what_those_beside_them_must_be(tmp_path):
    index = Index.build(tmp_path / "index", Rows.of(np.empty((0, 8), np.float32), CARD), SPEC)
    calls = [
        lambda: index.add(vectors([1], 0), [1], keeper.payload([1], 0)),
        lambda: index.add(vectors([2], 0), [2]),
        lambda: index.add(vectors([3], 0), [3], pa.table({"other": [1]})),
        lambda: index.add(vectors([4], 0), ["4"], keeper.payload([4], 0)),
        lambda: index.add(vectors([5], 0), [5], keeper.payload([5], 0).select(["version", "word"])),
    ]
    done = waiting(index, calls)
    assert done[0] == done[4] == 1
    assert all(isinstance(error, InputError) for error in done[1:4]), done
    twin = Twin(rows={1: 0, 5: 0})
    check(index, twin)
    check(Index.open(index.path), twin)


def test_numbers_too_large_for_float16_harm_no_other(tmp_path):
    spec = BuildSpec(Layout.of(Nesting((3, 8)), reference="float16"))
    index = Index.build(tmp_path / "index", Rows.of(vectors([0], 0), CARD), spec)
    for many in (1, 5000):  # fewer than a chunk, and more
        calls = [
            lambda: index.add(vectors([1], 0)),
            lambda n=many: index.add(1e6 * vectors([1] * n, 0)),
            lambda: index.add(vectors([2], 0)),
        ]
        one, error, other = waiting(index, calls)
        assert one == other == 1
        assert "float16 holds numbers up to 65504" in str(error)
    assert index.rows == Index.open(index.path).rows == 5
    assert index.search(QUERIES, 9).counts.tolist() == [5, 5, 5]
    assert index.verify() == []


def test_a_row_is_deleted_once_however_many_ask_for_it(index, twin):
    done = waiting(index, [lambda: index.delete([5]), lambda: index.delete([5, 6]), lambda: index.delete([6])])
    assert sum(done) == 2
    assert done[0] == 1
    twin.apply("delete", [5, 6], 0)
    check(index, twin)


def test_a_row_may_be_deleted_and_added_again_in_one_group(index, twin):
    done = waiting(
        index,
        [
            lambda: act(index, twin, "delete", [5], 0),
            lambda: act(index, twin, "add", [5], 1),
            lambda: act(index, twin, "upsert", [5, 20], 2),
            lambda: act(index, twin, "delete", [20], 0),
        ],
    )
    assert done == [1, 1, 2, 1]
    twin.rows[5], twin.top = 2, 20
    check(index, twin)


def test_adds_and_deletes_of_one_id_end_in_a_serial_order(index):
    """Each delete that counted took away what one add brought, so their numbers tell whether the row is there."""
    twin, there = Twin(), 0
    for turn in range(4):
        calls = [lambda n=n: act(index, twin, ("add", "delete", "upsert")[n % 3], [50], n) for n in range(THREADS)]
        done = together(calls)
        added = sum(done[n] == 1 for n in range(0, THREADS, 3))
        deleted = sum(done[n] for n in range(1, THREADS, 3))
        upserted = len(range(2, THREADS, 3))
        assert all(isinstance(done[n], int) or "upsert replaces" in str(done[n]) for n in range(THREADS))
        now = int(index.known([50])[0])
        brought = there + added + upserted
        assert now <= brought - deleted <= now + upserted, (turn, done)  # an upsert may replace
        assert index.rows == 10 + now
        if now:
            version = index.get([50]).payload["version"].to_pylist()[0]
            np.testing.assert_array_equal(index.get([50]).vectors, vectors([50], version))
        check_same(index)
        there = now


def check_same(index):
    """What a new reader finds is what this index finds."""
    assert index.search(QUERIES, 20).ids.tolist() == Index.open(index.path).search(QUERIES, 20).ids.tolist()


def test_a_large_change_and_small_ones_come_one_after_the_other(tmp_path):
    index = Index.build(tmp_path / "index", Rows.of(vectors([0], 0), CARD), SPEC)
    rows = np.random.default_rng(0).standard_normal((20_000, 8)).astype(np.float32)
    calls = [lambda: index.add(rows), *[lambda: index.add(rows[:2]) for _ in range(4)], index.compact]
    done = together(calls)
    assert done[:5] == [20_000, 2, 2, 2, 2]
    assert index.rows == 20_009
    assert index.known(np.arange(20_009)).all()
    assert index.verify() == []


def test_several_changes_under_one_lock(index, twin):
    with index.writing():
        for version, (verb, numbers) in enumerate(
            [("add", [20, 21]), ("delete", [3]), ("upsert", [4]), ("compact", []), ("add", [3])], 1
        ):
            assert act(index, twin, verb, numbers, version) == twin.apply(verb, numbers, version)
            check(index, twin)
        other = Index.open(index.path)
        with pytest.raises(StorageError, match=f"index is being written by process {os.getpid()} on .*; there is one"):
            other.delete([1])
    assert other.delete([1]) == twin.apply("delete", [1], 0)
    check(index.refresh(), twin)


HOLDING = """
import sys
from mrl.retrieval import Index
with Index.open(sys.argv[1]).writing():
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_a_second_writer_is_refused_with_the_name_of_the_first(index, twin):
    with child(HOLDING, index.path) as holder:
        for call in (
            lambda: act(index, twin, "add", [20], 1),
            lambda: index.add(np.ones((20_000, 8), np.float32)),
            lambda: act(index, twin, "delete", [1], 1),
            index.compact,
        ):
            with pytest.raises(
                StorageError, match=f"index is being written by process {holder.pid} on .*; there is one writer"
            ):
                call()
        check(index, twin)
        assert index.verify() == []
        ended(holder)
    assert act(index, twin, "add", [20], 1) == twin.apply("add", [20], 1)
    check(index, twin)


def test_what_another_commits_is_seen_after_refresh_and_built_upon(index, twin):
    other, old = Index.open(index.path), twin.copy()
    act(other, twin, "upsert", [1, 20], 1)
    twin.apply("upsert", [1, 20], 1)
    check(index, old)
    assert index.refresh() is index
    check(index, twin)
    act(other, twin, "delete", [20], 2)
    twin.apply("delete", [20], 2)
    act(index, twin, "add", [20], 3)  # which sees that it is gone
    twin.apply("add", [20], 3)
    check(index, twin)
    check(other.refresh(), twin)


# --------------------------------------------------------------------------------------------- readers


def names(index):
    return {file.name for file in index.path.iterdir()}


def changed_much(writer, twin):
    """Add, replace, delete and compact, several times."""
    for version, (verb, numbers) in enumerate(
        [("add", [20, 21]), ("delete", [1, 2]), ("upsert", [3, 4]), ("compact", []), ("add", [22]), ("compact", [])], 1
    ):
        assert act(writer, twin, verb, numbers, version) == twin.apply(verb, numbers, version)


@pytest.mark.parametrize("touched", [False, True])
def test_a_reader_sees_its_state_throughout(index, twin, touched):
    reader, old, before = Index.open(index.path), twin.copy(), set(index.snapshot.folder.entries)
    if touched:
        check(reader, old)
    changed_much(index, twin)
    check(reader, old)
    assert reader.verify() == []
    assert before <= names(index)
    copy = reader.copy(index.path.with_name("copy"))
    check(copy, old)
    del reader
    gc.collect()
    act(index, twin, "add", [30], 9)
    twin.apply("add", [30], 9)
    check(index, twin)
    assert not before & names(index)


CHANGING = """
import sys
from mrl.retrieval import Index
from retrieval.keeper import Twin, act
from retrieval.test_changes import changed_much
print("ready", flush=True)
sys.stdin.readline()
changed_much(Index.open(sys.argv[1]), Twin(rows=dict.fromkeys(range(10), 0), top=9))
"""


def test_a_reader_sees_its_state_while_another_process_writes(index, twin):
    old, before = twin.copy(), set(index.snapshot.folder.entries)
    with child(CHANGING, index.path) as process:
        ended(process)
    check(index, old)
    assert index.verify() == []
    assert before <= names(index)
    changed_much(twin.copy().build(index.path.with_name("same"), list(range(10))), twin)
    check(index.refresh(), twin)


READING = """
import sys
from mrl.retrieval import Index
from retrieval.keeper import Twin, check
index = Index.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
check(index, Twin(rows=dict.fromkeys(range(10), 0), top=9))
assert index.verify() == []
"""


def test_a_reader_in_another_process_keeps_its_files_until_it_ends(index, twin):
    before = set(index.snapshot.folder.entries)
    with child(READING, index.path) as reader:
        changed_much(index, twin)
        assert before <= names(index)
        ended(reader)
    act(index, twin, "add", [30], 9)
    twin.apply("add", [30], 9)
    assert not before & names(index)
    check(index, twin)


def test_searches_go_on_while_a_thread_writes(index):
    """Each sees one state: whole groups of four rows, which come and go together."""
    stop, seen = threading.Event(), []

    def write():
        twin, draws = Twin(), np.random.default_rng(0)
        for version in range(1, 25):
            first = 20 + 4 * int(draws.integers(4))
            verb = ("upsert", "delete", "upsert", "compact")[version % 4]
            act(index, twin, verb, list(range(first, first + 4)), version)
        stop.set()

    def search():
        while not stop.is_set():
            found = index.search(QUERIES[0], 30)
            present = set(found.ids.tolist())
            groups = [len(present & set(range(start, start + 4))) for start in range(20, 36, 4)]
            seen.append(set(groups) <= {0, 4} and set(range(10)) <= present)

    together([write, search, search])
    assert all(seen)
    assert len(seen) > 2


def test_a_copy_made_while_a_thread_writes_is_one_committed_state(tmp_path, index, twin):
    stop = threading.Event()

    def write():
        for number in range(20, 45):
            act(index, twin, "add", [number], 0)
            if number % 6 == 0:
                index.compact()
        stop.set()

    def copy():
        made = []
        while not stop.is_set():
            made.append(index.copy(tmp_path / f"copy{len(made)}"))
        return made

    copies = together([write, copy])[1]
    assert copies
    for made in copies:
        assert made.verify() == []
        numbers = [*range(10), *range(20, 10 + made.rows)]
        check(made, Twin(rows=dict.fromkeys(numbers, 0)))

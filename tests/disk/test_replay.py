"""No moment of a write at which a crash does harm: everything that lasts, replayed."""

import re

import numpy as np
import pytest

from mrl import disk, log
from mrl.card import Card
from mrl.disk import LOCK, MANIFEST, Device, Folder
from mrl.errors import StorageError
from mrl.nesting import Nesting
from mrl.vectors import Table
from replay import Recorder, replay

OWNED = re.compile(r"[ab]\d")
CARD = Card("replayed", 4, Nesting((2,)))


def rows(block):
    return np.full((2, 4), block, np.float32)


def opened(opening):
    """What opens, or None if it says that nothing was committed; any other error is one."""
    try:
        return opening()
    except StorageError as error:
        if "nothing was committed" not in str(error):
            raise
        return None


# --------------------------------------------------------------------------------------------- one file


def test_a_file_is_replaced_as_a_whole(tmp_path):
    def work(path):
        for n in range(3):
            disk.write(path / "file", bytes([n]) * (n + 1) * 10)
            yield n

    def check(path, n):
        if not (path / "file").exists():
            assert n is None
            return
        content = (path / "file").read_bytes()
        assert len(set(content)) == 1
        assert len(content) == 10 * (content[0] + 1)
        assert content[0] in ((0,) if n is None else (n, n + 1))

    assert replay(work, check, tmp_path) > 10


def test_lines_of_a_log_that_was_flushed_stay(tmp_path):
    def begin(path):
        log.append_line(path / "log", {"n": 0})

    def work(path):
        for n in range(1, 4):
            log.append_line(path / "log", {"n": n})
            log.flush(path / "log")
            yield n

    def check(path, n):
        assert [line["n"] for line in log.read_lines(path / "log")] in ([*range((n or 0) + 1)], [*range((n or 0) + 2)])
        log.append_line(path / "log", {"n": "more"})
        assert log.read_lines(path / "log")[-1] == {"n": "more"}

    assert replay(work, check, tmp_path, begin) > 4


# --------------------------------------------------------------------------------------------- folders

DROPS = ((b"a0", b"b0"), (b"a1", b"b0"), (b"a1", b"b2"), (b"a3", b"b3"))  # of states: what its two files hold


def change(folder, state):
    """Commit the next state: the files that differ are new, those that they replace are dropped."""
    new = {content.decode(): content for content in DROPS[state] if content.decode() not in folder.entries}
    wanted = {content.decode() for content in DROPS[state]}
    folder.commit(new, {"state": state}, keep=lambda name: name in wanted)


def check_folder(path, n):
    """A committed state opens, no older than what was acknowledged, and writing goes on from it."""
    folder = opened(lambda: Folder.open(path / "folder", "kind"))
    if folder is None:
        assert n is None
        return
    state = folder.manifest["state"]
    assert state in ((0,) if n is None else (n, n + 1))
    assert sorted(file.read_bytes() for file in folder.verify()) == sorted(DROPS[state])
    check_nothing_left(folder, state)
    for following in range(state + 1, len(DROPS)):
        change(folder, following)
    assert len(list(Folder.open(folder.path, "kind").verify())) == 2
    check_nothing_left(folder, len(DROPS) - 1)


def check_nothing_left(folder, state):
    """After a sweep there are the state's files, and at most one manifest besides the newest."""
    folder.sweep(OWNED)
    left = {file.name for file in folder.path.iterdir() if not file.match("manifest*.json")}
    assert left - {LOCK} == {content.decode() for content in DROPS[state]}
    assert [file.name for file in folder.path.glob("manifest-*.json")] in (
        [],
        [f"manifest-{folder.number - 1:08d}.json"],
    )


def work_on_folder(path):
    folder = Folder.create(path / "folder", "kind")
    for state in range(len(DROPS)):
        change(folder, state)
        yield state


def test_a_folder_that_drops_files_is_always_at_a_committed_state(tmp_path):
    assert replay(work_on_folder, check_folder, tmp_path) > 50


class Linkless(Device):
    """A file system where a file has one name."""

    def link(self, old, new):
        raise PermissionError(1, "Operation not permitted", str(new))


def test_so_it_is_where_there_are_no_links(tmp_path):
    class Recording(Linkless, Recorder):
        pass

    assert replay(work_on_folder, check_folder, tmp_path, recorder=Recording) > 50


def test_streamed_files_are_whole_or_not_there(tmp_path):
    def work(path):
        folder = Folder.create(path / "folder", "kind")
        for n in range(2):
            with folder.draft(f"{n}.npy") as draft:
                np.save(draft, rows(n))
            folder.commit({f"{n}.npy": draft}, {"n": n}, keep=lambda _: True)
            yield n

    def check(path, n):
        folder = opened(lambda: Folder.open(path / "folder", "kind"))
        assert folder is not None or n is None
        for number, file in enumerate(folder.verify() if folder else ()):
            np.testing.assert_array_equal(np.load(file), rows(number))
        assert n is None or len(folder.entries) in (n + 1, n + 2)

    assert replay(work, check, tmp_path) > 20


# --------------------------------------------------------------------------------------------- tables


def work_on_table(path):
    with Table.create(path / "t", CARD) as writer:
        for block in range(2):
            writer.add(rows(block))
            yield block + 1, False
    yield 2, True
    with Table.append(path / "t", CARD) as writer:
        writer.add(rows(2))
        yield 3, False
    yield 3, True


COMMITTED = [(1, False), (2, False), (2, True), (3, False), (3, True)]


def check_table(path, acknowledged):
    table = opened(lambda: Table.open(path / "t", unfinished=True))
    if table is None:
        assert acknowledged is None
    else:
        first = COMMITTED.index(acknowledged) if acknowledged else 0
        assert (table.rows // 2, table.finished) in COMMITTED[first : first + 2]
        np.testing.assert_array_equal(table.vectors, np.concatenate([rows(b) for b in range(table.rows // 2)]))
    goes_on(path / "t", 0 if table is None else table.rows)


def goes_on(path, before):
    """What was left is taken up, and nothing else is left in the end."""
    with (Table.append if Table.begun(path) else Table.create)(path, CARD) as writer:
        writer.add(rows(9))
    table = Table.open(path)
    assert table.rows == before + 2
    blocks = {file.name for file in path.iterdir()} - {LOCK, MANIFEST}
    assert len([name for name in blocks if not name.startswith("manifest-")]) == table.verify() == 2 * (table.rows // 2)


def test_a_table_is_always_at_a_committed_block(tmp_path):
    assert replay(work_on_table, check_table, tmp_path) > 50


# --------------------------------------------------------------------------------------------- the harness itself


class Careless(Recorder):
    """A device that leaves something out, and so should be found out."""

    def __init__(self, root, without):
        super().__init__(root)
        setattr(self, without, lambda _: None)


@pytest.mark.parametrize("without", ["flush", "flush_folder"])
def test_the_harness_finds_what_is_not_flushed(tmp_path, without):
    with pytest.raises((AssertionError, StorageError)):
        replay(work_on_folder, check_folder, tmp_path, recorder=lambda root: Careless(root, without))


def test_the_harness_finds_a_manifest_that_is_there_before_its_files(tmp_path):
    class Hasty(Recorder):
        """Flushes the folder after the manifest alone."""

        def flush_folder(self, path):
            if self.steps and any(name.name == MANIFEST for name in self.steps[-1].names):
                super().flush_folder(path)

    with pytest.raises((AssertionError, StorageError)):
        replay(work_on_folder, check_folder, tmp_path, recorder=Hasty)

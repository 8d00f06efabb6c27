"""One writer, and readers that keep what they opened."""

import errno
import gc
import hashlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl import disk
from mrl.card import Card
from mrl.disk import LOCK, Device, Entry, Folder, using
from mrl.disk.state import Verified
from mrl.errors import DamagedError, ExistsError, StorageError
from mrl.nesting import Nesting
from mrl.vectors import Table

OWNED = re.compile(r"\d+\.bin")


def keep_all(_name):
    return True


def keep_none(_name):
    return False


@pytest.fixture
def folder(tmp_path):
    made = Folder.create(tmp_path / "folder", "kind")
    made.commit({"1.bin": b"one"}, {"n": 1}, keep_all)
    return made


def inside(folder):
    return sorted(path.name for path in folder.path.iterdir() if path.name not in (LOCK, "manifest.json"))


# --------------------------------------------------------------------------------------------- the manifest before


def test_the_manifest_before_is_kept_and_no_more(folder):
    assert inside(folder) == ["1.bin"]
    for n in range(2, 5):
        before = (folder.path / "manifest.json").read_bytes()
        folder.commit({f"{n}.bin": b""}, {"n": n}, keep_none)
        assert inside(folder) == [f"{n}.bin", f"manifest-{n - 1:08d}.json"]
        assert (folder.path / f"manifest-{n - 1:08d}.json").read_bytes() == before
        assert folder.number == Folder.open(folder.path, "kind").number == n


def test_a_damaged_manifest_names_the_one_before_and_the_way_back_works(folder):
    folder.commit({"2.bin": b"two"}, {"n": 2}, keep_all)
    manifest, said = folder.path / "manifest.json", "copy manifest-00000001.json over it to go back to the state before"
    manifest.write_bytes(manifest.read_bytes().replace(b'"n": 2', b'"n": 3'))
    with pytest.raises(DamagedError, match=rf"manifest.json is damaged: .*restore it from a copy, or {said}, then ver"):
        Folder.open(folder.path, "kind")
    manifest.unlink()
    with pytest.raises(DamagedError, match=rf"manifest.json is missing; restore it from a copy, or {said}"):
        Folder.open(folder.path, "kind")
    assert not Folder.begun(folder.path, OWNED), "nobody takes over what may be brought back"
    manifest.write_bytes((folder.path / "manifest-00000001.json").read_bytes())
    back = Folder.open(folder.path, "kind")
    assert (back.manifest, [path.name for path in back.verify()]) == ({"n": 1}, ["1.bin"])
    back.sweep(OWNED)
    for n in (2, 3):
        back.commit({f"{n}.bin": b"again"}, {"n": n}, keep_all)
    assert inside(back) == ["1.bin", "2.bin", "3.bin", "manifest-00000002.json"]


def test_a_folder_from_before_commits_were_counted_is_read_and_gone_on_with(tmp_path):
    path, blank = tmp_path / "old", "0" * 64
    path.mkdir()
    (path / "1.bin").write_bytes(b"one")
    entry = {"bytes": 3, "sha256": hashlib.sha256(b"one").hexdigest()}
    document = {"format": "kind", "version": 1, "sha256": blank, "n": 1, "files": {"1.bin": entry}}
    raw = json.dumps(document, indent=2).encode() + b"\n"
    (path / "manifest.json").write_bytes(raw.replace(blank.encode(), hashlib.sha256(raw).hexdigest().encode()))
    old = Folder.open(path, "kind")
    assert (old.number, old.manifest, len(list(old.verify()))) == (0, {"n": 1}, 1)
    old.commit({"2.bin": b"two"}, {"n": 2}, keep_all)
    assert inside(old) == ["1.bin", "2.bin", "manifest-00000000.json"]
    assert Folder.open(path, "kind").number == 1


class Linkless(Device):
    """A file system where a file has one name."""

    def link(self, old, new):
        raise PermissionError(errno.EPERM, "Operation not permitted")


def test_where_files_have_one_name_the_manifest_before_is_copied(folder):
    with using(Linkless()):
        for n in (2, 3):
            folder.commit({f"{n}.bin": b""}, {"n": n}, keep_none)
    assert inside(folder) == ["3.bin", "manifest-00000002.json"]
    assert disk.read_json(folder.path / "manifest-00000002.json", "kind")["n"] == 2


# --------------------------------------------------------------------------------------------- readers


def test_a_reader_keeps_its_files_until_it_lets_go(folder):
    reader = Folder.open(folder.path, "kind")
    for n in (2, 3, 4):
        folder.commit({f"{n}.bin": b"new"}, {"n": n}, keep_none)
        assert inside(folder) == sorted({"1.bin", f"{n}.bin", "manifest-00000001.json", f"manifest-{n - 1:08d}.json"})
    assert reader.verified("1.bin").read_bytes() == b"one"
    assert not reader.current()
    assert reader.refreshed().manifest == {"n": 4}
    reader.close()
    reader.close()
    assert "1.bin" in inside(folder), "readers remove nothing"
    folder.commit({"5.bin": b"new"}, {"n": 5}, keep_none)
    assert inside(folder) == ["5.bin", "manifest-00000004.json"]


def test_a_reader_that_is_gone_pins_nothing(folder):
    readers = [Folder.open(folder.path, "kind") for _ in range(3)]
    del readers
    gc.collect()
    folder.commit({}, {"n": 2}, keep_none)
    assert inside(folder) == ["manifest-00000001.json"]


@pytest.mark.parametrize("how", ["sweep", "another writer"])
def test_what_a_reader_held_goes_later(folder, how):
    reader = Folder.open(folder.path, "kind")
    folder.commit({}, {"n": 2}, keep_none)
    reader.close()
    assert "1.bin" in inside(folder)
    if how == "sweep":
        folder.sweep(re.compile("nothing"))
    else:
        Folder.open(folder.path, "kind").commit({}, {"n": 3}, keep_all)
    assert "1.bin" not in inside(folder)


def test_a_name_that_a_reader_still_holds_is_not_given_anew(folder):
    reader = Folder.open(folder.path, "kind")
    folder.commit({}, {"n": 2}, keep_none)
    with pytest.raises(ExistsError, match=r"already holds 1.bin; committed files are not overwritten"):
        folder.commit({"1.bin": b"other"}, {"n": 3}, keep_none)
    assert reader.verified("1.bin").read_bytes() == b"one"
    reader.close()
    folder.commit({"1.bin": b"other"}, {"n": 3}, keep_none)
    assert folder.verified("1.bin").read_bytes() == b"other"


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["commit", "open", "close"]), st.integers(0, 9)), max_size=25))
def test_whatever_comes_and_goes_each_reader_has_its_state_and_no_file_is_left(tmp_path_factory, steps):
    path = tmp_path_factory.mktemp("shared") / "folder"
    writer, readers = Folder.create(path, "kind"), []
    writer.commit({"0.bin": b"0"}, {"files": 0, "n": ["0.bin"]}, keep_all)
    for number, (step, pick) in enumerate(steps, 1):
        if step == "commit":
            kept = {name for i, name in enumerate(writer.entries) if i + pick & 1}
            wanted = sorted({f"{number}.bin"} | kept)
            writer.commit({f"{number}.bin": str(number).encode()}, {"n": wanted}, kept.__contains__)
        elif step == "open":
            readers.append(Folder.open(path, "kind"))
        elif readers:
            readers.pop(pick % len(readers)).close()
        for reader in readers:
            assert sorted(reader.entries) == reader.manifest["n"]
            assert all((path / name).read_bytes() == name[:-4].encode() for name in reader.entries)
    with writer.lock():
        writer.sweep(re.compile("nothing"))
    named = set(writer.entries).union(*(reader.entries for reader in readers))
    assert {name for name in inside(writer) if not name.startswith("manifest-")} == named


def test_many_open_folders_take_one_descriptor_each_and_give_it_back(folder):
    def count():
        return len(list(Path("/proc/self/fd").iterdir()))

    before = count()
    readers = [Folder.open(folder.path, "kind") for _ in range(20)]
    assert count() == before + 20
    for reader in readers[:10]:
        reader.close()
    assert count() == before + 10
    del reader, readers
    assert count() == before
    for n in range(2, 9):
        folder.commit({f"{n}.bin": b"x"}, {"n": n}, keep_none)
    assert count() == before


def test_a_reader_that_may_not_write_is_none_the_worse(folder):
    for path in (folder.path / "1.bin", folder.path / "manifest.json", folder.path):
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        assert [path.name for path in Folder.open(folder.path, "kind").verify()] == ["1.bin"]
    finally:
        folder.path.chmod(0o755)


def test_a_refreshed_folder_compares_nothing_twice(folder):
    folder.commit({"2.bin": b"two"}, {"n": 2}, keep_all)
    reader = Folder.open(folder.path, "kind")
    reader.verified("1.bin")
    (folder.path / "1.bin").write_bytes(b"bad")
    folder.commit({"3.bin": b"new"}, {"n": 3}, keep_all)
    newer = reader.refreshed()
    newer.verified("1.bin")
    (folder.path / "2.bin").write_bytes(b"bad")
    with pytest.raises(DamagedError, match=r"2.bin is damaged"):
        newer.verified("2.bin")


def test_threads_that_ask_for_one_file_have_it_compared_once():
    verified, entry, compared, going = Verified(), Entry("1.bin", 3, "…"), [], threading.Barrier(8)

    def ask():
        going.wait()
        verified.once(entry, lambda each: compared.append(sum(range(200_000)) and each))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert compared == [entry]


def test_a_file_that_was_found_damaged_is_compared_again(folder):
    reader = Folder.open(folder.path, "kind")
    (folder.path / "1.bin").write_bytes(b"eno")
    for _ in range(2):
        with pytest.raises(DamagedError):
            reader.verified("1.bin")
    (folder.path / "1.bin").write_bytes(b"one")
    reader.verified("1.bin")


def test_every_damaged_and_missing_file_is_told(folder):
    folder.commit({f"{n}.bin": b"two" for n in range(2, 6)}, {"n": 2}, keep_all)
    (folder.path / "2.bin").write_bytes(b"owt")
    (folder.path / "4.bin").unlink()
    assert list(Folder.open(folder.path, "kind").damaged()) == [
        (folder.path / "2.bin", "is damaged: its bytes do not match manifest.json; restore it from a copy"),
        (folder.path / "4.bin", "is missing although manifest.json names it; restore it from a copy"),
    ]


# --------------------------------------------------------------------------------------------- writers

HOLDING = """
import os, sys
from pathlib import Path
from mrl.disk import Folder
folder = Folder.open(Path(sys.argv[1]), "kind")
with folder.lock():
    ready, told = os.pipe()
    if sys.argv[2] == "fork":
        if os.fork() == 0:
            os.write(told, b"1")
            sys.stdin.read()  # a child that outlives its parent
            os._exit(0)
        os.read(ready, 1)  # until it runs, it has not let go of what it was born with
    print(os.getpid(), flush=True)
    sys.stdin.read()
"""


def test_one_writer_at_a_time_and_none_once_it_is_dead(folder):
    with ExitStack() as stack:
        children = []
        for how in ("alone", "fork"):
            command = [sys.executable, "-c", HOLDING, folder.path, how]
            child = stack.enter_context(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE))
            children.append(child)
            number = int(child.stdout.readline())
            with pytest.raises(
                StorageError,
                match=rf"{folder.path} is being written by process {number} on {re.escape(socket.gethostname())}; "
                "there is one writer at a time: let that one finish, or end it, and try again",
            ):
                folder.commit({"2.bin": b"two"}, {"n": 2}, keep_all)
            assert Folder.open(folder.path, "kind").manifest == {"n": 1}
            child.send_signal(signal.SIGKILL)
            child.wait()
            with folder.lock():
                pass
        for child in children:
            child.stdin.close()
    folder.commit({"2.bin": b"two"}, {"n": 2}, keep_all)


def test_a_lock_is_nested_and_shared_with_the_refreshed_folder(folder):
    other = Folder.open(folder.path, "kind")
    with folder.lock():
        with folder.lock():
            folder.commit({"2.bin": b"two"}, {"n": 2}, keep_all)
        newer = folder.refreshed()
        newer.commit({"3.bin": b"three"}, {"n": 3}, keep_all)
        with pytest.raises(StorageError, match="is being written by process"), other.lock():
            pass
    with other.lock():
        assert not other.current()


def test_who_did_not_see_the_newest_state_may_not_commit(folder):
    late = Folder.open(folder.path, "kind")
    folder.commit({"2.bin": b"two"}, {"n": 2}, keep_all)
    with pytest.raises(
        StorageError,
        match=r"another writer committed to .*/folder since it was opened; nothing was overwritten\. Let one writer "
        "finish, then open it again and add the rest",
    ):
        late.commit({"2.bin": b"other"}, {"n": 3}, keep_all)
    assert Folder.open(folder.path, "kind").verified("2.bin").read_bytes() == b"two"
    late.refreshed().commit({"3.bin": b"other"}, {"n": 3}, keep_all)


def test_of_two_new_folders_at_one_place_the_second_is_refused(tmp_path):
    first, second = (Folder.create(tmp_path / "x", "kind") for _ in range(2))
    first.commit({}, {}, keep_all)
    with pytest.raises(StorageError, match="another writer committed"):
        second.commit({}, {}, keep_all)


def test_a_place_that_cannot_be_locked_is_named(tmp_path):
    folder = Folder.create(tmp_path / "x", "kind")
    folder.path.rmdir()
    with pytest.raises(StorageError, match=r"cannot lock .*/x for writing: No such file or directory; free some space"):
        folder.commit({}, {}, keep_all)


# --------------------------------------------------------------------------------------------- leftovers

HALF = ".tmp-0123456789ab-"


def test_a_sweep_removes_what_killed_writers_left_and_nothing_else(folder):
    ours = ["7.bin", f"{HALF}8.bin", f"{HALF}manifest.json", f"{HALF}manifest-00000004.json"]
    foreign = ["mine.txt", f"{HALF}mine.txt", ".tmp-8.bin", "x7.bin"]
    for name in ours + foreign:
        (folder.path / name).touch()
    folder.sweep(OWNED)
    assert inside(folder) == sorted([*foreign, "1.bin"])
    folder.commit({"7.bin": b"x"}, {"n": 2}, keep_all)


def test_an_orphan_is_no_obstacle(folder):
    (folder.path / "2.bin").write_bytes(b"of a killed writer")
    folder.commit({"2.bin": b"two"}, {"n": 2}, keep_all)
    assert Folder.open(folder.path, "kind").verified("2.bin").read_bytes() == b"two"


def test_what_was_begun_is_taken_over_on_request(tmp_path):
    path = tmp_path / "x"
    assert not Folder.begun(path, OWNED)
    path.mkdir()
    (path / LOCK).touch()
    assert not Folder.begun(path, OWNED)
    disk.absent(path)
    (path / "3.bin").write_bytes(b"left")
    (path / f"{HALF}manifest.json").write_bytes(b"left")
    assert Folder.begun(path, OWNED)
    with pytest.raises(ExistsError):
        Folder.create(path, "kind")
    assert list(Folder.create(path, "kind", OWNED).path.iterdir()) == [path / LOCK]
    Folder.create(path, "kind", OWNED).commit({"3.bin": b"new"}, {}, keep_all)
    assert Folder.begun(path, OWNED)
    with pytest.raises(ExistsError):
        Folder.create(path, "kind", OWNED)


@pytest.mark.parametrize("foreign", ["mine.txt", "manifest-00000003.json"])
def test_what_may_be_somebodys_is_not_taken_over(tmp_path, foreign):
    for name in ("3.bin", foreign):
        (tmp_path / name).touch()
    assert not Folder.begun(tmp_path, OWNED)
    with pytest.raises(ExistsError):
        Folder.create(tmp_path, "kind", OWNED)
    assert (tmp_path / "3.bin").exists()


# --------------------------------------------------------------------------------------------- drafts


def test_a_draft_is_a_file_that_numpy_writes_and_whose_header_is_written_last(folder):
    rows = np.arange(12, dtype=np.float32).reshape(4, 3)
    with folder.draft("a.npy") as saved:
        np.save(saved, rows)
    streamed = folder.draft("b.npy")
    header = {"descr": "<f4", "fortran_order": False, "shape": (0, 3)}
    np.lib.format.write_array_header_1_0(streamed, header)
    start = streamed.tell()
    for row in rows:
        streamed.write(row.data)
    streamed.seek(0)
    np.lib.format.write_array_header_1_0(streamed, {**header, "shape": (4, 3)})
    assert streamed.tell() == start
    folder.commit({"a.npy": saved, "b.npy": streamed}, {"n": 2}, keep_all)
    for name in ("a.npy", "b.npy"):
        np.testing.assert_array_equal(np.load(Folder.open(folder.path, "kind").verified(name)), rows)
    assert [name for name in inside(folder) if name.startswith(".")] == []


def test_write_takes_a_draft(folder):
    draft = folder.draft("x")
    draft.write(b"content")
    disk.write(folder.path / "y", draft)
    assert (folder.path / "y").read_bytes() == b"content"


@pytest.mark.parametrize("how", ["discarded", "dropped", "error", "clash", "other failed", "not current"])
def test_drafts_that_come_to_nothing_vanish(folder, how):
    draft = folder.draft("1.bin" if how == "clash" else "2.bin")
    draft.write(b"half")
    if how == "discarded":
        draft.discard()
        draft.discard()
    elif how == "dropped":
        del draft
    elif how == "error":
        with pytest.raises(KeyError), draft:
            raise KeyError
    elif how == "clash":
        with pytest.raises(ExistsError):
            folder.commit({"1.bin": draft}, {"n": 2}, keep_all)
    elif how == "other failed":
        with pytest.raises(KeyError):
            folder.commit({"3.bin": b"", "2.bin": draft, "4.bin": lambda _: {}["x"]}, {"n": 2}, keep_all)
    else:
        Folder.open(folder.path, "kind").commit({}, {"n": 2}, keep_all)
        with pytest.raises(StorageError):
            folder.commit({"2.bin": draft}, {"n": 3}, keep_all)
    assert [name for name in inside(folder) if not name.startswith("manifest-")] == ["1.bin"]


def test_a_forked_child_leaves_its_parents_drafts_and_pins_alone(folder):
    draft, reader = folder.draft("2.bin"), Folder.open(folder.path, "kind")
    with folder.lock():
        child = os.fork()
        if not child:
            draft.discard()
            reader.close()
            folder._lock.give_back()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        with pytest.raises(StorageError, match="is being written"), Folder.open(folder.path, "kind").lock():
            pass
        folder.commit({"2.bin": draft}, {"n": 2}, keep_none)
    assert inside(folder) == ["1.bin", "2.bin", "manifest-00000001.json"]
    assert reader.verified("1.bin")


class Full(Device):
    """A device that takes nothing once it is full."""

    def flush(self, file):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_draft_that_a_full_disk_refuses_vanishes(folder):
    with using(Full()):
        draft = folder.draft("2.bin")
        with pytest.raises(
            StorageError, match=r"cannot write .*/2.bin: No space left on device; nothing was changed. F"
        ):
            draft.close()
    assert inside(folder) == ["1.bin"]


def test_a_table_that_is_open_keeps_its_blocks_whatever_is_committed(tmp_path):
    with Table.create(tmp_path / "t", Card("m", 2, Nesting((1,)))) as writer:
        writer.add(np.ones((3, 2), np.float32))
    table = Table.open(tmp_path / "t")
    Folder.open(tmp_path / "t", "mrl-table").commit({}, table._folder.manifest, keep_none)
    assert table.verify() == 2
    np.testing.assert_array_equal(table.vectors, np.ones((3, 2)))

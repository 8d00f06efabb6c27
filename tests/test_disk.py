import errno
import json
import os
import random
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mrl import disk, log
from mrl.disk import LOCK, Folder, using
from mrl.errors import DamagedError, ExistsError, InputError, StorageError
from mrl.vectors import Table
from oracles import flipped
from replay import Recorder

KILLS, ROWS = 10, 20

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.text().filter(lambda key: key not in ("format", "version", "sha256")), json_values)
TENSORS = {"weight.0": np.arange(6, dtype=np.float32).reshape(2, 3), "bias.0": np.array([1.5, -2], np.float16)}


def keep_all(_name):
    return True


def hidden(folder):
    """What a writer left over, but its lock."""
    return [path.name for path in folder.rglob(".*") if path.name != LOCK]


def files(folder):
    """Names of a folder's own files and the newest manifest."""
    found = sorted(path.name for path in folder.iterdir() if not path.match("manifest-*.json"))
    return [name for name in found if name != LOCK]


# --------------------------------------------------------------------------------------------- sealed files


@given(documents)
def test_sealed_json_round_trip(tmp_path_factory, document):
    path = tmp_path_factory.getbasetemp() / "document.json"
    disk.write_json(path, document, "kind", version=3)
    assert disk.read_json(path, "kind", version=3) == document
    assert json.loads(path.read_bytes())["format"] == "kind", "anyone can read it"


def test_names_that_are_no_utf8_survive(tmp_path):
    names = {"classes": [os.fsdecode(b"caf\xe9"), "café", "猫", '"sha256": "' + "0" * 64 + '"']}
    disk.write_json(tmp_path / "a", names, "kind")
    assert disk.read_json(tmp_path / "a", "kind") == names
    (tmp_path / "a").read_text("utf-8")
    log.append_line(tmp_path / "log", names)
    assert log.read_lines(tmp_path / "log") == [names]


def seal_tensors(path, about=None):
    disk.write(path, disk.sealed_tensors(TENSORS, about or {}, "kind"))


@pytest.mark.parametrize("about", [{}, {"a": [1, "ü", None]}, {"seal": '"sha256":"' + "0" * 64 + '"', "n": "0" * 64}])
def test_sealed_tensors_round_trip(tmp_path, about):
    for _ in range(5):  # the order of the fields in the header is not always the same
        seal_tensors(tmp_path / "a", about)
        tensors, read = disk.read_tensors(tmp_path / "a", "kind")
        assert read == about
        assert tensors.keys() == TENSORS.keys()
        for name, tensor in tensors.items():
            assert tensor.dtype == TENSORS[name].dtype
            np.testing.assert_array_equal(tensor, TENSORS[name])


def test_tensors_that_are_not_contiguous_are_stored_as_they_look(tmp_path):
    array = np.arange(12, dtype=np.float32).reshape(3, 4)
    disk.write(tmp_path / "a", disk.sealed_tensors({"t": array.T, "s": array[:, ::2]}, {}, "kind"))
    tensors, _ = disk.read_tensors(tmp_path / "a", "kind")
    np.testing.assert_array_equal(tensors["t"], array.T)
    np.testing.assert_array_equal(tensors["s"], array[:, ::2])


def test_the_seal_is_found_behind_a_header_of_megabytes(tmp_path):
    about = {"classes": [f"class {i}" for i in range(100_000)]}
    for _ in range(5):
        seal_tensors(tmp_path / "a", about)
        assert disk.read_tensors(tmp_path / "a", "kind")[1] == about


READERS = {
    "json": (lambda path: disk.write_json(path, {"name": "ü", "n": [1, 2]}, "kind"), disk.read_json),
    "tensors": (seal_tensors, disk.read_tensors),
}
sealed = pytest.mark.parametrize(("make", "read"), READERS.values(), ids=READERS)


@sealed
def test_every_flipped_bit_is_noticed(tmp_path, make, read):
    path = tmp_path / "sealed"
    make(path)
    raw = path.read_bytes()
    for position in range(len(raw)):
        for bit in range(8):
            path.write_bytes(flipped(raw, position, bit))
            with pytest.raises(DamagedError) as said:
                read(path, "kind")
            assert str(path) in str(said.value)
            assert "damaged" in str(said.value)
            assert "restore it from a copy" in str(said.value)
    path.write_bytes(raw)
    read(path, "kind")


@sealed
def test_truncated_and_lengthened_files_are_noticed(tmp_path, make, read):
    path = tmp_path / "sealed"
    make(path)
    raw = path.read_bytes()
    for other in [*(raw[:size] for size in range(len(raw))), raw + b" ", raw + b"\0", raw + raw, b" " + raw]:
        path.write_bytes(other)
        with pytest.raises(DamagedError, match=r"sealed is damaged"):
            read(path, "kind")


@sealed
@pytest.mark.parametrize("content", [b"", b"{}", b"\0" * 100, b"hello", b"PK\3\4", b'{"sha256": "xyz"}', b"\xff" * 9])
def test_foreign_files_are_refused(tmp_path, make, read, content):
    (tmp_path / "foreign").write_bytes(content)
    said = r"foreign is damaged or no kind file: it has no checksum; restore it from a copy"
    with pytest.raises(DamagedError, match=said):
        read(tmp_path / "foreign", "kind")


@pytest.mark.parametrize("make", [make for make, _ in READERS.values()], ids=READERS)
@pytest.mark.parametrize("read", [read for _, read in READERS.values()], ids=READERS)
def test_a_file_of_another_kind_is_refused(tmp_path, make, read):
    make(tmp_path / "a")
    with pytest.raises(InputError, match=r"/a holds 'kind', not 'mrl-other'; give the path of a mrl-other"):
        read(tmp_path / "a", "mrl-other")


def test_a_newer_version_is_refused_and_an_older_one_read(tmp_path):
    disk.write_json(tmp_path / "a", {"x": 1}, "kind", version=2)
    disk.write(tmp_path / "b", disk.sealed_tensors(TENSORS, {}, "kind", version=2))
    for read, name in [(disk.read_json, "a"), (disk.read_tensors, "b")]:
        read(tmp_path / name, "kind", 2)
        read(tmp_path / name, "kind", 3)
        said = f"/{name} has format version 2, this mrl reads up to 1; install a newer mrl"
        with pytest.raises(InputError, match=said):
            read(tmp_path / name, "kind", 1)


@sealed
def test_what_is_not_there_cannot_be_read(tmp_path, make, read):
    with pytest.raises(StorageError, match=r"cannot read .*nothing: No such file or directory"):
        read(tmp_path / "nothing", "kind")
    with pytest.raises(StorageError, match=r"cannot read .*: Is a directory"):
        read(tmp_path, "kind")


# --------------------------------------------------------------------------------------------- one file


def test_write_replaces_the_whole_file(tmp_path):
    for content in (b"long " * 100, b"short", b"", lambda file: file.write(b"by a function")):
        disk.write(tmp_path / "a", content)
        want = content if isinstance(content, bytes) else b"by a function"
        assert (tmp_path / "a").read_bytes() == want
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), OSError("100 requested and 7 written")]
)
def test_a_writer_that_fails_leaves_the_old_content(tmp_path, error):
    def fail(file):
        file.write(b"half")
        raise error

    disk.write(tmp_path / "a", b"old")
    with pytest.raises(
        StorageError, match=r"cannot write .*/a: .*; nothing was changed. Free some space or choose"
    ) as said:
        disk.write(tmp_path / "a", fail)
    assert (error.strerror or str(error)) in str(said.value)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert hidden(tmp_path) == []


def test_an_interrupt_leaves_the_old_content(tmp_path):
    def interrupt(_file):
        raise KeyboardInterrupt

    disk.write(tmp_path / "a", b"old")
    with pytest.raises(KeyboardInterrupt):
        disk.write(tmp_path / "a", interrupt)
    assert (tmp_path / "a").read_bytes() == b"old"
    assert hidden(tmp_path) == []


@pytest.mark.parametrize("name", ["missing/a", "x" * 300, "folder"])
def test_places_that_cannot_be_written_are_refused(tmp_path, name):
    (tmp_path / "folder").mkdir()
    with pytest.raises(StorageError, match=r"cannot write .*; nothing was changed"):
        disk.write(tmp_path / name, b"x")
    assert hidden(tmp_path) == []


# --------------------------------------------------------------------------------------------- folders


@pytest.fixture
def folder(tmp_path):
    made = Folder.create(tmp_path / "folder", "kind")
    made.commit({"a": b"aaa", "b": b"bbb"}, {"about": 1}, keep_all)
    return made


def test_a_committed_folder_opens_as_it_was(folder):
    opened = Folder.open(folder.path, "kind")
    assert opened.manifest == folder.manifest == {"about": 1}
    assert opened.entries == folder.entries
    assert opened.entries["a"].bytes == 3
    assert opened.verified("a").read_bytes() == b"aaa"
    assert [path.name for path in opened.verify()] == ["a", "b"]
    assert hidden(folder.path) == []


def test_a_folder_is_made_with_its_parents_or_from_an_empty_one(tmp_path):
    Folder.create(tmp_path / "x" / "y", "kind").commit({}, {}, keep_all)
    (tmp_path / "empty").mkdir()
    Folder.create(tmp_path / "empty", "kind").commit({}, {}, keep_all)
    assert Folder.open(tmp_path / "x" / "y", "kind").entries == {}


def test_every_new_folder_is_flushed_into_its_parent(tmp_path):
    recorder = Recorder(tmp_path)
    with using(recorder):
        Folder.create(tmp_path / "x" / "y", "kind").commit({"a": b"a"}, {}, keep_all)
    flushed = {step.folder for step in recorder.steps}
    assert {tmp_path, tmp_path / "x", tmp_path / "x" / "y"} <= flushed


@pytest.mark.parametrize("there", ["file", "folder"])
def test_what_exists_is_not_overwritten(tmp_path, there):
    path = tmp_path / there
    if there == "file":
        path.write_text("mine")
    else:
        path.mkdir()
        (path / "mine").write_text("mine")
    with pytest.raises(
        ExistsError, match=rf"{there} already exists and is not overwritten; remove it or choose another"
    ):
        Folder.create(path, "kind")
    assert (path if there == "file" else path / "mine").read_text() == "mine"


def test_a_folder_inside_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=r"cannot create .*: Not a directory; choose another --out"):
        Folder.create(tmp_path / "file" / "folder", "kind")


def test_committed_names_are_never_used_again(folder):
    with pytest.raises(ExistsError, match="folder already holds a, b; committed files are not overwritten"):
        folder.commit({"b": b"new", "c": b"c", "a": b"new"}, {}, keep_all)
    assert [path.read_bytes() for path in Folder.open(folder.path, "kind").verify()] == [b"aaa", b"bbb"]
    assert not (folder.path / "c").exists()


@pytest.mark.parametrize("make", [lambda path: None, lambda path: path.mkdir(), lambda path: path.write_text("x")])
def test_where_nothing_was_committed_nothing_opens(tmp_path, make):
    make(tmp_path / "a")
    with pytest.raises(StorageError, match=r"/a is no kind: it has no manifest.json; nothing was committed there"):
        Folder.open(tmp_path / "a", "kind")


def test_a_folder_of_another_kind_is_refused(folder):
    with pytest.raises(InputError, match=r"manifest.json holds 'kind', not 'other'; give the path of a other"):
        Folder.open(folder.path, "other")


def test_files_that_a_commit_drops_are_gone(folder):
    folder.commit({"c": b"ccc"}, {"about": 2}, lambda name: name == "b")
    assert files(folder.path) == ["b", "c", "manifest.json"]
    for each in (folder, Folder.open(folder.path, "kind")):
        assert [path.name for path in each.verify()] == ["b", "c"]
        with pytest.raises(StorageError, match="has no file a; it holds b, c"):
            each.verified("a")


def test_a_reader_that_let_go_of_its_state_is_told_to_open_again(folder):
    reader = Folder.open(folder.path, "kind")
    reader.close()
    folder.commit({"c": b"ccc"}, {"about": 2}, lambda name: name == "b")
    assert reader.manifest == {"about": 1}
    assert reader.verified("b").read_bytes() == b"bbb", "what both states have can still be read"
    with pytest.raises(StorageError, match=r"/a is gone: a newer state replaced it; open .*folder again") as said:
        reader.verified("a")
    assert not isinstance(said.value, DamagedError)


def test_a_missing_file_is_named(folder):
    (folder.path / "b").unlink()
    opened = Folder.open(folder.path, "kind")
    opened.verified("a")
    for call in (lambda: opened.verified("b"), lambda: list(opened.verify())):
        with pytest.raises(
            DamagedError, match=r"/b is missing although manifest.json names it; restore it from a copy"
        ):
            call()


def test_a_name_that_was_never_committed_is_refused(folder):
    (folder.path / "stray").write_text("")
    with pytest.raises(StorageError, match="has no file stray; it holds a, b"):
        Folder.open(folder.path, "kind").verified("stray")
    with pytest.raises(StorageError, match="has no file a; it holds none"):
        Folder.create(folder.path / "inner", "kind").verified("a")


def test_every_flipped_bit_of_a_committed_file_is_noticed(folder):
    for position in range(3):
        for bit in range(8):
            (folder.path / "b").write_bytes(flipped(b"bbb", position, bit))
            opened = Folder.open(folder.path, "kind")
            with pytest.raises(DamagedError, match=r"/b is damaged: its bytes do not match manifest.json; restore"):
                opened.verified("b")
            with pytest.raises(DamagedError, match="/b is damaged"):
                list(opened.verify())


def test_every_flipped_byte_of_the_manifest_is_noticed(folder):
    path, draws = folder.path / "manifest.json", random.Random(0)
    raw = path.read_bytes()
    for position in range(len(raw)):
        path.write_bytes(flipped(raw, position, draws.randrange(8)))
        with pytest.raises(DamagedError, match=r"manifest.json is damaged"):
            Folder.open(folder.path, "kind")


def test_a_commit_that_fails_halfway_changes_nothing(folder):
    def fail(_file):
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StorageError, match=r"cannot write .*/d: No space left"):
        folder.commit({"c": b"ccc", "d": fail}, {"about": 2}, lambda _: False)
    assert sorted(path.name for path in folder.path.iterdir()) == [LOCK, "a", "b", "manifest.json"]
    for each in (folder, Folder.open(folder.path, "kind")):
        assert each.manifest == {"about": 1}
        assert len(list(each.verify())) == 2
    folder.commit({"c": b"ccc", "d": b"d"}, {"about": 2}, keep_all)
    assert len(list(Folder.open(folder.path, "kind").verify())) == 4


# --------------------------------------------------------------------------------------------- the log


def test_a_log_gives_back_its_lines(tmp_path):
    records = [{"n": 1}, {"text": "line\nbreak \u2028 ü \x85"}, {"deep": [{"a": None}]}]
    for record in records:
        log.append_line(tmp_path / "log", record)
    assert log.read_lines(tmp_path / "log") == records
    (tmp_path / "empty").write_bytes(b"")
    assert log.read_lines(tmp_path / "empty") == []


def test_a_log_cut_anywhere_gives_a_prefix_and_can_be_continued(tmp_path):
    path, records = tmp_path / "log", [{"n": 1}, {"n": 22}, {"n": 333}]
    for record in records:
        log.append_line(path, record)
    raw = path.read_bytes()
    for size in range(len(raw) + 1):
        path.write_bytes(raw[:size])
        whole = raw[:size].count(b"\n")
        assert log.read_lines(path) == records[:whole]
        log.append_line(path, {"next": True})
        assert log.read_lines(path) == [*records[:whole], {"next": True}]


@pytest.mark.parametrize("bad", [b"{", b"", b"3", b"\xff", b"null"])
def test_a_bad_line_inside_a_log_is_named(tmp_path, bad):
    (tmp_path / "log").write_bytes(b'{"n": 1}\n' + bad + b'\n{"n": 2}\n')
    with pytest.raises(DamagedError, match=r"log:2 is damaged: it is no JSON object; restore the log from a copy"):
        log.read_lines(tmp_path / "log")


def test_a_log_that_cannot_be_written_or_read_is_named(tmp_path):
    with pytest.raises(StorageError, match=r"cannot write .*/missing/log: No such file or directory; free some space"):
        log.append_line(tmp_path / "missing" / "log", {})
    with pytest.raises(StorageError, match=r"cannot read .*/log: No such file"):
        log.read_lines(tmp_path / "log")


# --------------------------------------------------------------------------------------------- a full disk

FILLING = """
import sys
from pathlib import Path
from mrl import disk, log
from mrl.errors import StorageError

path = Path(sys.argv[1])
big = b"x" * int(sys.argv[2])

def refused(do):
    try:
        do()
    except StorageError as error:
        print(error)
    else:
        sys.exit("it was written")

folder = disk.Folder.create(path / "folder", "kind")
folder.commit({"a": b"aaa"}, {"about": 1}, lambda _: True)
disk.write(path / "file", b"old")
log.append_line(path / "log", {"n": 1})
{limit}
refused(lambda: disk.write(path / "file", big))
refused(lambda: disk.write(path / "file", lambda file: file.write(big)))
refused(lambda: disk.write_json(path / "file", {"x": big.decode()}, "kind"))
refused(lambda: folder.commit({"small": b"s", "big": big}, {}, lambda _: False))
refused(lambda: folder.commit({"small": b"s"}, {"x": big.decode()}, lambda _: False))
refused(lambda: log.append_line(path / "log", {"x": big.decode()}))
log.append_line(path / "log", {"n": 2})
"""
LIMIT = """
import resource, signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))
"""


def check_filled(path, size, limit):
    """What a child that met a full disk said, and what is there after it."""
    code = FILLING.replace("{limit}", limit)
    done = subprocess.run([sys.executable, "-c", code, path, str(size)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert len(said) == 6
    for line, name in zip(said, ["file", "file", "file", "folder/big", "folder/manifest.json", "log"], strict=True):
        assert line.startswith(f"cannot write {path / name}: "), line
        assert "ree some space" in line
    assert hidden(path) == []
    assert (path / "file").read_bytes() == b"old"
    assert sorted(each.name for each in (path / "folder").iterdir()) == [LOCK, "a", "manifest.json"]
    folder = Folder.open(path / "folder", "kind")
    assert folder.manifest == {"about": 1}
    assert len(list(folder.verify())) == 1
    assert log.read_lines(path / "log") == [{"n": 1}, {"n": 2}]
    return said


def test_a_limit_on_the_size_of_files_leaves_all_as_it_was(tmp_path):
    said = check_filled(tmp_path, 20_000, LIMIT)
    assert all("File too large" in line for line in said)


@pytest.fixture
def small_disk(tmp_path):
    path = tmp_path / "small"
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", path], capture_output=True, text=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.strip()}")
    yield path
    subprocess.run(["umount", path], check=True)


def test_a_full_disk_leaves_all_as_it_was(small_disk):
    said = check_filled(small_disk, 300_000, "")
    assert all("No space left on device" in line for line in said)


# --------------------------------------------------------------------------------------------- kill -9

COMMITTING = """
import sys
from pathlib import Path
import numpy as np
from mrl import disk, log
from mrl.card import Card
from mrl.nesting import Nesting
from mrl.vectors import Table

path, rows = Path(sys.argv[1]), int(sys.argv[2])
sys.stdout.write("ready\\n")
sys.stdout.flush()
with Table.create(path / "table", Card("child", 8, Nesting((8,)))) as table:
    for block in range(100_000):
        ids = np.arange(block * rows, (block + 1) * rows)
        table.add(np.repeat(ids[:, None] % 1024, 8, axis=1).astype(np.float32), ids, ids)
        disk.write_json(path / "sealed", {"block": block, "again": [block] * 200}, "kind")
        log.append_line(path / "log", {"block": block})
        sys.stdout.write(f"{block}\\n")
        sys.stdout.flush()
"""


def killed(path, seconds):
    """Let a child commit for so long and kill it; how many blocks it had said were committed."""
    child = subprocess.Popen([sys.executable, "-c", COMMITTING, path, str(ROWS)], stdout=subprocess.PIPE)
    with child:
        assert child.stdout.readline() == b"ready\n"
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.send_signal(signal.SIGKILL)
        said = child.stdout.read()
    assert child.returncode == -signal.SIGKILL
    return said.count(b"\n")


def check_table(path, said):
    table = Table.open(path, unfinished=True)
    assert table.rows % ROWS == 0
    assert said <= table.rows // ROWS <= said + 1
    blocks = table.rows // ROWS
    assert table.verify() == 3 * blocks
    np.testing.assert_array_equal(table.ids, np.arange(table.rows))
    np.testing.assert_array_equal(table.labels, table.ids)
    np.testing.assert_array_equal(table.vectors, np.repeat(table.ids[:, None] % 1024, 8, axis=1))
    return blocks


def test_kills_leave_whole_files_and_whole_blocks(tmp_path):
    draws, blocks = random.Random(0), 0
    for number in range(KILLS):
        path = tmp_path / str(number)
        path.mkdir()
        said = killed(path, draws.uniform(0.005, 0.6))
        if not said:
            continue
        here = check_table(path / "table", said)
        sealed_ = disk.read_json(path / "sealed", "kind")
        assert sealed_ == {"block": sealed_["block"], "again": [sealed_["block"]] * 200}
        assert said - 1 <= sealed_["block"] < here
        lines = log.read_lines(path / "log")
        assert lines == [{"block": block} for block in range(len(lines))]
        assert said <= len(lines) <= here
        blocks += here
    assert blocks > KILLS, "the kills came too early to show anything"

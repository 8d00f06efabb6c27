"""What lies on the disk: damage is named, deleted rows are gone, and a crash at any moment leaves a committed state."""

import hashlib
import random
import resource
import shutil
from functools import partial

import numpy as np
import pyarrow as pa
import pytest

from mrl.disk import Folder
from mrl.errors import DamagedError, StorageError
from mrl.nesting import Nesting
from mrl.retrieval import BuildSpec, Index, Layout, Rows
from mrl.retrieval.blocks import OWNED
from mrl.retrieval.engine import HNSW
from oracles import flipped
from replay import replay
from retrieval import keeper
from retrieval.keeper import (
    CARD,
    MAPPED,
    PLANNED,
    QUERIES,
    SPEC,
    TURN,
    Twin,
    act,
    changes,
    check,
    check_planned,
    plan_for,
)

FLIPS, MANY_FLIPS = 40, 500


def rows(n, seed=0):
    return np.random.default_rng(seed).standard_normal((n, 8)).astype(np.float32)


def words(numbers):
    return pa.table({"word": [f"payload of {n:04d}" for n in numbers]})


@pytest.fixture(params=["mapped", "planned"])
def full(request, tmp_path):
    """An index that has everything: a map, payload, copies beside, deleted rows, two blocks, a graph, a manifest
    before; or, in place of the map, an engine with its own and what was planned."""
    layout = Layout.of(Nesting((3, 8)), beside={"float16": 8, "int8": 3})
    spec = BuildSpec(layout, map="pca" if request.param == "mapped" else None)
    names = [f"row {n:04d}" for n in range(60)]
    index = Index.build(tmp_path / "full", Rows.of(rows(40), CARD, names[:40], words(range(40))), spec)
    index.add_engine(3)
    if request.param == "planned":
        plan_for(index)
    index.add(rows(20, 1), names[40:], words(range(40, 60)))
    index.delete(names[5:8])
    return index


def files(path):
    return {file.name for file in path.iterdir()}


# --------------------------------------------------------------------------------------------- deleted rows


@pytest.mark.parametrize("column", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
@pytest.mark.parametrize("reference", ["float32", "float16"])
def test_deleted_rows_leave_the_disk_at_compact(tmp_path, column, reference):
    beside = {"int8": 8, "1bit": 8} | ({"float16": 3} if reference == "float32" else {})
    secret = np.arange(101, 109, dtype=np.float32) / 128  # exact in float16
    given, names = rows(50), [f"row {n:04d}" for n in range(50)]
    given[17], names[17] = secret, "row that is secret"
    said = words([*range(17), 9999, *range(18, 50)])["word"].combine_chunks().cast(column)
    listed = pa.ListArray.from_arrays(pa.array(range(51), pa.int32()), said)
    payload = pa.table({"word": said, "listed": listed, "struct": pa.StructArray.from_arrays([said], ["inner"])})
    spec = BuildSpec(Layout.of(Nesting((3, 8)), reference, beside))
    index = Index.build(tmp_path / "index", Rows.of(given, CARD, names, payload), spec)
    patterns = {
        "float32": secret[3:].tobytes(),
        "float16": secret[3:].astype(np.float16).tobytes(),
        "id": "row that is secret".encode("utf-32-le"),
        "digest": hashlib.blake2b(b"row that is secret", digest_size=16).digest(),
        "payload": b"payload of 9999",
    }
    assert set(patterns) - found(index.path, patterns) <= {"float32", "float16"}
    reader = Index.open(index.path)
    assert index.delete(["row that is secret"]) == 1
    assert index.compact()
    assert reader.get("row that is secret").vectors.tolist() == [secret.tolist()]
    del reader
    index.snapshot.folder.sweep(OWNED)
    assert found(index.path, patterns) == set()
    assert index.search(secret, 50).counts.tolist() == [49]
    assert index.verify() == []


def found(path, patterns):
    raw = b"\n".join(file.read_bytes() for file in path.iterdir())
    return {name for name, pattern in patterns.items() if pattern in raw}


@pytest.mark.parametrize("verb", ["upsert", "delete"])
def test_replaced_rows_leave_the_disk_at_compact_without_a_sweep(tmp_path, verb):
    twin = Twin()
    index = twin.build(tmp_path / "index", list(range(10)))
    before = set(index.snapshot.folder.entries)
    act(index, twin, verb, [3], 1)
    assert index.compact()
    assert not before & files(index.path)
    assert found(index.path, {"payload": b"3 in 0"}) == set()


def test_after_compact_there_is_what_the_manifest_names(tmp_path):
    twin = Twin()
    index = twin.build(tmp_path / "index", list(range(10)))
    readers = []
    for step, verb, numbers in changes(twin, 3, 1):
        act(index, twin, verb, numbers, step)
        readers.append(Index.open(index.path))
        if step == 12:
            break
    readers.clear()
    act(index, twin, "upsert", [1], 20)
    index.compact()
    manifests = {file for file in files(index.path) if file.startswith("manifest")}
    number = index.snapshot.folder.number
    assert manifests == {"manifest.json", f"manifest-{number - 1:08d}.json"}
    assert files(index.path) == {*index.snapshot.folder.entries, *manifests, ".lock"}


def test_a_pinned_state_keeps_its_manifest_and_its_files(tmp_path):
    twin = Twin()
    index = twin.build(tmp_path / "index", list(range(10)))
    first = Index.open(index.path)
    act(index, twin, "upsert", [1], 1)
    second = Index.open(index.path)
    for version in range(2, 5):
        act(index, twin, "upsert", [version], version)
        index.compact()
    kept = {f"manifest-{reader.snapshot.folder.number:08d}.json" for reader in (first, second)}
    wanted = {*first.snapshot.folder.entries, *second.snapshot.folder.entries}
    assert kept | wanted <= files(index.path)
    assert first.verify() == second.verify() == []


# --------------------------------------------------------------------------------------------- damage


def answers(index):
    """All that an index answers; a file that is damaged has to be named instead."""
    yield lambda: index.get([f"row {n:04d}" for n in (59, 3, 41)]).vectors
    yield lambda: index.get(["row 0004"]).payload.to_pydict()
    yield lambda: index.known([f"row {n:04d}" for n in range(70)])
    yield lambda: index.search(QUERIES, 70).ids
    yield lambda: index.search(QUERIES, 5).scores
    yield lambda: index.search(QUERIES, 5, plan="3:12@int8,8:5").ids
    yield lambda: index.search(QUERIES, 5, plan="8:12@float16,8:5").ids
    yield lambda: index.search(QUERIES, 5, plan="3:12/hnsw,8:5").ids
    yield lambda: index.search(QUERIES, 5, where='word == "payload of 0044"').ids
    if index.snapshot.contents.planned:
        yield lambda: index.planned
        yield lambda: index.search(QUERIES, 5, recall=0.9).ids
        yield lambda: index.search(QUERIES[0], 5, plan=MAPPED).ids


def tried(one):
    """What it gives, or the error by which it refuses a damaged file."""
    try:
        return one()
    except DamagedError as error:
        return error


def check_damage(index, name, want):
    """Each answer is the undamaged one or names the file; so does verify."""
    reader = Index.open(index.path)
    for one, right in zip(answers(reader), want, strict=True):
        got = tried(one)
        if isinstance(got, DamagedError):
            assert name in str(got)
        else:
            np.testing.assert_equal(got, right)
    (line,) = Index.open(index.path).verify()
    assert line.startswith(f"{index.path / name} is "), line


def flips(index, count, seed):
    """(name, position, bit), of every file some, the others at random."""
    draws, names = random.Random(seed), sorted(files(index.path) - {".lock"})
    for n in range(max(count, len(names))):
        name = names[n % len(names)] if n < len(names) else draws.choice(names)
        yield name, draws.randrange((index.path / name).stat().st_size), draws.randrange(8)


def check_flips(index, count, seed):
    want = [one() for one in answers(index)]
    for name, position, bit in flips(index, count, seed):
        file = index.path / name
        raw = file.read_bytes()
        copied = index.path.with_name("damaged")
        shutil.copytree(index.path, copied)
        (copied / name).unlink()  # the kept manifest may be a second name of another
        (copied / name).write_bytes(flipped(raw, position, bit))
        if name == "manifest.json":
            with pytest.raises(DamagedError, match=f"{copied / name} is damaged: .*copy manifest-.*json over it"):
                Index.open(copied)
        else:
            check_damage(Opened(copied), name, want)
        shutil.rmtree(copied)


class Opened:
    def __init__(self, path):
        self.path = path


def test_a_flipped_bit_in_any_file_is_named_and_never_answered_from(full):
    check_flips(full, FLIPS, 0)


@pytest.mark.slow
def test_many_flipped_bits_are_named_and_never_answered_from(full):
    check_flips(full, MANY_FLIPS, 1)


@pytest.mark.parametrize("damage", ["truncated", "longer", "empty", "missing", "foreign"])
def test_a_file_that_is_not_as_it_was_is_named(full, damage):
    want, there = [one() for one in answers(full)], sorted(full.snapshot.folder.entries)
    for name in there:
        file = full.path / name
        raw = file.read_bytes()
        if damage == "missing":
            file.unlink()
        else:
            other = (full.path / there[there.index(name) - 1]).read_bytes()
            file.write_bytes({"truncated": raw[:-1], "longer": raw + b"\0", "empty": b"", "foreign": other}[damage])
        check_damage(full, name, want)
        file.write_bytes(raw)
    assert Index.open(full.path).verify() == []


def test_every_damaged_file_has_a_line(full):
    about, contents = full.snapshot.engines[0].about, full.snapshot.contents
    before = f"manifest-{full.snapshot.folder.number - 1:08d}.json"
    names = ["000000.ids.npy", before, contents.map or about.map_file, about.file]
    names += [contents.planned] if contents.planned else []
    for name in names:
        (full.path / name).write_bytes(b"")
    lines = Index.open(full.path).verify()
    assert [line.split(" is ")[0].rpartition("/")[2] for line in sorted(lines)] == sorted(names)


def test_an_index_goes_back_to_the_manifest_before(tmp_path):
    twin = Twin()
    index = twin.build(tmp_path / "index", list(range(10)))
    old = twin.copy()
    act(index, twin, "add", [20], 1)
    newest = index.path / "manifest.json"
    newest.unlink()
    with pytest.raises(DamagedError, match=r"manifest.json is missing; .*, or copy manifest-00000001.json over it"):
        Index.open(index.path)
    shutil.copy(index.path / "manifest-00000001.json", newest)
    back = Index.open(index.path)
    assert back.verify() == []
    check(back, old)
    act(back, old, "add", [20, 21], 5)
    old.apply("add", [20, 21], 5)
    check(back, old)
    check(Index.open(index.path), old)


def test_damaged_rows_are_not_compacted_or_copied(full):
    (full.path / "000000.3-8.float32.npy").write_bytes(b"damaged")
    index = Index.open(full.path)
    for call in (index.compact, lambda: index.copy(full.path.with_name("copy"))):
        with pytest.raises(DamagedError, match=r"000000.3-8.float32.npy is damaged"):
            call()
    with pytest.raises(StorageError, match="nothing was committed there"):
        Index.open(full.path.with_name("copy"))
    assert Index.open(full.path).snapshot.folder.number == full.snapshot.folder.number


# --------------------------------------------------------------------------------------------- crashes, replayed

WORK = [("add", [20, 21]), ("upsert", [1, 20]), ("delete", [2, 3, 20]), ("compact", [])]
BARE = BuildSpec(Layout.of(Nesting((8,))))


@pytest.mark.parametrize(
    ("columns", "spec"), [(False, BARE), pytest.param(True, SPEC, marks=pytest.mark.slow)], ids=["bare", "rich"]
)
def test_every_moment_of_every_change_leaves_a_committed_state(tmp_path, columns, spec):
    states = [Twin(columns=columns, rows=dict.fromkeys(range(1, 6), 0), top=5)]
    for version, (verb, numbers) in enumerate(WORK, 1):
        states.append(states[-1].copy())
        states[-1].apply(verb, numbers, version)

    def work(path):
        index = Twin(columns=columns).build(path / "index", list(range(1, 6)), spec)
        yield 0
        for version, (verb, numbers) in enumerate(WORK, 1):
            act(index, states[0], verb, numbers, version)
            yield version

    assert replay(work, partial(check_moment, states, spec), tmp_path) > 100


def test_every_moment_of_a_plan_that_is_kept_leaves_a_committed_state(tmp_path):
    """An engine with a map of its own, then what was planned, then changes beside them."""
    first = Twin(columns=False, rows=dict.fromkeys(range(1, 6), 0), top=5)
    states = [first, first.copy(), first.copy(), first.copy()]
    states[3].apply("upsert", [3, 30], 3)

    def work(path):
        index = Twin(columns=False).build(path / "index", list(range(1, 6)), BARE)
        yield 0
        index.add_engine(3, HNSW(8, 40), TURN)
        yield 1
        index.keep_planned(PLANNED)
        yield 2
        act(index, states[0], "upsert", [3, 30], 3)
        yield 3

    def check_plan(path, n):
        if Folder.committed(path / "index"):
            index = Index.open(path / "index")
            number = index.snapshot.folder.number - 1
            assert [each.map for each in index.snapshot.contents.engines] == [str(TURN)] * (number > 0)
            if number > 1:
                check_planned(index)
            else:
                assert index.planned is None
            del index  # which would keep the files of its state
        check_moment(states, BARE, path, n)

    assert replay(work, check_plan, tmp_path) > 30


def check_moment(states, spec, path, n):
    """What is there is the acknowledged state or the one that was coming, whole; and writing goes on."""
    if not Folder.committed(path / "index"):
        assert n is None, "an index that was built is there"
        twin = states[0].copy()
        check(twin.build(path / "index", [1, 2], spec), twin)
        return
    index = Index.open(path / "index")
    number = index.snapshot.folder.number - 1
    assert number in ([0] if n is None else [n, n + 1])
    twin = states[number].copy()
    check(index, twin)
    assert index.verify() == []
    assert act(index, twin, "delete", [4], 9) == twin.apply("delete", [4], 9)
    check(index, twin)
    manifests = {file for file in files(index.path) if file.startswith("manifest")}
    assert files(index.path) - manifests - {".lock"} == set(index.snapshot.folder.entries), "leftovers were swept"


# --------------------------------------------------------------------------------------------- a full disk


@pytest.fixture
def full_disk():
    """A function that lets files grow no further than so many bytes, as a full disk would."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda size: resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("room", [0, 100, 300, 1000])
def test_a_full_disk_leaves_the_index_as_it_was_and_at_work(tmp_path, full_disk, room):
    twin = Twin()
    index = twin.build(tmp_path / "index", list(range(40)))
    act(index, twin, "delete", [1, 2], 1)
    twin.apply("delete", [1, 2], 1)
    there = files(index.path)
    full_disk(room)
    for call in (
        lambda: act(index, twin, "add", [50, 51], 1),
        lambda: index.add(np.ones((20_000, 8), np.float32), payload=keeper.payload([0] * 20_000, 1)),
        lambda: act(index, twin, "upsert", [3], 1),
        lambda: act(index, twin, "delete", [3], 1),
        index.compact,
        lambda: Index.build(tmp_path / "other", Rows.of(np.ones((500, 8), np.float32), CARD), SPEC),
        lambda: index.copy(tmp_path / "copy"),
    ):
        with pytest.raises(StorageError, match=r"cannot (write|lock) .*ree some space"):
            call()
    check(index, twin)
    assert index.verify() == []
    full_disk(resource.RLIM_INFINITY)
    assert files(index.path) == there
    check(Index.open(index.path), twin)
    for version, (verb, numbers) in enumerate([("add", [50]), ("compact", []), ("delete", [50])], 5):
        act(index, twin, verb, numbers, version)
        twin.apply(verb, numbers, version)
        check(index, twin)
    Index.build(tmp_path / "other", Rows.of(np.ones((500, 8), np.float32), CARD), SPEC)
    check(index.copy(tmp_path / "copy"), twin)

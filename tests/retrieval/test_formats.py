"""Folders written by hand, as the format says: what older versions wrote is read, what is none is refused by name."""

import hashlib
import json

import numpy as np
import pyarrow as pa
import pytest

from mrl.errors import DamagedError, InputError, StorageError
from mrl.nesting import Nesting
from mrl.retrieval import BuildSpec, Index, Layout, Rows
from mrl.vectors import Table
from retrieval.keeper import CARD, SPEC

VECTORS = np.random.default_rng(0).standard_normal((7, 8)).astype(np.float32)
DELETED = (2,)
NAMES = np.array(["g", "f", "e", "d", "c", "b", "a"])
WORDS = [None if n == 3 else f"word {n}" for n in range(7)]
BLOCKS = ((0, slice(0, 5)), (2, slice(5, 7)))  # number 1 was compacted away


def digest(name):
    return hashlib.blake2b(name.encode(), digest_size=16).digest()


def affine(values):
    """int8 codes (n, w) and their offsets and steps (1, 2, w), over the range of each dimension."""
    low, high = values.min(axis=0), values.max(axis=0)
    offset, step = low + (high - low) / 2, (high - low) / 254
    codes = np.rint((values - offset) / np.where(step > 0, step, 1)).astype(np.int8)
    return codes, np.stack([offset, step])[None].astype(np.float32)


def signs(values):
    """Bits (n, ⌈w / 8⌉), the first dimension lowest, and what 0 and 1 stand for."""
    mean = values.mean(axis=0)
    deviation = np.abs(values - mean).mean(axis=0)
    codes = np.packbits(values > mean, axis=1, bitorder="little")
    return codes, np.stack([mean - deviation, 2 * deviation])[None].astype(np.float32)


def write_block(path, number, rows, ids):
    """One block of version 1: cuts 3 and 8; float32, int8 and 1bit for dims 0–2, float16 and 1bit for 3–7."""
    vectors, names = VECTORS[rows], ids[rows]
    record = np.concatenate([vectors[:, :3], vectors[:, 3:].astype(np.float16)], axis=1)
    keys = np.array([digest(name) for name in names.tolist()], "S16") if names.dtype.kind == "U" else names
    places = np.argsort(keys, kind="stable")
    arrays = {"0-3.float32": vectors[:, :3], "3-8.float16": vectors[:, 3:].astype(np.float16)}
    arrays["0-3.int8"], arrays["0-3.int8.scales"] = affine(vectors[:, :3])
    arrays["0-3.1bit"], arrays["0-3.1bit.scales"] = signs(vectors[:, :3])
    arrays["3-8.1bit"], arrays["3-8.1bit.scales"] = signs(vectors[:, 3:])
    arrays["norms"] = np.stack([np.linalg.norm(record[:, :3], axis=1), np.linalg.norm(record, axis=1)])
    arrays |= {"ids": names, "keys": keys[places], "places": places.astype(np.int32)}
    for name, array in arrays.items():
        np.save(path / f"{number:06d}.{name}.npy", np.ascontiguousarray(array))
    table = pa.table({"word": pa.array(WORDS[rows]), "number": pa.array(range(7))[rows]})
    with pa.ipc.new_file(path / f"{number:06d}.payload.arrow", table.schema) as writer:
        writer.write_table(table)


def seal(document):
    """The bytes of a JSON object with the SHA-256 of themselves, taken with zeros in its place."""
    blank = json.dumps({"sha256": "0" * 64, **document}).encode()  # the first one is the seal
    return blank.replace(b"0" * 64, hashlib.sha256(blank).hexdigest().encode(), 1)


def manifest(path, strings, **changed):
    """What version 1 says of these blocks."""
    files = {
        file.name: {"bytes": file.stat().st_size, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
        for file in sorted(path.iterdir())
        if file.name != "manifest.json"
    }
    card = {"model": "kept", "width": 8, "nesting": "8", "metric": "cosine", "normalised": False, "maps": []}
    return {
        "format": "mrl-index",
        "version": 1,
        "card": {**card, "fingerprint": ""},
        "layout": {"cuts": "3,8", "reference": ["float32", "float16"], "beside": [["int8", "1bit"], ["1bit"]]},
        "blocks": [
            {"number": 0, "rows": 5, "deleted": "000000.deleted-00000007.npy", "dead": 1},
            {"number": 2, "rows": 2, "deleted": "", "dead": 0},
        ],
        "columns": ["word", "number"],
        "strings": strings,
        "map": "",
        "graphs": [],
        "next": 3,
        "commit": 7,
        "files": files,
        **changed,
    }


def write_version_1(path, ids):
    path.mkdir()
    for number, rows in BLOCKS:
        write_block(path, number, rows, ids)
    np.save(path / "000000.deleted-00000007.npy", np.array(DELETED))
    (path / "manifest.json").write_bytes(seal(manifest(path, ids.dtype.kind == "U")))
    return path


@pytest.fixture(params=["strings", "integers"])
def ids(request):
    return NAMES if request.param == "strings" else np.array([70, 60, -5, 40, 30, 20, 10])


@pytest.fixture
def by_hand(tmp_path, ids):
    return write_version_1(tmp_path / "by-hand", ids)


@pytest.fixture
def alive():
    return np.setdiff1d(np.arange(7), DELETED)


def test_version_1_is_read(by_hand, ids, alive):
    index = Index.open(by_hand)
    assert index.verify() == []
    assert (index.rows, index.card) == (6, CARD)
    assert index.known(ids).tolist() == [n not in DELETED for n in range(7)]
    got = index.get(ids[alive])
    np.testing.assert_array_equal(got.vectors[:, :3], VECTORS[alive, :3])
    np.testing.assert_array_equal(got.vectors[:, 3:], VECTORS[alive, 3:].astype(np.float16))
    assert got.payload.to_pydict() == {"word": [WORDS[n] for n in alive], "number": alive.tolist()}


def test_version_1_is_searched(by_hand, ids, alive, tmp_path):
    index = Index.open(by_hand)
    records = index.get(ids[alive])
    layout = Layout(Nesting((3, 8)), ("float32", "float16"), (("int8", "1bit"), ("1bit",)))
    fresh = Index.build(
        tmp_path / "fresh", Rows.of(records.vectors, CARD, records.ids, records.payload), BuildSpec(layout)
    )
    for plan in (None, "8:6", "3:6,8:3"):
        found, want = (each.search(VECTORS, 6, plan=plan) for each in (index, fresh))
        assert found.ids.tolist() == want.ids.tolist()
        np.testing.assert_allclose(found.scores, want.scores, rtol=1e-6, atol=1e-6)
    assert index.search(VECTORS[0], 1).ids.tolist() == [ids[0]]
    for plan in ("3:6@int8,8:6", "8:6@1bit,8:6"):  # which keep all, so that only the reference decides
        assert index.search(VECTORS, 6, plan=plan).ids.tolist() == index.search(VECTORS, 6).ids.tolist()
    found = index.search(VECTORS[0], 6, where='word == "word 6" or number == 3')
    assert set(found.ids.tolist()) == {ids[6], ids[3]}


def test_version_1_gains_12_bits_in_a_copy(by_hand, ids, alive, tmp_path):
    """What was written before there were any says that it has none, and is laid out anew with them."""
    old = Index.open(by_hand)
    with pytest.raises(InputError, match="not as int12; use one of these, or make a copy that has it: mrl index relay"):
        old.search(VECTORS, 6, plan="3:6@int12,8:6")
    new = old.relayout(tmp_path / "new", BuildSpec(Layout.of(Nesting((3, 8)), "float16", {"int12": 8})))
    names = {file.name for file in new.path.glob("*int12*")}
    assert names == {f"000000.{part}.int12{end}.npy" for part in ("0-3", "3-8") for end in ("", ".scales")}
    codes = np.load(new.path / "000000.3-8.int12.npy")
    assert (codes.dtype, codes.shape) == (np.int8, (6, 8))  # 5 bytes and 3 with a nibble or two
    found = Index.open(new.path).search(VECTORS, 6, plan="8:6@int12,8:6")
    assert found.ids.tolist() == new.search(VECTORS, 6).ids.tolist()
    np.testing.assert_allclose(new.search(VECTORS, 6, plan="8:6@int12").scores, found.scores, atol=2e-3)


def test_version_1_can_be_changed(by_hand, ids, alive):
    index = Index.open(by_hand)
    new = np.array(["new"]) if ids.dtype.kind == "U" else np.array([99])
    index.add(VECTORS[2], new, pa.table({"word": ["x"], "number": [0]}))
    assert index.delete(ids[[0, 2]]) == 1
    index.compact()
    assert index.rows == 6
    assert index.verify() == []
    assert index.known(ids).tolist() == [n not in (0, 2) for n in range(7)]
    assert not [file.name for file in by_hand.iterdir() if file.name.startswith(("000000", "000002"))]
    np.testing.assert_array_equal(Index.open(by_hand).get(ids[[6]]).vectors[:, :3], VECTORS[[6], :3])


def test_what_is_written_now_has_the_files_that_the_format_names(tmp_path, by_hand, ids):
    """By name, type and shape: a change of any of these is a new version."""
    layout = Layout(Nesting((3, 8)), ("float32", "float16"), (("int8", "1bit"), ("1bit",)))
    payload = pa.table({"word": WORDS[:5], "number": range(5)})
    index = Index.build(tmp_path / "now", Rows.of(VECTORS[:5], CARD, ids[:5], payload), BuildSpec(layout))
    index.delete(ids[[2]])
    theirs = {file.name: file for file in by_hand.glob("000000.*")}
    mine = {file.name.replace("-00000002", "-00000007"): file for file in index.path.glob("000000.*")}
    assert set(mine) == set(theirs)
    for name in sorted(mine):
        if name.endswith(".npy"):
            one, other = np.load(mine[name]), np.load(theirs[name])
            assert (one.dtype, one.shape) == (other.dtype, other.shape), name
            np.testing.assert_allclose(*(each.view("u1") if one.dtype.kind in "US" else each for each in (one, other)),
                                       rtol=1e-5, atol=1e-6, err_msg=name)  # fmt: skip
    document = json.loads((index.path / "manifest.json").read_text())
    wanted = manifest(by_hand, ids.dtype.kind == "U")
    assert set(document) == {*wanted, "sha256", "engines", "changes", "planned", "planned_at"} - {"graphs"}
    assert document["engines"] == wanted["graphs"]
    for key in ("format", "version", "card", "layout", "columns", "strings", "map"):
        assert document[key] == wanted[key], key
    assert document["blocks"] == [{**wanted["blocks"][0], "deleted": "000000.deleted-00000002.npy"}]


# --------------------------------------------------------------------------------------------- what is no index


@pytest.mark.parametrize("version", [0, 2, 99])
def test_another_version_is_refused(by_hand, ids, version):
    document = manifest(by_hand, ids.dtype.kind == "U", version=version)
    (by_hand / "manifest.json").write_bytes(seal(document))
    with pytest.raises(
        InputError, match=f"manifest.json has format version {version}, this mrl reads up to 1; install a newer mrl"
    ):
        Index.open(by_hand)


@pytest.mark.parametrize("said", [b"", b"a text\n", b"{}", b'{"format": "mrl-index"}', b"\x00" * 100])
def test_a_manifest_that_is_none_is_refused(tmp_path, said):
    path = write_version_1(tmp_path / "index", NAMES)
    (path / "manifest.json").write_bytes(said)
    with pytest.raises(DamagedError, match=r"index/manifest.json is damaged or no mrl-index file: it has no checksum"):
        Index.open(path)


def test_a_manifest_that_was_edited_is_refused(tmp_path):
    path = write_version_1(tmp_path / "index", NAMES)
    file = path / "manifest.json"
    file.write_bytes(file.read_bytes().replace(b'"dead": 1', b'"dead": 0'))
    with pytest.raises(DamagedError, match=r"index/manifest.json is damaged: its bytes do not match its checksum"):
        Index.open(path)


def test_a_table_is_no_index(tmp_path):
    with Table.create(tmp_path / "table", CARD) as writer:
        writer.add(VECTORS)
    with pytest.raises(
        InputError, match=r"manifest.json holds 'mrl-.*', not 'mrl-index'; give the path of a mrl-index"
    ):
        Index.open(tmp_path / "table")
    Index.build(tmp_path / "index", Rows.of(VECTORS, CARD), SPEC)
    with pytest.raises(InputError, match=r"manifest.json holds 'mrl-index', not "):
        Table.open(tmp_path / "index")


@pytest.mark.parametrize("make", ["nothing", "folder", "file"])
def test_where_nothing_was_committed_nothing_opens(tmp_path, make):
    path = tmp_path / "index"
    if make == "folder":
        path.mkdir()
    if make == "file":
        path.write_text("text")
    with pytest.raises(StorageError, match=r"/index is no mrl-index: it has no manifest.json; nothing was committed"):
        Index.open(path)

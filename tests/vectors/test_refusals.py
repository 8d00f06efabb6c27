"""What a file is not, and what it lacks: named with its place, before anything is made of it."""

from __future__ import annotations

import json
import subprocess
import sys

import h5py
import numpy as np
import pyarrow
import pytest
from pyarrow import feather, ipc, parquet
from safetensors.numpy import save_file

from mrl import Card, Nesting, Table
from mrl.errors import InputError, StorageError
from mrl.vectors import Described, open_vectors
from vectors.written import WRITERS, arrow_table, ids, vectors

V = vectors(30, 4)


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def refused(path, **settings):
    with pytest.raises(InputError) as refusal:
        open_vectors(path, **settings).held()
    return str(refusal.value)


def test_an_ending_that_is_not_read(here):
    (here / "v.txt").write_text("1 2 3")
    text = refused("v.txt")
    assert text.startswith(
        "no format of vectors ends as v.txt does: vectors are a table's folder or an .npy, got v.txt"
    )
    assert all(ending in text for ending in (".npz", ".parquet", ".feather", ".safetensors", ".hdf5", ".fvecs"))


def test_what_is_not_there(here):
    for name in sorted(set(WRITERS) - {"table", "shards"}):
        with pytest.raises(FileNotFoundError) as gone:
            open_vectors(name)
        assert gone.value.filename in (name, here / name, str(here / name))
    with pytest.raises(StorageError, match="nowhere is no mrl-table"):
        open_vectors("nowhere")
    assert "is a pattern for .parquet files, got 0 files" in refused("none-*.parquet")


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"table", "shards"}))
def test_files_that_are_not_what_their_ending_says(here, name):
    for content in (b"", b"what", b"nothing of the kind " * 40):
        (here / name).write_bytes(content)
        text = refused(name)
        assert name in text
        assert " is no " in text or "cannot be read" in text or "it was cut off" in text


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"table", "shards"}))
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_files_that_were_cut_off(here, name, share):
    WRITERS[name](here / name, vectors(400, 16))
    whole = (here / name).read_bytes()
    (here / name).write_bytes(whole[: int(len(whole) * share) // 4 * 4 + 1])
    assert name in refused(name)


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"plain.fvecs", "table"}))
def test_integers_are_refused_with_the_remedy(here, name):
    WRITERS[name](here / name, vectors(30, 4).astype(np.int32))
    assert "float32" in refused(name)


def test_shapes_that_are_no_matrix(here):
    np.save("v.npy", np.zeros(5, np.float32))
    assert refused("v.npy").startswith("v.npy must be a float matrix (n, width), got float32 of shape (5,); save it")
    np.savez("v.npz", vectors=np.zeros((2, 3, 4)))
    assert "the array vectors of v.npz must be a float matrix (n, width), got float64 of shape (2, 3, 4)" in refused(
        "v.npz"
    )
    save_file({"vectors": np.zeros((3, 0), np.float32)}, "v.safetensors")
    assert "the tensor vectors of v.safetensors must be a float matrix" in refused("v.safetensors")


def test_it_must_be_clear_which_array_is_meant(here):
    np.savez("v.npz", a=V, b=V, c=np.arange(3))
    assert refused("v.npz") == "v.npz has several arrays of vectors, a, b; name the one meant as key"
    assert refused("v.npz", key="d") == "v.npz has no array 'd', only a, b, c; name one of these as key"
    np.savez("v.npz", c=np.arange(3))
    assert refused("v.npz") == "v.npz has no array of float vectors among c; save them as float32, named vectors"
    with h5py.File("v.h5", "w") as file:
        file["a"], file["b"] = V, V
    assert refused("v.h5") == "v.h5 has several data sets of vectors, a, b; name the one meant as key"
    save_file({"a": np.arange(3)}, "v.safetensors")
    assert "v.safetensors has no tensor of float vectors among a" in refused("v.safetensors")
    parquet.write_table(arrow_table(V).rename_columns(["id", "a", "label"]), "v.parquet")
    assert refused("v.parquet", key="b") == "v.parquet has no column 'b', only id, a, label; name one of these as key"
    assert refused("v.parquet", key="id").startswith("the column id of v.parquet must be lists of floats, got string")
    for name, write in (("v.npy", WRITERS["plain.npy"]), ("v.fvecs", WRITERS["plain.fvecs"])):
        write(here / name, V)
        assert refused(name, key="a") == (
            f"{name} holds its vectors alone, so there is nothing to choose as key 'a'; leave it out"
        )


def test_every_width_of_an_fvecs_is_checked(here):
    WRITERS["plain.fvecs"](here / "v.fvecs", V)
    raw = bytearray((here / "v.fvecs").read_bytes())
    raw[17 * 20] = 3
    (here / "v.fvecs").write_bytes(raw)
    assert refused("v.fvecs") == (
        "v.fvecs says that row 17 has width 3, and row 0 has 4; rows of an .fvecs have one width: write it again"
    )
    (here / "v.fvecs").write_bytes(raw[:-2])
    assert "v.fvecs has 29 rows of width 4 and 18 bytes more; it was cut off, or is no .fvecs" in refused("v.fvecs")


def test_rows_of_other_widths(here):
    lists = pyarrow.array([[1.0, 2.0]] * 12 + [[1.0]] + [[1.0, 2.0]], pyarrow.list_(pyarrow.float32()))
    parquet.write_table(pyarrow.table({"vector": lists}), "v.parquet", row_group_size=5)
    wrong = "v.parquet: row 12 has width 1, and the first vector has 2; vectors have one width: write it again"
    assert refused("v.parquet") == wrong
    feather.write_feather(pyarrow.table({"vector": lists}), "v.feather")
    assert refused("v.feather") == wrong.replace("parquet", "feather")
    (here / "many").mkdir()
    for number, width in enumerate((4, 5)):
        parquet.write_table(arrow_table(vectors(10, width), fixed=False), here / "many" / f"{number}.parquet")
    assert "many/1.parquet: row 0 has width 5, and the first vector has 4" in refused("many")
    parquet.write_table(arrow_table(V).select(["vector"]), here / "many" / "1.parquet")
    assert "many/1.parquet has other columns than many/0.parquet" in refused("many")


def test_lists_without_rows_have_no_width(here):
    none = arrow_table(V, fixed=False).slice(0, 0)
    parquet.write_table(none, "v.parquet")
    with ipc.new_stream("v.arrow", none.schema) as writer:
        writer.write_table(none)
    for name in ("v.parquet", "v.arrow"):
        assert refused(name) == f"{name} has no rows, so that the width of its vectors is not known; give one with rows"


@pytest.mark.parametrize("name", ["plain.npz", "packed.npz"])
def test_a_damaged_archive(here, name):
    WRITERS[name](here / name, vectors(9000, 4))
    raw = bytearray((here / name).read_bytes())
    raw[90_000:90_010] = bytes(10)
    (here / name).write_bytes(raw)
    assert f"of {name} is damaged: " in refused(name)


def test_a_table_says_itself_what_it_is(here):
    WRITERS["table"](here / "t", V)
    (here / "ids.txt").write_text("\n".join(ids(30)))
    assert refused("t", about=Described(metric="dot", model="x")) == (
        "t is a table, whose card says what it is; leave --model, --metric out"
    )
    assert refused("t", ids="ids.txt") == "t is a table, which has ids; leave --ids ids.txt out"
    assert refused("t", key="a") == "t is a table, which holds its vectors alone; leave key 'a' out"


def test_dims_that_the_vectors_do_not_have(here):
    np.save("v.npy", V)
    assert "8" in refused("v.npy", about=Described(dims="2..8"))


def test_batches_and_rows_that_are_not_there(here):
    np.save("v.npy", V)
    source = open_vectors("v.npy")
    with pytest.raises(InputError, match="a batch has at least 1 row, got 0"):
        source.batches(0)
    with pytest.raises(InputError, match=r"v.npy has rows 0 to 29, got 3 to 30"):
        source.picked([3, 30])


@pytest.mark.parametrize(("package", "extra", "name"), [("h5py", "hdf5", "v.h5"), ("pyarrow", "evaluate", "v.parquet")])
def test_a_missing_package_names_its_extra(here, package, extra, name):
    code = f"import sys; sys.modules[{package!r}] = None\nfrom mrl.vectors import open_vectors\nopen_vectors({name!r})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "MissingError: " in done.stderr
    assert f"pip install 'mrl[{extra}]'" in done.stderr


def test_a_safetensors_whose_header_lies(here):
    header = json.dumps({"vectors": {"dtype": "F32", "shape": [30, 4], "data_offsets": [0, 10**6]}}).encode()
    (here / "v.safetensors").write_bytes(len(header).to_bytes(8, "little") + header + bytes(100))
    assert "v.safetensors has" in refused("v.safetensors")
    assert "it was cut off" in refused("v.safetensors")


def test_a_table_whose_bytes_changed_is_named(here):
    from mrl.errors import DamagedError

    with Table.create(here / "t", Card("x", 4, Nesting((4,)))) as writer:
        writer.add(V)
    file = here / "t" / "000000.vectors.npy"
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)
    with pytest.raises(DamagedError, match=r"000000.vectors.npy is damaged"):
        open_vectors("t").held()

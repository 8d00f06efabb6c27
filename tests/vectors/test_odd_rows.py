"""Rows with NaN or Inf, and zero vectors: refused, left out or kept, and always told."""

from __future__ import annotations

import numpy as np
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from pyarrow import ipc, parquet

from mrl.errors import InputError
from mrl.vectors import Described, open_vectors
from mrl.vectors.source_checks import odd_rows
from vectors.written import WRITERS, ids, labels, vectors

BAD, ZERO = [4, 9, 17], [2, 9, 11]  # row 9 is written last: bad


def odd(rows=20, width=4, dtype=np.float32):
    v = vectors(rows, width, dtype)
    v[ZERO] = 0
    v[BAD, [0, 1, 3]] = np.nan, np.inf, -np.inf
    return v


def opened(path, **settings):
    """A source, and the notes that it gives."""
    notes: list[str] = []
    return open_vectors(path, note=notes.append, **settings), notes


@given(v=arrays.arrays(st.sampled_from([np.float16, np.float32]), st.tuples(st.integers(0, 9), st.integers(1, 5))))
def test_odd_rows_are_those_that_numpy_finds(v):
    found = odd_rows(v)
    np.testing.assert_array_equal(found.bad, np.flatnonzero(~np.isfinite(v).all(axis=1)))
    np.testing.assert_array_equal(found.zero, np.flatnonzero((v == 0).all(axis=1)))


def test_large_and_small_values_whose_squares_no_float_holds_are_not_odd():
    found = odd_rows(np.float32([[1e30, 0], [1e-30, 0], [0, -0.0], [3e38, 3e38]]))
    assert (found.bad.tolist(), found.zero.tolist()) == ([], [2])


@pytest.mark.parametrize("name", sorted(set(WRITERS) - {"table"}))
def test_bad_rows_are_refused_by_number_and_id(name, tmp_path):
    named = WRITERS[name](tmp_path / name, odd())
    source, _ = opened(tmp_path / name)
    first = "row 4, id 'item4'," if named else "row 4"
    for size in (3, 20):
        with pytest.raises(InputError) as refusal:
            list(source.batches(size))
        assert str(refusal.value) == (
            f"{tmp_path / name}: {first} has a NaN or an Inf (3 in all are such); leave these out with --drop-bad yes"
        )
    with pytest.raises(InputError, match="row 9"):
        list(source.batches(2, start=5))


@pytest.mark.parametrize("name", ["plain.npy", "plain.npz", "fixed.parquet", "stream.arrow"])
@pytest.mark.parametrize("drop", ["yes", "zero"])
def test_bad_rows_are_dropped_counted_and_named_if_asked(name, drop, tmp_path):
    v = odd()
    named = WRITERS[name](tmp_path / name, v)
    source, notes = opened(tmp_path / name, drop_bad=drop)
    out = BAD if drop == "yes" else sorted({*BAD, *ZERO})
    kept = np.delete(np.arange(20), out)
    assert len(source) == source.count == len(kept)
    called = ", ".join(f"row {row} (id 'item{row}')" if named else f"row {row}" for row in out)
    kinds = "3 with a NaN or an Inf" + ("" if drop == "yes" else ", 2 zero")
    assert notes == [f"{tmp_path / name}: {len(out)} rows are left out, {kinds}: {called}"]
    held = source.held()
    np.testing.assert_array_equal(held.vectors, v[kept])
    np.testing.assert_array_equal(held.ids, ids(20)[kept] if named else kept)
    if source.labelled:
        np.testing.assert_array_equal(held.labels, labels(20)[kept])
    for size in (1, 6, 99):
        for start in range(len(kept) + 1):
            blocks = list(source.batches(size, start))
            assert all(len(block.ids) == size for block in blocks[:-1])
            np.testing.assert_array_equal(np.concatenate([b.vectors for b in blocks] or [v[:0]]), v[kept[start:]])
    np.testing.assert_array_equal(source.picked([3, 0]).vectors, v[kept[[3, 0]]])


def test_zero_vectors_are_kept_and_counted_where_they_have_no_direction(tmp_path):
    v = vectors(20, 4)
    v[ZERO] = 0
    np.save(tmp_path / "v.npy", v)
    source, notes = opened(tmp_path / "v.npy")
    for _ in range(2):
        np.testing.assert_array_equal(source.held().vectors, v)
    assert notes == [
        f"{tmp_path / 'v.npy'}: 3 zero vectors have no direction, the first is 2; they are kept, and their cosine with "
        "everything is 0"
    ]
    for metric in ("dot", "l2"):  # where zero is a point as any other
        source, notes = opened(tmp_path / "v.npy", about=Described(metric=metric))
        np.testing.assert_array_equal(source.held().vectors, v)
        assert notes == []
    source, notes = opened(tmp_path / "v.npy", drop_bad="yes")
    assert (len(source), notes) == (20, [])


def test_many_dropped_rows_are_named_in_part(tmp_path):
    v = np.full((30, 2), np.nan, np.float32)
    v[0] = 1
    np.save(tmp_path / "v.npy", v)
    source, notes = opened(tmp_path / "v.npy", drop_bad="yes")
    assert notes[0].endswith(
        "29 rows are left out, 29 with a NaN or an Inf: " + ", ".join(f"row {row}" for row in range(1, 11)) + ", …"
    )
    assert source.left_out.tolist() == list(range(1, 30))


def test_doubles_beyond_float32_are_refused_by_row(tmp_path):
    v = vectors(9, 3, np.float64)
    v[5, 1] = -1e300
    np.save(tmp_path / "v.npy", v)
    with pytest.raises(InputError) as refusal:
        open_vectors(tmp_path / "v.npy").held()
    assert str(refusal.value) == (
        f"{tmp_path / 'v.npy'}: row 5 has 1.0e+300, which is beyond float32 (1 in all are such); leave these out "
        "with --drop-bad yes"
    )
    assert len(open_vectors(tmp_path / "v.npy", drop_bad="yes")) == 8


def test_nulls_of_a_parquet_count_as_nan(tmp_path):
    lists = [[1.0, 2.0], None, [3.0, None], [5.0, 6.0]]
    for kind in (pyarrow.list_(pyarrow.float32()), pyarrow.list_(pyarrow.float32(), 2)):
        parquet.write_table(pyarrow.table({"vector": pyarrow.array(lists, kind)}), tmp_path / "v.parquet")
        with pytest.raises(InputError, match=r"row 1 has a NaN or an Inf \(2 in all are such\)"):
            open_vectors(tmp_path / "v.parquet").held()
        kept = open_vectors(tmp_path / "v.parquet", drop_bad="yes").held()
        assert (kept.vectors.tolist(), kept.ids.tolist()) == ([[1, 2], [5, 6]], [0, 3])


def written_lists(path, lists, kind):
    table = pyarrow.table({"vector": pyarrow.array(lists, kind)})
    if path.suffix == ".parquet":
        parquet.write_table(table, path, row_group_size=2)
        return
    with (ipc.new_file if path.suffix == ".ipc" else ipc.new_stream)(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=2)


@pytest.mark.parametrize("name", ["v.parquet", "v.arrow", "v.ipc"])
def test_null_rows_before_the_first_vector_are_bad_rows_as_any(name, tmp_path):
    lists = [None, None, None, [1.0, 2.0], [5.0, 6.0]]
    for kind in (pyarrow.list_(pyarrow.float32()), pyarrow.list_(pyarrow.float32(), 2)):
        written_lists(tmp_path / name, lists, kind)
        with pytest.raises(InputError, match=r"row 0 has a NaN or an Inf \(3 in all are such\)"):
            open_vectors(tmp_path / name).held()
        kept = open_vectors(tmp_path / name, drop_bad="yes").held()
        assert (kept.vectors.tolist(), kept.ids.tolist()) == ([[1, 2], [5, 6]], [3, 4])


def test_nulls_leave_the_numbers_of_wrong_rows_as_they_are(tmp_path):
    kind = pyarrow.list_(pyarrow.float32())
    written_lists(tmp_path / "v.arrow", [None, [1.0, 2.0], None, [3.0]], kind)
    with pytest.raises(InputError, match=r"v.arrow: row 3 has width 1, and the first vector has 2"):
        open_vectors(tmp_path / "v.arrow", drop_bad="yes")
    for name in ("v.parquet", "v.arrow"):
        written_lists(tmp_path / name, [None, None, None], kind)
        with pytest.raises(InputError, match=f"{name} has no vector in any of its 3 rows, so that the width"):
            open_vectors(tmp_path / name, drop_bad="yes")
        written_lists(tmp_path / name, [None, [], [1.0]], kind)
        with pytest.raises(InputError, match=f"{name}: row 1, whose vector says the width, is an empty list; leave"):
            open_vectors(tmp_path / name)


def test_an_unknown_way_to_drop_is_refused(tmp_path):
    with pytest.raises(InputError, match="unknown drop_bad 'all'; known are no, yes, zero"):
        open_vectors(tmp_path / "v.npy", drop_bad="all")

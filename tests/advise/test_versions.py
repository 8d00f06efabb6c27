"""Every encoding at every dim, against rows cut first, then coded, decoded and searched by hand."""

import numpy as np
import pytest

from mrl.advise import by_encoding, decoded, usable
from mrl.advise.versions import compared
from mrl.errors import InputError, NestingError
from mrl.evaluation.yardstick import KeptNeighbours, NearestLabel
from mrl.nesting import Nesting
from mrl.retrieval.encodings import CHUNK, encode

CUTS = Nesting((3, 8, 13))
NAMES = ("float32", "float16", "int12", "int8", "1bit")


def made(rows=300, width=13, seed=0):
    rng = np.random.default_rng(seed)
    scale = 1 / np.arange(1, width + 1) ** 0.5
    shift = rng.normal(size=width) * 0.2
    return ((rng.normal(size=(n, width)) * scale + shift).astype(np.float32) for n in (40, rows))


def by_hand(queries, rows, k, by):
    """(q, k) the nearest rows, equal scores in order of position."""
    q, x = queries.astype(np.float64), rows.astype(np.float64)
    scores = q @ x.T
    if by == "cosine":
        lengths = np.linalg.norm(x, axis=1)
        scores /= np.where(lengths > 0, lengths, np.inf)
    if by == "l2":
        scores = 2 * scores - (x**2).sum(1)
    return np.argsort(-scores, axis=1, kind="stable")[:, :k]


@pytest.mark.parametrize("by", ["cosine", "dot", "l2"])
@pytest.mark.parametrize("rows", [300, CHUNK + 50])
def test_every_encoding_at_every_dim_is_the_prefix_coded_alone_and_searched(by, rows):
    queries, rows = made(rows)
    stick = KeptNeighbours.of(queries, rows, 5, by)
    found = by_encoding(stick, queries, rows, CUTS, by)
    assert tuple(found) == NAMES
    for name in NAMES:
        for level, dim in enumerate(CUTS.dims):
            blocks = [rows[a : a + CHUNK, :dim] for a in range(0, len(rows), CHUNK)]
            coded = np.concatenate([encode(np.ascontiguousarray(b), name).decoded(slice(None)) for b in blocks])
            near = by_hand(queries[:, :dim], coded, 5, by)
            want = [len(set(a) & set(b)) / 5 for a, b in zip(near, stick.truth, strict=True)]
            off = np.abs(found[name][level] - want)
            assert (off <= 0.2 + 1e-12).all()
            assert (off > 1e-12).mean() <= 0.05


def test_labels_are_measured_the_same_way():
    queries, rows = made()
    rng = np.random.default_rng(1)
    stick = NearestLabel.of(rng.integers(0, 4, len(rows)), rng.integers(0, 4, len(queries)))
    found = by_encoding(stick, queries, rows, CUTS, "cosine", ("int8",))
    direct = stick.values(queries, decoded(rows, "int8"), CUTS, "cosine")
    assert list(found) == ["int8"]
    assert np.array_equal(found["int8"], direct)


def test_float32_at_the_full_width_keeps_every_neighbour():
    queries, rows = made()
    stick = KeptNeighbours.of(queries, rows, 5, "dot")
    assert (by_encoding(stick, queries, rows, CUTS, "dot", ("float32",))["float32"][-1] == 1).all()


def test_half_precision_rows_are_read_as_they_are():
    rows = list(made())[1]
    half = rows.astype(np.float16)
    assert np.array_equal(decoded(half, "float16"), half.astype(np.float32))


def test_what_float16_cannot_hold_is_refused_or_left_out_with_a_note():
    queries, rows = made()
    rows[7, 2] = 1e5
    stick = KeptNeighbours.of(queries, rows, 5, "cosine")
    with pytest.raises(InputError, match="float16 holds numbers up to 65504, the vectors have 1e"):
        by_encoding(stick, queries, rows, CUTS, "cosine")
    kept, notes = usable(rows)
    assert kept == ("float32", "int12", "int8", "1bit")
    assert notes[0].startswith("float16 is left out: float16 holds")
    assert usable(rows[8:]) == (NAMES, ())
    assert usable(rows, ("int8",)) == (("int8",), ())


def test_bad_input_is_named():
    queries, rows = made()
    stick = KeptNeighbours.of(queries, rows, 5, "cosine")
    with pytest.raises(InputError, match=r"unknown encoding 'int4'; known are 1bit, int8, int12, float16, float32"):
        by_encoding(stick, queries, rows, CUTS, "cosine", ("float32", "int4"))
    with pytest.raises(NestingError, match="need vectors of at least 26 dims, got 13"):
        by_encoding(stick, queries, rows, Nesting((3, 26)), "cosine")
    rows[11, 4] = np.nan
    for name in NAMES[1:]:
        with pytest.raises(InputError, match="rows 11 has a NaN or an Inf; leave such rows out"):
            by_encoding(stick, queries, rows, CUTS, "cosine", (name,))


def test_what_codes_leave_of_a_short_prefix_has_no_direction():
    """Leading values so skewed that one bit stands for what is all but 0: in few rows, and below 1e-15."""
    draws = np.random.default_rng(0)
    rows = draws.normal(size=(300, 13)).astype(np.float32)
    rows[:, :3] = 0
    rows[:150, :3] = 1e-16
    queries = rows[:20].copy()
    queries[:, :3] = 1
    for name in NAMES[1:]:
        found = compared(rows, name, Nesting((3, 13)), "cosine")
        assert not found[:, :3].any()
        np.testing.assert_array_equal(found[:, 3:], decoded(rows, name)[:, 3:])
    stick = KeptNeighbours.of(queries, rows, 5, "cosine")
    assert by_encoding(stick, queries, rows, Nesting((3, 13)), "cosine", NAMES[1:])["int8"].shape == (2, 20)

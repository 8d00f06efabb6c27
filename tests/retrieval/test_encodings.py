import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from mrl.errors import InputError
from mrl.retrieval.encodings import BITS, CHUNK, ENCODINGS, bytes_per_row, check_encoding, encode
from retrieval import made

U = np.float32(2.0**-24)
matrices = hnp.arrays(
    np.float32, st.tuples(st.integers(1, 40), st.integers(1, 19)),
    elements=st.floats(-(2.0**50), 2.0**50, width=32) | st.floats(-1, 1, width=32)
    | st.sampled_from(np.array([0, -0.0, 1e-40, 3, 3.0000002], np.float32)),
)  # fmt: skip


def every(encoded):
    return encoded.decoded(slice(None))


# ------------------------------------------------------------------------------------------------- int8 and int12

STEPS = {"int8": 254, "int12": 4094}  # of which a range has so many


def check_steps(values, encoding):
    """Off by at most half a step beside the rounding of float32."""
    low, high = values.min(axis=0).astype(float), values.max(axis=0).astype(float)
    rounding = 8 * U * (np.abs(low) + np.abs(high)) + STEPS[encoding] * 2.0**-149
    off = np.abs(every(encode(values, encoding)).astype(float) - values)
    assert (off <= (high - low) / STEPS[encoding] / 2 + rounding).all()


@pytest.mark.parametrize("encoding", STEPS)
@given(values=matrices)
def test_steps_are_off_by_half_a_one(encoding, values):
    check_steps(values, encoding)


@pytest.mark.parametrize("encoding", STEPS)
@pytest.mark.parametrize("scale", [1e37, 1e15, 1e-15, 1e-30, 1e-37, 1e-39, 1e-41, 1e-44])
def test_steps_of_huge_and_tiny_numbers(encoding, scale):
    """The inverse of a tiny step is beyond float32."""
    check_steps((made.random(300, 5).astype(float) * scale).astype(np.float32), encoding)


@pytest.mark.parametrize("encoding", STEPS)
def test_one_tiny_column_beside_large_ones(encoding):
    values = made.random(300, 5)
    values[:, 2] *= np.float32(1e-40)
    check_steps(values, encoding)


@pytest.mark.parametrize("width", [1, 2, 3, 8, 9])
def test_every_code_of_12_bits_is_read_as_it_was_written(width):
    """Whole numbers from −2047 to 2047 have offset 0 and step 1, and stand for themselves."""
    values = np.stack([np.roll(np.arange(-2047, 2048), 7 * j) for j in range(width)], axis=1).astype(np.float32)
    for chunk in (values, values[::-1]):
        assert (every(encode(np.ascontiguousarray(chunk), "int12")) == chunk).all()


@pytest.mark.parametrize("width", [1, 2, 7, 8])
def test_a_record_of_12_bits_is_its_high_bytes_and_then_its_nibbles(width):
    values = np.random.default_rng(width).integers(-2047, 2048, (9, width)).astype(np.float32)
    values[0], values[1] = -2047, 2047
    records, half = encode(values, "int12").codes, -(-width // 2)
    for row, record in zip(values.astype(int).tolist(), records.tolist(), strict=True):
        low = [code % 16 for code in row] + [0]
        assert record[:width] == [code // 16 for code in row]
        pairs = [low[j] + 16 * (low[j + half] if j + half < width else 0) for j in range(half)]
        assert [byte % 256 for byte in record[width:]] == pairs


def test_12_bits_find_what_float32_finds():
    """Of 40 near rows 10 are found: bytes mistake some of them."""
    rows = made.random(3000, 64)
    queries = rows[:100] + 0.3 * made.random(100, 64, 1)
    kept = {}
    for encoding in ("float32", *STEPS):
        products = queries @ every(encode(rows, encoding)).T
        kept[encoding] = [set(best) for best in np.argsort(-products, axis=1)[:, :10].tolist()]
    share = {n: np.mean([len(a & b) for a, b in zip(kept[n], kept["float32"], strict=True)]) / 10 for n in STEPS}
    assert share["int12"] >= 0.995
    assert share["int12"] > share["int8"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_columns_that_say_nothing_are_kept_as_they_are(encoding):
    for constant in (0.0, 0.5, -3.0, 1 / 3):
        values = np.full((500, 9), constant, np.float32)
        expected = values.astype(np.float16) if encoding == "float16" else values
        assert (every(encode(values, encoding)) == expected).all()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_one_row_is_its_own_range_and_mean(encoding):
    values = made.random(1, 9).astype(np.float16).astype(np.float32)
    assert (every(encode(values, encoding)) == values).all()


def test_a_distant_row_spoils_the_range_of_its_chunk_alone(tmp_path):
    rows = made.random(2 * CHUNK, 4)
    rows[CHUNK] = 1e6
    index = made.index(tmp_path / "i", rows, beside={"int8": 4})
    decoded = every(index.snapshot.blocks[0].segment(0, "int8"))
    assert np.abs(decoded[:CHUNK] - rows[:CHUNK]).max() < 0.1
    assert np.abs(decoded[CHUNK:] - rows[CHUNK:]).max() > 1


# ------------------------------------------------------------------------------------------------- 1 bit


def bits(values):
    """The slow twin: mean ± mean absolute deviation, column by column."""
    decoded = np.empty(values.shape)
    for j, column in enumerate(values.astype(float).T):
        mean = float(np.float32(column.mean()))
        deviation = np.abs(column - mean).mean()
        decoded[:, j] = np.where(column > mean, mean + deviation, mean - deviation)
    return decoded


@given(matrices)
def test_a_bit_says_on_which_side_of_the_mean(values):
    expected = bits(values)
    rounding = 8 * U * np.abs(values.astype(float)).max(axis=0) + 2.0**-147
    assert (np.abs(every(encode(values, "1bit")) - expected) <= rounding).all()


@given(hnp.arrays(np.float32, (20, 5), elements=st.integers(1, 1000)))
def test_one_bit_keeps_the_mean_and_the_mean_size_of_a_symmetric_column(values):
    """Each row comes with its mirror image, so the mean is exactly 0."""
    both = np.concatenate([values, -values])
    decoded = every(encode(both, "1bit")).astype(float)
    np.testing.assert_allclose(decoded.mean(axis=0), 0, atol=1e-9)
    np.testing.assert_allclose(np.abs(decoded).mean(axis=0), values.mean(axis=0, dtype=float), rtol=1e-6)


# ------------------------------------------------------------------------------------------------- floats


@given(matrices)
def test_float32_is_as_it_was(values):
    assert every(encode(values, "float32")).tobytes() == values.tobytes()


@given(hnp.arrays(np.float16, (7, 5), elements=st.floats(-65504, 65504, width=16)))
def test_float16_keeps_what_float16_holds(values):
    assert every(encode(values.astype(np.float32), "float16")).tobytes() == values.astype(np.float32).tobytes()


def test_float16_rounds_to_the_nearest():
    values = made.random(100, 7)
    assert (np.abs(every(encode(values, "float16")) - values) <= 2.0**-11 * np.abs(values) + 2.0**-25).all()


@pytest.mark.parametrize("value", [65505, -65536, 1e15])
def test_what_float16_cannot_hold_is_refused(value):
    values = np.array([[0, value]], np.float32)
    text = f"float16 holds numbers up to 65504, the vectors have {abs(value):.4g}; rescale them or use another encoding"
    with pytest.raises(InputError, match=re.escape(text)):
        encode(values, "float16")


def test_an_index_refuses_what_float16_cannot_hold_and_nothing_is_left(tmp_path):
    for number, how in enumerate([{"reference": "float16"}, {"beside": {"float16": 8}}]):
        rows = made.random(10, 8)
        rows[7, 3] = 1e5
        with pytest.raises(InputError, match="float16 holds numbers up to 65504, the vectors have 1e\\+05"):
            made.index(tmp_path / str(number), rows, **how)
        assert made.index(tmp_path / str(number), rows[:7], **how).rows == 7


# ------------------------------------------------------------------------------------------------- shapes


@pytest.mark.parametrize("n", [1, 4095, 4096, 4097, 8192])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_blocks_are_encoded_chunk_by_chunk(tmp_path, n, encoding):
    """Whatever the portions in which rows come, and read back by slices and by positions."""
    rows = made.random(n, 11)
    beside = {} if encoding == "float32" else {encoding: 11}
    coded = made.index(tmp_path / "i", rows, (3, 11), beside=beside).snapshot.blocks[0].segment(1, encoding)
    expected = np.concatenate([every(encode(rows[s : s + CHUNK, 3:], encoding)) for s in range(0, n, CHUNK)])
    assert every(coded).tobytes() == expected.tobytes()
    assert len(coded.scales) == (0 if encoding.startswith("float") else -(-n // CHUNK))
    some = np.random.default_rng(0).integers(0, n, 50)
    assert (coded.decoded(some) == expected[some]).all()
    assert (coded.decoded(slice(n // 3, n - n // 3)) == expected[n // 3 : n - n // 3]).all()
    assert coded.decoded(np.empty(0, np.int64)).shape == (0, 8)


@pytest.mark.parametrize("width", [1, 7, 8, 9, 64])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_bytes_per_row_are_those_of_the_codes(encoding, width):
    assert bytes_per_row(encoding, width) == encode(made.random(3, width), encoding).codes[0].nbytes
    assert bytes_per_row(encoding, 8 * width) == BITS[encoding] * width


def test_encodings_are_told_from_the_coarsest():
    assert sorted(ENCODINGS, key=BITS.get) == list(ENCODINGS)
    with pytest.raises(InputError, match="unknown encoding 'int4'; known are 1bit, int8, int12, float16, float32"):
        check_encoding("int4")

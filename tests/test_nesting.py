import re
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import oracles
from mrl.errors import InputError, MrlError, NestingError
from mrl.nesting import Nesting, metric, metric_prefix, prefix, rescales, unit_prefix

nestings = st.sets(st.integers(1, 10**6), min_size=1, max_size=12).map(lambda dims: Nesting(tuple(sorted(dims))))
ordinary = st.floats(-1e3, 1e3, width=32).filter(lambda x: x == 0 or abs(x) > 1e-3)
rows = hnp.arrays(np.float32, st.tuples(st.integers(1, 4), st.integers(1, 20)), elements=ordinary)
MAGNITUDES = [1e30, 1.0, 1e-20, 1e-40]


# --------------------------------------------------------------------------------------------- Nesting


@given(nestings)
def test_text_and_object_round_trip(nesting):
    assert Nesting.parse(str(nesting)) == nesting
    assert Nesting.parse(f"  {str(nesting).replace(',', ' ,  ')} ") == nesting


@given(nestings)
def test_segments_tile_the_width(nesting):
    covered = [i for start, stop in nesting.segments for i in (start, stop)]
    assert covered[0] == 0
    assert covered[-1] == nesting.width == max(nesting.dims)
    assert covered[1:-1:2] == covered[2::2], "each segment begins where the one before stops"
    assert all(start < stop for start, stop in nesting.segments)
    assert len(nesting.segments) == len(nesting)
    assert tuple(stop for _, stop in nesting.segments) == nesting.dims


@given(nestings)
def test_between_adds_one_dim_inside_each_gap(nesting):
    dense = nesting.between()
    assert set(nesting.dims) <= set(dense.dims)
    for start, stop in nesting.segments[1:]:
        inside = [dim for dim in dense.dims if start < dim < stop]
        assert inside == ([(start + stop) // 2] if stop - start > 1 else [])
    assert dense.dims[0] == nesting.dims[0]
    assert dense.width == nesting.width


@given(st.integers(1, 10**6), st.data())
def test_a_halving_ladder_halves(width, data):
    smallest = data.draw(st.integers(1, width))
    dims = Nesting.halving(width, smallest).dims
    assert dims[-1] == width
    assert all(a == b // 2 for a, b in pairwise(dims))
    assert smallest <= dims[0]
    assert dims[0] // 2 < smallest
    assert Nesting.parse(f"{smallest}..{width}").dims == dims


def test_the_ladders_of_the_paper():
    resnet = (8, 16, 32, 64, 128, 256, 512, 1024, 2048)
    vit = (12, 24, 48, 96, 192, 384, 768)
    assert Nesting.halving(2048, smallest=8).dims == Nesting.parse("8..2048").dims == resnet
    assert Nesting.halving(768, 12).dims == Nesting.parse(" 12 .. 768 ").dims == vit
    assert Nesting(resnet).between().dims[:5] == (8, 12, 16, 24, 32)


def test_a_nesting_knows_its_dims():
    nesting = Nesting((8, 16, 32))
    assert (len(nesting), nesting.width, str(nesting)) == (3, 32, "8,16,32")
    assert nesting.segments == ((0, 8), (8, 16), (16, 32))
    assert [dim for dim in range(40) if nesting.trained(dim)] == [8, 16, 32]
    assert hash(nesting) == hash(Nesting((8, 16, 32)))


def test_dims_may_be_integers_of_any_make():
    for dims in [[2, 4], np.array([2, 4]), (np.int64(2), np.uint8(4)), torch.tensor([2, 4])]:
        nesting = Nesting(dims)
        assert nesting == Nesting((2, 4))
        assert [type(dim) for dim in nesting.dims] == [int, int]


@pytest.mark.parametrize("dims", [(), (0, 8), (-8, 8), (8, 8), (16, 8), (8, 16, 16)])
def test_dims_that_do_not_nest_are_refused(dims):
    said = f"dims must be positive and strictly increasing, got {dims}; list the prefix widths narrowest first"
    with pytest.raises(NestingError, match=re.escape(said)):
        Nesting(dims)


@pytest.mark.parametrize("dims", [(8.0, 16.0), (8, "16"), "8,16", 8, None, [[8], [16]], np.array([8.5])], ids=repr)
def test_dims_that_are_no_integers_are_refused(dims):
    with pytest.raises(NestingError, match=re.escape(f"dims must be integers, got {dims!r}")):
        Nesting(dims)


@pytest.mark.parametrize(
    "text",
    ["", " ", "eight", "8;16", "8,,16", "8,16,", "8.0,16", "-8,16", "+8", "1_000", "8...16", "8..", "..16", "8..x",
     "8-16", "٨,١٦", "٨..١٦", "８", "²", "8 16", "9" * 5000, f"8..{'9' * 5000}"],
)  # fmt: skip
def test_text_that_is_no_nesting_is_refused(text):
    with pytest.raises(NestingError, match=r"cannot read dims from .*; write them as 8,16,32 or as the ladder 8\.\.20"):
        Nesting.parse(text)


@pytest.mark.parametrize("text", ["16,8", "8,8", "0,8"])
def test_text_of_dims_that_do_not_nest_is_refused(text):
    with pytest.raises(NestingError, match="must be positive and strictly increasing"):
        Nesting.parse(text)


@given(st.text(max_size=20))
def test_any_text_is_read_or_refused(text):
    try:
        nesting = Nesting.parse(text)
    except NestingError:
        return
    assert Nesting.parse(str(nesting)) == nesting


@pytest.mark.parametrize(("smallest", "width"), [(0, 8), (9, 8), (-1, 8), (1, 0)])
def test_a_ladder_without_rungs_is_refused(smallest, width):
    with pytest.raises(NestingError, match=f"needs 1 ≤ smallest ≤ width, got smallest={smallest}, width={width}"):
        Nesting.halving(width, smallest)


def test_vectors_narrower_than_the_nesting_are_refused():
    nesting = Nesting((8, 16))
    nesting.check_width(16)
    nesting.check_width(17)
    with pytest.raises(NestingError, match="dims 8,16 need vectors of at least 16 dims, got 15; drop the wider dims"):
        nesting.check_width(15)


def test_dims_from_the_narrowest_to_the_width_are_readable():
    nesting = Nesting((8, 16))
    for dim, width in [(8, None), (9, None), (16, None), (17, 20), (20, 20)]:
        nesting.check_readable(dim, width)
    for dim, width, last in [(7, None, 16), (17, None, 16), (21, 20, 20), (0, 20, 20)]:
        said = f"dim {dim} cannot be read: this embedding was trained at 8,16, so ask for a dim from 8 to {last}"
        with pytest.raises(NestingError, match=said):
            nesting.check_readable(dim, width)


def test_refusals_are_value_errors():
    assert issubclass(NestingError, ValueError)
    assert issubclass(NestingError, MrlError)


# --------------------------------------------------------------------------------------------- the cut

NUMPY = [np.float16, np.float32, np.float64]
TORCH = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def made(seed=0, shape=(20, 12)):
    return np.random.default_rng(seed).standard_normal(shape)


def check_unit(got, given_, dim, eps, smallest):
    """Against the slow twin on the very numbers given; the budget is a few roundings of the dtype."""
    np.testing.assert_allclose(got, oracles.unit(given_, dim), rtol=(dim + 4) * eps, atol=2 * smallest)


@pytest.mark.parametrize("dtype", NUMPY)
@pytest.mark.parametrize("dim", [1, 5, 12])
def test_numpy_prefixes_are_those_of_the_slow_twin(dtype, dim):
    x = made().astype(dtype)
    x[3] = 0
    got, about = unit_prefix(x, dim), np.finfo(dtype)
    assert got.dtype == dtype
    check_unit(got, x, dim, about.eps, about.smallest_subnormal)
    np.testing.assert_array_equal(prefix(x, dim), x[:, :dim])


@pytest.mark.parametrize("dtype", TORCH, ids=str)
@pytest.mark.parametrize("dim", [1, 5, 12])
def test_torch_prefixes_are_those_of_the_slow_twin(dtype, dim):
    x = torch.from_numpy(made()).to(dtype)
    x[3] = 0
    got, about = unit_prefix(x, dim), torch.finfo(dtype)
    assert got.dtype == dtype
    check_unit(got.double().numpy(), x.double().numpy(), dim, about.eps, about.smallest_normal)
    assert torch.equal(prefix(x, dim), x[:, :dim])


@given(rows, st.data())
def test_numpy_and_torch_agree(x, data):
    dim = data.draw(st.integers(1, x.shape[1]))
    mine, theirs = unit_prefix(x, dim), unit_prefix(torch.from_numpy(x), dim).numpy()
    np.testing.assert_allclose(mine, theirs, rtol=8 * np.finfo(np.float32).eps, atol=0)


@given(rows, st.data())
def test_a_unit_prefix_has_length_one_or_zero(x, data):
    dim = data.draw(st.integers(1, x.shape[1]))
    lengths = np.linalg.norm(unit_prefix(x, dim).astype(np.float64), axis=-1)
    np.testing.assert_allclose(lengths, x[:, :dim].any(axis=1), atol=1e-6)


@given(rows, st.integers(-60, 60))
def test_a_power_of_two_changes_nothing(x, exponent):
    np.testing.assert_array_equal(unit_prefix(np.ldexp(x, exponent), x.shape[1]), unit_prefix(x, x.shape[1]))


@given(rows, st.floats(1e-3, 1e3))
def test_scale_changes_nothing(x, scale):
    scaled = (x.astype(np.float64) * scale).astype(np.float32)
    assume(np.isfinite(scaled).all())
    np.testing.assert_allclose(unit_prefix(scaled, x.shape[1]), unit_prefix(x, x.shape[1]), rtol=1e-5, atol=1e-7)


@given(rows, st.data())
def test_a_cut_of_a_cut_is_the_cut(x, data):
    wide = data.draw(st.integers(1, x.shape[1]))
    dim = data.draw(st.integers(1, wide))
    np.testing.assert_array_equal(prefix(prefix(x, wide), dim), prefix(x, dim))
    np.testing.assert_allclose(unit_prefix(unit_prefix(x, wide), dim), unit_prefix(x, dim), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("size", MAGNITUDES)
def test_neither_huge_nor_tiny_numbers_get_lost(size):
    x = (made() * size).astype(np.float32)
    assert np.isfinite(x).all()
    about = np.finfo(np.float32)
    check_unit(unit_prefix(x, 7), x, 7, about.eps, about.smallest_normal)
    check_unit(unit_prefix(torch.from_numpy(x), 7).numpy(), x, 7, about.eps, about.smallest_normal)


def test_the_ends_of_the_range_get_unit_length():
    for dtype in NUMPY:
        for size in (np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal):
            x = np.full((2, 9), size, dtype)
            np.testing.assert_allclose(unit_prefix(x, 9), 1 / 3, rtol=4 * np.finfo(dtype).eps)
            np.testing.assert_allclose(unit_prefix(torch.from_numpy(x), 9).numpy(), 1 / 3, rtol=4 * np.finfo(dtype).eps)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", NUMPY)
def test_a_row_that_is_not_finite_becomes_nan_and_no_other(bad, dtype):
    x = made().astype(dtype)
    x[4, 2] = bad
    for got in (unit_prefix(x, 6), unit_prefix(torch.from_numpy(x), 6).numpy()):
        np.testing.assert_array_equal(np.isnan(got).all(axis=1), np.arange(len(x)) == 4)
        assert np.isfinite(got[:4]).all()
    assert np.isfinite(unit_prefix(x, 2)).all(), "what lies behind the cut is not looked at"


def test_a_zero_row_stays_zero():
    x = made()
    x[2, :5] = 0
    for got in (unit_prefix(x, 5), unit_prefix(torch.from_numpy(x), 5).numpy()):
        assert (got[2] == 0).all()
    np.testing.assert_allclose(np.linalg.norm(unit_prefix(x, 12)[2]), 1)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64])
def test_integers_become_float32(dtype):
    x = np.array([[3, 4, 9], [0, 0, 1], [np.iinfo(dtype).min, 0, 1]], dtype)
    for got in (unit_prefix(x, 2), unit_prefix(torch.from_numpy(x), 2).numpy()):
        assert got.dtype == np.float32
        check_unit(got, x, 2, 1e-7, 0)
    assert prefix(x, 2).dtype == dtype


@pytest.mark.parametrize("shape", [(12,), (0, 12), (3, 5, 12), (1, 12)])
def test_any_number_of_axes_may_come_before_the_last(shape):
    x = made(shape=shape)
    for got in (unit_prefix(x, 5), unit_prefix(torch.from_numpy(x), 5).numpy()):
        assert got.shape == (*shape[:-1], 5)
        check_unit(got.reshape(-1, 5), x.reshape(-1, 12), 5, 1e-15, 0)


def test_the_input_is_left_alone():
    x = made()
    before = x.copy()
    unit_prefix(x, 5)
    np.testing.assert_array_equal(x, before)
    assert np.shares_memory(prefix(x, 5), x), "a prefix is a view"


def test_the_gradient_is_that_of_the_plain_formula():
    x = torch.from_numpy(made()).requires_grad_()
    y = x.detach().clone().requires_grad_()
    out = torch.from_numpy(made(1)[:, :5])
    (unit_prefix(x, 5) * out).sum().backward()
    (y[:, :5] / y[:, :5].norm(dim=1, keepdim=True) * out).sum().backward()
    torch.testing.assert_close(x.grad, y.grad)
    assert (x.grad[:, 5:] == 0).all()
    assert torch.autograd.gradcheck(lambda v: unit_prefix(v, 4), x.detach()[:3].requires_grad_())


@pytest.mark.parametrize("dtype", TORCH, ids=str)
def test_zero_rows_get_no_gradient_and_do_not_disturb_the_others(dtype):
    x = torch.from_numpy(made()).to(dtype)
    x[3, :5] = 0
    x.requires_grad_()
    (unit_prefix(x, 5) * torch.arange(5)).sum().backward()
    assert torch.isfinite(x.grad).all()
    assert (x.grad[3] == 0).all()
    assert x.grad[:, :5].any(dim=1).sum() == len(x) - 1


@pytest.mark.parametrize("size", [1e30, 1.0, 1e-20, 1e-36])  # at 1e-40 the gradient itself is beyond float32
def test_the_gradient_of_huge_and_tiny_rows_is_right(size):
    x = torch.from_numpy((made() * size).astype(np.float32)).requires_grad_()
    out = torch.from_numpy(made(1)).float()
    (unit_prefix(x, 12) * out).sum().backward()
    y = x.detach().double().requires_grad_()
    (y / y.norm(dim=1, keepdim=True) * out).sum().backward()
    torch.testing.assert_close(x.grad.double(), y.grad, rtol=1e-4, atol=1e-6 / size)


@pytest.mark.parametrize("cut", [prefix, unit_prefix])
@pytest.mark.parametrize("dim", [0, -1, 13])
def test_a_cut_beyond_the_vectors_is_refused(cut, dim):
    for x in (made(), torch.from_numpy(made())):
        said = f"cannot cut {dim} dims from vectors of shape (20, 12); 1 ≤ dim ≤ 12"
        with pytest.raises(NestingError, match=re.escape(said)):
            cut(x, dim)


def test_only_cosine_rescales():
    x = made()
    assert [rescales(name) for name in ("cosine", "dot", "l2")] == [True, False, False]
    np.testing.assert_array_equal(metric_prefix(x, 5, "cosine"), unit_prefix(x, 5))
    for name in ("dot", "l2"):
        np.testing.assert_array_equal(metric_prefix(x, 5, name), x[:, :5])


@pytest.mark.parametrize("name", ["euclid", "", "Cosine"])
def test_an_unknown_metric_is_refused(name):
    for call in (lambda: metric(name), lambda: rescales(name), lambda: metric_prefix(made(), 5, name)):
        with pytest.raises(InputError, match=f"unknown metric {name!r}; known are cosine, dot, l2"):
            call()

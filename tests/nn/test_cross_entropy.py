"""The one-pass loss against the plain loop, `nested(F.cross_entropy, …)`."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mrl import Nesting
from mrl.errors import InputError, NestingError
from mrl.nn import MRLEHead, MRLHead, nested, nested_cross_entropy

HEADS = (MRLHead, MRLEHead)
CLASSES = 11


def by_loop(head, z, target, *, level_weights=None, reduction="sum", **options):
    """The oracle: one matmul and one cross-entropy per dim."""
    options = {"weight" if name == "class_weights" else name: value for name, value in options.items()}
    flat = target.flatten(0, -2) if target.is_floating_point() else target.flatten()

    def loss(cut):
        return F.cross_entropy(head.at(cut).reshape(-1, head.classes), flat, **options)

    return nested(loss, z, nesting=head.nesting, level_weights=level_weights, reduction=reduction)


def gradients(loss, head, z, factor=1.0):
    return torch.autograd.grad(loss.total * factor, [z, *head.parameters()])


def assert_same(ours, theirs, head, z, tolerance=1e-10):
    torch.testing.assert_close(ours.total, theirs.total, rtol=tolerance, atol=tolerance)
    torch.testing.assert_close(ours.levels, theirs.levels, rtol=tolerance, atol=tolerance)
    pairs = zip(gradients(ours, head, z, 1.7), gradients(theirs, head, z, 1.7), strict=True)
    for mine, oracle in pairs:
        torch.testing.assert_close(mine, oracle, rtol=tolerance, atol=tolerance)


def case(make, rows=(13,), dims=(3, 8, 20), width=24, dtype=torch.float64, bias=True):
    torch.manual_seed(0)
    head = make(Nesting(dims), CLASSES, bias=bias).to(dtype)
    z = torch.randn(*rows, width, dtype=dtype, requires_grad=True)
    return head, z, torch.randint(0, CLASSES, rows)


OPTIONS = {
    "plain": {},
    "smoothed": {"label_smoothing": 0.1},
    "all smoothing": {"label_smoothing": 1.0},
    "weighted": {"class_weights": torch.linspace(0, 2, CLASSES, dtype=torch.float64)},
    "both": {"class_weights": torch.linspace(0, 2, CLASSES, dtype=torch.float64), "label_smoothing": 0.3},
    "levels": {"level_weights": (2.0, 0.0, 0.5)},
    "mean": {"reduction": "mean"},
    "ignoring": {"ignore_index": 4},
}


@pytest.mark.parametrize("make", HEADS)
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("rows", [(13,), (4, 5)], ids=str)
@pytest.mark.parametrize("chunk_bytes", [1, 3000, 1 << 26])
def test_equals_the_loop_for_labels(make, options, rows, chunk_bytes):
    head, z, y = case(make, rows)
    y.view(-1)[:3] = options.get("ignore_index", -100)
    ours = nested_cross_entropy(head, z, y, chunk_bytes=chunk_bytes, **options)
    assert_same(ours, by_loop(head, z, y, **options), head, z)


@pytest.mark.parametrize("make", HEADS)
@pytest.mark.parametrize("options", [OPTIONS[name] for name in ("plain", "smoothed", "weighted", "both", "levels")])
def test_equals_the_loop_for_soft_targets(make, options):
    head, z, _ = case(make, (3, 4))
    t = torch.rand(3, 4, CLASSES, dtype=torch.float64).softmax(-1)
    assert_same(nested_cross_entropy(head, z, t, chunk_bytes=3000, **options), by_loop(head, z, t, **options), head, z)


@given(
    dims=st.sets(st.integers(1, 40), min_size=1, max_size=6).map(sorted),
    rows=st.integers(1, 9),
    chunk_bytes=st.integers(1, 20_000),
    tied=st.booleans(),
    bias=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_equals_the_loop_for_any_dims(dims, rows, chunk_bytes, tied, bias):
    head, z, y = case(MRLEHead if tied else MRLHead, (rows,), tuple(dims), dims[-1] + 3, bias=bias)
    assert_same(nested_cross_entropy(head, z, y, chunk_bytes=chunk_bytes), by_loop(head, z, y), head, z)


@pytest.mark.parametrize("make", HEADS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_errs_no_more_than_the_loop_in_the_same_dtype(make, dtype):
    """With the plain code's error e against float64, ours may be at most e + the dtype's own resolution."""
    head, z, y = case(make, (96,), (8, 64, 300), 300, dtype)
    exact_head, exact_z, _ = case(make, (96,), (8, 64, 300), 300)
    exact_head.load_state_dict(head.state_dict())
    exact_z.data.copy_(z.detach())
    truth = by_loop(exact_head, exact_z, y)
    ours, theirs = nested_cross_entropy(head, z, y, chunk_bytes=100_000), by_loop(head, z, y)
    room = 4 * torch.finfo(dtype).eps
    assert abs(ours.total - truth.total) <= abs(theirs.total - truth.total) + room * truth.total
    grads = zip(
        gradients(ours, head, z), gradients(theirs, head, z), gradients(truth, exact_head, exact_z), strict=True
    )
    for mine, loop, exact in grads:
        error, allowed = (mine - exact).abs().max(), (loop - exact).abs().max() + room * exact.abs().max()
        assert error <= allowed


@pytest.mark.parametrize("make", HEADS)
def test_autocast_multiplies_narrow_and_sums_wide(make):
    head, z, y = case(make, (32,), dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = nested_cross_entropy(head, z, y)
    assert ours.total.dtype == torch.float32
    assert all(g.dtype == torch.float32 for g in gradients(ours, head, z))
    torch.testing.assert_close(ours.levels, by_loop(head, z, y).levels, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("make", HEADS)
def test_no_gradient_reaches_coordinates_that_no_prefix_sees(make):
    head, z, y = case(make)
    nested_cross_entropy(head, z, y).backward()
    assert (z.grad[:, 20:] == 0).all()
    assert (z.grad[:, :20] != 0).any()


@pytest.mark.parametrize("make", HEADS)
def test_only_what_asks_for_a_gradient_gets_one(make):
    head, z, y = case(make)
    oracle = gradients(by_loop(head, z, y), head, z)
    head.requires_grad_(False)
    (alone,) = torch.autograd.grad(nested_cross_entropy(head, z, y).total, [z])
    torch.testing.assert_close(alone, oracle[0])
    head.requires_grad_(True)
    weights = torch.autograd.grad(nested_cross_entropy(head, z.detach(), y).total, list(head.parameters()))
    for mine, theirs in zip(weights, oracle[1:], strict=True):
        torch.testing.assert_close(mine, theirs)
    with torch.no_grad():
        assert not nested_cross_entropy(head, z, y).total.requires_grad


def test_a_retained_graph_gives_the_same_gradients_again():
    head, z, y = case(MRLEHead)
    loss = nested_cross_entropy(head, z, y)
    first = torch.autograd.grad(loss.total, [z, *head.parameters()], retain_graph=True)
    again = torch.autograd.grad(3 * loss.total, [z, *head.parameters()])
    for a, b in zip(first, again, strict=True):
        torch.testing.assert_close(3 * a, b)


def test_gradients_accumulate_over_two_steps():
    head, z, y = case(MRLEHead)
    nested_cross_entropy(head, z, y).backward()
    once = head.weights[0].grad.clone()
    nested_cross_entropy(head, z, y).backward()
    torch.testing.assert_close(head.weights[0].grad, 2 * once)


@pytest.mark.parametrize("make", HEADS)
def test_hits_count_the_rows_whose_largest_logit_is_the_target(make):
    head, z, y = case(make, (40,))
    y[:5] = -100
    expected = [((logits.argmax(-1) == y) & (y != -100)).sum() for logits in head(z)]
    assert nested_cross_entropy(head, z, y, chunk_bytes=2000).hits.tolist() == [int(h) for h in expected]


def test_extreme_logits_stay_finite_and_exact():
    head, z, y = case(MRLEHead)
    with torch.no_grad():
        head.weights[0].mul_(1e4)
    assert_same(nested_cross_entropy(head, z, y), by_loop(head, z, y), head, z, 1e-9)


def test_all_rows_ignored_is_nan_as_in_torch():
    head, z, y = case(MRLHead)
    assert nested_cross_entropy(head, z, y.fill_(-100)).levels.isnan().all()
    assert by_loop(head, z, y).levels.isnan().all()


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the tracer looks at z.grad where the graph breaks
@pytest.mark.parametrize("make", HEADS)
def test_a_compiled_step_gives_the_same(make):
    head, z, y = case(make)

    def step(z):
        return nested_cross_entropy(head, z.tanh() * 2, y).total

    compiled = torch.compile(step, backend="aot_eager")(z)
    torch.testing.assert_close(compiled, step(z))
    torch.testing.assert_close(torch.autograd.grad(compiled, z), torch.autograd.grad(step(z), z))


def refused(error, text, *args, **options):
    with pytest.raises(error, match=text):
        nested_cross_entropy(*args, **options)


def test_what_does_not_fit_is_refused_with_the_rule():
    head, z, y = case(MRLHead)
    refused(NestingError, "at least 20 dims, got 19", head, z[:, :19], y)
    refused(InputError, r"z has no rows \(shape \(0, 24\)\)", head, z[:0], y[:0])
    refused(InputError, "floating point", head, z.int(), y)
    refused(InputError, r"one integer per row .* got torch.int64 of shape \(12,\)", head, z, y[:12])
    refused(InputError, "target 11 of row 2 is no class: there are 11", head, z, y.index_fill(0, torch.tensor(2), 11))
    refused(InputError, "target -1 of row 0", head, z, y.index_fill(0, torch.tensor(0), -1))
    refused(InputError, r"soft targets must be .* = \(13, 11\)", head, z, torch.rand(13, 10))
    refused(InputError, "detach", head, z, torch.rand(13, 11, requires_grad=True))
    refused(InputError, r"label_smoothing must lie in \[0, 1\], got 1.5", head, z, y, label_smoothing=1.5)
    refused(InputError, r"class_weights must be \(11,\)", head, z, y, class_weights=torch.ones(3))
    refused(InputError, "level_weights must be 3 finite numbers", head, z, y, level_weights=(1, 2))
    refused(InputError, "level_weights must be 3 finite numbers", head, z, y, level_weights=(1, 2, float("nan")))
    refused(InputError, "reduction must be 'sum' or 'mean'", head, z, y, reduction="max")
    refused(InputError, "chunk_bytes must be positive, got 0", head, z, y, chunk_bytes=0)


def test_gradients_of_gradients_are_refused():
    head, z, y = case(MRLEHead)
    with pytest.raises(InputError, match="no gradients of gradients"):
        torch.autograd.grad(nested_cross_entropy(head, z, y).total, z, create_graph=True)


def test_targets_of_another_shape_with_as_many_rows_are_refused():
    head, z, _ = case(MRLHead, (4, 6))
    refused(InputError, r"z is \(4, 6, 24\), got torch.int64 of shape \(6, 4\)", head, z, torch.zeros(6, 4, dtype=int))

"""One-pass InfoNCE and SigLIP against the plain loop, `nested` with ten lines of loss."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from mrl import Nesting
from mrl.errors import InputError, NestingError
from mrl.nn import Keys, LogitScale, nested, nested_info_nce, nested_siglip
from mrl.nn.tiles import Tiling

INF = float("inf")


def similarity(a, b, metric):
    """`nested` has cut and rescaled already."""
    s = a @ b.T
    return 2 * s - a.square().sum(1)[:, None] - b.square().sum(1) if metric == "l2" else s


def left_out(keys, pairs, negatives):
    """(n, n + h) bool, pair by pair."""
    out = torch.zeros(pairs, pairs + negatives, dtype=torch.bool)
    if keys is None:
        return out
    for i in range(pairs):
        for j in range(pairs):
            shared = [k is not None and k[i] == k[j] for k in (keys.queries, keys.documents)]
            out[i, j] = i != j and any(shared)
        for j in range(negatives if keys.negatives is not None else 0):
            out[i, pairs + j] = keys.documents[i] == keys.negatives[j]
    return out


def info_nce(metric, scale, *, out, margin=None, symmetric=False):
    """The plain loss of one prefix."""

    def one_way(s, out):
        beyond = torch.zeros_like(out) if margin is None else s > s.diagonal()[:, None] + margin
        return F.cross_entropy((scale * s).masked_fill(out | beyond, -INF), torch.arange(len(s)))

    def loss(queries, documents, *negatives):
        s, n = similarity(queries, torch.cat([documents, *negatives]), metric), len(queries)
        there = one_way(s, out)
        return (there + one_way(s[:, :n].T, out[:, :n].T)) / 2 if symmetric else there

    return loss


def siglip(metric, scale, bias, *, out):
    def loss(queries, documents, *negatives):
        logits = scale * similarity(queries, torch.cat([documents, *negatives]), metric) + bias
        y = 2 * torch.eye(*logits.shape, dtype=logits.dtype) - 1
        return -F.logsigmoid(y * logits).masked_fill(out, 0).sum() / len(logits)

    return loss


class Case:
    """Vectors of any dtype, both losses of ours and by the loop, and all gradients."""

    def __init__(self, n=7, h=0, dims=(3, 8, 20), width=23, dtype=torch.float64, seed=0, spread=1.0):
        draw = torch.Generator().manual_seed(seed)
        shapes = [(n, width), (n, width), *([(h, width)] if h else [])]
        self.views = [
            (torch.randn(*s, generator=draw, dtype=torch.float64) * spread).to(dtype).requires_grad_() for s in shapes
        ]
        self.scale = torch.tensor(3.7, dtype=torch.float64).to(dtype).requires_grad_()
        self.bias = torch.tensor(-1.3, dtype=torch.float64).to(dtype).requires_grad_()
        self.nesting, self.n, self.h = Nesting(dims), n, h

    @property
    def negatives(self):
        return self.views[2] if self.h else None

    def out(self, keys=None, mask=None):
        out = left_out(keys, self.n, self.h)
        return out if mask is None else out | mask

    def ours(self, loss, **options):
        bias = {"bias": self.bias} if loss == "siglip" else {}
        function = nested_siglip if loss == "siglip" else nested_info_nce
        return function(
            *self.views[:2], nesting=self.nesting, scale=self.scale, negatives=self.negatives, **bias, **options
        )

    def loop(self, loss, *, keys=None, mask=None, margin=None, symmetric=False, metric="cosine", **options):
        options.pop("chunk_bytes", None)
        out = self.out(keys, mask)
        plain = (
            siglip(metric, self.scale, self.bias, out=out)
            if loss == "siglip"
            else info_nce(metric, self.scale, out=out, margin=margin, symmetric=symmetric)
        )
        return nested(plain, *self.views, nesting=self.nesting, metric=metric, **options)

    def gradients(self, result, factor=1.0):
        inputs = [*self.views, self.scale, self.bias]
        found = torch.autograd.grad(result.total * factor, inputs, allow_unused=True, retain_graph=True)
        return [torch.zeros_like(x) if g is None else g for g, x in zip(found, inputs, strict=True)]

    def check(self, loss, tolerance=1e-10, **options):
        ours, loop = self.ours(loss, **options), self.loop(loss, **options)
        torch.testing.assert_close(ours.total, loop.total, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(ours.levels, loop.levels, rtol=tolerance, atol=tolerance)
        for mine, theirs in zip(self.gradients(ours, 1.7), self.gradients(loop, 1.7), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=tolerance, atol=tolerance)


LOSSES = ("info-nce", "siglip")
KEYS = Keys(
    torch.tensor([0, 1, 2, 0, 4, 5, 6]), torch.tensor([9, 8, 7, 6, 8, 8, 3]), torch.tensor([8, 1, 9, 9, 2])
)  # two pairs share their query, three their document, three negatives are somebody's document
MASK = torch.zeros(7, 12, dtype=torch.bool).index_put(
    (torch.tensor([0, 3, 3, 6]), torch.tensor([1, 2, 11, 7])), torch.tensor(True)
)
OPTIONS = {
    "plain": {},
    "weighted": {"level_weights": (2.0, 0.0, 0.5)},
    "mean": {"reduction": "mean"},
    "keys": {"keys": KEYS},
    "query keys": {"keys": Keys(queries=KEYS.queries)},
    "document keys": {"keys": Keys(documents=KEYS.documents)},
    "mask": {"mask": MASK},
    "mask and keys": {"mask": MASK, "keys": KEYS},
    "dot": {"metric": "dot"},
    "l2": {"metric": "l2"},
    "l2 keys": {"metric": "l2", "keys": KEYS, "level_weights": (1.0, 2.0, 3.0)},
}
ONLY_INFO_NCE = {
    "margin": {"margin": 0.1},
    "margin of nothing": {"margin": 0.0},
    "margin, mask and keys": {"margin": 0.2, "mask": MASK, "keys": KEYS},
    "margin, dot": {"margin": 1.0, "metric": "dot"},
    "margin, l2": {"margin": 1.0, "metric": "l2"},
}


@pytest.mark.parametrize("chunk_bytes", [1, 2000, 1 << 26])
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("loss", LOSSES)
def test_equals_the_loop(loss, options, chunk_bytes):
    Case(h=5).check(loss, chunk_bytes=chunk_bytes, **options)


@pytest.mark.parametrize("chunk_bytes", [1, 2000, 1 << 26])
@pytest.mark.parametrize("symmetric", [False, True])
@pytest.mark.parametrize("options", [*OPTIONS.values(), *ONLY_INFO_NCE.values()], ids=[*OPTIONS, *ONLY_INFO_NCE])
def test_info_nce_equals_the_loop_one_way_and_both(options, symmetric, chunk_bytes):
    Case(h=5).check("info-nce", symmetric=symmetric, chunk_bytes=chunk_bytes, **options)


@given(
    dims=st.sets(st.integers(1, 40), min_size=1, max_size=6).map(sorted),
    n=st.integers(2, 9),
    h=st.integers(0, 4),
    chunk_bytes=st.integers(1, 20_000),
    loss=st.sampled_from(LOSSES),
    metric=st.sampled_from(["cosine", "dot", "l2"]),
    symmetric=st.booleans(),
    margin=st.sampled_from([None, 0.1, 0.5]),
    data=st.data(),
)
@settings(max_examples=80, deadline=None)
def test_equals_the_loop_for_anything(dims, n, h, chunk_bytes, loss, metric, symmetric, margin, data):
    case = Case(n, h, dims, dims[-1] + data.draw(st.integers(0, 3)), seed=data.draw(st.integers(0, 99)), spread=0.3)
    keys = [data.draw(st.none() | st.lists(st.integers(0, 5), min_size=k, max_size=k)) for k in (n, n, h)]
    queries, documents, negatives = (None if k is None else torch.tensor(k, dtype=torch.int64) for k in keys)
    some = None
    if queries is not None or documents is not None:
        some = Keys(queries, documents, None if documents is None else negatives)
    weights = data.draw(st.lists(st.floats(0, 3), min_size=len(dims), max_size=len(dims)))
    special = {"symmetric": symmetric, "margin": margin} if loss == "info-nce" else {}
    case.check(loss, keys=some, metric=metric, level_weights=weights, chunk_bytes=chunk_bytes, **special)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("symmetric", [False, True])
def test_zero_prefixes_count_as_cosine_zero_and_get_no_gradient(loss, symmetric):
    """Row 0 is zero, row 1 of one side up to the first dim, row 2 of the other up to the second."""
    case = Case(h=2)
    with torch.no_grad():
        case.views[0][0] = 0
        case.views[1][0] = 0
        case.views[0][1, :3] = 0
        case.views[1][2, :8] = 0
        case.views[2][1, :3] = 0
    options = {"symmetric": symmetric} if loss == "info-nce" else {}
    case.check(loss, **options)
    gradients = case.gradients(case.ours(loss, **options))
    assert (gradients[0][0] == 0).all()
    assert (gradients[1][2, :8] != 0).any()  # the wider prefixes' own


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("factor", [1e-30, 1e-18, 1e18, 1e30])
def test_cosine_is_indifferent_to_lengths_however_extreme(loss, factor):
    case, other = Case(dtype=torch.float32), Case(dtype=torch.float32)
    with torch.no_grad():
        other.views[0].mul_(factor)
        other.views[1][:, :3].mul_(2.0**-60)
        case.views[1][:, :3].mul_(2.0**-60)
    ours = other.ours(loss)
    torch.testing.assert_close(ours.levels, case.ours(loss).levels, rtol=1e-5, atol=1e-5)
    assert all(g.isfinite().all() for g in other.gradients(ours)[1:])
    other.views[0].detach().mul_(1 / factor)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("metric", ["cosine", "dot", "l2"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_errs_no_more_than_the_loop_in_the_same_dtype(loss, metric, dtype):
    """With the plain code's error e against float64, ours may be at most e + the dtype's own resolution."""
    case, exact = (Case(96, 0, (8, 64, 300), 300, kind, spread=0.1) for kind in (dtype, torch.float64))
    with torch.no_grad():
        for ours, theirs in zip(
            [*exact.views, exact.scale, exact.bias], [*case.views, case.scale, case.bias], strict=True
        ):
            ours.copy_(theirs)
    truth = exact.loop(loss, metric=metric)
    ours, loop = case.ours(loss, metric=metric, chunk_bytes=100_000), case.loop(loss, metric=metric)
    room = 8 * torch.finfo(dtype).eps
    assert abs(ours.total - truth.total) <= abs(loop.total - truth.total) + room * truth.total
    every = zip(case.gradients(ours), case.gradients(loop), exact.gradients(truth), strict=True)
    for mine, theirs, right in every:
        error, allowed = (mine - right).abs().max(), (theirs - right).abs().max() + room * right.abs().max()
        assert error <= allowed


@pytest.mark.parametrize("loss", LOSSES)
def test_autocast_multiplies_narrow_and_sums_wide(loss):
    case = Case(32, dtype=torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        ours = case.ours(loss)
    assert ours.total.dtype == torch.float32
    assert all(g.dtype == torch.float32 for g in case.gradients(ours))
    torch.testing.assert_close(ours.levels, case.loop(loss).levels, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("scale", [0.01, 100.0, 1e4])
def test_extreme_scales_stay_finite_and_exact(loss, scale):
    case = Case(h=3)
    with torch.no_grad():
        case.scale.fill_(scale)
    case.check(loss, 1e-9)
    if loss == "info-nce":
        case.check(loss, 1e-9, symmetric=True)


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_siglip_is_exact_for_tiny_and_large_logits_in_float32(scale):
    """exp(−20) beside 1, and logits so large that 1 − sigmoid would be 0."""
    for bias in (-40.0, -20.0, 30.0):
        case, exact = Case(dtype=torch.float32), Case()
        with torch.no_grad():
            for c in (case, exact):
                c.bias.fill_(bias)
                c.scale.fill_(scale)
        torch.testing.assert_close(
            case.ours("siglip").levels.double(), exact.loop("siglip").levels, rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("loss", LOSSES)
def test_hits_count_the_queries_whose_own_document_is_nearest(loss):
    case = Case(40, 5)
    with torch.no_grad():
        case.views[1].mul_(0.5).add_(case.views[0], alpha=0.3)
        case.views[1][3] = case.views[1][4] = case.views[0][3]  # a tie of 3 with 4
    expected = []
    for dim in case.nesting.dims:
        a, b = (F.normalize(torch.cat(x)[:, :dim]) for x in ([case.views[0]], case.views[1:]))
        s = a @ b.T
        expected.append(int((s.diagonal() >= s.amax(1) - 1e-12).sum()))
    found = case.ours(loss, chunk_bytes=2000).hits.tolist()
    assert 0 < expected[0] < 40
    assert found == expected


def test_only_what_asks_for_a_gradient_gets_one():
    case = Case(h=2)
    oracle = case.gradients(case.ours("siglip"))
    inputs = [*case.views, case.scale, case.bias]
    for chosen in range(len(inputs)):
        for index, x in enumerate(inputs):
            x.requires_grad_(index == chosen)
        (alone,) = torch.autograd.grad(case.ours("siglip").total, [inputs[chosen]])
        torch.testing.assert_close(alone, oracle[chosen])
    with torch.no_grad():
        assert not case.ours("siglip").total.requires_grad


@pytest.mark.parametrize("loss", LOSSES)
def test_no_gradient_reaches_coordinates_that_no_prefix_sees(loss):
    case = Case()
    for gradient in case.gradients(case.ours(loss))[:2]:
        assert (gradient[:, 20:] == 0).all()
        assert (gradient[:, :20] != 0).any()


@pytest.mark.parametrize("loss", LOSSES)
def test_a_retained_graph_gives_the_same_gradients_again(loss):
    case = Case(h=2)
    result = case.ours(loss)
    once, thrice = case.gradients(result), case.gradients(result, 3)
    for a, b in zip(once, thrice, strict=True):
        torch.testing.assert_close(3 * a, b)


@pytest.mark.parametrize("loss", LOSSES)
def test_plain_numbers_are_scales_too(loss):
    case = Case()
    function, bias = (nested_siglip, {"bias": -1.3}) if loss == "siglip" else (nested_info_nce, {})
    ours = function(*case.views, nesting=case.nesting, scale=3.7, **bias)
    torch.testing.assert_close(ours.total, case.ours(loss).total)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the tracer looks at z.grad where the graph breaks
@pytest.mark.parametrize("loss", LOSSES)
def test_a_compiled_step_gives_the_same(loss):
    case = Case()

    def step(queries, documents, scale):
        function = nested_siglip if loss == "siglip" else nested_info_nce
        return function(queries.tanh() * 2, documents, nesting=case.nesting, scale=scale.exp()).total

    inputs = [*case.views, case.scale]
    compiled = torch.compile(step, backend="aot_eager")(*inputs)
    torch.testing.assert_close(compiled, step(*inputs))
    for a, b in zip(torch.autograd.grad(compiled, inputs), torch.autograd.grad(step(*inputs), inputs), strict=True):
        torch.testing.assert_close(a, b)


class Largest(TorchDispatchMode):
    """The bytes of the largest tensor that any operation made."""

    bytes = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for x in result if isinstance(result, tuple) else [result]:
            if isinstance(x, torch.Tensor):
                self.bytes = max(self.bytes, x.untyped_storage().nbytes())
        return result


def largest(function, *views, **options):
    with Largest() as mode:
        function(*views, nesting=Nesting((2, 4)), **options)
    return mode.bytes


@pytest.mark.parametrize("options", [{}, {"symmetric": True}, {"margin": 0.1}, {"keys": True}], ids=str)
def test_memory_does_not_grow_with_the_square_of_the_batch(options):
    views = torch.randn(2, 600, 4)
    options = options | ({"keys": Keys(torch.arange(600), torch.arange(600))} if "keys" in options else {})
    assert largest(nested_info_nce, *views, **options, chunk_bytes=1 << 30) == 600 * 600 * 4
    chunk = 100_000
    assert largest(nested_info_nce, *views, **options, chunk_bytes=chunk) <= chunk / 4  # two levels and two more


@given(
    rows=st.integers(0, 5000),
    candidates=st.integers(1, 5000),
    matrices=st.integers(1, 12),
    chunk_bytes=st.integers(1, 1 << 28),
    cached=st.booleans(),
)
def test_tiles_take_every_row_once_and_keep_to_the_budget(rows, candidates, matrices, chunk_bytes, cached):
    tiling = Tiling(rows, candidates, matrices, 4, chunk_bytes, cached)
    tiles = tiling.tiles()
    assert [row for tile in tiles for row in range(tile.start, tile.stop)] == list(range(rows))
    heights = [tile.stop - tile.start for tile in tiles]
    assert max(heights, default=0) == tiling.height
    assert tiling.height <= 1 or tiling.height * candidates * matrices * 4 <= chunk_bytes


def test_siglip_keeps_to_the_same_budget():
    assert largest(nested_siglip, *torch.randn(2, 600, 4), chunk_bytes=100_000) <= 100_000 / 4


def test_a_single_row_of_candidates_always_fits():
    views = torch.randn(600, 4), torch.randn(600, 4)
    assert largest(nested_info_nce, *views, chunk_bytes=1) == 600 * 4 * 4  # a copy of an input


def refused(error, text, *views, function=nested_info_nce, **options):
    options = {"nesting": Nesting((3, 8)), **options}
    with pytest.raises(error, match=text):
        function(*views, **options)


@pytest.mark.parametrize("function", [nested_info_nce, nested_siglip])
def test_what_does_not_fit_is_refused_with_the_rule(function):
    a, b = torch.randn(2, 5, 8)
    options = {"function": function}
    refused(NestingError, "at least 9 dims, got 8", a, b, **options | {"nesting": Nesting((3, 9))})
    refused(InputError, "there are 5 queries and 4 documents; further documents are negatives", a, b[:4], **options)
    refused(InputError, "queries have 8 dims, documents 7", a, b[:, :7], **options)
    refused(InputError, "queries have 8 dims, negatives 9", a, b, negatives=torch.randn(2, 9), **options)
    refused(
        InputError, r"documents must be floating point .* got torch.int64 of shape \(5, 8\)", a, b.long(), **options
    )
    refused(InputError, r"queries must be .* of shape \(n, d\), got torch.float32 of shape \(8,\)", a[0], b, **options)
    refused(InputError, "no pairs, so there is no mean", a[:0], b[:0], **options)
    for scale in (0.0, -1.0, float("nan"), INF):
        refused(InputError, "scale must be a finite number", a, b, scale=scale, **options)
        refused(InputError, "scale must be a finite number", a, b, scale=torch.tensor(scale), **options)
    refused(
        InputError, r"scale must be .* 0-d .*, got torch.float32 of shape \(1,\)", a, b, scale=torch.ones(1), **options
    )
    refused(InputError, "scale must be .* got torch.int64", a, b, scale=torch.tensor(3), **options)
    mask = torch.zeros(5, 5, dtype=torch.bool)
    refused(InputError, r"mask must be bool of shape \(5, 5\).* of shape \(4, 5\)", a, b, mask=mask[:4], **options)
    refused(InputError, r"mask must be bool .* got torch.float32", a, b, mask=mask.float(), **options)
    eye = torch.eye(5, dtype=torch.bool)
    refused(InputError, r"mask leaves out the positive of query 0; leave mask\[i, i\] False", a, b, mask=eye, **options)
    refused(InputError, "chunk_bytes must be positive, got 0", a, b, chunk_bytes=0, **options)
    refused(InputError, "unknown metric 'cos'", a, b, metric="cos", **options)
    refused(InputError, "level_weights must be 2 finite numbers", a, b, level_weights=(1, INF), **options)
    refused(InputError, "reduction must be 'sum' or 'mean'", a, b, reduction="max", **options)
    keys = torch.arange(4)
    refused(InputError, "one key for each of the 5 queries, got 4", a, b, keys=Keys(queries=keys), **options)
    more = Keys(documents=torch.arange(5), negatives=keys)
    refused(InputError, "one key for each of the 0 negatives, got 4", a, b, keys=more, **options)


def test_what_only_one_loss_knows_is_refused_too():
    a, b = torch.randn(2, 5, 8)
    refused(InputError, "one pair and no negatives: its query has nothing to choose from", a[:1], b[:1])
    for margin in (-0.1, float("nan"), INF):
        refused(InputError, "margin must be a finite number ≥ 0", a, b, margin=margin)
    mask = torch.zeros(5, 5, dtype=torch.bool)
    refused(InputError, "with gather and symmetric, give keys", a, b, mask=mask, symmetric=True, gather=True)
    refused(InputError, "bias must be a finite number, got nan", a, b, function=nested_siglip, bias=float("nan"))
    refused(InputError, "bias must be a number or a 0-d", a, b, function=nested_siglip, bias=torch.zeros(2))
    with pytest.raises(InputError, match="keys need those of the queries or of the documents"):
        Keys()
    with pytest.raises(InputError, match="give these too"):
        Keys(queries=torch.arange(2), negatives=torch.arange(2))
    with pytest.raises(InputError, match=r"keys of documents must be int64 of shape \(n,\).* got torch.float32"):
        Keys(documents=torch.ones(2))


def test_one_pair_is_enough_where_there_are_negatives_and_for_siglip():
    Case(1, 3).check("info-nce")
    Case(1).check("siglip")


@pytest.mark.parametrize("loss", LOSSES)
def test_gradients_of_gradients_are_refused(loss):
    case = Case()
    with pytest.raises(InputError, match="no gradients of gradients"):
        torch.autograd.grad(case.ours(loss).total, case.views[0], create_graph=True)


@pytest.mark.parametrize("loss", LOSSES)
def test_what_is_not_finite_gives_nan(loss):
    for bad in (float("nan"), INF):
        case = Case(dtype=torch.float32)
        with torch.no_grad():
            case.views[0][2, 1] = bad
        assert case.ours(loss).levels.isnan().all()


def test_gather_without_other_processes_changes_nothing():
    case = Case(h=3)
    torch.testing.assert_close(case.ours("info-nce", gather=True).total, case.ours("info-nce").total)


def test_the_scale_starts_where_told_and_is_clamped_and_says_so():
    scale = LogitScale(50.0)
    assert scale().item() == pytest.approx(50)
    assert not scale.clamp_()
    for far, near in ((1e9, 100.0), (1e-9, 0.01)):
        with torch.no_grad():
            scale.log.fill_(math.log(far))
        assert scale.clamp_()
        assert scale().item() == pytest.approx(near)
        assert not scale.clamp_()
    with pytest.raises(InputError, match="0 < smallest ≤ start ≤ largest, finite; got start=200"):
        LogitScale(200.0)


def test_the_scale_learns():
    case, scale = Case(16, dtype=torch.float32), LogitScale(5.0)
    with torch.no_grad():
        case.views[1].copy_(case.views[0])
    before = scale().item()
    step = torch.optim.SGD(scale.parameters(), lr=0.1)
    nested_info_nce(*case.views, nesting=case.nesting, scale=scale()).backward()
    step.step()
    assert scale().item() > before  # every pair is right, so surer is better


class Vectors(torch.nn.Module):
    """What sentence-transformers' losses take for a model: its features are the vectors already."""

    def get_embedding_dimension(self):
        return 23

    def forward(self, features):
        return {"sentence_embedding": features["vectors"]}


@pytest.mark.parametrize("h", [0, 7])
@pytest.mark.parametrize("symmetric", [False, True])
def test_equals_sentence_transformers(h, symmetric):
    """Its MatryoshkaLoss around its in-batch negatives loss; a column of hard negatives is as long as the others."""
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    case, model = Case(h=h), Vectors()
    ways = {"directions": ("query_to_doc", "doc_to_query"), "partition_mode": "per_direction"} if symmetric else {}
    plain = losses.MultipleNegativesRankingLoss(model, scale=3.7, **ways)
    theirs = losses.MatryoshkaLoss(model, plain, [20, 8, 3], [1.0, 2.0, 0.5])
    total = theirs([{"vectors": view} for view in case.views], torch.zeros(0))
    ours = case.ours("info-nce", symmetric=symmetric, level_weights=(0.5, 2.0, 1.0))
    torch.testing.assert_close(ours.total, total, rtol=1e-10, atol=1e-10)
    for mine, other in zip(case.gradients(ours)[:2], torch.autograd.grad(total, case.views[:2]), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-9)

"""Scored-pair and distillation losses in one pass against the plain loop, `nested(…)`, and sentence-transformers."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from mrl import Nesting
from mrl.errors import InputError, NestingError
from mrl.nesting import unit_prefix
from mrl.nn import nested, nested_cosent, nested_cosine, nested_distillation

METRICS = ("cosine", "dot", "l2")
KINDS = ("vectors", "similarities", "full-similarities")


def similarity(x, y, metric):
    """Of matching rows."""
    return -((x - y) ** 2).sum(1) if metric == "l2" else (x * y).sum(1)


def gram(x, metric):
    """Of all rows with all rows."""
    return -((x[:, None] - x[None]) ** 2).sum(2) if metric == "l2" else x @ x.T


def cosent(scores, scale, metric):
    """Every two pairs, one by one."""

    def loss(x, y):
        s = similarity(x, y, metric) * scale
        terms = [s[j] - s[i] for i in range(len(s)) for j in range(len(s)) if scores[i] > scores[j]]
        return torch.logsumexp(torch.stack([s.new_zeros(()), *terms]), 0)

    return loss


def cosine(scores, metric):
    return lambda x, y: F.mse_loss(similarity(x, y, metric), scores.to(x.dtype))


def distillation(kind, metric, teacher):
    """On prefixes that are cut and rescaled already."""
    full = gram(unit_prefix(teacher, teacher.shape[1]) if metric == "cosine" else teacher, metric)

    def loss(x, t):
        if kind == "vectors":
            return F.mse_loss(x, t)
        return F.mse_loss(gram(x, metric), full if kind == "full-similarities" else gram(t, metric))

    return loss


def pairs(rows=9, width=24, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(rows, width, dtype=torch.float64, generator=generator) for _ in range(2))
    scores = torch.randint(0, 4, (rows,), generator=generator) / 3
    return (a + b / 3).to(dtype).requires_grad_(), (b + a / 2).to(dtype).requires_grad_(), scores


def assert_same(ours, theirs, leaves, tolerance=1e-10):
    close = {"rtol": tolerance, "atol": tolerance}
    torch.testing.assert_close(ours.total, theirs.total, **close)
    torch.testing.assert_close(ours.levels, theirs.levels, **close)
    grads = (torch.autograd.grad(loss.total * 1.7, leaves) for loss in (ours, theirs))
    for mine, oracle in zip(*grads, strict=True):
        torch.testing.assert_close(mine, oracle, **close)


dims_of_any_kind = st.sets(st.integers(1, 40), min_size=1, max_size=6).map(sorted)


@given(
    dims=dims_of_any_kind,
    rows=st.integers(2, 9),
    metric=st.sampled_from(METRICS),
    seed=st.integers(0, 99),
    options=st.sampled_from([{}, {"reduction": "mean"}, {"weights": True}]),
)
@settings(max_examples=60, deadline=None)
def test_scored_pairs_equal_the_loop(dims, rows, metric, seed, options):
    nesting = Nesting(tuple(dims))
    a, b, scores = pairs(rows, dims[-1] + 2, seed=seed)
    scale = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    common = {"nesting": nesting, "metric": metric}
    if "weights" in options:
        common["level_weights"] = [0.5 * level for level in range(len(dims))]
    else:
        common |= options
    ours = nested_cosent(a, b, scores, scale=scale, **common)
    assert ours.hits is None
    theirs = nested(cosent(scores, scale, metric), a, b, **common)
    if scores.unique().numel() > 1:
        assert_same(ours, theirs, [a, b, scale])
    assert_same(nested_cosine(a, b, scores, **common), nested(cosine(scores, metric), a, b, **common), [a, b])


@given(
    dims=dims_of_any_kind,
    rows=st.integers(1, 9),
    extra=st.integers(0, 3),
    metric=st.sampled_from(METRICS),
    kind=st.sampled_from(KINDS),
    chunk_bytes=st.integers(1, 20_000),
)
@settings(max_examples=100, deadline=None)
def test_distillation_equals_the_loop(dims, rows, extra, metric, kind, chunk_bytes):
    student, _, _ = pairs(rows, dims[-1] + 2)
    teacher, _, _ = pairs(rows, dims[-1] + extra, seed=1)
    teacher = teacher.detach()
    common = {"nesting": Nesting(tuple(dims)), "metric": metric, "level_weights": [1.0 + d for d in range(len(dims))]}
    ours = nested_distillation(student, teacher, kind=kind, chunk_bytes=chunk_bytes, **common)
    assert_same(ours, nested(distillation(kind, metric, teacher), student, teacher, **common), [student])


def losses(metric="cosine"):
    """Each loss of ours beside its plain twin, as functions of two matrices and the scores."""
    common = {"nesting": Nesting((3, 8, 20)), "metric": metric}

    def twin(make):
        return lambda a, b, scores: nested(make(b, scores), a, b, **common)

    yield (
        lambda a, b, s: nested_cosent(a, b, s, scale=2.0, **common),
        twin(lambda b, s: cosent(s, 2.0, metric)),
    )
    yield lambda a, b, s: nested_cosine(a, b, s, **common), twin(lambda b, s: cosine(s, metric))
    for kind in KINDS:
        yield (
            lambda a, b, s, kind=kind: nested_distillation(a, b.detach(), kind=kind, **common),
            twin(lambda b, s, kind=kind: distillation(kind, metric, b.detach())),
        )


NAMES = ("cosent", "cosine", *KINDS)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("which", range(5), ids=NAMES)
def test_errs_no_more_than_the_loop_in_the_same_dtype(which, metric, dtype):
    """With the plain code's error e against float64, ours may be at most e + the dtype's own resolution.

    Where matrices are compared, 4 e: rescaling's part of the gradient is subtracted after the levels were summed.
    """
    ours, plain = list(losses(metric))[which]
    a, b, scores = pairs(48, 20, dtype)
    x, y = (t.detach().double().requires_grad_() for t in (a, b))
    truth, mine, loop = plain(x, y, scores), ours(a, b, scores), plain(a, b, scores)
    room = 4 * torch.finfo(dtype).eps
    assert mine.total.dtype == torch.float32
    assert abs(mine.total - truth.total) <= abs(loop.total - truth.total) + room * abs(truth.total)
    grads = [torch.autograd.grad(loss.total, leaf)[0] for loss, leaf in ((mine, a), (loop, a), (truth, x))]
    errors = [(grad - grads[2]).abs().max() for grad in grads[:2]]
    assert errors[0] <= errors[1] * (4 if "similarities" in NAMES[which] else 1) + room * grads[2].abs().max()


@pytest.mark.parametrize("which", range(5), ids=NAMES)
def test_zero_vectors_have_cosine_0_and_no_gradient(which):
    ours, plain = list(losses())[which]
    a, b, scores = pairs()
    with torch.no_grad():
        a[2], b[4], a[5, :3] = 0, 0, 0
    assert_same(ours(a, b, scores), plain(a, b, scores), [a])
    (grad,) = torch.autograd.grad(ours(a, b, scores).total, a)
    assert (grad[2] == 0).all()


@pytest.mark.parametrize("which", range(5), ids=NAMES)
@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_rows_of_any_length_have_the_same_cosines(which, size):
    ours, plain = list(losses())[which]
    a, b, scores = pairs()
    long, wide = ((t.detach() * size).float().requires_grad_() for t in (a, b))
    truth = plain(a, b, scores)
    torch.testing.assert_close(ours(long, wide, scores).levels.double(), truth.levels, rtol=1e-5, atol=1e-6)
    (grad,) = torch.autograd.grad(ours(long, wide, scores).total, long)
    (exact,) = torch.autograd.grad(truth.total, a)
    torch.testing.assert_close(grad.double() * size, exact, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("which", range(5), ids=NAMES)
def test_a_row_that_is_not_finite_makes_the_total_nan(which):
    ours, _ = list(losses())[which]
    for bad in (math.nan, math.inf):
        a, b, scores = pairs()
        with torch.no_grad():
            a[1, 10] = bad
        loss = ours(a, b, scores)
        assert loss.total.isnan()
        assert loss.levels.isnan().tolist() == [False, False, True]  # a narrower prefix does not see it


@pytest.mark.parametrize("which", range(5), ids=NAMES)
def test_coordinates_that_no_prefix_sees_get_no_gradient(which):
    ours, _ = list(losses())[which]
    a, b, scores = pairs()
    ours(a, b, scores).backward()
    assert (a.grad[:, 20:] == 0).all()
    assert (a.grad[:, :20] != 0).any()


@pytest.mark.parametrize("which", range(5), ids=NAMES)
def test_a_retained_graph_gives_the_same_gradients_again(which):
    ours, _ = list(losses())[which]
    a, b, scores = pairs()
    loss = ours(a, b, scores)
    (first,) = torch.autograd.grad(loss.total, a, retain_graph=True)
    (again,) = torch.autograd.grad(3 * loss.total, a)
    torch.testing.assert_close(3 * first, again)
    with torch.no_grad():
        assert not ours(a, b, scores).total.requires_grad


@pytest.mark.parametrize("which", range(5), ids=NAMES)
def test_gradients_of_gradients_are_refused(which):
    ours, _ = list(losses())[which]
    a, b, scores = pairs()
    with pytest.raises(InputError, match="no gradients of gradients"):
        torch.autograd.grad(ours(a, b, scores).total, a, create_graph=True)


@pytest.mark.parametrize("which", range(5), ids=NAMES)
def test_autocast_changes_nothing(which):
    ours, _ = list(losses())[which]
    a, b, scores = pairs(dtype=torch.float32)
    plain = ours(a, b, scores)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = ours(a, b, scores)
    assert torch.equal(cast.levels, plain.levels)


@pytest.mark.filterwarnings("ignore:The .grad attribute")  # the tracer looks at a.grad where the graph breaks
@pytest.mark.parametrize("which", range(5), ids=NAMES)
def test_a_compiled_step_gives_the_same(which):
    ours, _ = list(losses())[which]
    a, b, scores = pairs()

    def step(a):
        return ours(a.tanh() * 2, b, scores).total

    compiled = torch.compile(step, backend="aot_eager")(a)
    torch.testing.assert_close(compiled, step(a))
    torch.testing.assert_close(torch.autograd.grad(compiled, a), torch.autograd.grad(step(a), a))


def test_only_the_order_of_the_scores_matters_to_cosent():
    a, b, _ = pairs(5)
    scores = torch.tensor([3, 1, 2, 1, 0])
    for same in (scores.double() ** 3 - 7, scores.to(torch.int8)):
        assert (
            nested_cosent(a, b, same, nesting=Nesting((4, 20))).total
            == nested_cosent(a, b, scores, nesting=Nesting((4, 20))).total
        )


def test_equal_scores_leave_cosent_nothing_to_rank():
    a, b, _ = pairs()
    loss = nested_cosent(a, b, torch.ones(9), nesting=Nesting((4, 20)))
    assert loss.levels.tolist() == [0, 0]
    assert all((grad == 0).all() for grad in torch.autograd.grad(loss.total, [a, b]))


def test_a_large_scale_stays_finite_and_exact():
    a, b, scores = pairs()
    common = {"nesting": Nesting((3, 20)), "metric": "cosine"}
    ours = nested_cosent(a, b, scores, scale=1e6, **common)
    assert_same(ours, nested(cosent(scores, 1e6, "cosine"), a, b, **common), [a, b], 1e-8)


def test_a_student_equal_to_its_teacher_has_nothing_to_learn():
    a, _, _ = pairs()
    for kind in KINDS:
        loss = nested_distillation(a, 3 * a.detach()[:, :20], kind=kind, nesting=Nesting((20,)))
        torch.testing.assert_close(loss.total, loss.total * 0, rtol=0, atol=1e-15)
        torch.testing.assert_close(torch.autograd.grad(loss.total, a)[0], torch.zeros_like(a), rtol=0, atol=1e-12)


def test_sides_of_another_width_are_fine():
    a, b, scores = pairs()
    nesting = Nesting((4, 20))
    torch.testing.assert_close(
        nested_cosine(a, b[:, :20], scores, nesting=nesting), nested_cosine(a, b, scores, nesting=nesting)
    )


class Embeddings(torch.nn.Module):
    """Stands where sentence-transformers has a model: what is asked for is there already."""

    def __init__(self, width):
        super().__init__()
        self.width = width

    def get_embedding_dimension(self):
        return self.width

    def forward(self, features):
        return dict(features)


def theirs(make, columns, labels, dims):
    """sentence-transformers' own MatryoshkaLoss over the same vectors."""
    package = pytest.importorskip("sentence_transformers.sentence_transformer.losses")
    model = Embeddings(columns[0].shape[1])
    loss = package.MatryoshkaLoss(model, make(package, model), list(dims))
    return loss([{"sentence_embedding": column} for column in columns], labels)


def test_cosent_has_sentence_transformers_value():
    a, b, scores = pairs(width=20)
    peer = theirs(lambda package, model: package.CoSENTLoss(model), [a, b], scores, (3, 8, 20))
    torch.testing.assert_close(nested_cosent(a, b, scores, nesting=Nesting((3, 8, 20))).total, peer)


def test_cosine_has_sentence_transformers_value():
    a, b, scores = pairs(width=20)
    peer = theirs(lambda package, model: package.CosineSimilarityLoss(model), [a, b], scores.double(), (3, 8, 20))
    ours = nested_cosine(a, b, scores, nesting=Nesting((3, 8, 20))).total
    torch.testing.assert_close(ours, peer, rtol=1e-6, atol=1e-6)  # it keeps labels as float32


def test_distillation_rescales_the_teacher_which_sentence_transformers_does_not():
    student, teacher, _ = pairs(width=20)
    teacher = unit_prefix(teacher.detach(), 20)

    def make(package, model):
        return package.MSELoss(model)

    full = nested_distillation(student, teacher, nesting=Nesting((20,)))
    torch.testing.assert_close(full.total, theirs(make, [student], teacher, (20,)))
    cut = nested_distillation(teacher.requires_grad_(), teacher.detach(), nesting=Nesting((8, 20)))
    torch.testing.assert_close(cut.total, cut.total * 0, rtol=0, atol=1e-15)
    assert theirs(make, [teacher], teacher.detach(), (8, 20)) > 1e-3  # its teacher's prefix is shorter than 1


def refused(error, text, loss, *args, **options):
    with pytest.raises(error, match=text):
        loss(*args, **{"nesting": Nesting((4, 20)), **options})


def test_what_does_not_fit_is_refused_with_the_rule():
    a, b, scores = pairs()
    for loss in (nested_cosent, nested_cosine):
        refused(NestingError, "at least 20 dims, got 19", loss, a, b[:, :19], scores)
        refused(InputError, "two sides of as many rows, got 9 and 8", loss, a, b[:8], scores)
        refused(InputError, r"one number per pair: 9 pairs, got torch.float32 of shape \(8,\)", loss, a, b, scores[:8])
        refused(InputError, r"a has no rows \(shape \(0, 24\)\)", loss, a[:0], b[:0], scores[:0])
        refused(InputError, "b must be .* floating point, got torch.int32", loss, a, b.int(), scores)
        refused(InputError, r"a must be .* of shape \(24,\)", loss, a[0], b, scores)
        refused(InputError, "score of row 1 is nan", loss, a, b, scores.index_fill(0, torch.tensor(1), math.nan))
        refused(InputError, "scores get no gradient", loss, a, b, scores.clone().requires_grad_())
        refused(InputError, "unknown metric 'angle'", loss, a, b, scores, metric="angle")
        refused(InputError, "level_weights must be 2", loss, a, b, scores, level_weights=(1,))
    refused(InputError, "this batch has 1; give at least 2 pairs", nested_cosent, a[:1], b[:1], scores[:1])
    refused(InputError, "scale must be a finite number above 0, got 0", nested_cosent, a, b, scores, scale=0)
    refused(InputError, "above 0, got inf", nested_cosent, a, b, scores, scale=torch.tensor(math.inf))
    refused(InputError, r"scale must be a number or a 0-d .*\(2,\)", nested_cosent, a, b, scores, scale=torch.ones(2))


def test_teachers_that_do_not_fit_are_refused_with_the_rule():
    a, b, _ = pairs()
    t = b.detach()
    refused(NestingError, "at least 20 dims, got 19", nested_distillation, a, t[:, :19])
    refused(InputError, "a row for each of the student's 9, got 8", nested_distillation, a, t[:8])
    refused(InputError, "teacher must be .* got torch.int32", nested_distillation, a, t.int())
    refused(InputError, "the teacher gets no gradient here; detach it", nested_distillation, a, b)
    refused(InputError, "unknown kind 'both'; known are vectors, similarities", nested_distillation, a, t, kind="both")
    refused(InputError, "chunk_bytes must be positive, got 0", nested_distillation, a, t, chunk_bytes=0)
    bad = t.clone()
    bad[3, 2] = math.inf
    refused(InputError, "teacher of row 3 is inf", nested_distillation, a, bad)
    refused(InputError, "unknown metric 'angle'", nested_distillation, a, t, metric="angle")
    refused(InputError, "reduction must be 'sum' or 'mean'", nested_distillation, a, t, reduction="max")

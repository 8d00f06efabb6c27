"""The one-pass listwise loss is the plain loop over prefixes."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from mrl import MrlError, Nesting
from mrl.nn import nested
from mrl.nn.listwise import nested_listwise


def plain(queries, documents, target, scale, metric):
    """ListNet at one dim; prefixes come rescaled for cosine."""
    similarity = -torch.cdist(queries, documents).square() if metric == "l2" else queries @ documents.T
    logits = (similarity * scale).masked_fill(target == 0, -torch.inf)
    return -(target * torch.log_softmax(logits, 1).masked_fill(target == 0, 0)).sum(1).mean()


def some(n, m, d, seed):
    draws = torch.Generator().manual_seed(seed)
    queries = torch.randn(n, d, generator=draws, dtype=torch.float64, requires_grad=True)
    documents = torch.randn(m, d, generator=draws, dtype=torch.float64, requires_grad=True)
    scores = torch.randn(n, m, generator=draws, dtype=torch.float64)
    scores[:, 0][torch.arange(n) % 2 == 0] = -torch.inf  # half of the queries leave the first candidate out
    return queries, documents, torch.softmax(scores, 1)


@settings(max_examples=30)
@given(
    n=st.integers(1, 6),
    m=st.integers(2, 9),
    metric=st.sampled_from(["cosine", "dot", "l2"]),
    reduction=st.sampled_from(["sum", "mean"]),
    seed=st.integers(0, 99),
)
def test_it_is_the_plain_loop(n, m, metric, reduction, seed):
    nesting, weights = Nesting((2, 3, 7)), (1.0, 0.5, 2.0)
    queries, documents, target = some(n, m, 8, seed)
    how = {"nesting": nesting, "level_weights": weights, "reduction": reduction, "metric": metric}
    ours = nested_listwise(queries, documents, target, scale=3.0, mask=target == 0, **how)
    theirs = nested(lambda a, b: plain(a, b, target, 3.0, metric), queries, documents, **how)
    torch.testing.assert_close(ours.total, theirs.total)
    torch.testing.assert_close(ours.levels, theirs.levels)
    for a, b in zip(
        torch.autograd.grad(ours.total, (queries, documents)),
        torch.autograd.grad(theirs.total, (queries, documents)),
        strict=True,
    ):
        torch.testing.assert_close(a, b)


def test_it_is_least_for_the_teachers_own_order():
    queries, documents, _ = some(5, 7, 8, 0)
    target = torch.softmax(4.0 * F.normalize(queries, dim=1) @ F.normalize(documents, dim=1).T, 1).detach()
    same = nested_listwise(queries, documents, target, nesting=Nesting((8,)), scale=4.0)
    assert same.hits.tolist() == [5]
    entropy = -(target * target.log()).sum(1).mean()
    torch.testing.assert_close(same.levels[0], entropy)


def test_a_candidate_that_the_teacher_finds_impossible_is_one_still():
    queries, documents, _ = some(1, 3, 8, 3)
    target = torch.tensor([[1.0, 0.0, 0.0]], dtype=torch.float64)
    found = nested_listwise(queries, documents, target, nesting=Nesting((8,)), scale=3.0)
    cosines = F.normalize(queries, dim=1) @ F.normalize(documents, dim=1).T
    torch.testing.assert_close(found.levels[0], -torch.log_softmax(3 * cosines, 1)[0, 0])


def test_a_zero_row_has_a_gradient_of_zero():
    _, documents, target = some(3, 4, 8, 1)
    zeros = torch.zeros(3, 8, dtype=torch.float64, requires_grad=True)
    nested_listwise(zeros, documents, target, nesting=Nesting((4, 8))).backward()
    assert torch.equal(zeros.grad, torch.zeros_like(zeros))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scale": 0.0}, "scale must be positive and finite, got 0.0"),
        ({"target": torch.ones(3, 5)}, "got shapes (3, 8), (4, 8) and (3, 5)"),
        ({"target": torch.ones(3, 4)}, "each row of target must be probabilities that add up to 1"),
        ({"mask": torch.ones(3, 4, dtype=torch.bool)}, "mask must be bool of shape (3, 4), where the target is 0"),
        ({"nesting": Nesting((4, 9))}, "dims 4,9 need vectors of at least 9 dims, got 8"),
    ],
)
def test_what_does_not_fit_is_refused(change, said):
    queries, documents, target = some(3, 4, 8, 2)
    how = {"target": target, "nesting": Nesting((8,)), "scale": 1.0} | change
    with pytest.raises(MrlError) as refused:
        nested_listwise(queries, documents, how.pop("target"), **how)
    assert said in str(refused.value)

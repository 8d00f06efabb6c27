"""Heads: what they compute, export and load."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from mrl import Nesting
from mrl.errors import InputError, NestingError
from mrl.heads import HeadWeights
from mrl.nn import MRLEHead, MRLHead, make_head, nested

NESTING = Nesting((4, 8, 16))


@pytest.mark.parametrize("make", [MRLHead, MRLEHead])
@pytest.mark.parametrize("rows", [(6,), (2, 3), ()], ids=str)
def test_forward_is_one_classifier_per_prefix(make, rows):
    head, z = make(NESTING, 5).double(), torch.randn(*rows, 20, dtype=torch.float64)
    for dim, logits in zip(NESTING.dims, head(z), strict=True):
        assert logits.shape == (*rows, 5)
        torch.testing.assert_close(logits, head.at(z[..., :dim]))


@pytest.mark.parametrize("kind", ["mrl", "mrl-e"])
@pytest.mark.parametrize("bias", [True, False])
def test_export_and_load_keep_every_logit(kind, bias):
    head = (MRLEHead if kind == "mrl-e" else MRLHead)(NESTING, 5, bias=bias)
    saved, z = head.export(classes="abcde"), torch.randn(7, 16)
    assert (saved.tied, saved.classes) == (kind == "mrl-e", tuple("abcde"))
    again = type(head).from_weights(saved)
    for dim, ours, loaded in zip(NESTING.dims, head(z), again(z), strict=True):
        np.testing.assert_allclose(saved.logits(z.numpy(), dim), ours.detach().numpy(), rtol=1e-5, atol=1e-6)
        assert torch.equal(ours, loaded)


def test_weights_of_the_reference_implementation_give_its_logits():
    """Its layer is a module with one nn.Linear a dim (MRL), or a single one whose columns are cut (MRL-E)."""
    z = torch.randn(6, 16)
    layers = {f"nesting_classifier_{i}": torch.nn.Linear(dim, 5) for i, dim in enumerate(NESTING.dims)}
    state = {f"{name}.{part}": t.detach() for name, layer in layers.items() for part, t in layer.named_parameters()}
    ours = MRLHead.from_weights(HeadWeights.from_reference(state))
    for logits, (dim, layer) in zip(ours(z), zip(NESTING.dims, layers.values(), strict=True), strict=True):
        torch.testing.assert_close(logits, layer(z[:, :dim]))
    one = torch.nn.Linear(16, 5)
    state = {f"module.fc.nesting_classifier_0.{part}": t.detach() for part, t in one.named_parameters()}
    tied = MRLHead.from_weights(HeadWeights.from_reference(state, NESTING))
    assert isinstance(tied, MRLEHead)
    for logits, dim in zip(tied(z), NESTING.dims, strict=True):
        torch.testing.assert_close(logits, z[:, :dim] @ one.weight[:, :dim].t() + one.bias)


def test_ff_is_mrl_at_a_single_dim():
    assert isinstance(make_head("ff", Nesting((8,)), 3), MRLHead)
    with pytest.raises(NestingError, match="single dim, got 4,8,16"):
        make_head("ff", NESTING, 3)


def test_refusals():
    with pytest.raises(InputError, match="at least one class, got 0"):
        MRLHead(NESTING, 0)
    with pytest.raises(NestingError, match="no classifier for 5 dims; there is one each for 4,8,16"):
        MRLHead(NESTING, 3).at(torch.ones(2, 5))


def test_nested_weighs_levels_and_rescales_only_for_cosine():
    z = torch.randn(5, 16, dtype=torch.float64)
    total = nested(lambda v: v.square().sum(), z, nesting=NESTING, level_weights=(1, 0, 2)).total
    torch.testing.assert_close(total, z[:, :4].square().sum() + 2 * z.square().sum())
    unit = nested(lambda v: v.square().sum(), z, nesting=NESTING, reduction="mean", metric="cosine")
    torch.testing.assert_close(unit.total, torch.tensor(5.0, dtype=torch.float64))


def test_coordinates_no_prefix_sees_get_no_gradient():
    z = torch.randn(6, 32, requires_grad=True)
    nested(lambda v: v.sum(), z, nesting=Nesting((8, 16))).backward()
    assert (z.grad[:, 16:] == 0).all()

"""What a fit depends on: settled by the data, refused early."""

import pytest

from mrl import MrlError, Nesting
from mrl.adapt import AdaptSpec


@pytest.mark.parametrize(
    ("given", "there", "method", "objective"),
    [
        ({}, {"labelled": True, "judged": False}, "residual", "labels"),
        ({}, {"labelled": True, "judged": True}, "rotation", "pairs"),
        ({}, {"labelled": False, "judged": False}, "rotation", "neighbours"),
        ({"objective": "neighbours"}, {"labelled": True, "judged": True}, "rotation", "neighbours"),
        ({"own_maps": True}, {"labelled": False, "judged": True}, "linear", "pairs"),
        ({"method": "pca"}, {"labelled": True, "judged": False}, "pca", "labels"),
    ],
)
def test_auto_is_settled_by_what_there_is(given, there, method, objective):
    spec = AdaptSpec(**given).settled(**there)
    assert (spec.method, spec.objective) == (method, objective)


@pytest.mark.parametrize(
    ("dims", "width", "nesting"),
    [
        (None, 64, (8, 16, 32, 64)),
        (None, 100, (8, 16, 32, 64, 100)),
        (None, 9, (4, 8, 9)),
        (None, 3, (1, 2, 3)),
        (None, 2, (1, 2)),
        ("4,10", 100, (4, 10, 100)),
        ("8..32", 32, (8, 16, 32)),
    ],
)
def test_the_dims_are_those_named_and_the_width(dims, width, nesting):
    assert AdaptSpec(dims=dims).nesting(width) == Nesting(nesting)


@pytest.mark.parametrize(
    ("dims", "width", "said"),
    [
        ("8,128", 64, "dims 8,128 need vectors of at least 128 dims, got 64"),
        ("64", 64, "there must be a dim below the width 64 to fit, got 64"),
        (None, 1, "there must be a dim below the width 1 to fit"),
    ],
)
def test_dims_that_cannot_be_fitted_are_refused(dims, width, said):
    with pytest.raises(MrlError) as refused:
        AdaptSpec(dims=dims).nesting(width)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"method": "svd"}, "unknown method 'svd'; known are auto, pca, rotation, linear, residual"),
        ({"objective": "x"}, "unknown objective 'x'"),
        ({"measure": "AP"}, "unknown measure 'AP'; known are nDCG, MRR"),
        ({"steps": 0}, "steps must be an integer ≥ 1, got 0"),
        ({"batch_size": 2.5}, "batch_size must be an integer ≥ 2, got 2.5"),
        ({"seed": -1}, "seed must be an integer ≥ 0, got -1"),
        ({"method": "pca", "steps": 9, "lr": 0.1}, "pca learns nothing, so steps, lr would be ignored"),
        ({"lr": 0.0}, "lr must be > 0 and finite, got 0.0"),
        ({"dropout": 1.0}, "dropout must be ≥ 0 and < 1, got 1.0"),
        ({"sample": 50}, "sample must be an integer ≥ 100, got 50"),
        ({"own_maps": True, "method": "rotation"}, "own_maps and method rotation exclude each other"),
    ],
)
def test_wrong_settings_are_refused(given, said):
    with pytest.raises(MrlError) as refused:
        AdaptSpec(**given)
    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"objective": "labels"}, "the objective labels needs labels, and there are none"),
        ({"objective": "pairs"}, "the objective pairs needs judgements, or queries that are pairs, and there are none"),
        ({"own_maps": True}, "own_maps needs pairs of queries and documents, and the objective is neighbours"),
    ],
)
def test_an_objective_without_its_data_is_refused(given, said):
    with pytest.raises(MrlError) as refused:
        AdaptSpec(**given).settled(labelled=False, judged=False)
    assert said in str(refused.value)


def test_steps_follow_the_rows():
    labels = AdaptSpec(objective="labels")
    assert [labels.paced(rows, 64).steps for rows in (100, 5120, 10**6)] == [100, 400, 1000]
    assert AdaptSpec(objective="neighbours").paced(10**6, 64).steps == 400
    assert AdaptSpec(steps=7).paced(10**6, 64).steps == 7


def test_rows_that_are_seen_often_are_dropped_out_more():
    labels = AdaptSpec(objective="labels")
    assert [labels.paced(rows, 64).dropout for rows in (5000, 40_000)] == [0.6, 0.3]
    assert AdaptSpec(objective="labels", dropout=0.1).paced(5000, 64).dropout == 0.1


def test_the_rate_follows_the_method_and_the_width():
    rates = {method: AdaptSpec(method=method).paced(1000, 900).lr for method in ("residual", "rotation", "linear")}
    assert rates == {"residual": 0.003, "rotation": 0.001, "linear": 0.001}
    assert AdaptSpec(method="rotation").paced(1000, 10**6).lr == AdaptSpec(method="rotation").paced(1000, 1024).lr
    assert AdaptSpec(lr=0.5).paced(1000, 900).lr == 0.5

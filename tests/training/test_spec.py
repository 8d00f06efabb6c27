import json

import pytest

from mrl.errors import InputError, NestingError
from mrl.nesting import Nesting
from mrl.training import TrainSpec

DIMS = Nesting((8, 16))


def test_the_width_is_the_widest_dim_unless_given():
    assert TrainSpec(DIMS).width == 16
    assert TrainSpec(DIMS, width=20).width == 20


@pytest.mark.parametrize("spec", [TrainSpec(DIMS), TrainSpec(DIMS, "mrl-e", level_weights=(2, 1), clip=1.0, width=32)])
def test_a_spec_round_trips_through_json(spec):
    assert TrainSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"head": "slim"}, "unknown head 'slim'; known are mrl, mrl-e, ff"),
        ({"reduction": "max"}, "unknown reduction 'max'; known are sum, mean"),
        ({"augment": "mixup"}, "unknown augment 'mixup'; known are auto, shift"),
        ({"precision": "int8"}, "unknown precision 'int8'"),
        ({"epochs": 0}, "epochs must be ≥ 1 and finite, got 0"),
        ({"batch_size": 0}, "batch_size must be ≥ 1"),
        ({"lr": 0.0}, "lr must be > 0 and finite, got 0.0"),
        ({"lr": float("nan")}, "lr must be > 0 and finite, got nan"),
        ({"weight_decay": float("inf")}, "weight_decay must be ≥ 0 and finite, got inf"),
        ({"label_smoothing": 1.0}, "label_smoothing must be ≥ 0 and < 1, got 1.0"),
        ({"warmup": 1.5}, "warmup must be ≥ 0 and ≤ 1, got 1.5"),
        ({"clip": 0.0}, "clip must be > 0"),
        ({"seed": -1}, "seed must be ≥ 0"),
        ({"level_weights": (1.0,)}, "level_weights must be 2 finite numbers"),
        ({"level_weights": (1.0, -1.0)}, "level_weights must be 2 finite numbers"),
    ],
)
def test_what_is_refused(settings, rule):
    with pytest.raises(InputError, match=rule):
        TrainSpec(DIMS, **settings)


def test_dims_must_nest_and_fit_the_width():
    with pytest.raises(NestingError, match="need vectors of at least 16 dims, got 12"):
        TrainSpec(DIMS, width=12)
    with pytest.raises(NestingError, match="strictly increasing"):
        TrainSpec.from_json({"nesting": "16,8"})


def test_a_fixed_feature_model_has_one_dim():
    assert TrainSpec(Nesting((8,)), "ff").width == 8
    for settings in ({"nesting": DIMS}, {"nesting": Nesting((8,)), "width": 16}):
        with pytest.raises(NestingError, match=r"fixed-feature \(ff\) model has one dim, which is its width"):
            TrainSpec(head="ff", **settings)


def test_unknown_settings_are_refused():
    with pytest.raises(InputError, match="unknown training settings momentum"):
        TrainSpec.from_json({"nesting": "8,16", "momentum": 0.9})

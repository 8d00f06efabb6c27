import json

import pytest

from mrl.encoders.spec import EncoderSpec
from mrl.errors import InputError, NestingError
from mrl.nesting import Nesting
from mrl.training import TrainSpec
from mrl.training.spec import Checkpoints

DIMS = Nesting((8, 16))


def test_the_width_is_the_widest_dim_unless_given():
    assert TrainSpec(DIMS).width == 16
    assert TrainSpec(DIMS, width=20).width == 20


@pytest.mark.parametrize(
    "spec",
    [
        TrainSpec(DIMS),
        TrainSpec(DIMS, "mrl-e", level_weights=(2, 1), clip=1.0, width=32),
        TrainSpec(DIMS, encoder=EncoderSpec("some/model", tune="last"), checkpoints=Checkpoints(every_minutes=2.5)),
    ],
)
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
        ({"accumulate": 0}, "accumulate must be ≥ 1"),
        ({"accumulate": 9, "batch_size": 8}, "a batch of 8 rows has no 9 parts"),
        ({"optimizer": "lion"}, "unknown optimizer 'lion'; known are adamw, sgd, adafactor"),
        ({"schedule": "steps"}, "unknown schedule 'steps'; known are cosine, one-cycle, linear, constant"),
        ({"momentum": 1.0}, "momentum must be ≥ 0 and < 1"),
        ({"smallest_crop": 0.0}, "smallest_crop must be > 0"),
        ({"window": 0}, "window must be ≥ 1"),
        ({"checkpoints": Checkpoints(select_dim=9)}, "select_dim must be one of the trained dims 8,16, got 9"),
        ({"level_weights": (1.0,)}, "level_weights must be 2 finite numbers"),
        ({"level_weights": (1.0, -1.0)}, "level_weights must be 2 finite numbers"),
    ],
)
def test_what_is_refused(settings, rule):
    with pytest.raises(InputError, match=rule):
        TrainSpec(DIMS, **settings)


@pytest.mark.parametrize(
    ("settings", "rule"),
    [
        ({"every_steps": 0}, "every_steps must be ≥ 1"),
        ({"every_minutes": 0.0}, "every_minutes must be > 0"),
        ({"keep": 0}, "keep must be ≥ 1"),
        ({"patience": 0}, "patience must be ≥ 1"),
    ],
)
def test_what_checkpoints_refuse(settings, rule):
    with pytest.raises(InputError, match=rule):
        Checkpoints(**settings)


def test_runs_from_before_there_was_a_head_lr_keep_their_rate():
    """Else the optimiser's memory would be another parameter's when they are resumed."""
    document = TrainSpec(DIMS, encoder=EncoderSpec("some/model"), lr=1e-3).to_json()
    for name in ("head_lr", "task", "pairs"):
        del document[name]
    for name in ("max_length", "query_prompt", "document_prompt"):
        del document["encoder"][name]
    old = TrainSpec.from_json(document)
    assert (old.lr, old.head_lr, old.task) == (1e-3, 1e-3, "classify")


def test_fresh_weights_learn_at_the_rate_of_what_is_learnt_anew():
    for encoder in (EncoderSpec("bert/config.json"), EncoderSpec("some/model", pretrained=False), EncoderSpec()):
        spec = TrainSpec(DIMS, encoder=encoder)
        assert (spec.lr, spec.head_lr) == (0.003, 0.003)


def test_a_network_with_a_width_of_its_own_keeps_it():
    assert TrainSpec(DIMS, encoder=EncoderSpec("some/model")).width is None


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
    for document, rule in (
        ({"dropout": 0.9}, "unknown training settings dropout"),
        ({"encoder": {"depth": 9}}, "unknown encoder settings depth"),
        ({"checkpoints": {"often": 1}}, "unknown checkpoint settings often"),
    ):
        with pytest.raises(InputError, match=rule):
            TrainSpec.from_json({"nesting": "8,16", **document})

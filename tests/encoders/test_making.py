import json

import numpy as np
import pytest
import torch

from encoders.tiny import CONFIGS, KINDS, SIZE, STATISTICS, document, saved
from mrl.encoders import EncoderSpec
from mrl.encoders.fit import Fit
from mrl.encoders.making import make_network, model_name, train_mode, tuned, wanted_preparation
from mrl.errors import InputError, NestingError
from mrl.nesting import Nesting

DIMS = Nesting((4, 8))
FIT = Fit(SIZE, 3)


def configured(folder, about):
    path = folder / "tiny.json"
    path.write_text(json.dumps(about))
    return EncoderSpec(str(path))


def prepared(folder, about, **settings):
    """What a ViT with this preprocessor_config.json wants."""
    (folder / "config.json").write_text(json.dumps(document("vit", **settings)))
    (folder / "preprocessor_config.json").write_text(json.dumps(STATISTICS | about))
    return wanted_preparation(EncoderSpec(str(folder)))


@pytest.mark.parametrize(
    ("about", "fit"),
    [
        ({}, Fit(SIZE, 3)),
        ({"size": 48}, Fit((48, 48), 3)),
        ({"size": {"height": 48, "width": 40}, "resample": 3}, Fit((48, 40), 3, None, "bicubic")),
        ({"size": {"shortest_edge": 256}, "crop_size": {"height": 224, "width": 224}}, Fit((224, 224), 3, 0.875)),
        ({"size": 256, "crop_size": 224, "do_center_crop": True}, Fit((224, 224), 3, 0.875)),
        ({"size": {"shortest_edge": 224}, "crop_size": 224}, Fit((224, 224), 3, 1.0)),
        ({"size": {"shortest_edge": 224}, "crop_size": 224, "do_center_crop": False}, Fit((224, 224), 3, 1.0)),
        ({"size": {"shortest_edge": 224}, "crop_pct": 0.875}, Fit((224, 224), 3, 0.875)),
        ({"size": {"shortest_edge": 384}, "crop_pct": 0.875}, Fit((384, 384), 3)),
    ],
)
def test_pictures_are_prepared_as_they_were_for_the_weights(about, fit, tmp_path):
    assert prepared(tmp_path, about).fit == fit


def test_statistics_are_those_of_values_from_0_to_255(tmp_path):
    assert prepared(tmp_path, {}).mean == (127.5, 102.0, 76.5)
    assert prepared(tmp_path, {"do_normalize": False}).std == (255.0,) * 3
    plain = prepared(tmp_path, {"do_rescale": False})
    assert (plain.mean, plain.std) == ((0.5, 0.4, 0.3), (0.2, 0.25, 0.5))
    np.testing.assert_allclose(prepared(tmp_path, {"rescale_factor": 1 / 127.5}).std, (25.5, 31.875, 63.75))
    assert prepared(tmp_path, {"image_mean": [0.5], "image_std": [0.5]}, num_channels=1).fit == Fit(SIZE, 1)


@pytest.mark.parametrize(
    ("about", "rule"),
    [
        ({"resample": 0}, r"asks for resample 0; give 2 \(bilinear\) or 3 \(bicubic\)"),
        (
            {"size": {"longest_edge": 9}},
            r"cannot read size \{'longest_edge': 9\} of a model; give its pixels, as in",
        ),
        ({"image_mean": None}, "has no image_mean and image_std; write them there"),
        ({"image_mean": [0.5]}, "normalises 1 channels, the network has 3; correct it"),
    ],
)
def test_preparations_that_are_refused(about, rule, tmp_path):
    with pytest.raises(InputError, match=rule):
        prepared(tmp_path, about)


def test_weights_whose_preparation_is_unknown_are_refused(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(document("vit")))
    with pytest.raises(InputError, match=r"has no preprocessor_config\.json, so how its pictures were normalised is"):
        wanted_preparation(EncoderSpec(str(tmp_path)))
    (tmp_path / "processor_config.json").write_text(json.dumps({"image_processor": STATISTICS}))
    assert wanted_preparation(EncoderSpec(str(tmp_path))).fit == FIT


def test_the_data_decide_where_weights_are_fresh(tmp_path):
    assert wanted_preparation(EncoderSpec()) is None
    assert wanted_preparation(configured(tmp_path, document("vit"))) is None
    assert wanted_preparation(EncoderSpec("some/model", pretrained=False)) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fit", [Fit(SIZE, 1), Fit((48, 48), 3)])
def test_a_configuration_takes_the_size_of_the_data(kind, fit, tmp_path):
    made = make_network(configured(tmp_path, document(kind)), fit, 12, DIMS)
    assert made(torch.randn(2, fit.channels, *fit.size)).shape == (2, 12)
    assert made.shape == (fit.channels, *fit.size)


@pytest.mark.parametrize("kind", ["resnet", "vit", "convnext", "swin"])
def test_images_need_not_be_square(kind, tmp_path):
    made = make_network(configured(tmp_path, document(kind)), Fit((32, 64), 3), None, DIMS)
    assert made(torch.randn(2, 3, 32, 64)).shape == (2, made.width)


def test_fresh_weights_depend_on_torchs_generator_alone(tmp_path):
    spec = configured(tmp_path, document("vit"))

    def drawn(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            return make_network(spec, FIT, 12, DIMS).state_dict()

    assert all((t == drawn(0)[name]).all() for name, t in drawn(0).items())
    assert any((t != drawn(1)[name]).any() for name, t in drawn(0).items())


def test_a_models_shape_without_its_weights(tmp_path):
    theirs = saved(tmp_path, "vit").state_dict()
    begun = make_network(EncoderSpec(str(tmp_path)), FIT, None, DIMS).model.state_dict()
    fresh = make_network(EncoderSpec(str(tmp_path), pretrained=False), FIT, None, DIMS).model.state_dict()
    name = "layers.0.attention.q_proj.weight"
    assert (begun[name] == theirs[name]).all()
    assert (fresh[name] != theirs[name]).any()


def test_what_a_spec_cannot_ask_for(tmp_path):
    spec = configured(tmp_path, document("vit"))
    with pytest.raises(NestingError, match=r"makes vectors of 16 dims, and dims 8,32 need 32; .*give width=32"):
        make_network(spec, FIT, None, Nesting((8, 32)))
    assert make_network(spec, FIT, 32, Nesting((8, 32))).width == 32
    with pytest.raises(InputError, match=r"norm=group is a setting of the residual network; .* has its own"):
        make_network(EncoderSpec(spec.network, norm="group"), FIT, None, DIMS)
    with pytest.raises(InputError, match=r"images of 30 x 33 pixels do not divide into patches of 8; .* 32 x 32"):
        make_network(spec, Fit((30, 33), 3), None, DIMS)
    with pytest.raises(InputError, match="cannot build a clip_vision_model: "):
        make_network(configured(tmp_path, document("clip_vision_model")), Fit((32, 64), 3), None, DIMS)
    with pytest.raises(InputError, match="SwinModel takes no images of 16 x 16 pixels with 3 channels: "):
        make_network(configured(tmp_path, document("swin")), Fit((16, 16), 3), None, DIMS)
    with pytest.raises(InputError, match="vectors need at least one dim, got width 0"):
        make_network(spec, FIT, 0, DIMS)


def test_a_network_has_a_short_name(tmp_path):
    assert model_name(EncoderSpec()) == "residual"
    assert model_name(EncoderSpec("someone/vit-small")) == "vit-small"
    assert model_name(configured(tmp_path, document("vit"))) == "tiny"
    (tmp_path / "config.json").write_text(json.dumps(document("vit")))
    assert model_name(EncoderSpec(str(tmp_path / "config.json"))) == "vit"
    assert model_name(EncoderSpec(f"{tmp_path}/")) == tmp_path.name


def test_the_residual_network_is_tuned_too():
    made = make_network(EncoderSpec(norm="group"), Fit((8, 8), 1), None, DIMS)
    assert made.width == 8
    assert len(tuned(made, "all")) == len(list(made.parameters()))
    assert tuned(made, "head") == list(made.project.parameters())
    assert {id(p) for p in tuned(made, "last")} == {
        id(p) for m in (made.stages[-1], made.project) for p in m.parameters()
    }
    train_mode(made, "last")
    assert made.project.training
    assert made.stages[-1].training
    assert not made.stages[0].training


def test_without_a_projection_the_head_alone_leaves_the_network_as_it_is(tmp_path):
    made = make_network(configured(tmp_path, document("resnet")), FIT, None, DIMS)
    assert tuned(made, "head") == []
    train_mode(made, "head")
    assert not any(part.training for part in made.modules())
    assert len(tuned(made, "all")) == len(list(made.parameters()))
    assert CONFIGS["resnet"]["hidden_sizes"][-1] == made.width

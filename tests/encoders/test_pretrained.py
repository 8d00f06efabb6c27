"""Checkpoints and configurations of Transformers models, as people have them in folders."""

import json

import numpy as np
import pytest
import torch
import transformers

from encoders.tiny import CONFIGS, KINDS, SIZE, document, saved
from mrl.encoders import EncoderSpec, VisionNetwork
from mrl.encoders.fit import Fit
from mrl.encoders.making import make_network, wanted_preparation
from mrl.errors import InputError, StorageError
from mrl.nesting import Nesting

DIMS = Nesting((4, 8))
FIT = Fit(SIZE, 3)
CLASSIFIERS = {
    "resnet": "ResNetForImageClassification",
    "vit": "ViTForImageClassification",
    "convnext": "ConvNextForImageClassification",
    "swin": "SwinForImageClassification",
    "dinov2": "Dinov2ForImageClassification",
}


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_gives_its_weights(kind, whole, tmp_path, capfd):
    model = getattr(transformers, CLASSIFIERS[kind]) if whole and kind in CLASSIFIERS else None
    theirs = saved(tmp_path, kind, model)
    capfd.readouterr()
    spec = EncoderSpec(str(tmp_path))
    wanted = wanted_preparation(spec)
    assert wanted.fit == Fit(SIZE, 3, 32 / 36, "bicubic")
    np.testing.assert_allclose((wanted.mean, wanted.std), ((127.5, 102, 76.5), (51, 63.75, 127.5)))
    ours = make_network(spec, wanted.fit, None, DIMS).eval()
    assert capfd.readouterr() == ("", "")
    x = torch.randn(2, 3, *SIZE)
    theirs = getattr(theirs, theirs.base_model_prefix, theirs)
    torch.testing.assert_close(ours(x), VisionNetwork(ours.config, theirs).eval()(x), rtol=0, atol=0)


def test_a_tower_is_taken_out_of_a_whole_model(tmp_path):
    text = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "vocab_size": 9,
    }
    config = transformers.CLIPConfig(vision_config=CONFIGS["clip_vision_model"], text_config=text, projection_dim=8)
    whole = transformers.CLIPModel(config).eval()
    whole.save_pretrained(tmp_path)
    ours = make_network(EncoderSpec(str(tmp_path)), FIT, None, DIMS).eval()
    x = torch.randn(2, 3, *SIZE)
    torch.testing.assert_close(ours(x), whole.vision_model(pixel_values=x).pooler_output)


def test_half_precision_weights_are_read_as_float32(tmp_path):
    transformers.ViTModel(transformers.ViTConfig(**CONFIGS["vit"])).bfloat16().save_pretrained(tmp_path)
    made = make_network(EncoderSpec(str(tmp_path)), FIT, None, DIMS)
    assert {p.dtype for p in made.parameters()} == {torch.float32}


def test_loading_leaves_the_librarys_messages_as_they_were(tmp_path):
    from huggingface_hub.utils import are_progress_bars_disabled
    from transformers.utils import logging

    saved(tmp_path, "vit")
    before = (logging.get_verbosity(), logging.is_progress_bar_enabled(), are_progress_bars_disabled())
    make_network(EncoderSpec(str(tmp_path)), FIT, None, DIMS)
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled(), are_progress_bars_disabled()) == before


def drop(folder, part):
    """Take the weights whose names hold `part` out of a checkpoint."""
    from safetensors.torch import load_file, save_file

    file = folder / "model.safetensors"
    kept = {name: t for name, t in load_file(file).items() if part not in name}
    save_file(kept, file, {"format": "pt"})


def test_a_weight_that_is_missing_is_named(tmp_path):
    saved(tmp_path, "vit")
    drop(tmp_path, "pooler")
    make_network(EncoderSpec(str(tmp_path)), FIT, None, DIMS)
    with pytest.raises(InputError, match=r"lacks 2 weights of its vit network, first pooler\.dense\.bias; take"):
        make_network(EncoderSpec(str(tmp_path), pooling="pooler"), FIT, None, DIMS)
    drop(tmp_path, "layernorm.weight")
    with pytest.raises(InputError, match=r"lacks 1 weights of its vit network, first layernorm\.weight"):
        make_network(EncoderSpec(str(tmp_path)), FIT, None, DIMS)


def test_weights_of_other_sizes_are_refused(tmp_path):
    saved(tmp_path, "vit")
    about = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(about | {"intermediate_size": 64}))
    with pytest.raises(InputError, match=r"the weights of .* do not fit its config\.json"):
        make_network(EncoderSpec(str(tmp_path)), FIT, None, DIMS)


def test_pickled_weights_are_not_opened(tmp_path):
    saved(tmp_path, "vit")
    (tmp_path / "model.safetensors").unlink()
    (tmp_path / "pytorch_model.bin").write_bytes(b"not even a pickle")
    with pytest.raises(StorageError, match=r"has no weights as \.safetensors; .*save_pretrained\(FOLDER\)"):
        make_network(EncoderSpec(str(tmp_path)), FIT, None, DIMS)


def test_code_beside_the_weights_is_not_run(tmp_path):
    saved(tmp_path, "vit")
    about = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "foreign.py").write_text("raise SystemExit('foreign code ran')\n")
    foreign = {"auto_map": {"AutoConfig": "foreign.Config", "AutoModel": "foreign.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(about | foreign))
    make_network(EncoderSpec(str(tmp_path)), FIT, None, DIMS)
    (tmp_path / "config.json").write_text(json.dumps(about | foreign | {"model_type": "foreign"}))
    with pytest.raises(InputError, match="type 'foreign': its own code would have to run, which is refused"):
        make_network(EncoderSpec(str(tmp_path)), FIT, None, DIMS)


@pytest.mark.parametrize(
    ("about", "rule"),
    [
        ({"model_type": "vitt"}, "a model of type 'vitt': it is not known here"),
        ({}, "a model of type 'None'"),
        ({"model_type": "bert"}, "is a bert model, which takes no images; take a vision model"),
        (document("vit") | {"quantization_config": {"bits": 4}}, "has quantised weights, which cannot be trained"),
        (document("vit") | {"model_type": "vit_mae"}, "masked autoencoder"),
        (document("vit") | {"hidden_size": "wide"}, "is no usable configuration of vit: .*hidden_size"),
        (document("vit") | {"hidden_act": "nought"}, "cannot build a vit: .*; correct its settings"),
    ],
)
def test_configurations_that_are_refused(about, rule, tmp_path):
    (tmp_path / "tiny.json").write_text(json.dumps(about))
    with pytest.raises(InputError, match=rule):
        make_network(EncoderSpec(str(tmp_path / "tiny.json")), FIT, None, DIMS)


def test_what_cannot_be_found(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for source, rule in (
        ("no-such/model", "no-such/model is no folder here, and no such model could be fetched; check the name"),
        ("./no/such/folder", "is no folder here, nor the name of a model"),
        (str(tmp_path), r"has no config\.json, so it is no model's folder"),
        (str(tmp_path / "absent.json"), r"there is no configuration .*absent\.json"),
    ):
        with pytest.raises(StorageError, match=rule):
            make_network(EncoderSpec(source), FIT, None, DIMS)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(StorageError, match=r"cannot read .*config\.json"):
        make_network(EncoderSpec(str(tmp_path)), FIT, None, DIMS)

import json

import numpy as np
import pytest
import torch

from encoders.tiny import saved as saved_vision
from encoders.tiny_text import CONFIGS, NESTING, PLACES, SPECIAL, TEXTS, WORDS, described, encoder, saved, write_json
from mrl.encoders import EncoderSpec, TextConfig, TextNetwork, text_encoder
from mrl.encoders.fit import Fit
from mrl.encoders.layers import Layer
from mrl.encoders.making import make_network
from mrl.errors import InputError, NestingError, StorageError
from mrl.nesting import Nesting


def made(source, width=None, nesting=NESTING, **spec):
    return text_encoder(EncoderSpec(str(source), **spec), width, nesting, "mrl")


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_model_keeps_its_weights_and_fresh_ones_depend_on_the_generator(kind, tmp_path):
    saved(tmp_path / "own", kind)
    own = made(tmp_path / "own")
    np.testing.assert_array_equal(own.encode(TEXTS), made(tmp_path / "own").encode(TEXTS))
    torch.manual_seed(1)
    fresh = made(tmp_path / "own", pretrained=False)
    assert not np.allclose(fresh.encode(TEXTS), own.encode(TEXTS))
    torch.manual_seed(1)
    assert made(tmp_path / "own" / "config.json").card.fingerprint == fresh.card.fingerprint
    assert made(tmp_path / "own" / "config.json").card.fingerprint != fresh.card.fingerprint


def test_the_card_says_what_was_asked(tmp_path):
    saved(tmp_path / "words")
    card = made(tmp_path / "words").card
    assert (card.model, card.width, card.nesting, card.metric) == ("words-mrl-16", 16, NESTING, "cosine")
    assert made(tmp_path / "words", 8, Nesting((4, 8))).card.model == "words-mrl-8"
    assert made(tmp_path / "words" / "config.json").card.model == "bert-mrl-16"


def test_another_width_takes_a_projection_without_bias(tmp_path):
    saved(tmp_path)
    wide = made(tmp_path, 24, Nesting((8, 24)))
    assert wide.network.config.layers == (Layer("dense", 24, bias=False),)
    weight = wide.network.layers[0].linear.weight.detach().numpy()
    np.testing.assert_allclose(
        wide.encode(TEXTS, raw=True), made(tmp_path).encode(TEXTS, raw=True) @ weight.T, atol=1e-6
    )
    assert made(tmp_path, 16).network.config.layers == ()


def test_where_dims_do_not_fit(tmp_path):
    saved(tmp_path)
    with pytest.raises(NestingError, match="vectors of 16 dims, and dims 8,32 need 32; drop the wider dims, or"):
        made(tmp_path, nesting=Nesting((8, 32)))
    with pytest.raises(InputError, match="vectors need at least one dim, got width 0"):
        made(tmp_path, 0)


def test_how_long_a_text_may_be(tmp_path):
    saved(tmp_path)
    assert made(tmp_path).max_length == PLACES - 4  # as its tokenizer says
    assert made(tmp_path, max_length=PLACES).max_length == PLACES
    write_json(tmp_path / "tokenizer_config.json", SPECIAL)
    assert made(tmp_path).max_length == PLACES
    with pytest.raises(InputError, match="max_length=33 is beyond the 32 positions of this bert model; give at"):
        made(tmp_path, max_length=PLACES + 1)
    saved(tmp_path / "roberta", "roberta")
    assert made(tmp_path / "roberta", max_length=PLACES - 2).encode(["a " * 40]).shape == (1, 16)
    with pytest.raises(InputError, match="max_length=31 is beyond the 30 positions of this roberta model"):
        made(tmp_path / "roberta", max_length=PLACES - 1)
    saved(tmp_path / "t5", "t5")
    assert made(tmp_path / "t5", max_length=600).encode(["a " * 700]).shape == (1, 16)  # its places are relative


def test_a_text_can_be_cut_on_its_left(tmp_path):
    saved(tmp_path)
    write_json(tmp_path / "tokenizer_config.json", {**SPECIAL, "truncation_side": "left"})
    model = made(tmp_path, max_length=4)
    np.testing.assert_allclose(model.encode(["a man is food dog"]), model.encode(["food dog"]), atol=1e-6)


def test_a_tokenizer_is_made_of_a_vocabulary(tmp_path):
    want = made(saved(tmp_path / "whole"))
    folder = saved(tmp_path / "vocabulary")
    (folder / "tokenizer.json").unlink()
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")
    write_json(folder / "tokenizer_config.json", {**SPECIAL, "tokenizer_class": "BertTokenizer", "do_lower_case": True})
    np.testing.assert_allclose(made(folder).encode(TEXTS), want.encode(TEXTS), atol=1e-6)


def test_a_model_without_a_tokenizer(tmp_path):
    saved(tmp_path)
    (tmp_path / "tokenizer.json").unlink()
    with pytest.raises(InputError, match=r"has no tokenizer\.json and no vocabulary, so its texts cannot"):
        made(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(InputError, match=r"the tokenizer\.json cannot be read"):
        made(tmp_path)


def changed(folder, **fields):
    about = json.loads((folder / "config.json").read_text())
    write_json(folder / "config.json", {**about, **fields})
    return folder


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"auto_map": {"AutoModel": "mine.Model"}},
            r"brings code of its own \(auto_map in its config\.json\)",
        ),
        ({"model_type": "mine"}, "is a model of type 'mine': it is not known here"),
        (
            {"quantization_config": {"bits": 4}},
            "has quantised weights, which cannot be trained; take the model",
        ),
        ({"model_type": "bart"}, "is a bart model, which reads and writes texts; take one that only reads, as BERT"),
        ({"model_type": "clip"}, "is a clip model, which does not take texts alone; take a text model"),
        ({"hidden_size": "wide"}, "is no usable configuration of bert"),
    ],
)
def test_models_that_are_refused(fields, said, tmp_path):
    changed(saved(tmp_path), **fields)
    with pytest.raises(InputError, match=said):
        made(tmp_path)


def test_what_is_no_text_model(tmp_path):
    saved_vision(tmp_path, "vit")
    with pytest.raises(InputError, match="is a vit model, which does not take texts alone; take a text model"):
        made(tmp_path)
    with pytest.raises(InputError, match="network=residual is for images, and texts are trained on; name a text model"):
        made("residual")
    with pytest.raises(StorageError, match=r"has no config\.json, so it is no model's folder"):
        made(tmp_path.parent)
    with pytest.raises(StorageError, match="is no folder here, nor the name of a model"):
        made(tmp_path / "nothing" / "here")


def test_weights_that_are_not_there(tmp_path):
    described(tmp_path)
    with pytest.raises(StorageError, match=r"has no weights as \.safetensors; where it is pickled"):
        made(tmp_path)


def test_a_pooling_layer_is_used_where_there_is_one(tmp_path):
    saved(tmp_path)
    model = made(tmp_path, pooling="pooler")
    tokens = model.tokens(TEXTS)
    torch.testing.assert_close(
        model.vectors(tokens),
        model.network.model(input_ids=tokens.ids, attention_mask=tokens.mask).pooler_output.detach(),
    )
    assert made(tmp_path).network.model.pooler is None
    with pytest.raises(InputError, match="T5EncoderModel has no pooling layer for pooling=pooler; take mean"):
        encoder(tmp_path / "t5", "t5", pooling="pooler")


def test_settings_of_images_and_of_texts(tmp_path):
    saved(tmp_path / "text")
    with pytest.raises(InputError, match="norm=group is a setting of the residual network for images; leave it out"):
        made(tmp_path / "text", norm="group")
    for name, value in (("max_length", 8), ("query_prompt", ""), ("document_prompt", "a"), ("pooling", "last")):
        with pytest.raises(InputError, match=f"{name}={value} is a setting of text encoders, and images are"):
            make_network(EncoderSpec(**{name: value}), Fit((8, 8), 1), None, NESTING)
    with pytest.raises(InputError, match="max_length is tokens of a text, at least 1, got 0"):
        EncoderSpec(max_length=0)
    with pytest.raises(InputError, match="unknown pooling 'sum'; known are auto, pooler, cls, mean, last, max"):
        EncoderSpec(pooling="sum")


def test_a_spec_and_a_network_round_trip(tmp_path):
    spec = EncoderSpec("words", pooling="last", max_length=9, query_prompt="", document_prompt="text: ")
    assert EncoderSpec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    config = encoder(tmp_path, width=8, nesting=Nesting((4, 8))).network.config
    assert TextConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert TextNetwork(config).config == config
    with pytest.raises(InputError, match="cannot read a text network from"):
        TextConfig.from_json({"pooling": "mean"})


def test_layers_that_are_not_understood():
    with pytest.raises(InputError, match="unknown activation 'Mine'; known are Identity, Tanh"):
        Layer("dense", 8, activation="Mine")
    with pytest.raises(InputError, match="unknown kind of layer 'conv'; install a newer mrl"):
        Layer("conv", 8)
    with pytest.raises(InputError, match="a layer makes vectors of at least one dim, got 0"):
        Layer("dense", 0)

import json

import numpy as np
import pytest
import torch

from encoders.tiny import CONFIGS, KINDS, SIZE, document
from mrl.card import Card
from mrl.disk import write
from mrl.encoders import ImageEncoder
from mrl.encoders.fit import Fit
from mrl.encoders.making import train_mode, tuned
from mrl.encoders.networks import restored
from mrl.encoders.preparation import Preparation
from mrl.encoders.vision import VisionConfig, VisionNetwork
from mrl.errors import InputError
from mrl.nesting import Nesting
from mrl.nn import make_head, nested_cross_entropy

DIMS = Nesting((4, 8))
FIT = Fit(SIZE, 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (3, *SIZE, 3), dtype=np.uint8)
WIDTHS = {"resnet": 32}  # of the others: 16
OWN_POOLING = {"vit": "cls"}  # of the others: pooler
BLOCKS = {
    "resnet": (["ResNetStage"], "encoder.stages.1"),
    "vit": (["ViTLayer", "LayerNorm"], "layers.1"),
    "convnext": (["ConvNextStage", "LayerNorm"], "encoder.stages.1"),
    "swin": (["SwinStage", "LayerNorm"], "encoder.layers.1"),
    "dinov2": (["Dinov2Layer", "LayerNorm"], "encoder.layer.1"),
    "clip_vision_model": (["CLIPEncoderLayer", "LayerNorm"], "encoder.layers.1"),
}


def network(kind, width=None, pooling="auto", **changes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return VisionNetwork(VisionConfig(document(kind, **changes), SIZE, 3, pooling, width))


def encoder(made):
    return ImageEncoder(made, Card("tiny", made.width, DIMS), Preparation(FIT, (127.0,) * 3, (60.0,) * 3))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_loads_the_same(kind, tmp_path):
    model = encoder(network(kind, 12))
    model.module.train()
    model.network(torch.randn(4, 3, *SIZE))  # so that a norm's statistics are not those of a new network
    write(tmp_path / "encoder.safetensors", model.sealed())
    loaded = ImageEncoder.load(tmp_path / "encoder.safetensors")
    assert (loaded.card, loaded.network.config) == (model.card, model.network.config)
    vectors = model.encode(PIXELS, raw=True)
    assert vectors.shape == (3, 12)
    assert (vectors[0] != vectors[1]).any()
    np.testing.assert_array_equal(loaded.encode(PIXELS, raw=True), vectors)


@pytest.mark.parametrize("kind", KINDS)
def test_without_a_projection_the_vectors_are_the_models_own(kind):
    made = network(kind).eval()
    assert (made.width, made.head()) == (WIDTHS.get(kind, 16), [])
    assert made.config.pooling == OWN_POOLING.get(kind, "pooler")
    x = torch.randn(2, 3, *SIZE)
    output = made.model(pixel_values=x)
    own = output.last_hidden_state[:, 0] if made.config.pooling == "cls" else output.pooler_output.flatten(1)
    torch.testing.assert_close(made(x), own, rtol=0, atol=0)
    assert network(kind, made.width).head() == []


@pytest.mark.parametrize("kind", KINDS)
def test_the_last_block_ends_the_stack(kind):
    made = network(kind, 12)
    classes, path = BLOCKS[kind]
    *parts, projection = made.last()
    assert [type(part).__name__ for part in parts] == classes
    assert parts[0] is made.model.get_submodule(path)
    assert made.head() == [projection]
    with pytest.raises(AttributeError):  # no block comes after it
        made.model.get_submodule(path[:-1] + "2")


@pytest.mark.parametrize("tune", ["all", "last", "head"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_step_changes_what_is_trained_and_nothing_else(kind, tune):
    made = network(kind, 12)
    head = make_head("mrl", DIMS, 3)
    trained = tuned(made, tune)
    train_mode(made, tune)
    before = {name: t.clone() for name, t in made.state_dict().items()}
    optimiser = torch.optim.AdamW([*trained, *head.parameters()], lr=0.1)
    x = torch.randn(6, 3, *SIZE)
    nested_cross_entropy(head, made(x), torch.tensor([0, 1, 2] * 2)).total.backward()
    optimiser.step()
    changed = {name for name, t in made.named_parameters() if (t != before[name]).any()}
    assert changed == {name for name, t in made.named_parameters() if t.requires_grad}
    assert changed >= {"project.weight", "project.bias"}
    frozen = {name for name, t in made.state_dict().items() if name not in changed and (t != before[name]).any()}
    assert all("running_" in name or "num_batches" in name for name in frozen)
    assert not any(".stages.0." in name or "embedder" in name for name in frozen if tune != "all")


@pytest.mark.parametrize("kind", KINDS)
def test_all_is_trained_but_what_no_vector_depends_on(kind):
    made = network(kind, 12)
    idle = {name for name, t in made.named_parameters() if id(t) not in {id(p) for p in tuned(made, "all")}}
    assert idle == ({"model.embeddings.mask_token"} if kind == "dinov2" else set())


@pytest.mark.parametrize("kind", KINDS)
def test_the_modes_are_those_of_what_is_trained(kind):
    made = network(kind, 12)
    train_mode(made, "last")
    assert all(part.training for block in made.last() for part in block.modules())
    inside = {part for block in made.last() for part in block.modules()}
    assert not any(part.training for part in made.modules() if part not in inside)
    encoder(made).encode(PIXELS)
    assert all(part.training == (part in inside) for part in made.modules())
    train_mode(made, "all")
    assert all(part.training for part in made.modules())


@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_float32_under_autocast(kind):
    for width in (None, 12):
        with torch.autocast("cpu", torch.bfloat16):
            assert network(kind, width)(torch.randn(2, 3, *SIZE)).dtype == torch.float32


@pytest.mark.parametrize("kind", KINDS)
def test_what_network_it_is_says_nothing_of_where_it_came_from(kind):
    text = json.dumps(network(kind, 12).describe())
    assert "transformers_version" not in text
    assert "_name_or_path" not in text
    assert restored(json.loads(text)).describe() == json.loads(text) | {"size": SIZE}


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("resnet", "convnext")])
def test_the_mean_is_that_of_the_patches(kind):
    made = network(kind, pooling="mean").eval()
    x = torch.randn(2, 3, *SIZE)
    states = made.model(pixel_values=x).last_hidden_state
    first = 0 if kind == "swin" else 1
    assert states.shape[1] == 16 + first
    torch.testing.assert_close(made(x), states[:, first:].mean(1))


def test_the_mean_of_a_map_is_that_of_its_places():
    made = network("convnext", pooling="mean").eval()
    x = torch.randn(2, 3, *SIZE)
    torch.testing.assert_close(made(x), made.model(pixel_values=x).last_hidden_state.mean((2, 3)))


def test_the_mean_leaves_registers_out():
    config = {**CONFIGS["dinov2"], "model_type": "dinov2_with_registers", "num_register_tokens": 3}
    made = VisionNetwork(VisionConfig(config, SIZE, 3, "mean")).eval()
    x = torch.randn(2, 3, *SIZE)
    torch.testing.assert_close(made(x), made.model(pixel_values=x).last_hidden_state[:, 4:].mean(1))


def test_the_pooling_layer_of_a_vit_is_there_only_when_it_is_asked_for():
    assert network("vit").model.pooler is None
    made = network("vit", pooling="pooler").eval()
    x = torch.randn(2, 3, *SIZE)
    torch.testing.assert_close(made(x), made.model(pixel_values=x).pooler_output)


@pytest.mark.parametrize(("kind", "pooling", "lacking"), [("swin", "cls", "class token"), ("resnet", "cls", "class")])
def test_a_pooling_that_a_model_lacks(kind, pooling, lacking):
    with pytest.raises(InputError, match=f"has no {lacking}.* for pooling={pooling}; take pooling=auto or mean"):
        network(kind, pooling=pooling)


def test_a_model_of_two_towers_gives_its_vision_tower():
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    whole = {"model_type": "clip", "vision_config": CONFIGS["clip_vision_model"], "text_config": text}
    made = VisionNetwork(VisionConfig(whole, SIZE, 3))
    assert type(made.model).__name__ == "CLIPVisionModel"


@pytest.mark.parametrize("kind", KINDS)
def test_the_multiply_adds_are_those_of_the_layers(kind):
    made, counted = network(kind, 12).eval(), []
    macs = made.macs

    def count(layer, _, output):
        channels = output.shape[1] if isinstance(layer, torch.nn.Conv2d) else output.shape[-1]
        counted.append(layer.weight.numel() * output.numel() // channels)

    for layer in made.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(count)
    made(torch.randn(1, 3, *SIZE))
    attention = macs - sum(counted)
    tokens = {"resnet": [], "convnext": [], "swin": [(64, 16, 8), (16, 16, 16), (16, 16, 16)]}.get(
        kind, [(17, 17, 16)] * 2
    )
    assert attention == sum(2 * rows * columns * width for rows, columns, width in tokens)


def test_images_that_a_model_cannot_take():
    with pytest.raises(InputError, match="ViTModel takes no images of 40 x 40 pixels with 3 channels"):
        VisionNetwork(VisionConfig(document("vit"), (40, 40), 3))
    with pytest.raises(InputError, match="with 1 channels"):
        VisionNetwork(VisionConfig(document("vit"), SIZE, 1))


@pytest.mark.parametrize(
    ("kind", "pooling"), [("deit", "cls"), ("vit_msn", "cls"), ("beit", "pooler"), ("siglip_vision_model", "pooler")]
)
def test_each_family_is_pooled_as_its_authors_do(kind, pooling):
    made = VisionNetwork(VisionConfig({**CONFIGS["vit"], "model_type": kind}, SIZE, 3))
    assert made.config.pooling == pooling
    assert made(torch.randn(2, 3, *SIZE)).shape == (2, 16)


def test_a_map_without_a_pooling_of_its_own_is_averaged():
    small = {"hidden_sizes": [8, 16], "depths": [1, 1], "num_attention_heads": [1, 2], "sr_ratios": [2, 1]}
    shape = {"num_encoder_blocks": 2, "patch_sizes": [7, 3], "strides": [4, 2], "mlp_ratios": [2, 2]}
    made = VisionNetwork(VisionConfig({"model_type": "segformer", **small, **shape}, SIZE, 3))
    assert (made.config.pooling, made.width) == ("mean", 16)

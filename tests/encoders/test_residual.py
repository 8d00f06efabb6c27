import json

import pytest
import torch

from mrl.encoders import ResidualConfig, ResidualNetwork
from mrl.errors import InputError


@pytest.mark.parametrize(
    ("size", "stages"), [((8, 8), 2), ((28, 28), 3), ((32, 32), 3), ((64, 64), 3), ((64, 48), 3), ((40, 30), 3)]
)
def test_the_last_map_has_about_four_by_four_places(size, stages):
    config = ResidualConfig.for_images(size, 3, 16)
    assert len(config.stages) == stages
    halved = config.stem_stride * 2 ** sum(stride == 2 for stride in config.strides)
    assert all(2 <= side / halved <= 6 for side in size)


@pytest.mark.parametrize("size", [(4, 4), (5, 9), (8, 8), (17, 31), (64, 48)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_size_of_image_gives_one_vector(size, channels):
    network = ResidualNetwork(ResidualConfig.for_images(size, channels, 12))
    assert network(torch.randn(3, channels, *size)).shape == (3, 12)


def test_a_configuration_round_trips_through_json():
    config = ResidualConfig.for_images((64, 48), 3, 128)
    assert ResidualConfig.from_json(json.loads(json.dumps(config.to_json()))) == config


def test_vectors_are_float32_under_autocast():
    network = ResidualNetwork(ResidualConfig.for_images((8, 8), 1, 4))
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.randn(2, 1, 8, 8)).dtype == torch.float32


def test_every_weight_gets_a_gradient():
    network = ResidualNetwork(ResidualConfig.for_images((16, 16), 1, 4))
    network(torch.randn(4, 1, 16, 16)).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize(
    ("size", "channels", "width", "rule"),
    [
        ((2, 8), 1, 4, "at least 4 by 4 pixels, got 2 by 8"),
        ((8, 8), 2, 4, r"1 \(grey\) or 3 \(colour\) channels, got 2"),
        ((8, 8), 1, 0, "at least one dim, got width 0"),
    ],
)
def test_what_cannot_be_built(size, channels, width, rule):
    with pytest.raises(InputError, match=rule):
        ResidualConfig.for_images(size, channels, width)


def test_an_unknown_setting_is_refused():
    with pytest.raises(InputError, match=r"cannot read a residual network from .*depth"):
        ResidualConfig.from_json({"depth": 50})


@pytest.mark.parametrize("size", [(8, 8), (17, 31), (64, 48)])
def test_the_multiply_adds_are_those_of_the_layers(size):
    network = ResidualNetwork(ResidualConfig.for_images(size, 3, 12))
    counted = []

    def count(layer, _, output):
        counted.append(layer.weight.numel() * output[0, 0].numel())

    for layer in network.modules():
        if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear):
            layer.register_forward_hook(count)
    network(torch.randn(1, 3, *size))
    *convolutions, _ = counted
    assert network.config.macs == sum(convolutions) + network.project.weight.numel()

import numpy as np
import pytest
import torch
from torch import nn

from mrl.card import Card
from mrl.disk import write
from mrl.encoders import ImageEncoder
from mrl.encoders.fit import Fit
from mrl.encoders.making import tuned
from mrl.encoders.module import ModuleNetwork
from mrl.encoders.preparation import Preparation
from mrl.errors import InputError
from mrl.nesting import Nesting

FIT = Fit((8, 8), 3)
PIXELS = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)


class Own(nn.Module):
    """A network with everything that a file must not lose: a norm, an index, a scalar, a shared and an idle weight."""

    def __init__(self, width=8):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.norm = nn.BatchNorm2d(4)
        self.first = nn.Linear(64, width)
        self.second = nn.Linear(width, width)
        self.third = nn.Linear(width, width)
        self.third.weight = self.second.weight
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.idle = nn.Parameter(torch.zeros(3))
        self.register_buffer("order", torch.randperm(64))
        self.register_buffer("mask", torch.rand(width) > 0.2)

    def forward(self, x):
        x = self.norm(self.stem(x)).flatten(1)[:, self.order]
        return self.third(self.second(self.first(x)).relu() * self.mask) * self.scale


def encoder(module, width=8):
    network = ModuleNetwork(module, FIT, width)
    return ImageEncoder(network, Card("own", width, Nesting((4, 8))), Preparation(FIT, (127.0,) * 3, (60.0,) * 3))


def test_what_is_saved_loads_into_the_module(tmp_path):
    model = encoder(Own())
    model.network(torch.randn(9, 3, 8, 8))
    write(tmp_path / "encoder.safetensors", model.sealed())
    loaded = ImageEncoder.load(tmp_path / "encoder.safetensors", Own())
    np.testing.assert_array_equal(loaded.encode(PIXELS, raw=True), model.encode(PIXELS, raw=True))
    assert loaded.card == model.card
    assert loaded.network.describe() == model.network.describe()


def test_a_file_without_its_module_says_so(tmp_path):
    write(tmp_path / "encoder.safetensors", encoder(Own()).sealed())
    with pytest.raises(InputError, match=r"the weights of a .*\.Own, and no code; hand the module over with network="):
        ImageEncoder.load(tmp_path / "encoder.safetensors")
    with pytest.raises(
        InputError,
        match=r"the saved weights are another network's: Missing key.*module.1.weight.*; give the one that was",
    ):
        ImageEncoder.load(tmp_path / "encoder.safetensors", nn.Sequential(nn.Flatten(), nn.Linear(192, 8)))


@pytest.mark.parametrize(
    ("module", "rule"),
    [
        (nn.Flatten(), "network must be an nn.Module with weights, got Flatten"),
        (torch.tensor(1.0), "network must be an nn.Module with weights, got Tensor"),
        (Own(16), r"Own must make \(n, 8\); of one image \(1, 3, 8, 8\) it made shape \(1, 16\)"),
        (nn.Conv2d(3, 8, 3), r"it made shape \(1, 8, 6, 6\)"),
        (nn.MultiheadAttention(8, 2), "MultiheadAttention fails at one image"),
        (nn.Conv2d(1, 8, 3), r"Conv2d fails at one image \(1, 3, 8, 8\): .*correct it or the size"),
        (nn.Sequential(nn.Flatten(), nn.LSTM(192, 8)), "it made a tuple"),
    ],
)
def test_modules_that_are_refused(module, rule):
    with pytest.raises(InputError, match=rule):
        ModuleNetwork(module, FIT, 8)


def test_bfloat16_weights_are_refused_when_they_are_to_be_saved():
    with pytest.raises(InputError, match=r"module\.scale is torch\.bfloat16, which no array can hold; .*\.float\(\)"):
        encoder(Own().bfloat16()).sealed()


def test_a_trial_leaves_the_module_as_it_was():
    module = Own().train()
    module.norm.eval()
    before = {name: t.clone() for name, t in module.state_dict().items()}
    network = ModuleNetwork(module, FIT, 8)
    assert network.macs > 0
    assert [part.training for part in module.children()] == [True, False, True, True, True]
    assert all((t == before[name]).all() for name, t in module.state_dict().items())


def test_the_last_child_and_the_head():
    network = ModuleNetwork(Own(), FIT, 8)
    assert network.last() == [network.module.third]
    assert network.head() == []
    assert {id(p) for p in tuned(network, "last")} == {id(p) for p in network.module.third.parameters()}
    idle = network.module.idle
    assert {id(p) for p in network.parameters()} - {id(p) for p in tuned(network, "all")} == {id(idle)}


def test_a_module_without_children_is_its_own_last_block():
    class Plain(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(8))

        def forward(self, x):
            return x[:, 0, 0] * self.weight

    network = ModuleNetwork(Plain(), FIT, 8)
    assert network.last() == [network.module]
    assert network.macs == 0
    with torch.autocast("cpu", torch.bfloat16):
        assert network(torch.ones(2, 3, 8, 8)).dtype == torch.float32

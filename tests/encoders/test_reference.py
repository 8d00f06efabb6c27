"""Checkpoints with torchvision's names, against a ResNet as torchvision writes it, and FFCV's blur around it."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mrl.disk import write
from mrl.encoders import ImageEncoder
from mrl.encoders.reference import from_reference
from mrl.errors import InputError, NestingError, StorageError
from mrl.nesting import Nesting

STAGES = ((4, 2), (8, 1), (8, 2))  # channels of the 3 x 3 convolution, blocks
WIDTH = 32


class Bottleneck(nn.Module):
    def __init__(self, inputs, planes, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, planes, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, stride, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv3, self.bn3 = nn.Conv2d(planes, 4 * planes, 1, bias=False), nn.BatchNorm2d(4 * planes)
        self.downsample = None
        if stride != 1 or inputs != 4 * planes:
            shortcut = nn.Conv2d(inputs, 4 * planes, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(4 * planes))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)))
        y = F.relu(self.bn2(self.conv2(y)))
        return F.relu(self.bn3(self.conv3(y)) + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self, head):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16)
        inputs = 16
        for number, (planes, count) in enumerate(STAGES, 1):
            strides = [1 if number == 1 else 2] + [1] * (count - 1)
            blocks = []
            for stride in strides:
                blocks.append(Bottleneck(inputs, planes, stride))
                inputs = 4 * planes
            setattr(self, f"layer{number}", nn.Sequential(*blocks))
        self.fc = head

    def features(self, x):
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for number in range(1, len(STAGES) + 1):
            x = getattr(self, f"layer{number}")(x)
        return x.mean((2, 3))


class Blurred(nn.Module):
    def __init__(self, conv):
        super().__init__()
        self.conv = conv
        kernel = torch.tensor([[[[1, 2, 1], [2, 4, 2], [1, 2, 1]]]]) / 16.0
        self.register_buffer("blur_filter", kernel.repeat(conv.in_channels, 1, 1, 1))

    def forward(self, x):
        return self.conv(F.conv2d(x, self.blur_filter, padding=1, groups=self.conv.in_channels))


def blur(module):
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and max(child.stride) > 1 and child.in_channels >= 16:
            setattr(module, name, Blurred(child))
        else:
            blur(child)


def classifiers(*dims):
    layer = nn.Module()
    for number, dim in enumerate(dims):
        setattr(layer, f"nesting_classifier_{number}", nn.Linear(dim, 5))
    return layer


def checkpoint(path, head, *, blurred=True, prefix="module."):
    """A ResNet with statistics of its own, saved as the reference does."""
    torch.manual_seed(0)
    network = ResNet(head)
    if blurred:
        blur(network)
    network.train()
    network.features(torch.randn(8, 3, 64, 64))
    torch.save({prefix + name: t for name, t in network.state_dict().items()}, path)
    return network.eval()


@pytest.mark.parametrize("blurred", [True, False])
@pytest.mark.parametrize("prefix", ["module.", ""])
def test_vectors_and_logits_are_the_reference_s(blurred, prefix, tmp_path):
    theirs = checkpoint(tmp_path / "r50.pt", classifiers(8, 32), blurred=blurred, prefix=prefix)
    encoder, head = from_reference(tmp_path / "r50.pt")
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        want, got = theirs.features(x), encoder.network(x)
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
        logits = theirs.fc.nesting_classifier_0(want[:, :8]).numpy()
    np.testing.assert_allclose(head.logits(got.numpy(), 8), logits, atol=1e-5)
    assert (head.nesting, head.fingerprint) == (Nesting((8, 32)), encoder.card.fingerprint)
    assert (encoder.card.model, encoder.card.width) == ("r50", WIDTH)
    assert any("blur" in name for name in encoder.module.state_dict()) == blurred


def test_blur_changes_the_vectors(tmp_path):
    theirs = checkpoint(tmp_path / "r50.pt", classifiers(32), blurred=False)
    x = torch.randn(2, 3, 64, 64)
    plain = theirs.features(x)
    blur(theirs)
    assert (theirs.features(x) - plain).abs().max() > 1e-3


def test_a_reference_encoder_saves_and_loads(tmp_path):
    checkpoint(tmp_path / "r50.pt", classifiers(8, 32))
    encoder, _ = from_reference(tmp_path / "r50.pt")
    write(tmp_path / "encoder.safetensors", encoder.sealed())
    loaded = ImageEncoder.load(tmp_path / "encoder.safetensors")
    pictures = np.random.default_rng(0).integers(0, 256, (2, 40, 50, 3), dtype=np.uint8)
    np.testing.assert_array_equal(loaded.encode(pictures), encoder.encode(pictures))
    assert loaded.fit.size == (224, 224)
    assert loaded.fit.crop == 0.875


def test_tied_and_fixed_feature_heads(tmp_path):
    checkpoint(tmp_path / "tied.pt", classifiers(32))
    with pytest.raises(NestingError, match="is it MRL-E"):
        from_reference(tmp_path / "tied.pt")
    _, tied = from_reference(tmp_path / "tied.pt", Nesting((8, 16, 32)))
    assert (tied.tied, tied.nesting) == (True, Nesting((8, 16, 32)))
    checkpoint(tmp_path / "ff.pt", nn.Linear(16, 5))
    encoder, fixed = from_reference(tmp_path / "ff.pt")
    assert (fixed.tied, fixed.nesting, encoder.card.width) == (False, Nesting((16,)), WIDTH)


def test_a_state_dict_under_a_name_or_in_the_old_format_is_read(tmp_path):
    checkpoint(tmp_path / "plain.pt", nn.Linear(32, 5), blurred=False, prefix="")
    state = torch.load(tmp_path / "plain.pt", weights_only=True)
    torch.save({"model": state, "epoch": 3}, tmp_path / "named.pt")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    cards = [from_reference(tmp_path / f"{name}.pt")[0].card for name in ("plain", "named", "old")]
    assert len({card.fingerprint for card in cards}) == 1


class Foreign:
    def __reduce__(self):
        return (exec, ("raise SystemExit('foreign code ran')",))


def test_a_pickle_with_code_is_refused(tmp_path):
    torch.save({"conv1.weight": Foreign()}, tmp_path / "bad.pt")
    with pytest.raises(InputError, match=r"bad\.pt is no plain state dict, and reading it could run code, .* refused"):
        from_reference(tmp_path / "bad.pt")


def test_what_is_no_such_checkpoint(tmp_path):
    path = tmp_path / "a.pt"
    with pytest.raises(StorageError, match=r"cannot read .*a\.pt"):
        from_reference(path)
    torch.save([torch.ones(1)], path)
    with pytest.raises(InputError, match="holds no state dict"):
        from_reference(path)
    torch.save({"weight": torch.ones(1)}, path)
    with pytest.raises(InputError, match=r"is no ResNet for colour pictures with .* names, got \['weight'\]"):
        from_reference(path)
    state = {name: t for name, t in ResNet(classifiers(32)).state_dict().items() if name != "bn1.weight"}
    torch.save(state, path)
    with pytest.raises(InputError, match=r"another network than a ResNet: .*embedder\.normalization\.weight"):
        from_reference(path)


class Basic(nn.Module):
    def __init__(self, inputs, planes, stride):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(inputs, planes, 3, stride, 1, bias=False), nn.BatchNorm2d(planes)
        self.conv2, self.bn2 = nn.Conv2d(planes, planes, 3, 1, 1, bias=False), nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or inputs != planes:
            shortcut = nn.Conv2d(inputs, planes, 1, stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(planes))

    def forward(self, x):
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


def test_basic_blocks_are_read_too(tmp_path):
    torch.manual_seed(0)
    theirs = ResNet(nn.Linear(24, 5))
    theirs.layer1, theirs.layer2 = nn.Sequential(Basic(16, 16, 1)), nn.Sequential(Basic(16, 24, 2))
    theirs.layer3 = nn.Identity()
    theirs.eval()
    torch.save(theirs.state_dict(), tmp_path / "r18.pt")
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(from_reference(tmp_path / "r18.pt")[0].network(x), theirs.features(x))

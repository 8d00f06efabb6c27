import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from mrl.card import Card
from mrl.disk import write
from mrl.encoders import ImageEncoder, ResidualConfig, ResidualNetwork, load
from mrl.encoders.pixels import Fit
from mrl.encoders.preparation import Preparation
from mrl.errors import CardError, DamagedError, InputError, NestingError, StorageError
from mrl.nesting import Nesting, unit_prefix

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (10, 8, 8), dtype=np.uint8)


def encoder(metric="cosine", width=16):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = ResidualNetwork(ResidualConfig.for_images((8, 8), 1, width))
    card = Card("tiny", width, Nesting((4, 8)), metric)
    return ImageEncoder(network, card, Preparation(Fit((8, 8), 1), (127.0,), (60.0,)))


def test_prefixes_are_cut_as_the_metric_asks():
    raw = encoder().encode(IMAGES, raw=True)
    assert raw.shape == (10, 16)
    assert raw.dtype == np.float32
    np.testing.assert_array_equal(encoder().encode(IMAGES, 4, raw=True), raw[:, :4])
    np.testing.assert_allclose(encoder().encode(IMAGES, 4), unit_prefix(raw, 4), atol=1e-6)
    np.testing.assert_allclose(encoder("dot").encode(IMAGES, 4), raw[:, :4], atol=1e-6)
    assert encoder().encode(IMAGES).shape == (10, 16)


def test_the_batch_size_changes_nothing():
    model = encoder()
    whole = model.encode(IMAGES)
    for batch_size in (1, 3, 10):
        np.testing.assert_allclose(model.encode(IMAGES, batch_size=batch_size), whole, atol=1e-5)


def test_arrays_pictures_and_paths_give_the_same_vectors(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(len(IMAGES))]
    for path, image in zip(paths, IMAGES, strict=True):
        Image.fromarray(image).save(path)
    want = encoder().encode(IMAGES)
    np.testing.assert_allclose(encoder().encode(IMAGES[..., None]), want, atol=1e-6)
    np.testing.assert_allclose(encoder().encode(paths), want, atol=1e-6)
    np.testing.assert_allclose(encoder().encode(Image.fromarray(i).convert("RGB") for i in IMAGES), want, atol=1e-6)


def test_no_images_give_no_vectors():
    assert encoder().encode([], 4).shape == (0, 4)
    assert encoder().encode(IMAGES[:0]).shape == (0, 16)


def test_encoding_leaves_the_training_mode_and_the_norms_alone():
    model = encoder()
    model.network.train()
    before = model.card.fingerprint
    model.encode(IMAGES)
    assert model.network.training
    assert model.card.fingerprint == before


def test_what_cannot_be_encoded():
    with pytest.raises(NestingError, match="dim 2 cannot be read: this embedding was trained at 4,8"):
        encoder().encode(IMAGES, 2)
    with pytest.raises(NestingError, match="dim 17 cannot be read"):
        encoder().encode(IMAGES, 17, raw=True)
    with pytest.raises(InputError, match="must be uint8 from 0 to 255, got float64"):
        encoder().encode(IMAGES / 255)
    with pytest.raises(InputError, match="images must be several"):
        encoder().encode("picture.png")


def test_a_network_and_its_card_must_agree():
    model = encoder()
    with pytest.raises(CardError, match="vectors of width 16, its card says 32"):
        ImageEncoder(model.network, replace(model.card, width=32), model.preparation)


def test_what_is_saved_loads_the_same(tmp_path):
    model = encoder()
    model.network(torch.randn(16, 1, 8, 8))  # so that the norms' statistics are not those of a new network
    write(tmp_path / "encoder.safetensors", model.sealed())
    loaded = ImageEncoder.load(tmp_path / "encoder.safetensors")
    assert (loaded.card, loaded.preparation, loaded.network.config) == (
        model.card,
        model.preparation,
        model.network.config,
    )
    np.testing.assert_array_equal(loaded.encode(IMAGES), model.encode(IMAGES))


def test_the_fingerprint_is_that_of_the_weights():
    one, other = encoder(), encoder()
    assert one.card.fingerprint == other.card.fingerprint != ""
    with torch.no_grad():
        other.network.project.bias[0] += 1
    with pytest.raises(CardError, match="fingerprint is"):
        one.card.check_fits(other.card)


def test_a_flipped_byte_is_found(tmp_path):
    path = tmp_path / "encoder.safetensors"
    write(path, encoder().sealed())
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(DamagedError, match=r"encoder\.safetensors is damaged"):
        ImageEncoder.load(path)


def test_a_folder_without_a_run_says_so(tmp_path):
    with pytest.raises(StorageError, match=r"is no mrl-run: .*nothing was committed there"):
        load(tmp_path)


@pytest.mark.parametrize("batch_size", [0, -1])
def test_a_batch_has_at_least_one_image(batch_size):
    encoder = ImageEncoder.__new__(ImageEncoder)  # refused before anything else is looked at
    with pytest.raises(InputError, match=f"batch_size must be at least 1, got {batch_size}"):
        encoder.encode(np.zeros((3, 8, 8), np.uint8), batch_size=batch_size)


def brought_in(statement):
    """Which heavy packages a fresh interpreter holds after the statement."""
    code = f"import sys\n{statement}\nprint(*{{'torch', 'transformers', 'torchvision', 'datasets'}} & set(sys.modules))"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()


def test_an_import_brings_no_more_than_is_needed():
    assert brought_in("import mrl.encoders, mrl.encoders.spec") == []
    everything = "from mrl.encoders import making, module, reference, vision"
    assert brought_in(f"import mrl.encoders; {everything}; mrl.encoders.load") == ["torch"]

import numpy as np
import pytest
import torch

from mrl.training.augment import Augment, draws, order

IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (6, 9, 7, 3), dtype=np.uint8))


def slow_twin(image, down, right, mirrored):
    """One image, pixel by pixel."""
    height, width, _ = image.shape
    out = np.empty_like(image)
    for i in range(height):
        for j in range(width):
            column = width - 1 - j if mirrored else j
            out[i, j] = image[np.clip(i + down, 0, height - 1), np.clip(column + right, 0, width - 1)]
    return out


def test_shifts_and_mirror_images_are_what_a_loop_over_pixels_makes():
    augment = Augment((2, 1), flip=True)
    numbers = draws(0, 1, np.arange(6), 3)
    got = augment(IMAGES, numbers).numpy()
    for image, result, (a, b, c) in zip(IMAGES.numpy(), got, numbers, strict=True):
        np.testing.assert_array_equal(result, slow_twin(image, int(a * 5) - 2, int(b * 3) - 1, c < 0.5))


def test_draws_depend_on_seed_epoch_and_index_alone():
    whole = draws(3, 2, np.arange(100), 3)
    np.testing.assert_array_equal(draws(3, 2, np.array([70, 5]), 3), whole[[70, 5]])
    assert not np.isin(draws(3, 3, np.arange(100), 3), whole).any()
    assert not np.isin(draws(4, 2, np.arange(100), 3), whole).any()


def test_draws_are_uniform():
    numbers = draws(0, 1, np.arange(20_000), 3)
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts = np.array([np.histogram(column, 20, (0, 1))[0] for column in numbers.T])
    assert (((counts - 1000) ** 2 / 1000).sum(1) < 60.4).all()  # χ² with 19 degrees of freedom, one in 300,000
    assert np.abs(np.corrcoef(numbers.T) - np.eye(3)).max() < 0.03


def test_every_epoch_has_an_order_of_its_own():
    assert sorted(order(0, 1, 50)) == list(range(50))
    assert order(0, 1, 50).tolist() == order(0, 1, 50).tolist()
    assert order(0, 1, 50).tolist() != order(0, 2, 50).tolist()


@pytest.mark.parametrize(
    ("how", "channels", "want"),
    [
        ("auto", 1, Augment((8, 6), False)),
        ("auto", 3, Augment((8, 6), True)),
        ("shift", 3, Augment((8, 6), False)),
        ("shift-flip", 1, Augment((8, 6), True)),
        ("none", 3, Augment((0, 0), False)),
    ],
)
def test_what_the_names_mean(how, channels, want):
    assert Augment.choose(how, (64, 48), channels) == want


def test_none_changes_nothing():
    assert Augment.choose("none", (9, 7), 3)(IMAGES, draws(0, 1, np.arange(6), 3)) is IMAGES

import numpy as np
import pytest
from PIL import Image

from mrl.encoders.pixels import Fit
from mrl.training.augment import Augment, draws, order

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 9, 7, 3), dtype=np.uint8)
FIT = Fit((9, 7), 3)


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
    augment = Augment(FIT, (2, 1), flip=True)
    numbers = draws(0, 1, np.arange(6), 3)
    got = augment(IMAGES, numbers)
    for image, result, (a, b, c) in zip(IMAGES, got, numbers, strict=True):
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


COLOUR, GREY = Fit((64, 48), 3), Fit((64, 48), 1)


@pytest.mark.parametrize(
    ("how", "fit", "want"),
    [
        ("auto", GREY, Augment(GREY, (8, 6), False)),
        ("auto", COLOUR, Augment(COLOUR, (8, 6), True)),
        ("shift", COLOUR, Augment(COLOUR, (8, 6), False)),
        ("shift-flip", GREY, Augment(GREY, (8, 6), True)),
        ("crop", COLOUR, Augment(COLOUR, least=0.3)),
        ("crop-flip", GREY, Augment(GREY, flip=True, least=0.3)),
        ("none", COLOUR, Augment(COLOUR)),
    ],
)
def test_what_the_names_mean(how, fit, want):
    assert Augment.choose(how, fit, 0.3) == want


def test_none_changes_nothing():
    assert Augment.choose("none", FIT, 0.3)(IMAGES, draws(0, 1, np.arange(6), 3)) is IMAGES


def ramps(height=40, width=60):
    """A picture whose red says the column and whose green says the row."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[..., 0], picture[..., 1] = np.arange(width) * 4, np.arange(height)[:, None] * 4
    return Image.fromarray(picture)


def test_a_crop_shows_a_part_of_the_wanted_area_and_shape():
    fit = Fit((32, 32), 3)
    numbers = draws(0, 1, np.arange(300), 5)
    for image in Augment(fit, least=0.25).cropped([ramps()] * 300, numbers):
        spans = [np.ptp(image[..., channel].astype(float)) / 4 * 33 / 32 for channel in (0, 1)]
        area, shape = spans[0] * spans[1] / (40 * 60), spans[0] / spans[1]
        assert 0.2 < area < 1.05
        assert 0.65 < shape < 1.55


def test_a_crop_of_everything_is_the_picture_itself():
    square = ramps(40, 40)
    nothing_random = np.array([[1.0, 0.5, 0.3, 0.3, 0.9]])
    whole = Augment(Fit((20, 20), 3), flip=True, least=1.0).cropped([square], nothing_random)[0]
    np.testing.assert_array_equal(whole, np.asarray(square.resize((20, 20), Image.Resampling.BILINEAR)))
    mirrored = Augment(Fit((20, 20), 3), flip=True, least=1.0).cropped([square], nothing_random * [1, 1, 1, 1, 0])[0]
    np.testing.assert_array_equal(mirrored, whole[:, ::-1])


def test_a_crop_of_a_turned_photo_lies_within_it(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    ramps(20, 60).save(tmp_path / "turned.png", exif=exif)
    numbers = draws(0, 1, np.arange(20), 5)
    pictures = [Image.open(tmp_path / "turned.png")] * 20
    upright = [ramps(20, 60).transpose(Image.Transpose.ROTATE_270)] * 20
    augment = Augment(Fit((16, 16), 3), least=0.1)
    np.testing.assert_array_equal(augment.cropped(pictures, numbers), augment.cropped(upright, numbers))

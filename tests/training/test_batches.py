import numpy as np
import pytest

from mrl.errors import InputError
from mrl.training import from_arrays
from mrl.training.batches import batch, class_names, even_batches, ids, labels, traits
from training.pictures import stripes, tiny


class Plain:
    """A map-style dataset with nothing but what one must have."""

    def __init__(self, samples):
        self.samples = samples

    def __len__(self):
        return len(self.samples)

    def __getitem__(self, index):
        return self.samples[index]


def plain(n=6):
    images, numbers = stripes(n)
    return Plain([(image[..., None], int(label)) for image, label in zip(images, numbers, strict=True)])


def test_any_map_style_dataset_will_do():
    data = plain()
    images, target = batch(data, np.array([5, 0]))
    assert images.shape == (2, 8, 8, 1)
    assert target.tolist() == [2, 0]
    assert class_names(data) == ("0", "1", "2")
    assert ids(data).tolist() == [0, 1, 2, 3, 4, 5]
    assert labels(data).tolist() == [0, 1, 2, 0, 1, 2]


def test_mean_and_standard_deviation_are_those_of_the_pixels():
    data = tiny()
    about = traits(data)
    assert about.mean == pytest.approx((data.images.mean(),))
    assert about.std == pytest.approx((data.images.std(ddof=1),))
    assert (about.size, about.channels, about.classes) == ((8, 8), 1, ("fine", "middle", "wide"))


def test_images_of_one_shade_can_be_normalised():
    assert traits(from_arrays(np.full((4, 8, 8), 9, np.uint8), [0, 1, 0, 1])).std == (1.0,)


def test_what_cannot_be_trained_on():
    images, numbers = stripes(6)
    with pytest.raises(InputError, match="at least two classes, got 0; add another one"):
        traits(from_arrays(images, numbers * 0))
    with pytest.raises(InputError, match="at least two images, got 1"):
        traits(from_arrays(images[:1], numbers[:1]))
    with pytest.raises(InputError, match="these data have no labels; training needs one for each image"):
        traits(from_arrays(images, None))


def test_samples_that_do_not_fit_are_named():
    data = plain()
    data.samples[3] = (np.zeros((9, 8, 1), np.uint8), 0)
    with pytest.raises(
        InputError, match=r"image 3 is uint8 of shape \(9, 8, 1\), image 0 is uint8 of shape \(8, 8, 1\)"
    ):
        batch(data, np.arange(6))
    data.samples[3] = (np.full((8, 8, 1), np.nan, np.float32), 0)
    with pytest.raises(InputError, match="image 3 is float32"):
        batch(data, np.arange(6))
    data.samples[0] = (np.zeros((8, 8), np.uint8), 0)
    with pytest.raises(InputError, match=r"image 0 has shape \(8, 8\); give \(H, W, C\)"):
        batch(data, np.arange(2))


@pytest.mark.parametrize(("n", "size"), [(0, 4), (1, 4), (9, 4), (12, 4), (13, 128)])
def test_batches_are_even_and_lose_nothing(n, size):
    parts = even_batches(np.arange(n), size)
    assert np.concatenate([np.empty(0, int), *parts]).tolist() == list(range(n))
    lengths = [len(part) for part in parts]
    assert all(0 < length <= size for length in lengths)
    assert not lengths or max(lengths) - min(lengths) <= 1


def test_one_class_present_is_refused_whatever_is_named():
    data = from_arrays(np.zeros((4, 8, 8), np.uint8), np.ones(4, int), ["a", "b"])
    with pytest.raises(InputError, match="at least two classes, got b"):
        traits(data)

import numpy as np
import pytest
from PIL import Image

from mrl.encoders.pixels import Fit, check_array, coloured, fitted, listed, read_picture, stacked
from mrl.errors import InputError, StorageError

RNG = np.random.default_rng(0)


def ramp(height=6, width=8):
    return (np.arange(height * width).reshape(height, width) * 5).astype(np.uint8)


def test_an_array_of_the_right_shape_is_not_copied():
    images = RNG.integers(0, 256, (3, 8, 6, 3), dtype=np.uint8)
    assert stacked(images, Fit((8, 6), 3)) is images


def test_sizes_are_height_then_width():
    assert stacked([Image.new("RGB", (10, 20))], Fit((8, 6), 3)).shape == (1, 8, 6, 3)


def test_grey_becomes_colour_and_colour_grey():
    grey = ramp()
    assert (fitted(Image.fromarray(grey), Fit((6, 8), 3)) == grey[..., None]).all()
    assert (fitted(Image.merge("RGB", [Image.fromarray(grey)] * 3), Fit((6, 8), 1))[..., 0] == grey).all()


def test_transparency_lies_on_white():
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    assert (fitted(clear, Fit((4, 4), 3)) == 255).all()
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([10, 20, 30])
    assert fitted(palette, Fit((4, 4), 3))[0, 0].tolist() == [10, 20, 30]
    palette.info["transparency"] = 0
    assert (fitted(palette, Fit((4, 4), 3)) == 255).all()


def test_cmyk_and_one_bit_pictures():
    assert (fitted(Image.new("CMYK", (4, 4), (0, 0, 0, 0)), Fit((4, 4), 3)) == 255).all()
    assert (fitted(Image.new("1", (4, 4), 1), Fit((4, 4), 1)) == 255).all()


def test_sixteen_bits_lose_their_low_byte(tmp_path):
    deep = (ramp().astype(np.uint16) << 8) | 77
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert (fitted(read_picture(tmp_path / "deep.png"), Fit((6, 8), 1))[..., 0] == ramp()).all()


def test_pictures_are_turned_as_their_exif_data_say(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(ramp()).save(tmp_path / "turned.png", exif=exif)
    assert (fitted(read_picture(tmp_path / "turned.png"), Fit((6, 8), 1))[..., 0] == ramp()[::-1, ::-1]).all()


def test_floats_in_a_picture_are_refused():
    with pytest.raises(InputError, match="no known scale; save it with 8 or 16 bits"):
        fitted(Image.new("F", (4, 4)), Fit((4, 4), 1))


def test_what_has_colours():
    assert [coloured(Image.new(mode, (1, 1))) for mode in ("L", "1", "I;16", "RGB", "P", "CMYK")] == [False] * 3 + [
        True
    ] * 3


@pytest.mark.parametrize(
    ("images", "rule"),
    [
        (np.zeros((2, 8, 8), np.float32), r"must be uint8 from 0 to 255, got float32; .*\* 255"),
        (np.zeros((8, 8), np.uint8), r"looks like a single one, so give images\[None\]"),
        (np.zeros((8, 8, 3), np.uint8), r"looks like a single one"),
        (np.zeros((2, 8, 8, 2), np.uint8), r"C = 1 grey, 3 RGB or 4 RGBA, got shape \(2, 8, 8, 2\)"),
        (np.zeros((2, 0, 8, 3), np.uint8), r"got shape \(2, 0, 8, 3\)"),
    ],
)
def test_arrays_that_are_no_images(images, rule):
    with pytest.raises(InputError, match=rule):
        check_array(images)


def test_lists_may_mix_paths_pictures_and_arrays(tmp_path):
    Image.fromarray(ramp()).save(tmp_path / "a.png")
    mixed = [tmp_path / "a.png", str(tmp_path / "a.png"), Image.fromarray(ramp()), ramp(), ramp()[..., None]]
    assert (stacked(listed(iter(mixed)), Fit((6, 8), 1))[..., 0] == ramp()).all()


def test_what_is_no_picture_is_named(tmp_path):
    with pytest.raises(InputError, match="picture 1 is a int"):
        stacked([ramp(), 7], Fit((6, 8), 1))
    with pytest.raises(InputError, match=r"images must be several, got 'a\.png'; give a list of one"):
        listed("a.png")
    with pytest.raises(StorageError, match=r"cannot read .*absent\.png"):
        read_picture(tmp_path / "absent.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"cannot decode .*bad\.png.*skip_corrupt=True"):
        read_picture(tmp_path / "bad.png")


def test_a_picture_that_was_cut_short_is_no_picture(tmp_path):
    Image.fromarray(RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cannot decode .*a\.jpg"):
        read_picture(tmp_path / "a.jpg")

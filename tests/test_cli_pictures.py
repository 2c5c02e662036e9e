"""Pictures as cameras and drawing programs write them, brought to a network's input."""

import numpy as np
import pytest

import fastconv as fc
from fastconv.cli.images import read_image

Pillow = pytest.importorskip("PIL.Image")

SHADES = np.linspace(0, 255, 16).astype(np.uint8).reshape(4, 4)


def test_jpeg_and_upper_case_names(tmp_path):
    Pillow.fromarray(np.repeat(np.repeat(SHADES, 8, 0), 8, 1)).save(tmp_path / "a.JPG", format="jpeg", quality=95)
    np.testing.assert_allclose(read_image(tmp_path / "a.JPG", (1, 4, 4))[0], SHADES / 255, atol=0.02)


def test_sixteen_bits(tmp_path):
    Pillow.fromarray(SHADES.astype(np.uint16) * 257).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_image(tmp_path / "a.png", (1, 4, 4))[0], SHADES / 255, atol=1e-4)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_every_mode_of_a_png(tmp_path, mode):
    black_left = np.zeros((4, 4), np.uint8)
    black_left[:, 2:] = 255
    Pillow.fromarray(black_left).convert(mode).save(tmp_path / "a.png")
    np.testing.assert_allclose(read_image(tmp_path / "a.png", (1, 4, 4))[0], black_left / 255, atol=1e-6)


def test_what_is_transparent_is_paper(tmp_path):
    ink = np.zeros((4, 4, 4), np.uint8)
    ink[1:3, 1:3, 3] = 255  # black and opaque in the middle, black and transparent around
    Pillow.fromarray(ink).save(tmp_path / "a.png")
    expected = np.zeros((4, 4))
    expected[1:3, 1:3] = 1
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", (1, 4, 4), invert=True)[0], expected)


def test_a_photograph_is_turned_as_its_camera_noted(tmp_path):
    photo = Pillow.fromarray(np.repeat(np.repeat(SHADES, 8, 0), 8, 1))
    exif = photo.getexif()
    exif[0x0112] = 6  # orientation: the first row is the right-hand side
    photo.save(tmp_path / "a.jpg", quality=95, exif=exif)
    np.testing.assert_allclose(read_image(tmp_path / "a.jpg", (1, 4, 4))[0], np.rot90(SHADES, -1) / 255, atol=0.02)


def test_more_pixels_than_allowed_are_refused_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("fastconv.cli.images.MAX_PIXELS", 15)
    Pillow.fromarray(SHADES).save(tmp_path / "a.png")
    with pytest.raises(fc.DataError, match="4 x 4 pixels are more than the 15 allowed"):
        read_image(tmp_path / "a.png", (1, 4, 4))


@pytest.mark.parametrize(
    ("values", "found"), [(np.full((4, 4), np.nan), "nan to nan"), (np.array([[0.0, 255.0]]), "0 to 255")]
)
def test_floats_that_are_no_brightness_say_so(tmp_path, values, found):
    np.save(tmp_path / "a.npy", values)
    with pytest.raises(fc.DataError, match=f"floats from 0 to 1 or whole from 0 to 255, got {found} as floats"):
        read_image(tmp_path / "a.npy", (1, 4, 4))


def test_other_formats_and_missing_files_say_so(tmp_path):
    Pillow.fromarray(SHADES).save(tmp_path / "a.gif")
    with pytest.raises(fc.DataError, match="cannot be read as a PNG or JPEG picture"):
        read_image(tmp_path / "a.gif", (1, 4, 4))
    with pytest.raises(fc.DataError, match=r"none\.png: cannot be read as a PNG or JPEG picture: No such file"):
        read_image(tmp_path / "none.png", (1, 4, 4))


class TestCenter:
    def read(self, tmp_path, image, shape, share):
        np.save(tmp_path / "a.npy", image)
        return read_image(tmp_path / "a.npy", shape, center=share)

    def test_a_drawing_in_a_corner_fills_its_share_of_the_middle(self, tmp_path):
        page = np.zeros((50, 40))
        page[30:50, 5:15] = 1
        image = self.read(tmp_path, page, (1, 28, 28), 20 / 28)[0]
        assert np.flatnonzero(image.any(1)).tolist() == list(range(4, 24))
        assert np.flatnonzero(image.any(0)).tolist() == list(range(9, 19))
        assert image.max() == image[4:24, 9:19].min() == 1

    def test_the_centre_of_mass_is_in_the_middle(self, tmp_path):
        page = np.zeros((20, 20))
        page[:, :2] = page[18:, :] = 1  # an L, heavy below on the left
        image = self.read(tmp_path, page, (1, 28, 28), 0.7)[0]
        rows, columns = np.arange(28) + 0.5, np.arange(28) + 0.5
        assert abs(image.sum(1) @ rows / image.sum() - 14) <= 0.5
        assert abs(image.sum(0) @ columns / image.sum() - 14) <= 0.5

    def test_it_stays_within_the_image_and_keeps_its_colours(self, tmp_path):
        page = np.zeros((10, 10, 3))
        page[2:4, 2:8, 0] = 1
        image = self.read(tmp_path, page, (3, 8, 8), 1.0)
        assert np.flatnonzero(image[0].any(0)).tolist() == list(range(8))
        assert image[0].any()
        assert not image[1:].any()

    def test_an_empty_page_is_refused(self, tmp_path):
        with pytest.raises(fc.DataError, match="nothing bright in it to center"):
            self.read(tmp_path, np.zeros((5, 5)), (1, 8, 8), 1.0)

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest
from PIL import Image, ImageOps

from mimic_ray.base.errors import BrokenImageError, DataError
from mimic_ray.data.decode import decode, format_of


def gradient(width: int = 24, height: int = 16) -> np.ndarray:
    """A smooth image, which lossy formats preserve, without any symmetry."""
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 255 // width, y * 255 // height, (x + y) * 4], axis=2).astype(np.uint8)


def saved(image: Image.Image, form: str, **options) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that claims a size and contains almost no data."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(100))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def jpeg_claiming(width: int, height: int) -> bytes:
    content = bytearray(saved(Image.fromarray(gradient()), "JPEG"))
    start = content.index(b"\xff\xc0") + 5
    content[start : start + 4] = struct.pack(">HH", height, width)
    return bytes(content)


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "GIF", "WEBP", "JPEG", "PPM", "AVIF"])
def test_every_allowed_format_decodes_to_its_pixels(form):
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95}, "AVIF": {"quality": 100}}
    content = saved(Image.fromarray(gradient()), form, **options.get(form, {}))
    decoded = decode(content)
    assert decoded.dtype == np.uint8
    assert decoded.shape == (16, 24, 3)
    # A GIF has 256 colours, a JPEG of quality 95 rounds.
    allowed = {"GIF": 40, "JPEG": 12, "AVIF": 8}.get(form, 0)
    assert np.abs(decoded.astype(int) - gradient()).max() <= allowed
    assert format_of(content) in {"PNG": "png", "JPEG": "jpg", "TIFF": "tif"}.get(
        form, form.lower()
    )


@pytest.mark.parametrize("form", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_rotates_the_image_like_pillow(form, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    content = saved(Image.fromarray(gradient()), form, exif=exif)
    with Image.open(io.BytesIO(content)) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(decode(content), upright)


def test_invalid_exif_data_is_ignored():
    content = saved(Image.fromarray(gradient()), "JPEG", exif=b"Exif\0\0garbage")
    assert decode(content).shape == (16, 24, 3)


def test_cmyk_jpegs_keep_their_colours():
    content = saved(Image.fromarray(gradient()).convert("CMYK"), "JPEG", quality=95)
    assert np.abs(decode(content).astype(int) - gradient()).mean() < 4


def test_grey_jpegs_have_three_equal_channels():
    decoded = decode(saved(Image.fromarray(gradient()).convert("L"), "JPEG"))
    assert decoded.shape == (16, 24, 3)
    assert (decoded == decoded[..., :1]).all()


def test_transparent_pixels_become_white_and_half_transparent_black_becomes_grey():
    image = np.zeros((2, 3, 4), np.uint8)
    image[:, 1, 3], image[:, 2, 3] = 128, 255
    decoded = decode(saved(Image.fromarray(image), "PNG"))
    assert decoded[0, 0].tolist() == [255, 255, 255]
    assert abs(int(decoded[0, 1, 0]) - 127) <= 1
    assert decoded[0, 2].tolist() == [0, 0, 0]


def test_a_transparent_palette_colour_becomes_white():
    image = Image.new("P", (4, 4), 0)
    image.putpalette([200, 0, 0, 0, 0, 200])
    image.putpixel((1, 1), 1)
    decoded = decode(saved(image, "PNG", transparency=0))
    assert decoded[0, 0].tolist() == [255, 255, 255]
    assert decoded[1, 1].tolist() == [0, 0, 200]


def test_16_bits_become_8_by_division_by_257():
    levels = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    for form in ("PNG", "TIFF"):
        decoded = decode(saved(Image.fromarray(levels), form))
        assert decoded[0, :, 0].tolist() == [0, 1, 128, 255]


def test_one_bit_images_are_black_and_white():
    decoded = decode(saved(Image.fromarray(np.eye(8) > 0), "PNG"))
    assert np.array_equal(decoded[..., 0], np.eye(8, dtype=np.uint8) * 255)


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG"])
def test_an_animation_becomes_its_first_frame(form):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ((250, 0, 0), (0, 0, 250))]
    options = {"lossless": True} if form == "WEBP" else {}
    content = saved(frames[0], form, save_all=True, append_images=frames[1:], **options)
    assert decode(content)[4, 4].tolist() == [250, 0, 0]


@pytest.mark.parametrize(
    "content",
    [
        jpeg_claiming(65_000, 65_000),
        png_header(20_000, 20_000),
        png_header(10_000, 13_000),
        saved(Image.new("1", (9_000, 9_000)), "PNG"),
    ],
    ids=["jpeg", "png 400 megapixels", "png 130 megapixels", "a real one"],
)
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_images_with_too_many_pixels_are_refused_before_decoding(content):
    with pytest.raises(
        BrokenImageError, match=r"more than the limit of 50 megapixels|DecompressionBomb"
    ):
        decode(content)


def test_a_grey_map_of_16_bits_keeps_its_range():
    content = b"P5 3 1 65535\n" + b"".join(n.to_bytes(2, "big") for n in (0, 32768, 65535))
    assert decode(content)[0, :, 0].tolist() == [0, 128, 255]


def test_the_caller_sets_the_pixel_limit():
    content = saved(Image.fromarray(gradient()), "PNG")
    assert decode(content, pixel_limit=24 * 16).shape == (16, 24, 3)
    with pytest.raises(BrokenImageError, match="24 x 16 pixels"):
        decode(content, pixel_limit=24 * 16 - 1)


def zeros_in_the_scan() -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    content = bytearray(saved(Image.fromarray(noise), "JPEG"))
    middle = len(content) // 2
    content[middle : middle + 200] = bytes(200)
    return bytes(content)


@pytest.mark.parametrize(
    "content",
    [
        saved(Image.fromarray(gradient()), "JPEG")[:-40],
        saved(Image.fromarray(gradient()), "JPEG")[:200],
        saved(Image.fromarray(gradient(64, 64)), "PNG")[:-60],
        zeros_in_the_scan(),
        png_header(64, 64),
        b"",
        b"\xff\xd8",
        b"<!DOCTYPE html><html>Not found</html>",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"%PDF-1.7",
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        b"version https://git-lfs.github.com/spec/v1",
        saved(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"),
    ],
    ids=[
        *(
            "truncated jpeg",
            "truncated jpeg header",
            "truncated png",
            "zeros in a jpeg",
            "empty png",
            "empty",
        ),
        *("two bytes", "html", "svg", "pdf", "eps", "lfs", "float tiff"),
    ],
)
def test_anything_but_a_complete_image_is_a_broken_image(content):
    with pytest.raises(BrokenImageError) as caught:
        decode(content)
    assert isinstance(caught.value, DataError)
    assert str(caught.value).isprintable()


def test_bytes_after_the_end_are_ignored():
    content = saved(Image.fromarray(gradient()), "JPEG")
    assert np.array_equal(decode(content + b"garbage"), decode(content))


def test_random_changes_raise_only_broken_image_errors():
    rng = np.random.default_rng(0)
    forms = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]
    originals = [saved(Image.fromarray(gradient()), form) for form in forms]
    for number in range(600):
        content = bytearray(originals[number % len(originals)])
        for _ in range(1 + number % 5):
            content[rng.integers(len(content))] = rng.integers(256)
        with suppress(BrokenImageError):
            assert decode(bytes(content)).shape[2] == 3

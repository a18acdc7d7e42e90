"""Decodes one untrusted image file to 8-bit RGB.

The size in the header is checked before anything is allocated, because decoders trust a file of
1 kB that claims 65,000 x 65,000 pixels.
"""

from __future__ import annotations

import io
import warnings

import numpy as np
import PIL
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

from mimic_ray.base.errors import BrokenImageError
from mimic_ray.base.text import plain
from mimic_ray.data.names import IMAGE_FORMATS, START_BYTES, image_format

Pixels8 = NDArray[np.uint8]

# The size is checked here; the warning of Pillow would reach the user in the middle of a run.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)

# Part of the identity of cached pixels, because other versions may differ in the last bit.
DECODER = f"decode 2, simplejpeg {simplejpeg.__version__}, pillow {PIL.__version__}"

# By default Pillow also tries EPS, which starts Ghostscript.
_FORMATS = tuple(sorted(set(IMAGE_FORMATS.values())))
PIXEL_LIMIT = 50_000_000
# Pillow refuses more, whatever the caller allows.
LARGEST_PIXEL_LIMIT = 178_000_000
_BACKGROUND = (255, 255, 255, 255)
# EXIF orientation -> (quarter turns to the left, then mirrored left to right).
_UPRIGHT = {
    2: (0, True),
    3: (2, False),
    4: (2, True),
    5: (3, True),
    6: (3, False),
    7: (1, True),
    8: (1, False),
}


def decode(content: bytes, pixel_limit: int = PIXEL_LIMIT) -> Pixels8:
    """The encoded `content` as uint8 [H, W, 3], rotated upright according to its EXIF data.

    Transparent parts become white, 16 bits become 8 by division by 257, and an animation becomes
    its first frame. Raises BrokenImageError for anything but a complete image of at most
    `pixel_limit` pixels.
    """
    if content.startswith(b"\xff\xd8"):
        return _decode_jpeg(content, pixel_limit)
    try:
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            _check_size(image.width, image.height, pixel_limit)
            return _turned(_rgb(image), _orientation(image))
    except BrokenImageError:
        raise
    except UnidentifiedImageError:
        raise BrokenImageError(f"not an image, it begins with {plain(content[:16])}") from None
    except Exception as error:
        # Pillow's readers raise many types for malformed files: OSError, SyntaxError, struct.error,
        # zlib.error, KeyError ...
        raise BrokenImageError(f"{type(error).__name__}: {plain(error)}") from error


def format_of(content: bytes) -> str:
    """The suffix of the format of an image that decodes: "jpg", "png", "webp", ..."""
    loose = {b"II": "tif", b"MM": "tif", b"BM": "bmp", b"P": "ppm"}
    return (
        image_format(content[:START_BYTES])
        or ("avif" if content[4:8] == b"ftyp" else "")
        or next((suffix for start, suffix in loose.items() if content.startswith(start)), "jpg")
    )


def _decode_jpeg(content: bytes, pixel_limit: int) -> Pixels8:
    try:
        height, width, _, _ = simplejpeg.decode_jpeg_header(content)
        _check_size(width, height, pixel_limit)
        pixels: Pixels8 = simplejpeg.decode_jpeg(content)
    except ValueError as error:
        raise BrokenImageError(plain(error)) from error
    # EXIF data is at the start of a file, and few files have any.
    if b"Exif\0\0" not in content[:65536]:
        return pixels
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG",)) as image:
            return _turned(pixels, _orientation(image))
    except Exception:  # unreadable EXIF data is ignored, because the pixels are valid
        return pixels


def _check_size(width: int, height: int, pixel_limit: int) -> None:
    if width * height > pixel_limit:
        raise BrokenImageError(
            f"{width} x {height} pixels, more than the limit of {pixel_limit / 1e6:g} megapixels"
        )


def _orientation(image: Image.Image) -> int:
    return int(image.getexif().get(ExifTags.Base.Orientation, 1))


def _turned(pixels: Pixels8, orientation: int) -> Pixels8:
    if orientation not in _UPRIGHT:
        return pixels
    quarters, mirrored = _UPRIGHT[orientation]
    turned = np.rot90(pixels, quarters)
    return np.ascontiguousarray(turned[:, ::-1] if mirrored else turned)


def _rgb(image: Image.Image) -> Pixels8:
    """The pixels of an image that Pillow opened, [H, W, 3]."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        # Pillow scales a PGM of more than 8 bits to 16, and its own conversion clips everything
        # above 255 to white.
        grey = (np.asarray(image).astype(np.uint32) + 128) // 257
        return np.repeat(grey.astype(np.uint8)[..., None], 3, axis=2)
    if image.mode in ("I", "F"):
        raise BrokenImageError(f"pixels of mode {image.mode} have no defined range")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        ground = Image.new("RGBA", image.size, _BACKGROUND)
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    return np.asarray(image.convert("RGB"))

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from mimic_ray.base.errors import DataError, DiskFullError
from mimic_ray.data import cache as cache_module
from mimic_ray.data.cache import open_pixels
from mimic_ray.data.decode import decode
from mimic_ray.data.resize import centre_square
from mimic_ray.data.source import open_images

# Where the decoded images are: in memory, in a file, nowhere.
PLACES = {
    "memory": {},
    "disk": {"memory_limit_bytes": 0},
    "stream": {"memory_limit_bytes": 0, "disk_limit_bytes": 0},
}


@pytest.fixture(params=PLACES, ids=list(PLACES))
def place(request) -> dict[str, int]:
    return PLACES[request.param]


@pytest.mark.parametrize("side", [8, 9, 64])
def test_gathered_images_are_the_decoded_squares_in_the_order_asked(image_folder, place, side):
    source = open_images(image_folder)
    pixels = open_pixels(source, side, **place)
    asked = torch.tensor([5, 0, 11, 5])
    gathered = pixels.gather(asked)
    assert gathered.dtype == torch.uint8
    assert gathered.shape == (4, 3, side, side)
    for image, index in zip(gathered.numpy(), asked.tolist(), strict=True):
        wanted = centre_square(decode(source.read(index)), side)
        assert np.array_equal(image.transpose(1, 2, 0), wanted)
    assert len(pixels) == 12
    assert pixels.side == side
    assert pixels.fingerprint == source.fingerprint


def test_broken_images_are_left_out_counted_and_named(image_folder, place):
    broken = sorted((image_folder / "cat").iterdir())[2]
    broken.write_bytes(broken.read_bytes()[:60])
    source = open_images(image_folder)
    pixels = open_pixels(source, 8, broken_share=0.1, **place)
    assert [key for key, _ in pixels.broken] == [f"cat/{broken.name}"]
    assert pixels.kept.tolist() == [index for index in range(12) if index != 2]
    third = pixels.gather(torch.tensor([2])).numpy()[0].transpose(1, 2, 0)
    assert np.array_equal(third, centre_square(decode(source.read(3)), 8))


def test_a_share_of_broken_images_over_the_limit_stops_and_names_the_first(image_folder, place):
    for path in sorted((image_folder / "cat").iterdir())[:5]:
        path.write_bytes(b"<html>")
    source = open_images(image_folder)
    with pytest.raises(DataError, match=r"5 of 12 images .*40.00%.*cat/01\.png .* and 2 more"):
        open_pixels(source, 8, broken_share=0.4, **place)
    assert len(open_pixels(source, 8, broken_share=0.42, **place)) == 7


def test_a_set_in_which_nothing_decodes_is_refused_whatever_the_limit(image_folder, place):
    for path in image_folder.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="Not one of 12 images"):
        open_pixels(open_images(image_folder), 8, broken_share=1.0, **place)


def test_the_file_on_disk_is_used_by_other_processes_and_decoded_once(image_folder, monkeypatch):
    script = (
        "import sys; from mimic_ray.data.source import open_images;"
        "from mimic_ray.data.cache import open_pixels;"
        "open_pixels(open_images(sys.argv[1]), 8, memory_limit_bytes=0)"
    )
    subprocess.run([sys.executable, "-c", script, str(image_folder)], check=True, timeout=60)
    monkeypatch.setattr(cache_module, "decode", lambda _: pytest.fail("decoded a second time"))
    assert len(open_pixels(open_images(image_folder), 8, memory_limit_bytes=0)) == 12


@pytest.mark.parametrize("change", ["side", "content", "decoder"])
def test_another_side_content_or_decoder_is_decoded_anew(image_folder, cache, monkeypatch, change):
    open_pixels(open_images(image_folder), 8, memory_limit_bytes=0)
    if change == "content":
        Image.new("RGB", (9, 9), (1, 2, 3)).save(image_folder / "cat" / "01.png")
    if change == "decoder":
        monkeypatch.setattr(cache_module, "DECODER", "another one")
    side = 10 if change == "side" else 8
    pixels = open_pixels(open_images(image_folder), side, memory_limit_bytes=0)
    assert len(list((cache / "pixels").iterdir())) == 2
    if change == "content":
        assert pixels.gather(torch.tensor([0]))[0, :, 4, 4].tolist() == [1, 2, 3]


def test_a_full_disk_is_found_before_a_byte_is_decoded_and_leaves_nothing(
    image_folder, cache, monkeypatch
):
    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache_module.os, "posix_fallocate", no_space)
    monkeypatch.setattr(cache_module, "decode", lambda _: pytest.fail("decoded"))
    with pytest.raises(DiskFullError, match="MIMIC_RAY_CACHE"):
        open_pixels(open_images(image_folder), 8, memory_limit_bytes=0)
    assert not list((cache / "pixels").iterdir())


def test_a_stop_in_the_middle_leaves_no_half_filled_file(image_folder, cache):
    def stop(done: int, _: int) -> None:
        if done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        open_pixels(open_images(image_folder), 8, memory_limit_bytes=0, progress=stop)
    assert not list((cache / "pixels").iterdir())


def test_a_damaged_file_in_the_cache_is_named(image_folder, cache):
    open_pixels(open_images(image_folder), 8, memory_limit_bytes=0)
    kept = next((cache / "pixels").glob("*/pixels.npy"))
    kept.write_bytes(kept.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"pixels/\w+ is damaged: delete it"):
        open_pixels(open_images(image_folder), 8, memory_limit_bytes=0)


def test_progress_ends_at_the_number_of_images(image_folder):
    told = []
    open_pixels(open_images(image_folder), 8, progress=lambda *news: told.append(news))
    assert told[0] == (0, 12)
    assert told[-1] == (12, 12)


def test_positions_beyond_the_last_image_are_refused(image_folder, place):
    pixels = open_pixels(open_images(image_folder), 8, **place)
    with pytest.raises(IndexError):
        pixels.gather(torch.tensor([12]))

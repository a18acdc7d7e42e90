from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch

from mimic_ray.base.errors import DataError, UnreadImageError
from mimic_ray.data import decoded_set
from mimic_ray.data.decode import decode
from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.data.image_source import open_images
from mimic_ray.data.pixel_store import FileStore, MemoryStore
from mimic_ray.data.resize import centre_square
from tests.data.decoded import break_images, everything, squares

# The stores of decoded images: in memory, in a file, or none.
LIMITS = {
    "memory": {},
    "disk": {"memory_limit_bytes": 0},
    "stream": {"memory_limit_bytes": 0, "disk_limit_bytes": 0},
}


@pytest.fixture(params=LIMITS, ids=list(LIMITS))
def limits(request) -> dict[str, int]:
    return LIMITS[request.param]


@pytest.fixture
def decoded(monkeypatch) -> list[bytes]:
    """The encoded images that have been decoded since the start of the test."""
    contents = []
    monkeypatch.setattr(
        decoded_set, "decode", lambda content: contents.append(content) or decode(content)
    )
    return contents


@pytest.mark.parametrize("side", [8, 9, 64])
def test_gathered_images_are_the_decoded_squares_in_the_given_order(image_folder, limits, side):
    source = open_images(image_folder)
    pixels = open_pixels(source, side, **limits)
    indices = torch.tensor([5, 0, 11, 5])
    gathered = pixels.gather(indices)
    assert gathered.dtype == torch.uint8
    assert gathered.shape == (4, 3, side, side)
    for image, index in zip(gathered.numpy(), indices.tolist(), strict=True):
        expected = centre_square(decode(source.read(index)), side)
        assert np.array_equal(image.transpose(1, 2, 0), expected)
    assert len(pixels) == 12
    assert pixels.side == side
    assert pixels.fingerprint == source.fingerprint


@pytest.mark.parametrize(
    ("memory", "kind"), [(0, MemoryStore), (9216, MemoryStore), (9000, FileStore)]
)
def test_decoded_images_take_a_quarter_of_the_memory_at_most(
    image_folder, monkeypatch, memory, kind
):
    """Twelve images of 192 bytes; a memory of 0 is unknown."""
    monkeypatch.setattr(decoded_set, "machine_memory_bytes", lambda: memory)
    assert type(open_pixels(open_images(image_folder), 8)._store) is kind


def test_a_broken_image_is_replaced_counted_and_named(image_folder, limits):
    whole = squares(open_images(image_folder), 8)
    source = open_images(break_images(image_folder, 2))
    pixels = open_pixels(source, 8, broken_share=0.1, **limits)
    assert len(pixels) == 12
    gathered = everything(pixels)
    assert [key for key, _ in pixels.broken] == ["cat/04.png"]
    assert not np.array_equal(gathered[2], whole[2])
    others = [row for row in range(12) if row != 2]
    assert any(np.array_equal(gathered[2], whole[row]) for row in others)
    assert all(np.array_equal(gathered[row], whole[row]) for row in others)


def test_the_replacement_of_a_broken_image_depends_on_neither_store_nor_order(image_folder, cache):
    source = open_images(break_images(image_folder, 2, 3, 7))
    seen = set()
    for number, limits in enumerate(LIMITS.values()):
        for order in (range(12), [7, 3, 2], [2], [3, 2, 7, 0]):
            folder = cache / f"{number} {[*order]}"
            pixels = open_pixels(source, 8, broken_share=0.3, cache_folder=folder, **limits)
            gathered = pixels.gather(torch.tensor([*order])).numpy()
            again = pixels.gather(torch.tensor([*order])).numpy()
            assert np.array_equal(gathered, again)
            seen.add(gathered[[*order].index(2)].tobytes())
    assert len(seen) == 1


def test_an_image_that_could_not_be_read_is_read_again_by_the_next_run(image_folder, monkeypatch):
    source = open_images(image_folder)
    read = type(source).read
    monkeypatch.setattr(
        type(source),
        "read",
        lambda self, index: unread() if index == 2 else read(self, index),
    )

    def unread():
        raise UnreadImageError("cannot be read: Stale file handle")

    pixels = open_pixels(source, 8, memory_limit_bytes=0, broken_share=0.5)
    pixels.decode_all()
    assert [key for key, _ in pixels.broken] == [source.keys[2]]
    assert [key for key, _ in pixels.without_broken().broken] == [source.keys[2]]
    monkeypatch.undo()
    again = open_pixels(open_images(image_folder), 8, memory_limit_bytes=0)
    again.decode_all()
    assert again.broken == []


def test_broken_images_can_be_left_out(image_folder, limits):
    source = open_images(break_images(image_folder, 2))
    pixels = open_pixels(source, 8, broken_share=0.1, **limits).without_broken()
    assert pixels.source_rows.tolist() == [index for index in range(12) if index != 2]
    third = pixels.gather(torch.tensor([2])).numpy()[0].transpose(1, 2, 0)
    assert np.array_equal(third, centre_square(decode(source.read(3)), 8))
    assert len(pixels.broken) == 1


def test_more_broken_images_than_the_limit_are_an_error_with_the_first_names(image_folder, limits):
    source = open_images(break_images(image_folder, 0, 1, 2, 3, 4))
    with pytest.raises(DataError, match=r"5 of 12 images .*40.00%.*cat/01\.png .* and 2 more"):
        everything(open_pixels(source, 8, broken_share=0.4, **limits))
    assert len(everything(open_pixels(source, 8, broken_share=0.42, **limits))) == 12


def test_a_set_of_only_broken_images_is_refused_for_any_limit(image_folder, limits):
    for path in image_folder.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="None of 12 images"):
        everything(open_pixels(open_images(image_folder), 8, broken_share=1.0, **limits))


def test_images_that_another_process_decoded_are_not_decoded_again(image_folder, decoded):
    source = open_images(break_images(image_folder, 2))
    script = (
        "import sys, torch; from mimic_ray.data.image_source import open_images;"
        "from mimic_ray.data.decoded_set import open_pixels;"
        "pixels = open_pixels(open_images(sys.argv[1]), 8, memory_limit_bytes=0, broken_share=0.3);"
        "pixels.gather(torch.arange(7))"
    )
    subprocess.run([sys.executable, "-c", script, str(image_folder)], check=True, timeout=60)
    pixels = open_pixels(source, 8, memory_limit_bytes=0, broken_share=0.3)
    assert [key for key, _ in pixels.broken] == ["cat/04.png"]
    everything(pixels)
    # The other process may have decoded one of these too, as a replacement for the broken one.
    rest = [source.read(row) for row in range(7, 12)]
    assert len(decoded) in (4, 5)
    assert [content for content in rest if content in decoded] == decoded


def test_images_beyond_the_disk_limit_are_decoded_each_time_and_the_others_once(
    image_folder, cache, decoded
):
    source = open_images(image_folder)
    five = 5 * 3 * 8 * 8 + 100
    pixels = open_pixels(source, 8, memory_limit_bytes=0, disk_limit_bytes=five)
    first = everything(pixels)
    decoded.clear()
    assert np.array_equal(everything(pixels), first)
    assert decoded == [source.read(row) for row in range(5, 12)]
    used = sum(path.stat().st_size for path in cache.glob("pixels/*/pixels.npy"))
    assert used <= five + 128  # the header of the file


def test_progress_goes_from_0_to_the_number_of_images(image_folder):
    calls = []
    open_pixels(open_images(image_folder), 8, progress=lambda *call: calls.append(call))
    assert calls[0] == (0, 12)
    assert calls[-1] == (12, 12)


def test_a_position_beyond_the_last_image_is_an_error(image_folder, limits):
    pixels = open_pixels(open_images(image_folder), 8, **limits)
    with pytest.raises(IndexError):
        pixels.gather(torch.tensor([12]))

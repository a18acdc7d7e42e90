from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from mimic_ray.base.errors import DataError, DiskFullError
from mimic_ray.data import cache as cache_module
from mimic_ray.data import pixel_store as rows_module
from mimic_ray.data.cache import open_pixels
from mimic_ray.data.decode import decode
from mimic_ray.data.image_source import open_images
from mimic_ray.data.resize import centre_square

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


def broken_folder(image_folder, *numbers):
    """The folder with these of its images broken."""
    for number in numbers:
        path = sorted(image_folder.glob("[cd]*/*.png"))[number]
        path.write_bytes(path.read_bytes()[:60])
    return image_folder


def everything(pixels) -> np.ndarray:
    return pixels.gather(torch.arange(len(pixels))).numpy()


def squares(source, side) -> list[np.ndarray]:
    return [centre_square(decode(source.read(i)), side).transpose(2, 0, 1) for i in range(12)]


def test_a_broken_image_is_replaced_counted_and_named(image_folder, place):
    whole = squares(open_images(image_folder), 8)
    pixels = open_pixels(open_images(broken_folder(image_folder, 2)), 8, broken_share=0.1, **place)
    assert len(pixels) == 12
    gathered = everything(pixels)
    assert [key for key, _ in pixels.broken] == ["cat/04.png"]
    assert not np.array_equal(gathered[2], whole[2])
    others = [row for row in range(12) if row != 2]
    assert any(np.array_equal(gathered[2], whole[row]) for row in others)
    assert all(np.array_equal(gathered[row], whole[row]) for row in others)


def test_a_broken_image_shows_the_same_wherever_and_in_whatever_order_it_is_asked(
    image_folder, cache
):
    source = open_images(broken_folder(image_folder, 2, 3, 7))
    seen = set()
    for number, limits in enumerate(PLACES.values()):
        for order in (range(12), [7, 3, 2], [2], [3, 2, 7, 0]):
            where = cache / f"{number} {[*order]}"
            pixels = open_pixels(source, 8, broken_share=0.3, cache_folder=where, **limits)
            gathered = pixels.gather(torch.tensor([*order])).numpy()
            again = pixels.gather(torch.tensor([*order])).numpy()
            assert np.array_equal(gathered, again)
            seen.add(tuple(gathered[[*order].index(2)].tobytes()) if 2 in order else None)
    assert len(seen) == 1


def test_who_counts_images_gets_them_without_the_broken_ones(image_folder, place):
    source = open_images(broken_folder(image_folder, 2))
    pixels = open_pixels(source, 8, broken_share=0.1, **place).without_broken()
    assert pixels.kept.tolist() == [index for index in range(12) if index != 2]
    third = pixels.gather(torch.tensor([2])).numpy()[0].transpose(1, 2, 0)
    assert np.array_equal(third, centre_square(decode(source.read(3)), 8))
    assert len(pixels.broken) == 1


def test_a_share_of_broken_images_over_the_limit_stops_and_names_the_first(image_folder, place):
    source = open_images(broken_folder(image_folder, 0, 1, 2, 3, 4))
    with pytest.raises(DataError, match=r"5 of 12 images .*40.00%.*cat/01\.png .* and 2 more"):
        everything(open_pixels(source, 8, broken_share=0.4, **place))
    assert len(everything(open_pixels(source, 8, broken_share=0.42, **place))) == 12


def test_a_set_in_which_nothing_decodes_is_refused_whatever_the_limit(image_folder, place):
    for path in image_folder.rglob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="Not one of 12 images"):
        everything(open_pixels(open_images(image_folder), 8, broken_share=1.0, **place))


GATHERS = (
    "import sys, torch; from mimic_ray.data.image_source import open_images;"
    "from mimic_ray.data.cache import open_pixels;"
    "pixels = open_pixels(open_images(sys.argv[1]), 8, memory_limit_bytes=0, broken_share=0.3);"
    "images = pixels.gather(torch.arange(*map(int, sys.argv[2:])));"
)


def run(script, folder, *numbers):
    subprocess.run(
        [sys.executable, "-c", script, str(folder), *map(str, numbers)], check=True, timeout=60
    )


def test_what_another_process_decoded_is_read_and_not_decoded_again(image_folder, monkeypatch):
    source = open_images(broken_folder(image_folder, 2))
    run(GATHERS, image_folder, 7)
    decoded = []
    monkeypatch.setattr(
        cache_module, "decode", lambda content: decoded.append(content) or decode(content)
    )
    pixels = open_pixels(source, 8, memory_limit_bytes=0, broken_share=0.3)
    assert [key for key, _ in pixels.broken] == ["cat/04.png"]
    everything(pixels)
    # One of these may stand for the broken one, and the other process needed it too.
    left = [source.read(row) for row in range(7, 12)]
    assert len(decoded) in (4, 5)
    assert [content for content in left if content in decoded] == decoded


def test_what_does_not_fit_the_disk_limit_is_decoded_each_time_and_the_rest_once(
    image_folder, cache, monkeypatch
):
    source = open_images(image_folder)
    five = 5 * 3 * 8 * 8 + 100
    pixels = open_pixels(source, 8, memory_limit_bytes=0, disk_limit_bytes=five)
    first = everything(pixels)
    decoded = []
    monkeypatch.setattr(
        cache_module, "decode", lambda content: decoded.append(content) or decode(content)
    )
    assert np.array_equal(everything(pixels), first)
    assert decoded == [source.read(row) for row in range(5, 12)]
    held = sum(path.stat().st_size for path in cache.glob("pixels/*/pixels.npy"))
    assert held <= five + 128  # and the header of the file


@pytest.mark.parametrize("change", ["side", "content", "decoder"])
def test_another_side_content_or_decoder_is_decoded_anew(image_folder, cache, monkeypatch, change):
    everything(open_pixels(open_images(image_folder), 8, memory_limit_bytes=0))
    if change == "content":
        Image.new("RGB", (9, 9), (1, 2, 3)).save(image_folder / "cat" / "01.png")
    if change == "decoder":
        monkeypatch.setattr(rows_module, "DECODER", "another one")
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

    monkeypatch.setattr(rows_module.os, "posix_fallocate", no_space)
    monkeypatch.setattr(cache_module, "decode", lambda _: pytest.fail("decoded"))
    with pytest.raises(DiskFullError, match="MIMIC_RAY_CACHE"):
        open_pixels(open_images(image_folder), 8, memory_limit_bytes=0)
    assert not list((cache / "pixels").iterdir())


def test_a_cache_folder_that_cannot_be_written_is_named(image_folder, tmp_path):
    (tmp_path / "a file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written.*MIMIC_RAY_CACHE"):
        open_pixels(
            open_images(image_folder), 8, memory_limit_bytes=0, cache_folder=tmp_path / "a file"
        )


@pytest.mark.parametrize(
    "moment", [pytest.param("in the row", marks=pytest.mark.slow), "before the mark"]
)
def test_a_writer_that_is_killed_leaves_no_wrong_row(image_folder, moment):
    kill = {
        # Half of the row is there, then the process is gone.
        "in the row": "rows._mark = lambda pixels: (stored.__setitem__(-1, 0), kill())[0];",
        "before the mark": "rows._mark = lambda pixels: kill();",
    }[moment]
    script = (
        "import os, sys, signal, torch; from mimic_ray.data.image_source import open_images;"
        "from mimic_ray.data.cache import open_pixels; from mimic_ray.data import rows;"
        "kill = lambda: os.kill(os.getpid(), signal.SIGKILL);"
        "pixels = open_pixels(open_images(sys.argv[1]), 8, memory_limit_bytes=0);"
        "pixels.gather(torch.arange(3)); stored = pixels._rows._pixels.reshape(-1);"
        + kill
        + "pixels.gather(torch.tensor([5]))"
    )
    with pytest.raises(subprocess.CalledProcessError, match="SIGKILL"):
        run(script, image_folder)
    source = open_images(image_folder)
    pixels = open_pixels(source, 8, memory_limit_bytes=0)
    assert np.array_equal(everything(pixels), squares(source, 8))


def test_a_row_that_is_not_what_its_mark_says_is_decoded_again(image_folder, cache):
    source = open_images(image_folder)
    everything(open_pixels(source, 8, memory_limit_bytes=0))
    kept = next(cache.glob("pixels/*/pixels.npy"))
    content = bytearray(kept.read_bytes())
    content[-1] ^= 1  # as after a power cut that lost the row and kept its mark
    kept.write_bytes(content)
    pixels = open_pixels(source, 8, memory_limit_bytes=0)
    assert np.array_equal(everything(pixels), squares(source, 8))


@pytest.mark.slow
def test_processes_fill_one_file_at_the_same_time(image_folder, cache):
    script = f"{GATHERS} import hashlib; print(hashlib.sha256(images.numpy()).hexdigest())"
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(image_folder), "0", "12"],
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(3)
    ]
    said = {child.communicate(timeout=60)[0].strip() for child in children}
    images = everything(open_pixels(open_images(image_folder), 8))
    assert said == {hashlib.sha256(images).hexdigest()}
    assert len(list((cache / "pixels").iterdir())) == 1


def test_a_damaged_file_in_the_cache_is_named(image_folder, cache):
    everything(open_pixels(open_images(image_folder), 8, memory_limit_bytes=0))
    kept = next((cache / "pixels").glob("*/pixels.npy"))
    kept.write_bytes(kept.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"pixels/\w+ is damaged: delete it"):
        open_pixels(open_images(image_folder), 8, memory_limit_bytes=0)


def test_a_line_that_a_killed_process_began_hides_no_other(image_folder, cache):
    source = open_images(broken_folder(image_folder, 2, 7))
    pixels = open_pixels(source, 8, memory_limit_bytes=0, broken_share=0.3)
    pixels.gather(torch.tensor([2]))
    with next((cache / "pixels").glob("*/broken.jsonl")).open("a") as file:
        file.write('[5, "half a li')
    pixels.gather(torch.tensor([7]))
    again = open_pixels(source, 8, memory_limit_bytes=0, broken_share=0.3)
    assert [key for key, _ in again.broken] == ["cat/04.png", "cat/11.png"]


def test_progress_ends_at_the_number_of_images(image_folder):
    told = []
    open_pixels(open_images(image_folder), 8, progress=lambda *news: told.append(news))
    assert told[0] == (0, 12)
    assert told[-1] == (12, 12)


def test_positions_beyond_the_last_image_are_refused(image_folder, place):
    pixels = open_pixels(open_images(image_folder), 8, **place)
    with pytest.raises(IndexError):
        pixels.gather(torch.tensor([12]))

"""The file of decoded images: shared by processes, and correct after a kill or power loss."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from mimic_ray.base.errors import DataError, DiskFullError
from mimic_ray.data import decoded_set, pixel_store
from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.data.image_source import open_images
from mimic_ray.data.pixel_store import FileStore, MemoryStore, NoStore
from tests.data.decoded import break_images, everything, squares


def on_disk(folder, side: int = 8, **options):
    return open_pixels(open_images(folder), side, memory_limit_bytes=0, **options)


@pytest.mark.parametrize("kind", ["memory", "file", "none"])
def test_a_store_returns_the_rows_written_to_it(tmp_path, kind):
    store = {
        "memory": lambda: MemoryStore(5, 4),
        "file": lambda: FileStore("fingerprint", 5, 3, 4, tmp_path),  # rows 0 to 2
        "none": lambda: NoStore(4),
    }[kind]()
    image = np.arange(48, dtype=np.uint8).reshape(3, 4, 4)
    for row in (1, 4):
        store.write(row, image)
    images, present = store.read(np.array([4, 0, 1]))
    expected = {"memory": [True, False, True], "file": [False, False, True], "none": [False] * 3}
    assert present.tolist() == expected[kind]
    assert all(np.array_equal(each, image) for each in images[present])
    assert store.broken() == {}
    store.add_broken(2, "truncated")
    assert store.broken() == {2: "truncated"}


@pytest.mark.parametrize("change", ["side", "content", "decoder"])
def test_another_side_content_or_decoder_has_another_file(image_folder, cache, monkeypatch, change):
    everything(on_disk(image_folder))
    if change == "content":
        Image.new("RGB", (9, 9), (1, 2, 3)).save(image_folder / "cat" / "01.png")
    if change == "decoder":
        monkeypatch.setattr(pixel_store, "DECODER", "another version")
    pixels = on_disk(image_folder, 10 if change == "side" else 8)
    assert len(list((cache / "pixels").iterdir())) == 2
    if change == "content":
        assert pixels.gather(torch.tensor([0]))[0, :, 4, 4].tolist() == [1, 2, 3]


def test_a_full_disk_is_found_before_decoding_and_leaves_nothing(image_folder, cache, monkeypatch):
    def no_space(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pixel_store.os, "posix_fallocate", no_space)
    monkeypatch.setattr(decoded_set, "decode", lambda _: pytest.fail("decoded"))
    with pytest.raises(DiskFullError, match="MIMIC_RAY_CACHE"):
        on_disk(image_folder)
    assert not list((cache / "pixels").iterdir())


def test_a_cache_folder_that_cannot_be_written_is_named(image_folder, tmp_path):
    (tmp_path / "a file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written.*MIMIC_RAY_CACHE"):
        on_disk(image_folder, cache_folder=tmp_path / "a file")


# Run in a child: writes three rows, then is killed while it writes the next one.
KILLED = """
import os, signal, sys, torch
from mimic_ray.data import pixel_store
from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.data.image_source import open_images

pixels = open_pixels(open_images(sys.argv[1]), 8, memory_limit_bytes=0)
pixels.gather(torch.arange(3))
stored = pixels._store._pixels

def killed(image):
    if sys.argv[2] == "half a row":
        stored[5, 1:] = 0
    os.kill(os.getpid(), signal.SIGKILL)

pixel_store._checksum = killed
pixels.gather(torch.tensor([5]))
"""


@pytest.mark.parametrize("state", ["half a row", "a row without a checksum"])
def test_a_writer_that_is_killed_leaves_no_wrong_row(image_folder, state):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(image_folder), state],
        check=False,
        timeout=60,
        stderr=subprocess.PIPE,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert np.array_equal(everything(on_disk(image_folder)), squares(open_images(image_folder), 8))


def test_a_row_that_does_not_match_its_checksum_is_decoded_again(image_folder, cache):
    everything(on_disk(image_folder))
    path = next(cache.glob("pixels/*/pixels.npy"))
    content = bytearray(path.read_bytes())
    content[-1] ^= 1  # as after a power loss that kept the checksum but not the row
    path.write_bytes(content)
    assert np.array_equal(everything(on_disk(image_folder)), squares(open_images(image_folder), 8))


@pytest.mark.slow
def test_processes_can_fill_the_file_at_the_same_time(image_folder, cache):
    script = (
        "import hashlib, sys, torch; from mimic_ray.data.image_source import open_images;"
        "from mimic_ray.data.decoded_set import open_pixels;"
        "pixels = open_pixels(open_images(sys.argv[1]), 8, memory_limit_bytes=0);"
        "print(hashlib.sha256(pixels.gather(torch.arange(12)).numpy()).hexdigest())"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", script, str(image_folder)], stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    digests = {child.communicate(timeout=60)[0].strip() for child in children}
    images = everything(open_pixels(open_images(image_folder), 8))
    assert digests == {hashlib.sha256(images).hexdigest()}
    assert len(list((cache / "pixels").iterdir())) == 1


def test_a_truncated_file_in_the_cache_is_named(image_folder, cache):
    everything(on_disk(image_folder))
    path = next((cache / "pixels").glob("*/pixels.npy"))
    os.truncate(path, path.stat().st_size - 100)
    with pytest.raises(DataError, match=r"pixels/\w+ is damaged: delete it"):
        on_disk(image_folder)


def test_an_incomplete_line_of_a_killed_process_is_ignored(image_folder, cache):
    break_images(image_folder, 2, 7)
    pixels = on_disk(image_folder, broken_share=0.3)
    pixels.gather(torch.tensor([2]))
    with next((cache / "pixels").glob("*/broken.jsonl")).open("a") as file:
        file.write('[5, "half a li')
    pixels.gather(torch.tensor([7]))
    again = on_disk(image_folder, broken_share=0.3)
    assert [key for key, _ in again.broken] == ["cat/04.png", "cat/11.png"]

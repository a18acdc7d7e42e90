from __future__ import annotations

from pathlib import Path

from mimic_ray.weight_files.folder_search import STANDARD
from mimic_ray.weight_files.foreign import NAMES, STARTS, by_name, by_start

PAGE = Path(__file__).parents[2] / "docs/reference/checkpoints.md"


def test_first_bytes_say_what_a_file_is() -> None:
    for start, what in {
        b"\xef\xbb\xbf\n <html>": "a web page",
        b"BZh91AY": "a bzip2 file",
        b"\x89HDF\r\n": "an HDF5 file of Keras",
        b"\x93NUMPY\x01": "one numpy array",
    }.items():
        found = by_start(start)
        assert found is not None
        assert found[0] == what
    assert by_start(b"\x80\x02}q\x00") is None


def test_names_say_what_files_without_a_mark_are() -> None:
    for name, what in {
        "net.onnx": "an ONNX network",
        "model.ckpt-100.data-00000-of-00001": "a checkpoint of TensorFlow",
    }.items():
        found = by_name(name)
        assert found is not None
        assert found[0] == what
    assert by_name("model.ckpt") is None
    assert by_name("a.pth") is None


def test_the_page_of_checkpoints_lists_what_is_read_and_what_not() -> None:
    page = PAGE.read_text()
    for _, what, advice in (*STARTS, *NAMES):
        assert f"| {what} | {advice} |" in page, (what, advice)
    for name in STANDARD:
        assert f"`{name}`" in page

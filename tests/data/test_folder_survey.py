from __future__ import annotations

import os

from mimic_ray.data.folder_survey import survey
from mimic_ray.data.left_out import LeftOut


def test_linked_class_folders_are_read_under_their_own_names(tmp_path, encoded):
    """Subsets of ImageNet are folders of links."""
    for name in ("n01", "n02"):
        (tmp_path / "full" / name).mkdir(parents=True)
        (tmp_path / "full" / name / "1.png").write_bytes(encoded(1))
    (tmp_path / "subset" / "n00").mkdir(parents=True)
    (tmp_path / "subset" / "n00" / "1.png").write_bytes(encoded(1))
    for name in ("n01", "n02"):
        (tmp_path / "subset" / name).symlink_to(tmp_path / "full" / name)
    found = survey(tmp_path / "subset")
    assert found.images == ["n00/1.png", "n01/1.png", "n02/1.png"]
    assert found.left_out == {}


def test_loops_end_and_no_folder_is_read_twice(image_folder):
    (image_folder / "cat" / "loop").symlink_to(image_folder)
    (image_folder / "above").symlink_to(image_folder.parent)
    (image_folder / "a-dog").symlink_to(image_folder / "dog")  # before "dog" in order
    found = survey(image_folder)
    assert len(found.images) == 12
    assert {name.partition("/")[0] for name in found.images} == {"cat", "dog"}
    assert found.left_out["a link to a folder that is read already"].count == 2
    assert found.left_out["a link to a folder above"] == LeftOut(1, "above")


def test_what_cannot_be_read_is_counted(image_folder):
    (image_folder / "gone.png").symlink_to(image_folder / "nowhere")
    os.mkfifo(image_folder / "pipe.png")
    found = survey(image_folder)
    assert found.left_out["a link that leads nowhere"] == LeftOut(1, "gone.png")
    assert found.left_out["not a regular file"] == LeftOut(1, "pipe.png")
    assert found.left_out["hidden"].count == 2
    assert found.beside_images()["not an image"] == LeftOut(1, "notes.txt")


def test_files_are_sorted_by_suffix_and_else_by_content(tmp_path, encoded):
    images = ["a.PPM", "b.jfif", "c", "d.jpg?size=large"]
    for name in images:
        (tmp_path / name).write_bytes(encoded(1, "JPEG"))
    for name in ("e.tar", "f.parquet", "g.zip", "h", "i.heic", "j.txt"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "k.cr2").write_bytes(b"II*\0" + bytes(20))  # raw, not the preview inside
    (tmp_path / "a.txt").write_bytes(b"the caption of a.PPM")
    found = survey(tmp_path)
    assert found.images == images
    assert (found.shards, found.tables, found.zips) == (["e.tar"], ["f.parquet"], ["g.zip"])
    left_out = found.beside_images()
    assert left_out["not an image"] == LeftOut(2, "h")
    assert left_out["an image format that is not read: convert it to PNG or JPEG"].count == 2

import numpy as np
import pytest
from PIL import Image

from mimic_ray.base.errors import DataError, UnknownNameError
from mimic_ray.data.labelled import open_labelled, open_some


@pytest.fixture
def folder(tmp_path):
    """Three classes; class c has 2 (c + 1) images of grey 40 c."""
    for number, name in enumerate(("cat", "dog", "truck")):
        (tmp_path / "set" / name).mkdir(parents=True)
        for image in range(2 * (number + 1)):
            grey = np.full((8, 8, 3), 40 * number, np.uint8)
            Image.fromarray(grey).save(tmp_path / "set" / name / f"{image}.png")
    return tmp_path / "set"


def test_each_image_has_the_class_of_its_folder(folder):
    found = open_labelled(folder, 8)
    greys = found.pixels.gather(found.labels.new_tensor(range(12)))[:, 0, 0, 0]
    assert found.labels.tolist() == [0] * 2 + [1] * 4 + [2] * 6
    assert greys.tolist() == [40 * label for label in found.labels.tolist()]
    assert (found.class_count(), found.class_name(2)) == (3, "truck")


def test_the_label_of_a_broken_image_is_dropped_with_it(folder):
    for number in range(200):  # keeps the share of broken images below the limit
        (folder / "cat" / f"more{number}.png").write_bytes((folder / "cat/0.png").read_bytes())
    (folder / "cat" / "1.png").write_bytes(b"not an image")
    found = open_labelled(folder, 8)
    assert len(found.labels) == len(found.pixels) == len(found.keys) == 211
    assert found.labels.tolist()[-10:] == [1] * 4 + [2] * 6
    assert "cat/1" not in " ".join(found.keys)


def test_a_subset_of_a_sorted_folder_has_images_of_every_class(folder):
    some = open_some(folder, 6)
    assert some.labels == [0, 1, 1, 2, 2, 2]
    assert some.fingerprint != open_some(folder, None).fingerprint
    assert some.read(5) == (folder / "truck/4.png").read_bytes()


def test_a_class_is_found_by_name_and_by_index(folder):
    found = open_labelled(folder, 8)
    assert found.class_index("truck") == found.class_index("2") == 2
    with pytest.raises(UnknownNameError, match="Did you mean truck"):
        found.class_index("truk")
    with pytest.raises(UnknownNameError, match="classes 0 to 2"):
        found.class_index("3")


def test_images_without_labels_are_refused_with_advice(tmp_path):
    np.savez(tmp_path / "images.npz", x=np.zeros((3, 8, 8, 3), np.uint8))
    with pytest.raises(DataError, match="has no labels"):
        open_labelled(tmp_path / "images.npz", 8)


def test_labels_beside_the_images_of_a_folder_count(tmp_path):
    Image.new("RGB", (32, 32)).save(tmp_path / "1.jpg")
    (tmp_path / "1.cls").write_text("3")
    assert open_labelled(tmp_path, 32).labels.tolist() == [3]
    (tmp_path / "1.cls").unlink()
    with pytest.raises(DataError, match=r"has no labels: give a folder .*cat/1\.jpg, dog/2\.jpg"):
        open_labelled(tmp_path, 32)

from mimic_ray.data.names import IMAGE_SUFFIXES, UNREAD_IMAGES
from mimic_ray.data.torchvision_kinds import KINDS
from tools import images_page


def test_every_suffix_and_every_data_set_is_on_the_page():
    page = images_page.page()
    assert all(f"`{suffix}`" in page for suffix in IMAGE_SUFFIXES | UNREAD_IMAGES)
    assert "| `GTSRB` | `train`, `test` |" in page
    assert all(f"| `{name}` | " in page for name in KINDS)
    assert "| a bzip2 archive: `.bz2`, `.tbz2`, `.tbz` | `tar -xf FILE -C FOLDER` |" in page
    assert "| JPEG | `jpg`, `jpeg`, `jpe`, `jfif` |" in page

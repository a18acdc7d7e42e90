import pytest

from mimic_ray.base.errors import DataError
from mimic_ray.data.broken_images import check_broken
from mimic_ray.data.image_source import open_images

BROKEN = [(f"cat/{number:02}.png", "truncated") for number in range(1, 5)]


def test_broken_images_up_to_the_limit_are_accepted(image_folder):
    source = open_images(image_folder)
    check_broken(source, [], limit=0.0)
    check_broken(source, BROKEN, limit=4 / 12)


def test_more_broken_images_are_an_error_with_the_first_three(image_folder):
    with pytest.raises(DataError) as caught:
        check_broken(open_images(image_folder), BROKEN, limit=0.3)
    assert "4 of 12 images" in caught.value.message
    assert "limit of 30.00%: cat/01.png (truncated); " in caught.value.message
    assert "cat/03.png (truncated) and 1 more." in caught.value.message


def test_images_that_are_too_large_have_their_own_way_out(image_folder):
    reason = "9504 x 6336 pixels, more than the limit of 50 megapixels"
    with pytest.raises(DataError, match=r"--side 512 --max-megapixels 178 --out FOLDER\.$"):
        check_broken(open_images(image_folder), [("cat/01.png", reason)] * 2, limit=0.1)
    with pytest.raises(DataError, match=r"Remove or replace them\.$"):
        check_broken(open_images(image_folder), [*BROKEN, ("cat/01.png", reason)], limit=0.1)


def test_a_set_of_only_broken_images_is_an_error_for_any_limit(image_folder):
    with pytest.raises(DataError, match="None of 12 images"):
        check_broken(open_images(image_folder), BROKEN * 3, limit=1.0)

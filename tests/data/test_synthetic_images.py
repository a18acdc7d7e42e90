import torch

from mimic_ray.data.synthetic_images import SyntheticImages, synthetic_pixels


def test_images_have_detail_on_every_scale():
    images = synthetic_pixels(20, 32).float()
    assert images.std() > 30
    for distance in (1, 4, 16):
        assert (images[..., distance:] - images[..., :-distance]).abs().mean() > 3


def test_a_large_set_repeats_a_few_images():
    images = SyntheticImages(1000, 8, distinct=10)
    assert len(images) == 1000
    first, again, other = images.gather(torch.tensor([3, 993, 4]))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)

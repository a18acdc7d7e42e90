import torch

from mimic_ray.method.projector import make_projector


def test_features_of_any_width_become_128_numbers():
    for width in (7, 2048):
        assert make_projector(width)(torch.randn(4, width)).shape == (4, 128)


def test_the_layers_are_those_of_the_authors_files():
    shapes = {key: tuple(value.shape) for key, value in make_projector(9).state_dict().items()}
    assert (
        shapes.items() >= {"0.weight": (512, 9), "3.weight": (128, 512), "3.bias": (128,)}.items()
    )
    assert "0.bias" not in shapes

"""The table against torchvision itself."""

from __future__ import annotations

import inspect

import pytest

from mimic_ray.base.locations import local_path
from mimic_ray.data.torchvision_kinds import KINDS


@pytest.mark.parametrize("name", KINDS)
def test_a_set_takes_these_arguments_and_has_these_attributes(name):
    from torchvision import datasets

    made = getattr(datasets, name)
    lineage = [each for each in made.__mro__ if each.__module__.startswith("torchvision")]
    accepted: dict[str, inspect.Parameter] = {}
    for each in lineage:  # up to the first without **kwargs
        parameters = inspect.signature(each.__init__).parameters
        accepted = {**parameters, **accepted}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
            break
    for split, arguments in KINDS[name].splits.items():
        assert set(arguments) <= set(accepted), split
        downloads = accepted["download"].default if "download" in accepted else False
        assert arguments.get("download", downloads) is False
        assert local_path(f"torchvision:{name}:/data:{split}") == "/data"
    source = "".join(map(inspect.getsource, lineage))
    for attribute in filter(None, (KINDS[name].labels, KINDS[name].files)):
        assert f"self.{attribute.partition('[')[0]}" in source, attribute


def test_every_set_of_torchvision_is_listed_or_is_no_classification_set():
    from torchvision import datasets

    others = {
        *("CelebA", "LSUN", "LSUNClass", "FakeData", "ImageFolder", "DatasetFolder"),
        *("VisionDataset", "WIDERFace", "PhotoTour", "LFWPairs", "MovingMNIST", "EMNIST"),
        *("HMDB51", "Kinetics", "UCF101", "Kitti", "Cityscapes", "SBDataset", "SBU"),
        *("CocoCaptions", "CocoDetection", "Flickr8k", "Flickr30k", "VOCDetection"),
        *("VOCSegmentation", "CREStereo", "CarlaStereo", "ETH3DStereo", "FallingThingsStereo"),
        *("InStereo2k", "Kitti2012Stereo", "Kitti2015Stereo", "Middlebury2014Stereo"),
        *("SceneFlowStereo", "SintelStereo", "FlyingChairs", "FlyingThings3D", "HD1K"),
        *("KittiFlow", "Sintel", "wrap_dataset_for_transforms_v2"),
    }
    assert set(datasets.__all__) - others - set(KINDS) == set()

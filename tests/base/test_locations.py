"""Locations of inputs and outputs."""

from __future__ import annotations

import pytest

from mimic_ray.base.locations import absolute, is_missing, local_path


@pytest.mark.parametrize(
    ("location", "meant"),
    [
        ("images", "HERE/images"),
        ("../t.pth", "HERE/../t.pth"),
        ("~/run", "HOME/run"),
        ("file:///x/y", "/x/y"),
        ("a/{00..07}.tar", "HERE/a/{00..07}.tar"),
        ("train-[0-3]?.tar", "HERE/train-[0-3]?.tar"),
        ("torchvision:CIFAR10:data", "torchvision:CIFAR10:HERE/data"),
        ("torchvision:CIFAR10:data:test", "torchvision:CIFAR10:HERE/data:test"),
        ("torchvision:STL10:/d:unlabeled", "torchvision:STL10:/d:unlabeled"),
        ("torchvision:CIFAR10", "torchvision:CIFAR10"),
        ("s3://b/{00..07}.tar?region=x", "s3://b/{00..07}.tar?region=x"),
        ("gs://b/run", "gs://b/run"),
    ],
)
def test_an_absolute_location_is_the_same_in_any_folder(location, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    meant = meant.replace("HERE", str(tmp_path)).replace("HOME", str(tmp_path / "home"))
    assert absolute(location) == meant
    monkeypatch.chdir("/")
    assert absolute(meant) == meant


def test_only_object_storage_has_no_local_path(tmp_path):
    assert local_path("s3://bucket/x") == ""
    assert local_path(f"file://{tmp_path}") == str(tmp_path)
    assert local_path(f"torchvision:CIFAR10:{tmp_path}:test") == str(tmp_path)


def test_a_path_that_does_not_exist_is_missing(tmp_path):
    (tmp_path / "a[1].tar").touch()
    here = [tmp_path, tmp_path / "a[1].tar", tmp_path / "b-{0..9}.tar", tmp_path / "*.tar"]
    assert not any(map(is_missing, here))
    assert not is_missing("s3://bucket/anything")
    assert not is_missing("torchvision:CIFAR11:none")
    gone = [tmp_path / "b.tar", tmp_path / "none" / "*.tar", "none.pth"]
    assert all(map(is_missing, gone))

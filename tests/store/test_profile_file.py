from __future__ import annotations

import pytest

from mimic_ray.base.errors import RunFolderError
from mimic_ray.method.mi_profile import Profile, TapScore
from mimic_ray.store.profile_file import read_profile, write_profile

PROFILE = Profile(
    taps=(
        TapScore("layer1", 1.5, 0.25, False, 0.0, 0.5),
        TapScore("layer2", 4.5, 0.75, True, 2.5, 1.0),
    ),
    of="teacher",
    estimator="gaussian",
    images=2000,
)


def test_a_profile_survives_the_disk(tmp_path):
    write_profile(tmp_path / "profile.parquet", PROFILE)
    assert read_profile(tmp_path / "profile.parquet") == PROFILE


def test_missing_and_damaged_profiles_are_told_apart(tmp_path):
    with pytest.raises(RunFolderError, match="no profile was made"):
        read_profile(tmp_path / "profile.parquet")
    (tmp_path / "profile.parquet").write_bytes(b"<html>")
    with pytest.raises(RunFolderError, match="damaged"):
        read_profile(tmp_path / "profile.parquet")

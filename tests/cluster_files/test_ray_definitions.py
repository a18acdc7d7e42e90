"""Ray's private definitions. These tests show the changes of a new version of Ray."""

import logging

import pytest
import yaml

from mimic_ray.base import ray_version
from mimic_ray.base.errors import ResourceError
from mimic_ray.cluster_files.ray_definitions import (
    provider_names,
    ray_schema,
    refusal,
    start_options,
)
from tests.cluster_files.cluster_examples import FOLDER, GCP


def test_ray_defines_its_schema_providers_and_start_options():
    assert {"cluster_name", "available_node_types"} <= set(ray_schema()["properties"])
    assert {"aws", "gcp", "azure", "local"} <= set(provider_names())
    options = {"head", "address", "num-cpus", "dashboard-host", "object-store-memory", "no-monitor"}
    assert options <= start_options()


def test_ray_gives_its_reason_for_refusing_a_file_and_prints_nothing(capsys):
    config = yaml.safe_load((FOLDER / GCP).read_text())
    assert refusal(config) == ""
    config["max_workers"] = 0
    config["available_node_types"]["gpu"]["min_workers"] = 1
    before = yaml.safe_dump(config)
    assert "max_workers" in refusal(config)
    assert yaml.safe_dump(config) == before
    assert capsys.readouterr() == ("", "")
    assert logging.root.manager.disable == logging.NOTSET


@pytest.mark.parametrize("definition", [ray_schema, provider_names, start_options, refusal])
def test_no_definition_of_an_untested_release_is_used(monkeypatch, definition):
    monkeypatch.setattr(ray_version, "SUPPORTED_RAY", ("1.0", "1.5"))
    uncached = getattr(definition, "__wrapped__", definition)
    with pytest.raises(ResourceError, match=r"needs Ray 1\.0"):
        uncached(*([{}] if definition is refusal else []))

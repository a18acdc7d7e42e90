"""Whatever stands in a file, `validate` answers: findings or one sentence, never a traceback."""

from __future__ import annotations

import contextlib
import copy
import random

import pytest
import yaml

from mimic_ray.base.errors import UsageError
from mimic_ray.cluster_files.validate import validate
from tests.cluster_files.cluster_examples import FILES, FOLDER

JUNK = [
    None,
    True,
    0,
    -1,
    10**30,
    1.5,
    "",
    "x",
    [],
    {},
    [None],
    {"x": None},
    [[]],
    {"": ""},
    "2026-01-01",
]
MUTATIONS = 80


def mutated(document, rng: random.Random):
    """A copy in which one to three places are replaced, removed or renamed."""
    document = copy.deepcopy(document)
    for _ in range(rng.randint(1, 3)):
        at = document
        while True:
            keys = list(at) if isinstance(at, dict) else list(range(len(at)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(at[key], dict | list) and at[key] and rng.random() < 0.8:
                at = at[key]
                continue
            chance = rng.random()
            if chance < 0.6:
                at[key] = rng.choice(JUNK)
            elif chance < 0.8 or isinstance(at, list):
                del at[key]
            else:
                at[str(key)[:-1] + "z"] = at.pop(key)
            break
    return document


@pytest.mark.parametrize("name", FILES)
def test_mutated_files_are_answered(tmp_path, name, capsys):
    rng = random.Random(name)
    documents = list(yaml.safe_load_all((FOLDER / name).read_text()))
    path = tmp_path / "x.yaml"
    noticed = 0
    for _ in range(MUTATIONS):
        path.write_text(yaml.safe_dump_all([mutated(document, rng) for document in documents]))
        try:
            found = validate(path)
        except UsageError:
            noticed += 1
            continue
        noticed += any(finding.level == "error" for finding in found)
        for finding in found:
            assert "\n" not in str(finding)
    assert noticed > MUTATIONS // 2
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", FILES)
def test_cut_files_are_answered(tmp_path, name):
    text = (FOLDER / name).read_text()
    path = tmp_path / "x.yaml"
    for end in range(40, len(text), 211):
        path.write_text(text[:end])
        with contextlib.suppress(UsageError):
            validate(path)

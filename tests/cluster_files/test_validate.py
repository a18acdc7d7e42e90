"""Any file gives findings or one error, never a traceback. The files of cluster/ have no errors."""

from __future__ import annotations

import contextlib
import copy
import random

import pytest
import yaml

from mimic_ray.base.errors import UsageError
from mimic_ray.cluster_files.validate import validate
from tests.cluster_files.cluster_examples import AWS, FILES, FOLDER, edited, findings

JUNK = [None, True, 0, -1, 10**30, 1.5, "", "x", [], {}, [None], {"x": None}, [[]], {"": ""}]
MUTATIONS = 40


@pytest.mark.parametrize("name", FILES)
def test_a_file_of_the_repository_only_has_findings_about_placeholders(name):
    found = validate(FOLDER / name)
    assert found
    for finding in found:
        assert finding.level == "note"
        assert "is a placeholder" in finding.message


def test_a_repeated_key_and_a_key_that_is_not_text_are_errors(tmp_path):
    (found,) = findings(edited(tmp_path, AWS, ("auth:", "max_workers: 2\nauth:")))
    assert (found.path, "occurs twice" in found.message) == ("max_workers", True)
    (found,) = findings(edited(tmp_path, AWS, ("  gpu:", "  1:")))
    assert (found.path, "in quotes" in found.message) == ("available_node_types.1", True)


def test_a_syntax_error_is_a_finding_with_its_line(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("cluster_name: x\nprovider: [\n")
    (found,) = validate(path)
    assert (found.level, found.line, found.message[:14]) == ("error", 3, "Not valid YAML")


@pytest.mark.parametrize("text", ["- 1\n", "a: b\n", "<html>Sign in</html>\n"])
def test_another_file_is_refused(tmp_path, text):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=r"x\.yaml is not a cluster file"):
        validate(path)


def test_errors_come_first_then_lines_in_order(tmp_path):
    file = edited(tmp_path, AWS, ("=127.0.0.1", "=0.0.0.0"), ("region:", "regoin:"))
    found = validate(file)
    order = [("error", "warning", "note").index(finding.level) for finding in found]
    assert order == sorted(order)
    assert {"error", "warning", "note"} == {finding.level for finding in found}


def mutated(document, rng: random.Random):
    """A copy in which one to three values are replaced, removed or renamed."""
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
def test_a_mutated_file_gives_findings_of_one_line_and_never_a_traceback(tmp_path, name, capsys):
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
        assert all(str(finding).isprintable() for finding in found)
    assert noticed > MUTATIONS // 2
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("name", FILES)
def test_a_truncated_file_never_gives_a_traceback(tmp_path, name):
    text = (FOLDER / name).read_text()
    path = tmp_path / "x.yaml"
    for end in range(40, len(text), 499):
        path.write_text(text[:end])
        with contextlib.suppress(UsageError):
            validate(path)

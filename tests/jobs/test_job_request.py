"""A command as a job: its shell command and its name."""

from __future__ import annotations

import shlex

import pytest

from mimic_ray.base.errors import UsageError
from mimic_ray.base.resources import Resources
from mimic_ray.jobs.job_request import JobCommand, JobLocation, check_name


def job(*words, files=None, locations=(), spreads=True, capacity_option=""):
    return JobCommand([*words], [*locations], files or {}, Resources(), spreads, capacity_option)


@pytest.mark.parametrize("odd", ["a b", "$(reboot)", "it's", 'say "x"', "a;b&c|d>e", "\u00e9\n"])
def test_a_shell_splits_the_entrypoint_into_the_same_words(odd):
    words = ["purify", "--set", f"name={odd}", "--data", f"s3://b/{odd}"]
    started = shlex.split(job(*words).entrypoint("/env/bin/python"))
    assert started == ["/env/bin/python", "-m", "mimic_ray", *words]


def test_a_capacity_timeout_is_added_if_the_command_has_that_option():
    waiting = job("tune", capacity_option="--wait")
    assert waiting.entrypoint("python", 9).endswith("tune --wait 9")
    assert waiting.entrypoint("python").endswith("tune")
    assert job("evaluate").entrypoint("python", 9).endswith("evaluate")


def test_the_output_is_the_output_location_of_the_command():
    read, written = JobLocation("--data", "/d"), JobLocation("--out", "/o", is_output=True)
    assert job("purify", locations=[read, written]).out == "/o"
    assert job("evaluate", locations=[read]).out == ""


def test_the_same_command_has_the_same_name_and_another_command_another_name():
    names = [job("purify", "--seed", seed).default_name for seed in "112"]
    assert names[0] == names[1] != names[2]
    check_name(names[0])


def test_an_edited_recipe_changes_the_name(tmp_path):
    recipe = tmp_path / "mine.toml"
    names = []
    for content in ("a = 1", "a = 2"):
        recipe.write_text(content)
        names.append(job("purify", files={"mine.toml": recipe}).default_name)
    assert names[0] != names[1]


@pytest.mark.parametrize("name", ["a/b", "a b", "", "-a", "a" * 101, "\u00e9", "a\n", "../x"])
def test_a_name_that_ray_could_not_delete_is_refused(name):
    with pytest.raises(UsageError, match="name="):
        check_name(name)

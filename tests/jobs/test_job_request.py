"""A command line as a job: its words on the cluster, its name, and what travels with it."""

from __future__ import annotations

import shlex

import pytest

from mimic_ray.base.errors import UsageError
from mimic_ray.base.resources import Resources
from mimic_ray.jobs.job_request import check_name, make_request

ALONE = Resources()
PURIFY = ["purify", "--encoder", "vit_b16", "--teacher", "/t.pth", "--data", "s3://b/d"]


def request(*arguments, name=None, resources=ALONE, spreads=True):
    return make_request([*arguments], name, resources, spreads)


def words(*arguments, **how):
    return shlex.split(request(*arguments, **how).entrypoint("/env/bin/python"))


def test_the_entrypoint_is_the_command_on_the_jobs_own_cluster():
    assert words(*PURIFY) == ["/env/bin/python", "-m", "mimic_ray", *PURIFY, "--address", "auto"]


@pytest.mark.parametrize("odd", ["a b", "$(reboot)", "it's", 'say "x"', "a;b&c|d>e", "\u00e9\n"])
def test_a_shell_makes_the_same_words_of_it(odd):
    said = words("purify", "--set", f"name={odd}", "--data", f"s3://b/{odd}")
    assert said[3:8] == ["purify", "--set", f"name={odd}", "--data", f"s3://b/{odd}"]


def test_scale_before_the_dashes_becomes_the_commands():
    said = words(
        *PURIFY, resources=Resources(workers=3, min_workers=1, cpus_per_worker=2, gpus_per_worker=1)
    )
    assert said[-8:] == [
        *("--address", "auto", "--workers", "1-3"),
        *("--gpus-per-worker", "1", "--cpus-per-worker", "2"),
    ]


@pytest.mark.parametrize("own", [["--workers", "4"], ["--workers=4"]])
def test_a_scale_that_the_command_says_itself_is_not_said_twice(own):
    said = words(*PURIFY, *own, resources=Resources(workers=4))
    assert sum("--workers" in word for word in said) == 1


def test_a_command_without_workers_is_told_nothing_of_a_cluster():
    assert words(
        "evaluate",
        "--test",
        "/x",
        resources=Resources(cpus_per_worker=2, gpus_per_worker=1),
        spreads=False,
    )[3:] == [*("evaluate", "--test", "/x")]


def test_paths_are_absolute_as_a_job_has_another_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = request("purify", "--data=images", "--out", "~/run", "--teacher", "../t.pth")
    assert made.places.local()["--data"] == str(tmp_path / "images")
    assert "~" not in made.places.out
    assert f"--data={tmp_path}/images" in made.arguments


def test_addresses_stay_as_they_are():
    made = request("purify", "--data", "s3://b/{00..07}.tar", "--out", "gs://b/run?anonymous=true")
    assert made.places.remote() == {
        "--data": "s3://b/{00..07}.tar",
        "--out": "gs://b/run?anonymous=true",
    }
    assert not made.places.local()


def test_recipe_and_user_module_travel_and_nothing_beside_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("mine.toml", "net.py", ".env", "id_rsa"):
        (tmp_path / name).write_text("x")
    made = request("purify", "--recipe", "mine.toml", "--encoder=net.py:build")
    assert {name: path.name for name, path in made.files.items()} == {
        "mine.toml": "mine.toml",
        "net.py": "net.py",
    }
    # There they lie in the job's own folder.
    assert made.arguments[1:4] == ["--recipe", "mine.toml", "--encoder=net.py:build"]


def test_names_of_recipes_and_encoders_are_no_files():
    assert not request("purify", "--recipe", "default", "--encoder", "vit_b16").files


def test_a_recipe_that_is_not_there_is_refused():
    with pytest.raises(UsageError, match=r"missing\.toml is no file"):
        request("purify", "--recipe", "missing.toml")


def test_two_files_of_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.py").write_text("")
    with pytest.raises(UsageError, match="rename one"):
        request("purify", "--recipe", f"{tmp_path}/a/x.py", "--encoder", f"{tmp_path}/b/x.py:f")


def test_the_same_command_has_the_same_name_and_another_another():
    assert request(*PURIFY).name == request(*PURIFY).name
    assert request(*PURIFY).name != request(*PURIFY, "--seed", "1").name
    check_name(request(*PURIFY).name)


def test_an_edited_recipe_makes_another_name(tmp_path):
    recipe = tmp_path / "mine.toml"
    recipe.write_text("a = 1")
    first = request("purify", "--recipe", str(recipe)).name
    recipe.write_text("a = 2")
    assert request("purify", "--recipe", str(recipe)).name != first


@pytest.mark.parametrize("name", ["a/b", "a b", "", "-a", "a" * 101, "\u00e9", "a\n", "../x"])
def test_a_name_that_would_haunt_the_list_is_refused(name):
    with pytest.raises(UsageError, match="--name"):
        check_name(name)


def test_a_job_for_a_cluster_that_grows_is_told_to_wait_unless_it_says_itself():
    silent = make_request(["purify", "--out", "/x"], None, ALONE, True)
    assert silent.patience(1800) == ["--wait-for-capacity", "1800"]
    assert silent.entrypoint("python", silent.patience(9)).endswith(" --wait-for-capacity 9")
    said = make_request(["purify", "--wait-for-capacity=60"], None, ALONE, True)
    assert said.patience(1800) == []
    search = make_request(["tune", "--out", "/x"], None, ALONE, True)
    assert search.patience(1800) == ["--wait-for-capacity", "1800"]
    other = make_request(["evaluate", "--out", "/x"], None, ALONE, True)
    assert other.patience(1800) == []

"""`purify`, called from Python in this process: its record, errors and user code."""

from __future__ import annotations

import json

import pytest

from mimic_ray import Resources, purify
from mimic_ray.base.errors import DiskFullError, DivergedError, RunFolderError, UsageError
from mimic_ray.base.files import sha256
from mimic_ray.execution import export
from mimic_ray.store.run_record import read_record
from tests.cli.toy_images import save_checkpoint, save_images

LOCAL = Resources(local=True)
SETTINGS = ["training.steps=4", "training.batch=8", "training.precision=fp32"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MIMIC_RAY_CACHE", str(tmp_path / "cache"))


def purify_toy(tmp_path, *settings, **options):
    if not (tmp_path / "images").exists():
        save_images(tmp_path / "images", 6, seed=0)
    return purify(
        "tiny_resnet",
        save_checkpoint(tmp_path / "suspect.safetensors"),
        tmp_path / "images",
        tmp_path / "run",
        settings=[*SETTINGS, *settings],
        resources=LOCAL,
        threads=1,
        **options,
    )


def test_a_run_from_python_records_the_call_and_not_the_host_program(tmp_path, monkeypatch):
    monkeypatch.setattr("sys.argv", ["notebook-server", "--port", "8888"])
    result = purify_toy(tmp_path)
    command = read_record(tmp_path / "run" / "run.json").command
    assert command == result.record.command
    assert command.startswith("mimic_ray.purify(encoder='tiny_resnet', teacher=")
    assert "'training.steps=4'" in command
    assert "8888" not in command
    assert command in (tmp_path / "run" / "README.md").read_text()


def test_what_is_beside_the_images_is_in_the_record_and_the_card(tmp_path):
    save_images(tmp_path / "images", 6, seed=0)
    for name in ("notes.txt", "words.txt"):
        (tmp_path / "images" / name).write_text("")
    result = purify_toy(tmp_path)
    content = json.loads((tmp_path / "run" / "run.json").read_bytes())
    assert content["left_out"] == {"not an image": {"count": 2, "first": "notes.txt"}}
    assert result.record.left_out["not an image"].count == 2
    assert "2 other files left out" in (tmp_path / "run" / "README.md").read_text()


def test_broken_images_are_counted_in_a_warning(tmp_path):
    save_images(tmp_path / "images", 40, seed=0)
    first = next(path for path in sorted((tmp_path / "images").rglob("*")) if path.is_file())
    first.write_bytes(first.read_bytes()[:60])
    result = purify_toy(tmp_path)
    said = "1 broken image had no part in the training; run.json has the names."
    assert said in result.warnings


def test_the_model_card_names_only_commands_that_exist(tmp_path):
    purify_toy(tmp_path)
    card = (tmp_path / "run" / "README.md").read_text()
    assert "trigger of another kind may still work" in card
    assert "scan" not in card


def test_a_short_run_says_that_it_was_not_scanned_and_how_to(tmp_path):
    off = purify_toy(tmp_path).record.scan["off"]
    assert off.startswith("a run this short is not scanned unless the option scan is set; ")
    assert f"--student {tmp_path / 'run'} does it now." in off
    recorded = json.loads((tmp_path / "run" / "run.json").read_bytes())
    assert recorded["scan"] == {"off": off}


def test_a_run_whose_scan_the_user_turned_off_has_none(tmp_path):
    assert purify_toy(tmp_path, scan=False).record.scan == {}


@pytest.mark.parametrize("commit_every", [1, 100])
def test_a_diverged_run_fails_with_an_explanation(tmp_path, commit_every):
    with pytest.raises(DivergedError) as caught:
        purify_toy(tmp_path, "training.learning_rate=1e9", commit_every=commit_every)
    assert "Training diverged: " in caught.value.message
    assert "lower training.learning_rate" in caught.value.message
    assert "suspect" not in caught.value.message
    record = read_record(tmp_path / "run" / "run.json")
    assert (record.status, record.error) == ("failed", caught.value.message)


def test_after_a_diverged_run_the_way_out_is_another_folder(tmp_path):
    with pytest.raises(DivergedError) as caught:
        purify_toy(tmp_path, "training.learning_rate=1e9")
    advice = caught.value.for_command_line()
    assert "lower training.learning_rate" in advice
    assert "Set another --out" in advice
    with pytest.raises(RunFolderError) as refused:
        purify_toy(tmp_path, "training.learning_rate=1e-3")
    assert "(diverged, " in refused.value.message
    assert "set another out=" in refused.value.message
    assert "resume" not in refused.value.message


def test_a_run_whose_results_cannot_be_written_has_failed_and_resumes(tmp_path, monkeypatch):
    def no_space(*arguments):  # noqa: ARG001 - as write_like
        raise DiskFullError("No space left on the disk of X.")

    with monkeypatch.context() as patch:
        patch.setattr(export, "write_like", no_space)
        with pytest.raises(DiskFullError, match="same command with resume=True"):
            purify_toy(tmp_path)
    record = read_record(tmp_path / "run" / "run.json")
    assert (record.status, record.step) == ("failed", 4)
    assert "No space left" in record.error
    assert purify_toy(tmp_path, resume=True).record.status == "finished"


MY_PARTS = '''
from mimic_ray.base import seeds

def dots(images, keys, donors, strength=1.0):
    """Darker images."""
    return images * (1 - 0.5 * seeds.uniform(keys, 1)[:, :, None, None])

def spread(inputs, *, margin: float = 0.5):
    return (inputs.student.features.std() - margin).square()

class Mean:
    """How large the maps are."""
    def reduce(self, maps):
        return maps.mean(dim=(2, 3))
    def estimate(self, reduced, features, seed):
        return float(reduced.abs().mean())
'''
OWN = [
    'perturbations."my_parts.py:dots".probability=0.5',
    'loss."my_parts.py:spread"={weight=0.1, margin=0.2}',
    "mutual_information.estimator=my_parts.py:Mean",
]


def test_parts_of_a_users_file_are_used_recorded_by_checksum_and_named_in_the_card(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_parts.py").write_text(MY_PARTS)
    purify_toy(tmp_path, *OWN)
    run = tmp_path / "run"
    record = read_record(run / "run.json")
    names = ["my_parts.py:dots", "my_parts.py:spread", "my_parts.py:Mean"]
    assert sorted(record.user_code) == sorted(names)
    assert set(record.user_code.values()) == {sha256(tmp_path / "my_parts.py")}
    assert '[loss."my_parts.py:spread"]' in (run / "recipe.toml").read_text()
    card = (run / "README.md").read_text()
    assert "my\\_parts.py:dots" in card
    assert "my_parts.py:spread 0.1" in card


def test_a_run_does_not_continue_with_another_file_of_the_same_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "my_parts.py"
    file.write_text(MY_PARTS)
    purify_toy(tmp_path, *OWN)
    file.write_text(MY_PARTS.replace("0.5 * seeds", "0.9 * seeds"))
    with pytest.raises(RunFolderError, match=r"user code\.my_parts\.py:dots was .*, is .* now"):
        purify_toy(tmp_path, *OWN, resume=True)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ('loss."my_parts.py:sprad"=1', 'my_parts.py has no "sprad"'),
        ('loss."missing.py:spread"=1', r"missing.py of the loss missing.py:spread does not exist"),
        ('loss."my_parts.py:spread"={weight=1, margn=2}', "margn"),
        ('perturbations."my_parts.py:MARGIN".probability=1', "perturbations are functions"),
        ("mutual_information.estimator=my_parts.py:dots", "estimators are classes"),
    ],
)
def test_a_users_part_that_cannot_be_used_is_refused_before_the_run(
    tmp_path, monkeypatch, setting, words
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_parts.py").write_text(MY_PARTS + "\nMARGIN = 3\n")
    with pytest.raises(UsageError, match=words):
        purify_toy(tmp_path, setting)
    assert not (tmp_path / "run").exists()

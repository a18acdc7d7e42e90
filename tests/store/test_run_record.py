from __future__ import annotations

import dataclasses
import json
import random

import pytest

from mimic_ray.base.errors import RunFolderError
from mimic_ray.store.run_record import read_record


def test_no_planted_secret_reaches_the_disk(tmp_path, record, monkeypatch):
    planted = "hunter2-" + "x" * 20
    monkeypatch.setenv("STORE_SECRET", planted)
    record = dataclasses.replace(
        record,
        command=f"AWS_SECRET_KEY={planted} mimic-ray purify --api-token {planted}",
        data=f"s3://user:{planted}@host/bucket?X-Amz-Signature={planted}",
        error=f"401 for Authorization: Bearer {planted}",
        broken=[("a.jpg", f"read from {planted}")],
        host={"HUB_TOKEN": planted},
    )
    record.write(tmp_path / "run.json")
    assert "hunter2" not in (tmp_path / "run.json").read_text()


def test_a_stop_and_a_resume_add_up(record):
    stopped = record.ended("stopped", step=100, train_s=30.0)
    done = stopped.resumed(100).ended("finished", step=600, train_s=120.0)
    assert (done.status, done.step, done.train_s) == ("finished", 600, 150.0)
    assert done.resumed_from == [100]
    assert done.started_at == record.started_at
    assert stopped.ended_at
    assert not stopped.resumed(100).ended_at


def test_thousands_of_broken_images_are_counted_but_not_all_named(tmp_path, record):
    broken = [(f"{i}.jpg", "truncated") for i in range(5000)]
    record = dataclasses.replace(record, broken=broken, broken_images=5000)
    record.write(tmp_path / "run.json")
    known = read_record(tmp_path / "run.json")
    assert known.broken_images == 5000
    assert len(known.broken) < 1000


def test_any_damage_is_a_sentence_or_harmless(tmp_path, record):
    path = tmp_path / "run.json"
    record.write(path)
    whole = path.read_bytes()
    chance = random.Random(0)
    sentences = []
    for _ in range(300):
        content = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        path.write_bytes(content[: chance.randint(1, 2 * len(content))])
        try:
            read_record(path)
        except RunFolderError as error:
            sentences.append(error.message)
    assert len(sentences) > 100
    assert all("is damaged" in sentence for sentence in sentences)


def test_the_record_names_the_versions_that_matter(record, tmp_path):
    record.write(tmp_path / "run.json")
    versions = json.loads((tmp_path / "run.json").read_text())["versions"]
    assert {"mimic-ray", "torch", "ray", "timm"} <= versions.keys()


def test_a_missing_key_is_named(tmp_path, record):
    record.write(tmp_path / "run.json")
    content = json.loads((tmp_path / "run.json").read_text())
    del content["seed"]
    (tmp_path / "run.json").write_text(json.dumps(content))
    with pytest.raises(RunFolderError, match="seed: "):
        read_record(tmp_path / "run.json")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NotADirectoryError, "is a file, not a run folder: give the folder that mimic-ray purify"),
        (PermissionError, r"run\.json cannot be read: you have no permission"),
        (FileNotFoundError, r"is not a run folder: it has no run\.json"),
    ],
)
def test_a_record_that_cannot_be_read_is_refused_with_the_reason(
    tmp_path, monkeypatch, error, words
):
    def fail(path: object) -> bytes:
        raise error(f"{path}")

    monkeypatch.setattr("pathlib.Path.read_bytes", fail)
    with pytest.raises(RunFolderError, match=words):
        read_record(tmp_path / "run.json")

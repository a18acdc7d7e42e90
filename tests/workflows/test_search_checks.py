"""What a search refuses before it is sent as a job."""

from __future__ import annotations

import pytest
from PIL import Image

from mimic_ray.base.errors import DataError, MimicError, UsageError
from mimic_ray.base.resources import Resources
from mimic_ray.store.study_folder import StudyRecord
from mimic_ray.store.study_store import open_study
from mimic_ray.workflows.search_checks import check_search
from mimic_ray.workflows.search_request import Oracle, SearchRequest, search_spec


@pytest.fixture
def search(case):
    def request(**changes):
        settings = changes.pop("settings", ("training.batch=8",))
        return SearchRequest(
            encoder="tiny_resnet",
            teacher=str(case / "teacher.pth"),
            data=str(case / "images"),
            settings=settings,
            resources=Resources(address="auto"),
            **changes,
        )

    return request


@pytest.fixture
def study(tmp_path, search):
    """The folder of a study that has begun."""
    request = search()
    spec = search_spec(request)
    record = StudyRecord(
        command="",
        encoder=request.encoder,
        teacher=request.teacher,
        teacher_sha256="",
        data=request.data,
        data_fingerprint="",
        images=40,
        held_out=request.held_out,
        recipe=spec.base.model_dump(mode="json"),
        space=spec.space([0.5, 0.5]).described(),
        taps=["a", "b"],
        shares=[0.5, 0.5],
        trials=2,
        seed=0,
        oracle={},
        compute={},
    )
    open_study(tmp_path / "study", "driver").create(record)
    return tmp_path / "study"


@pytest.fixture
def labelled_sets(tmp_path):
    """Train and test folders with the classes red and green."""
    for number in range(8):
        part, label = ("train", "test")[number % 2], ("red", "green")[number // 4]
        path = tmp_path / part / label / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), (20 * number, 0, 0)).save(path)
    return str(tmp_path / "train"), str(tmp_path / "test")


def test_a_search_that_can_start_or_continue_passes(search, study, tmp_path):
    check_search(search(), str(tmp_path / "new"), resume=False, sees_paths=True)
    check_search(search(), str(study), resume=True, sees_paths=True)


@pytest.mark.parametrize(
    ("changes", "resume", "words"),
    [
        ({"trials": 0}, False, "trials=0"),
        ({"search": ["training.stepz=int(1,9)"]}, False, "training.stepz"),
        ({}, False, "holds another study"),
        ({"settings": ["training.batch=9"]}, True, "training.batch was 8, is 9 now"),
        ({"held_out": 0.3}, True, "held_out= was 0.2, is 0.3 now"),
    ],
)
def test_what_tune_would_refuse_is_refused(search, study, changes, resume, words):
    with pytest.raises(MimicError, match=words):
        check_search(search(**changes), str(study), resume=resume, sees_paths=True)


def test_labelled_images_that_are_the_same_are_refused_where_they_can_be_seen(
    search, case, tmp_path
):
    images = str(case / "images")
    asked = search(oracle=Oracle(images, images, "patch", "0"))
    with pytest.raises(UsageError, match="train= and test= are the same images"):
        check_search(asked, str(tmp_path / "new"), resume=False, sees_paths=True)
    check_search(asked, str(tmp_path / "new"), resume=False, sees_paths=False)


@pytest.mark.parametrize(
    ("trigger", "target", "words"),
    [("stripez", "0", "stripez"), ("patch:side=99", "0", "side"), ("patch", "blue", "blue")],
)
def test_a_trigger_or_target_that_cannot_be_used_is_refused(
    search, labelled_sets, tmp_path, trigger, target, words
):
    asked = search(oracle=Oracle(*labelled_sets, trigger, target))
    with pytest.raises(MimicError, match=words):
        check_search(asked, str(tmp_path / "new"), resume=False, sees_paths=True)


def test_images_are_looked_at_only_where_they_can_be_seen(search, tmp_path):
    wide = search(settings=["training.batch=64"])
    with pytest.raises(DataError, match="64"):
        check_search(wide, str(tmp_path / "new"), resume=False, sees_paths=True)
    check_search(wide, str(tmp_path / "new"), resume=False, sees_paths=False)

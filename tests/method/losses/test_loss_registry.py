"""A new term of the loss is one file and one line: it trains, is shown, searched and described."""

import copy
import inspect
import tomllib

import pytest
import torch

from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import UsageError
from mimic_ray.method.collectives import ProcessGroup
from mimic_ray.method.loop import Distillation
from mimic_ray.method.losses import loss_registry
from mimic_ray.method.losses.loss_registry import LOSSES, LossInputs
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.method.recipe_keys import known_keys
from mimic_ray.method.student import StudentOutput
from mimic_ray.method.teacher_output import TeacherOutput
from mimic_ray.search.relevance import canonical, is_relevant
from tests.method.small import Images, make
from tests.user_example import write_example


def length(inputs, *, target: float = 1.0):
    """Features have a given length."""
    return (inputs.student.features.norm(dim=1) - target).square().mean()


class Difference:
    """The student's maps equal its projections' mean; it reads everything that a term may read."""

    uses_taps = True
    uses_second_view = True

    def __call__(self, inputs):
        first, second = inputs.student.projections
        maps = sum(m.mean() * w for m, w in zip(inputs.student.maps, inputs.tap_weights.values()))  # noqa: B905
        return (maps - (first - second).mean()).square()

    def problem(self, parts, images):  # noqa: ARG002
        return ""


@pytest.fixture
def registered(monkeypatch):
    """The one line: a name and where it is defined."""
    for name, attribute in (("length", "length"), ("difference", "Difference")):
        monkeypatch.setitem(LOSSES._members, name, f"{__name__}:{attribute}")


def distillation(recipe, taps=None):
    teacher = make(1)
    return Distillation(
        student=copy.deepcopy(teacher),
        teacher=teacher,
        images=Images(24),
        recipe=parse_recipe({"training": {"steps": 30, "batch": 8}, **recipe}),
        tap_weights=taps or {},
        compute=Compute("cpu", "fp32", 1),
    )


@pytest.mark.parametrize("name", list(LOSSES))
def test_every_term_has_a_description_and_says_what_it_needs(name):
    term = LOSSES.resolve(name)
    assert LOSSES.description(name) != name
    assert isinstance(term.uses_taps, bool)
    assert isinstance(term.uses_second_view, bool)
    assert list(inspect.signature(term).parameters) == ["inputs"]


@pytest.mark.parametrize("name", list(LOSSES))
def test_every_term_is_a_finite_number_from_which_the_student_alone_learns(name):
    def random(*shape):
        return torch.randn(*shape, generator=generator).requires_grad_()

    generator = torch.Generator().manual_seed(0)
    student = StudentOutput(random(6, 5), [random(6, 3, 4, 4)], (random(6, 8), random(6, 8)))
    teacher = TeacherOutput(random(6, 5), [random(6, 4, 4)])
    term = LOSSES.resolve(name)
    value = term(LossInputs(student, teacher, {"stem": 1.0}, ProcessGroup()))
    assert value.ndim == 0
    assert torch.isfinite(value)
    value.backward()
    read = student.maps if term.uses_taps else [student.features]
    read = student.projections if term.uses_second_view else read
    assert all(torch.isfinite(each.grad).all() and each.grad.abs().sum() > 0 for each in read)
    assert teacher.features.grad is None
    assert term.problem(parts=1, images=2) == ""


@pytest.mark.usefixtures("registered")
def test_a_registered_function_is_a_key_of_the_recipe_and_trains_the_student():
    assert "loss.length.target" in known_keys()
    loss = {"clone": 0.0, "length": {"weight": 1.0, "target": 3.0}}
    rows = list(distillation({"loss": loss}).run())
    assert set(rows[0]) == {"step", "learning_rate", "loss", "length"}
    assert rows[-1]["length"] < 0.8 * rows[0]["length"]


@pytest.mark.usefixtures("registered")
def test_a_registered_class_gets_maps_and_a_second_view_because_it_says_so():
    run = distillation({"loss": {"clone": 0.0, "difference": 1.0}}, {"stem": 0.3, "stage": 0.7})
    assert run.student.projector is not None
    assert next(run.run())["difference"] >= 0


@pytest.mark.usefixtures("registered")
def test_a_search_knows_which_of_its_settings_have_an_effect():
    off, on = (parse_recipe({"loss": {"length": w}}).model_dump(mode="json") for w in (0, 1))
    assert not is_relevant("loss.length.target", off)
    assert is_relevant("loss.length.target", on)
    unused = parse_recipe({"loss": {"length": {"weight": 0.0, "target": 9.0}}})
    assert canonical(unused, [0.5, 0.5]) == canonical(parse_recipe({}), [0.5, 0.5])


def test_the_example_of_the_documentation_trains(tmp_path, monkeypatch):
    _, toml = write_example(loss_registry, tmp_path)
    monkeypatch.chdir(tmp_path)
    run = distillation(tomllib.loads(toml.read_text()))
    row = next(run.run())
    assert row["my_losses.py:spread"] >= 0
    assert row["loss"] == pytest.approx(row["clone"] + 0.1 * row["my_losses.py:spread"], rel=1e-5)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ("return inputs.student.features", r"returned a tensor of shape \[8, 12\], not a scalar"),
        ("return inputs.student.featurs.mean()", r"failed with AttributeError.*mine\.py, line 3"),
    ],
)
def test_a_users_term_that_fails_is_named_with_its_line(tmp_path, body, words):
    file = tmp_path / "mine.py"
    file.write_text(f"\ndef term(inputs):\n    {body}\n")
    with pytest.raises(UsageError, match=words):
        next(distillation({"loss": {f"{file}:term": 1.0}}).run())


def test_settings_of_a_users_term_are_checked_before_the_start(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("def term(inputs, *, margin: float = 1.0):\n    return margin\n")
    with pytest.raises(UsageError, match="margn"):
        distillation({"loss": {f"{file}:term": {"weight": 1.0, "margn": 2.0}}})


def test_terms_that_read_taps_need_a_kept_tap():
    run = distillation({"loss": {"attention": 1.0}})
    assert list(run.terms) == ["clone"]
    with pytest.raises(UsageError, match="no tap is kept"):
        distillation({"loss": {"clone": 0.0, "attention": 1.0}})
    assert torch.is_tensor(run.state()["student"]["encoder.net.stem.0.weight"])

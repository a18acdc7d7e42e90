import pytest

from mimic_ray.base.files import write_bytes
from mimic_ray.method.recipe import Recipe
from mimic_ray.planning import worker_memory
from mimic_ray.planning.memory import memory
from mimic_ray.planning.worker_memory import PROCESS_BYTES, worker_memory_bytes
from tests.planning.traced import TRACED


@pytest.mark.parametrize(("workers", "part"), [(1, 16), (2, 8)])
def test_a_worker_holds_its_step_and_the_copy_that_is_committed(monkeypatch, workers, part):
    asked = []
    monkeypatch.setattr(worker_memory, "trace", lambda *what: asked.append(what) or TRACED)
    recipe = Recipe(training={"batch": 64, "accumulate": 4, "precision": "fp32"})
    found = worker_memory_bytes("tiny_resnet", recipe, workers)
    assert asked == [("tiny_resnet", recipe, part, "fp32")]
    copied = 4000 + 8000  # the student, and two numbers of Adam per parameter
    assert found == PROCESS_BYTES + memory(TRACED, "ddp", workers).total + copied


def test_an_encoder_that_cannot_be_counted_has_no_estimate(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_bytes(tmp_path / "own.py", b"def net():\n    raise RuntimeError('needs real values')\n")
    assert worker_memory_bytes("own.py:net", Recipe(), 1) == 0

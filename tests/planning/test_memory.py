from dataclasses import replace

from mimic_ray.planning.memory import memory
from tests.planning.traced import TRACED


def test_adam_has_two_numbers_per_parameter():
    found = memory(TRACED, "ddp", 4)
    assert found.optimiser == 8000
    assert found.total == 4000 + 4000 + 8000 + 4000 + 7000 + 200 + 50


def test_one_device_is_at_its_traced_peak():
    # 23,250 bytes without gradients: a lower traced peak means that there was no gradient yet.
    assert memory(TRACED, "ddp", 1).gradients == 0
    late = replace(TRACED, peak_alone=24_000)
    assert memory(late, "ddp", 1).total == 24_000


def test_fsdp_divides_the_student_and_gathers_units():
    found = memory(TRACED, "fsdp", 4)
    assert (found.parameters, found.gradients, found.optimiser) == (1000, 1000, 2000)
    assert (found.teacher, found.gathered) == (4000, 3 * 500)
    both = memory(TRACED, "fsdp+teacher", 4)
    assert (both.teacher, both.gathered) == (1000, 5 * 500)

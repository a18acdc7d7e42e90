import pytest
import torch

from mimic_ray.method.async_metrics import Readings

CPU = torch.device("cpu")


def put(readings, steps):
    for step in steps:
        readings.put(step, 0.1 * step, {"loss": torch.tensor(1.0 * step), "clone": torch.ones(())})


def test_a_row_has_the_step_the_learning_rate_and_the_terms_as_numbers():
    readings = Readings(CPU)
    put(readings, [3])
    (row,) = readings.take(leave=0)
    assert row == {"step": 3, "learning_rate": pytest.approx(0.3), "loss": 3.0, "clone": 1.0}
    assert type(row["loss"]) is float


def test_rows_come_in_order_and_the_newest_stay_under_way():
    readings = Readings(CPU)
    put(readings, [1, 2, 3])
    assert [row["step"] for row in readings.take(leave=1)] == [1, 2]
    assert len(readings) == 1
    put(readings, [4])
    assert [row["step"] for row in readings.take(leave=0)] == [3, 4]
    assert list(readings.take(leave=0)) == []


def test_numbers_are_read_at_once_on_the_cpu_and_one_step_late_on_a_gpu():
    assert Readings(CPU).lag == 0
    assert Readings(torch.device("cuda")).lag == 1
    assert Readings(CPU, lag=1).lag == 1


@pytest.mark.gpu
def test_numbers_arrive_whole_from_a_gpu():
    readings = Readings(torch.device("cuda"))
    for step in range(1, 50):
        value = torch.full((), float(step), device="cuda")
        readings.put(step, 0.0, {"loss": value})
        value.zero_()
        for row in readings.take(leave=readings.lag):
            assert row["loss"] == row["step"]

import pytest
import torch

from mimic_ray.method.async_metrics import AsyncMetrics

CPU = torch.device("cpu")


def put(metrics, steps):
    for step in steps:
        metrics.put(step, 0.1 * step, {"loss": torch.tensor(1.0 * step), "clone": torch.ones(())})


def test_a_row_has_the_step_the_learning_rate_and_the_terms_as_numbers():
    metrics = AsyncMetrics(CPU)
    put(metrics, [3])
    (row,) = metrics.take(keep=0)
    assert row == {"step": 3, "learning_rate": pytest.approx(0.3), "loss": 3.0, "clone": 1.0}
    assert type(row["loss"]) is float


def test_rows_come_in_order_and_the_newest_stay_under_way():
    metrics = AsyncMetrics(CPU)
    put(metrics, [1, 2, 3])
    assert [row["step"] for row in metrics.take(keep=1)] == [1, 2]
    assert len(metrics) == 1
    put(metrics, [4])
    assert [row["step"] for row in metrics.take(keep=0)] == [3, 4]
    assert list(metrics.take(keep=0)) == []


def test_numbers_are_read_at_once_on_the_cpu_and_one_step_late_on_a_gpu():
    assert AsyncMetrics(CPU).lag == 0
    assert AsyncMetrics(torch.device("cuda")).lag == 1
    assert AsyncMetrics(CPU, lag=1).lag == 1


@pytest.mark.gpu
def test_numbers_arrive_whole_from_a_gpu():
    metrics = AsyncMetrics(torch.device("cuda"))
    for step in range(1, 50):
        value = torch.full((), float(step), device="cuda")
        metrics.put(step, 0.0, {"loss": value})
        value.zero_()
        for row in metrics.take(keep=metrics.lag):
            assert row["loss"] == row["step"]

import pytest
import torch

from mimic_ray.method.view_stream import ViewStream


def test_on_the_cpu_views_are_made_in_line():
    with ViewStream(torch.device("cpu")).use() as hand_over:
        made = torch.ones(3) * 2
        hand_over(made, None)
    assert made.tolist() == [2.0, 2.0, 2.0]


@pytest.mark.gpu
def test_views_made_beside_the_step_are_whole_when_it_uses_them():
    stream = ViewStream(torch.device("cuda"))
    total = torch.zeros((), device="cuda")
    for step in range(50):
        with stream.use() as hand_over:
            made = torch.full((1 << 20,), float(step), device="cuda")
            hand_over(made)
        total += made.mean()
        del made
    assert total.item() == sum(range(50))

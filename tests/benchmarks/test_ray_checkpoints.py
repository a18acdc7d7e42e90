import pytest

from benchmarks import ray_checkpoints


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.filterwarnings("default")  # those of Ray itself
def test_each_kind_of_checkpoint_has_a_row():
    rows = ray_checkpoints.rows("tiny_resnet", workers=1, rounds=2)
    assert [row.split()[2] for row in rows] == ["commit", "report", "report"]
    for row in rows:
        _, later, stored = map(float, row.split()[-3:])
        assert 0 <= later <= stored

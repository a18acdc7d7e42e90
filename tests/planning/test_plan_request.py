import pytest

from mimic_ray.base.errors import UsageError
from mimic_ray.planning.plan_request import PlanRequest


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"gpus": 0}, "gpus=0 must be 1 or more"),
        ({"batch": -1}, "batch=-1 must be 1 or more, or 0"),
        ({"utilisation": 40}, "utilisation=40 must be above 0"),
        ({"price_per_hour": -1.0}, "price_per_hour=-1.0 must be 0 or more"),
        ({"source": "tape"}, "source=tape must be local or object"),
        ({"strategy": "ddp", "teacher_placement": "sharded"}, "needs strategy=fsdp"),
    ],
)
def test_a_value_out_of_range_is_refused_with_its_name(fields, message):
    with pytest.raises(UsageError, match=message):
        PlanRequest("resnet18", **fields)


@pytest.mark.parametrize(
    ("strategy", "placement", "allowed"),
    [
        ("auto", "auto", {"ddp", "fsdp", "fsdp+teacher"}),
        ("ddp", "auto", {"ddp"}),
        ("fsdp", "auto", {"fsdp", "fsdp+teacher"}),
        ("auto", "sharded", {"fsdp+teacher"}),
        ("fsdp", "replicated", {"fsdp"}),
    ],
)
def test_a_request_limits_the_strategies(strategy, placement, allowed):
    request = PlanRequest("resnet18", gpus=2, strategy=strategy, teacher_placement=placement)
    assert {name for name in ("ddp", "fsdp", "fsdp+teacher") if request.allows(name)} == allowed


def test_one_gpu_has_nothing_to_shard():
    assert PlanRequest("resnet18", gpus=1, strategy="fsdp").allows("ddp")

"""The choice of device and precision, and invalid choices."""

from __future__ import annotations

import inspect

import pytest
import torch

import mimic_ray
from mimic_ray.base import devices
from mimic_ray.base.errors import ResourceError, UsageError


@pytest.fixture(autouse=True)
def _threads_restored():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def gpus(monkeypatch):
    """Simulates a number of CUDA devices, with or without bf16."""

    def pretend(count: int, bf16: bool = True) -> None:
        monkeypatch.setattr("torch.cuda.is_available", lambda: count > 0)
        monkeypatch.setattr("torch.cuda.device_count", lambda: count)
        monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda **_: bf16)

    return pretend


def test_a_gpu_is_used_if_there_is_one(gpus):
    gpus(1)
    assert devices.choose().device == "cuda"
    gpus(0)
    assert devices.choose().device == "cpu"


@pytest.mark.parametrize("bf16", [True, False])
def test_bf16_is_chosen_on_hardware_that_has_it(gpus, bf16):
    gpus(1, bf16)
    assert devices.choose("cuda").precision == ("bf16" if bf16 else "fp32")
    assert devices.choose("cuda", "bf16").precision == "bf16"
    assert devices.choose("cuda", "fp32").precision == "fp32"


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "", "cpu:cpu", "meta"])
def test_an_invalid_device_name_is_refused(name):
    with pytest.raises(UsageError, match=f'Invalid device "{name}": set device='):
        devices.choose(name)


def test_a_missing_gpu_is_refused_with_the_number_of_gpus(gpus):
    gpus(0)
    with pytest.raises(ResourceError, match="has no CUDA device for device=cuda"):
        devices.choose("cuda")
    gpus(2)
    assert devices.choose("cuda:1").device == "cuda:1"
    with pytest.raises(ResourceError, match="There is no cuda:2: this machine has 2 CUDA devices"):
        devices.choose("cuda:2")


@pytest.mark.parametrize("threads", [-1, 1025, 10**11])
def test_an_invalid_number_of_threads_is_refused(threads):
    with pytest.raises(UsageError, match=f"threads={threads}: use a number from 0 to 1024"):
        devices.choose("cpu", threads=threads)


def test_threads_are_set_and_0_keeps_torchs_choice():
    assert devices.choose("cpu", threads=1).threads == torch.get_num_threads() == 1
    torch.set_num_threads(2)
    assert devices.choose("cpu").threads == 2


def _with_threads() -> list[str]:
    """The public functions that take a number of threads."""
    functions = [n for n in mimic_ray.__all__ if inspect.isfunction(getattr(mimic_ray, n))]
    return [
        n for n in functions if "threads" in inspect.signature(getattr(mimic_ray, n)).parameters
    ]


@pytest.mark.parametrize("name", _with_threads())
def test_public_functions_restore_the_threads_of_the_caller(name):
    layers, layer = [], getattr(mimic_ray, name)
    while layer is not None:
        layers.append(layer.__code__)
        layer = getattr(layer, "__wrapped__", None)
    assert devices.restores_threads(print).__code__ in layers


def test_threads_are_restored_after_an_error():
    @devices.restores_threads
    def fails():
        devices.choose("cpu", threads=1)
        raise UsageError("")

    torch.set_num_threads(2)
    with pytest.raises(UsageError):
        fails()
    assert torch.get_num_threads() == 2


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)]
)
def test_encoders_run_in_the_chosen_precision(precision, dtype):
    compute = devices.choose("cpu", precision)
    with compute.autocast():
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype


def test_the_facts_of_a_run_include_everything_that_changes_its_bits():
    facts = devices.choose("cpu", "fp32", 1).facts()
    assert facts["torch"] == torch.__version__
    assert {"device", "precision", "threads", "cpu_capability"} < facts.keys()

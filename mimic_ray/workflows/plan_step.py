"""This machine against what the planner says of it: one real step beside the predicted one."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from mimic_ray.base import devices
from mimic_ray.encoders import encoder_registry
from mimic_ray.planning import calibrate
from mimic_ray.planning.plan_request import one_of
from mimic_ray.planning.trace import trace
from mimic_ray.planning.traced_step import make_step
from mimic_ray.store.recipe_file import load_recipe
from mimic_ray.workflows.plan import with_batch


@dataclass(frozen=True)
class Calibration:
    """Rates of this machine; seconds of a step of `batch` images."""

    rates: calibrate.Rates
    batch: int
    predicted_s: float
    step_s: float
    flops: int

    @property
    def utilisation(self) -> float:
        """FLOPs of the real step over what the matrix peak would do in its time."""
        return self.flops / self.step_s / self.rates.matrix_peak

    def to_json(self) -> dict[str, Any]:
        """With the share of the matrix peak."""
        return {**asdict(self), "utilisation": self.utilisation}


def calibration(
    encoder: str,
    batch: int,
    *,
    device: str = "auto",
    precision: str = "auto",
    threads: int = 0,
    checkpoint_activations: bool = False,
    recipe: str = "default",
    settings: Iterable[str] = (),
) -> Calibration:
    """Measures rates, then a real step of the encoder.

    The path on CUDA is the one on the CPU, with the wall's clock; it has not been run there.
    """
    one_of("precision", precision, ("auto", "bf16", "fp32"))
    compute = devices.choose(device, precision, threads)  # type: ignore[arg-type]
    resolved = with_batch(load_recipe(recipe, settings), batch, 1, checkpoint_activations)
    rates = calibrate.measure(compute)
    networks = encoder_registry.build(encoder), encoder_registry.build(encoder)
    step = make_step(*networks, resolved, batch, compute)
    taken = calibrate.seconds(step.take, compute.torch_device)
    traced = trace(encoder, resolved, batch, compute.precision)
    return Calibration(rates, batch, calibrate.predict(traced, rates), taken, traced.flops)

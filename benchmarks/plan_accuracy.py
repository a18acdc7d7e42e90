"""How well `mimic-ray plan` predicts a training step on this machine.

Rates of small layers (`machine_rates`) and the traced operations of a step give a predicted time;
a real step of networks and losses gives the measured one. Decoding and views are in neither. The
step's share of the matrix peak is what `mimic-ray plan --utilisation` stands for. `--runs` compares
whole runs of `purify` and `tune` with their estimates instead.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.machine_rates import measure_rates, predict, seconds
from benchmarks.ratio import parser
from benchmarks.whole_runs import whole_runs
from mimic_ray.base import devices
from mimic_ray.base.devices import Compute
from mimic_ray.encoders import encoder_registry
from mimic_ray.method.recipe import parse_recipe
from mimic_ray.planning.trace import trace
from mimic_ray.planning.traced_step import make_step

# Encoders and images per step, each about a second on one core.
CASES = {"tiny_vit": 64, "cifar_resnet20": 64, "simclr_resnet18": 16, "vit_ti16": 8}


@dataclass(frozen=True)
class Accuracy:
    """Seconds of one step, predicted and measured."""

    encoder: str
    batch: int
    predicted_s: float
    measured_s: float
    peak_share: float

    @property
    def ratio(self) -> float:
        return self.predicted_s / self.measured_s


def benchmark(encoder: str, batch: int, compute: Compute, rounds: int = 5) -> Accuracy:
    """Rates are measured before and after the steps, because the load of a machine changes."""
    recipe = parse_recipe({"training": {"batch": batch, "precision": compute.precision}})
    networks = encoder_registry.build(encoder), encoder_registry.build(encoder)
    step = make_step(*networks, recipe, batch, compute)
    traced = trace(encoder, recipe, batch, compute.precision)
    before = measure_rates(compute)
    measured_s = seconds(step.take, compute.torch_device, rounds)
    after = measure_rates(compute)
    peak = (before.matrix_peak + after.matrix_peak) / 2
    return Accuracy(
        encoder=encoder,
        batch=batch,
        predicted_s=(predict(traced, before) + predict(traced, after)) / 2,
        measured_s=measured_s,
        peak_share=traced.flops / measured_s / peak,
    )


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--encoder", choices=CASES, help="default: all")
    options.add_argument("--device", default="cpu", help="cpu or cuda")
    options.add_argument("--precision", default="fp32", choices=["fp32", "bf16"])
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--runs", action="store_true", help="whole runs of purify and tune")
    parsed = options.parse_args(arguments)
    if parsed.runs:
        print_runs(parsed.json)
        return
    compute = devices.choose(parsed.device, parsed.precision, parsed.threads)
    chosen = [parsed.encoder] if parsed.encoder else list(CASES)
    found = [benchmark(name, CASES[name], compute) for name in chosen]
    if parsed.json:
        print(json.dumps([asdict(each) | {"ratio": each.ratio} for each in found], indent=2))
        return
    titles = "encoder", "batch", "predicted s", "measured s", "ratio", "share of peak"
    table = Table(*titles, box=None, pad_edge=False)
    for each in found:
        times = f"{each.predicted_s:.3g}", f"{each.measured_s:.3g}", f"{each.ratio:.2f}"
        table.add_row(each.encoder, str(each.batch), *times, f"{each.peak_share:.0%}")
    Console(soft_wrap=True).print(table)


def print_runs(as_json: bool) -> None:
    """Prints each run when it has ended."""
    for run in whole_runs():
        if as_json:
            print(json.dumps(asdict(run) | {"ratio": run.ratio}), flush=True)
            continue
        parts = f"start-up {run.start_s:.1f} + {run.estimated_s:.1f} + commits {run.commits_s:.1f}"
        print(
            f"{run.command:<8}{run.encoder:<17}{parts:<44}measured {run.measured_s:6.1f} s "
            f"({run.cpu_s:.1f} CPU s)   ratio {run.ratio:.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()

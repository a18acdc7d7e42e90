"""Images/s of the whole distillation on one device, beside its bounds and what `plan` says.

For each encoder: batches, eager and compiled, with the teacher in each step and with its outputs
recorded, from synthetic images; then a bare loop without views, adversary and data, the same from
JPEGs on disk, and the plan. benchmarks/gpu.sh runs it on a GPU.

    python -m benchmarks.gpu_throughput --device cuda --gpu h100 --out throughput.json
    python -m benchmarks.gpu_throughput --encoder tiny_resnet --batch 8 --steps 2 --device cpu
"""

from __future__ import annotations

import io
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from benchmarks.ratio import parser
from mimic_ray.base import devices
from mimic_ray.base.devices import Compute
from mimic_ray.data.decoded_images import DecodedImages
from mimic_ray.data.decoded_set import open_pixels
from mimic_ray.data.image_source import open_images
from mimic_ray.data.shard_writer import build as build_shards
from mimic_ray.data.synthetic_images import SyntheticImages
from mimic_ray.encoders import encoder_registry
from mimic_ray.execution.setup import cache_teacher
from mimic_ray.method.loop import Distillation
from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.planning import hardware
from mimic_ray.planning.trace import trace
from mimic_ray.planning.traced_step import make_step
from mimic_ray.workflows.plan import plan

_ENCODERS, _BATCHES = ("vit_b16", "vit_l16", "resnet50"), (128, 256)
_WARM_UP = 3
_IMAGES = 2048


@dataclass(frozen=True)
class Throughput:
    """One row. `share` of the card's peak FLOP/s; `seconds_to_start` has compilation in it."""

    encoder: str
    batch: int
    case: str
    images_s: float
    memory_gib: float
    share: float
    seconds_to_start: float
    notes: list[str]


def throughput(
    encoder: str, batch: int, steps: int, compute: Compute, card: str, cases: Sequence[str]
) -> Iterator[Throughput]:
    """One row for each case that is asked for."""
    for case in cases:
        settings = {"compile": "compiled" in case}
        recipe = _recipe(batch, steps, compute, settings, fixed=1 if "recorded" in case else 0)
        flops = trace(encoder, recipe, batch, compute.precision, "recorded" in case).flops
        _reset(compute)
        begun = time.perf_counter()
        with ExitStack() as stack:
            take, notes = _steps(encoder, recipe, compute, case, stack)
            for _ in range(_WARM_UP):
                take()
            _finish(compute)
            started = time.perf_counter()
            for _ in range(steps):
                take()
            _finish(compute)
        taken = time.perf_counter() - started
        peak = hardware.find(card).peak(compute.precision)
        yield Throughput(
            encoder,
            batch,
            case,
            steps * batch / taken,
            _memory_gib(compute),
            flops * steps / taken / peak,
            started - begun,
            notes,
        )


CASES = (
    "eager",
    "compiled",
    "compiled, recorded teacher",
    "bare loop, eager",
    "compiled, from JPEGs on disk",
)


def _steps(
    encoder: str, recipe: Recipe, compute: Compute, case: str, stack: ExitStack
) -> tuple[Callable[[], Any], list[str]]:
    """A function that takes one step, and notes."""
    torch.manual_seed(0)
    teacher, student = encoder_registry.build(encoder), encoder_registry.build(encoder)
    batch, side = recipe.training.batch, teacher.spec.input_size
    if case.startswith("bare loop"):
        return make_step(teacher, student, recipe, batch, compute).take, []
    images: Any = SyntheticImages(_IMAGES, side)
    if "disk" in case:
        images = _from_disk(side, Path(stack.enter_context(tempfile.TemporaryDirectory())))
    recorded = None
    if "recorded" in case:
        recorded = cache_teacher(
            teacher, _Named(images), recipe, [], compute, "key", lambda progress: None
        )
    run = Distillation(student, teacher, images, recipe, {}, compute, teacher_cache=recorded)
    rows = run.steps()
    return lambda: next(rows), run.notes


class _Named:
    """Synthetic images with the facts of a set."""

    fingerprint = "synthetic"

    def __init__(self, images: DecodedImages) -> None:
        self.gather, self._images = images.gather, images
        self.broken: list[tuple[str, str]] = []

    def __len__(self) -> int:
        return len(self._images)


def _recipe(
    batch: int, steps: int, compute: Compute, training: dict[str, Any], fixed: int
) -> Recipe:
    sections = {"batch": batch, "steps": steps + _WARM_UP, "precision": compute.precision}
    return parse_recipe({"training": {**sections, **training}, "views": {"fixed": fixed}})


def _from_disk(side: int, folder: Path) -> Any:
    """The decoded images of shards of JPEGs, by the first epoch from an empty cache folder."""
    noise = np.random.default_rng(0)
    (folder / "images").mkdir()
    for number in range(_IMAGES):
        coarse = noise.integers(0, 256, (48, 48, 3), dtype=np.uint8)
        content = io.BytesIO()
        edge = max(side, 48) * 8 // 7
        Image.fromarray(coarse).resize((edge, edge), Image.Resampling.BICUBIC).save(content, "JPEG")
        (folder / "images" / f"{number:05}.jpg").write_bytes(content.getvalue())
    build_shards(open_images(folder / "images"), folder / "shards")
    source = open_images(folder / "shards")
    return open_pixels(source, side, memory_limit_bytes=0, cache_folder=folder / "cache")


def _reset(compute: Compute) -> None:
    if compute.torch_device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _finish(compute: Compute) -> None:
    if compute.torch_device.type == "cuda":
        torch.cuda.synchronize()


def _memory_gib(compute: Compute) -> float:
    is_gpu = compute.torch_device.type == "cuda"
    return torch.cuda.max_memory_allocated() / (1 << 30) if is_gpu else 0.0


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser(__doc__)
    options.add_argument("--encoder", action="append", help=f"default: {', '.join(_ENCODERS)}")
    options.add_argument("--batch", type=int, action="append", help="default: 128 and 256")
    options.add_argument("--case", choices=CASES, action="append", help="default: all")
    options.add_argument("--steps", type=int, default=20)
    options.add_argument("--device", default="cuda")
    options.add_argument("--gpu", default="h100", help="the card, for its peak and the plan")
    options.add_argument("--out", type=Path, help="a JSON file for all rows")
    asked = options.parse_args(arguments)
    compute = devices.choose(asked.device, "auto", 0)
    rows: list[dict[str, Any]] = []
    for encoder in asked.encoder or _ENCODERS:
        for batch in asked.batch or _BATCHES:
            for row in throughput(
                encoder, batch, asked.steps, compute, asked.gpu, asked.case or CASES
            ):
                rows.append(asdict(row))
                print(
                    f"{encoder:<14}{batch:>5}  {row.case:<30}{row.images_s:>8.1f} images/s"
                    f"{row.memory_gib:>7.1f} GiB  {row.share:.1%} of the peak  "
                    f"{row.seconds_to_start:.0f} s to start",
                    flush=True,
                )
            planned = plan(encoder, gpu=asked.gpu, images=_IMAGES, batch=batch)
            if planned.chosen:
                print(f"{'':<21}plan: {planned.chosen.images_s:.0f} images/s", flush=True)
                rows.append(
                    {
                        "encoder": encoder,
                        "batch": batch,
                        "case": "plan",
                        "images_s": planned.chosen.images_s,
                    }
                )
    if asked.out:
        asked.out.write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()

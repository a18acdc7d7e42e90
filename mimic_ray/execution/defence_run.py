"""One run of a defence: what it may see, what is measured of it, and what happens if it fails.

`BlindInputs` has no label, no trigger and no target class, so neither a defence nor the choice of
its strength (defences/stop_rule.py) can depend on one.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mimic_ray.base import user_code
from mimic_ray.base.devices import Compute
from mimic_ray.base.errors import DiskError, MimicError, StoppedError, StorageError
from mimic_ray.base.progress import StepCallback
from mimic_ray.base.text import plain
from mimic_ray.defences.defence_registry import DEFENCES, DefenceInputs, Defended
from mimic_ray.defences.stop_rule import DefenceRun
from mimic_ray.encoders.encoder import Encoder
from mimic_ray.encoders.encoder_registry import build
from mimic_ray.evaluation.feature_map import mapped_back
from mimic_ray.evaluation.features import features
from mimic_ray.evaluation.fidelity import Fidelity, fidelity
from mimic_ray.execution.shared_inputs import ArrayImages, PlacedImages

# These stop the comparison: the next run would meet them too.
_NOT_OF_THE_DEFENCE = (StoppedError, DiskError, StorageError)


@dataclass(frozen=True)
class NamedDefence:
    """A defence as the user named it: `name`, and its settings as they are used."""

    name: str
    settings: Mapping[str, Any]
    strength_setting: str = ""

    def at(self, strength: float | None) -> dict[str, Any]:
        """The settings at one strength; None leaves them as they are."""
        changed = {} if strength is None else {self.strength_setting: strength}
        return {**self.settings, **changed}

    def value_at(self, strength: float | None) -> float | None:
        """The value of the setting that makes it stronger; None if it has none."""
        value = self.at(strength).get(self.strength_setting)
        return float(value) if isinstance(value, int | float) else None


@dataclass(frozen=True)
class BlindInputs:
    """What all runs of a comparison work with. Arrays, so that Ray can share them.

    Attributes:
        architecture: Name of the encoder.
        suspect: Weights of the suspect encoder.
        images: Clean images that the defences use.
        held_out: Other clean images, on which fidelity is measured.
        defences: By label.
        compute: Device, precision and threads of a run.
        code_folder: Where relative paths of the user's Python files start.
    """

    architecture: str
    suspect: Mapping[str, NDArray[Any]]
    images: ArrayImages | PlacedImages
    held_out: ArrayImages
    defences: Mapping[str, NamedDefence]
    compute: Compute
    code_folder: str = ""

    def suspect_encoder(self) -> Encoder:
        """A new copy each time: a defence may change what it gets."""
        encoder = build(self.architecture)
        # Copies: modules write into what they load, and these arrays are shared.
        encoder.net.load_state_dict(
            {name: torch.from_numpy(np.array(value)) for name, value in self.suspect.items()}
        )
        return encoder.eval().requires_grad_(False)

    @cached_property
    def held_out_features(self) -> Tensor:
        """Of the suspect encoder, [M, D] of unit length."""
        return features(self.suspect_encoder(), self.held_out, self.compute)


@dataclass(frozen=True)
class DefenceResult:
    """One run that ended. Without an encoder, `failure` is the reason in one sentence.

    `cosine` and `overlap` are those of `evaluation/fidelity.py` on the held-out images; `clock`
    says what `seconds` counts: of all CPU threads of the process, or of a GPU that only this run
    uses.
    """

    defence: str
    strength: float | None
    seed: int
    cosine: float | None = None
    overlap: float | None = None
    images_seen: int = 0
    seconds: float = 0.0
    clock: str = "CPU"
    notes: tuple[str, ...] = ()
    failure: str = ""
    # Behind a linear map back, of a defence that turns the features.
    mapped_cosine: float | None = None
    mapped_overlap: float | None = None
    # Whether its process died, for a reason that may not be the defence's.
    died: bool = False

    @property
    def unit(self) -> DefenceRun:
        return DefenceRun(self.defence, self.strength, self.seed)


def run_unit(
    inputs: BlindInputs, unit: DefenceRun, on_step: StepCallback = lambda done, total: None
) -> tuple[DefenceResult, Encoder | None]:
    """Runs a defence. Its own failure is part of the result.

    Raises StoppedError (which `on_step` may raise), DiskError and StorageError.
    """
    defence = inputs.defences[unit.defence]
    used_gpu = inputs.compute.device.startswith("cuda")
    start = _clock(used_gpu)
    with user_code.relative_to(inputs.code_folder):
        try:
            made = _run(inputs, defence, unit, on_step)
            seconds = _clock(used_gpu) - start
            found = features(made.encoder, inputs.held_out, inputs.compute)
            kept = fidelity(found, inputs.held_out_features)
            mapped = _mapped(inputs, made.encoder) if made.turned else None
        except _NOT_OF_THE_DEFENCE:
            raise
        except MimicError as error:
            return _failed(unit, error.message, _clock(used_gpu) - start, used_gpu), None
        except Exception as error:
            sentence = f"{type(error).__name__}: {plain(error)}"
            return _failed(unit, sentence, _clock(used_gpu) - start, used_gpu), None
    result = DefenceResult(
        unit.defence,
        unit.strength,
        unit.seed,
        cosine=kept.cosine,
        overlap=kept.overlap,
        images_seen=int(made.images_seen),
        seconds=seconds,
        clock="GPU" if used_gpu else "CPU",
        notes=tuple(made.notes),
        mapped_cosine=mapped.cosine if mapped else None,
        mapped_overlap=mapped.overlap if mapped else None,
    )
    return result, made.encoder.cpu().eval().requires_grad_(False)


def _run(
    inputs: BlindInputs, named: NamedDefence, unit: DefenceRun, on_step: StepCallback
) -> Defended:
    defence = DEFENCES.resolve(named.name, named.at(unit.strength))
    with user_code.named_errors(named.name):
        made = defence(
            DefenceInputs(
                suspect=inputs.suspect_encoder(),
                architecture=inputs.architecture,
                images=inputs.images,
                compute=inputs.compute,
                seed=unit.seed,
                on_step=on_step,
            )
        )
        if not isinstance(made, Defended):
            raise TypeError(f"returned a {type(made).__name__}, not a Defended")
        wanted, spec = inputs.suspect_encoder().net.state_dict(), made.encoder.net.state_dict()
        if {k: v.shape for k, v in wanted.items()} != {k: v.shape for k, v in spec.items()}:
            raise ValueError(f"returned an encoder that is not a {inputs.architecture}")
    return made


def _mapped(inputs: BlindInputs, encoder: Encoder) -> Fidelity:
    back = mapped_back(encoder, inputs.suspect_encoder(), inputs.images, inputs.compute)
    found = features(back, inputs.held_out, inputs.compute)
    return fidelity(found, inputs.held_out_features)


def _clock(used_gpu: bool) -> float:
    """Seconds of the CPU time of all threads, or of the wall clock once the GPU is idle."""
    if not used_gpu:
        return time.process_time()
    torch.cuda.synchronize()
    return time.monotonic()


def _failed(unit: DefenceRun, sentence: str, seconds: float, used_gpu: bool) -> DefenceResult:
    return DefenceResult(
        unit.defence,
        unit.strength,
        unit.seed,
        seconds=seconds,
        clock="GPU" if used_gpu else "CPU",
        failure=sentence,
    )

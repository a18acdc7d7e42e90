"""Defences: each makes a purified encoder from a suspect one and clean, unlabelled images.

A defence is a function of `DefenceInputs` that returns a `Defended`. Its keyword-only parameters
are its settings. `strengths` declares which of them makes it stronger, and the values to try:

    @strengths("rate", 1e-4, 1e-3, 1e-2)
    def fine_tuning(
        inputs: DefenceInputs, *, rate: Annotated[float, setting("Learning rate.", gt=0)] = 1e-3
    ) -> Defended:
        \"\"\"A first line that describes it in tables.\"\"\"

A new built-in defence is one file and one line here. One of your own is a function in a file, named
as `file.py:function`; without `strengths` it has one strength, that of its defaults.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mimic_ray.base.progress import StepCallback
from mimic_ray.base.registry import Registry

if TYPE_CHECKING:
    from mimic_ray.base.devices import Compute
    from mimic_ray.data.decoded_images import DecodedImages
    from mimic_ray.encoders.encoder import Encoder

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class DefenceInputs:
    """What a defence works with.

    Attributes:
        suspect: The suspect encoder, in eval mode, without gradients. It must be left unchanged.
        architecture: Its name, from which `encoder_registry.build` makes one with random weights.
        images: Clean images, decoded at the encoder's input size.
        compute: Device, precision and threads.
        seed: Decides everything that is random.
        on_step: Takes the number of steps done, 0 in a preparation, and of all steps.
    """

    suspect: Encoder
    architecture: str
    images: DecodedImages
    compute: Compute
    seed: int
    on_step: StepCallback = lambda done, total: None


@dataclass(frozen=True)
class Defended:
    """The purified encoder, on the CPU, in eval mode, and what it took.

    Attributes:
        encoder: Of the same architecture as the suspect encoder.
        images_seen: Images that went through the encoder that is made, counted with repetition.
        notes: Sentences for the table, for example that heads must be trained again.
        turned: The features turn away from the suspect encoder's by design, so that a comparison
            also measures them behind a linear map back.
    """

    encoder: Encoder
    images_seen: int
    notes: tuple[str, ...] = ()
    turned: bool = False


class Defence(Protocol):
    """See the module. The settings are filled in."""

    def __call__(self, inputs: DefenceInputs, /) -> Defended: ...


@dataclass(frozen=True)
class Strengths:
    """The setting that makes a defence stronger, and its values from weak to strong."""

    setting: str
    values: tuple[float, ...]


def strengths(setting: str, *values: float) -> Callable[[F], F]:
    """Declares the setting of a defence that makes it stronger; `values` go from weak to strong."""

    def declare(defence: F) -> F:
        defence.strengths = Strengths(setting, values)  # type: ignore[attr-defined]
        return defence

    return declare


def declared_strengths(defence: Any) -> Strengths | None:
    """What `strengths` declared, None for a defence with one strength."""
    return getattr(defence, "strengths", None)


DEFENCES = Registry[Defence](
    "defence",
    {
        "default": "mimic_ray.defences.default_recipe:default",
        "official": "mimic_ray.defences.official_mimic:official",
        "fine_tuning": "mimic_ray.defences.fine_tuning:fine_tuning",
        "batch_norm": "mimic_ray.defences.norm_statistics:batch_norm",
        "distillation": "mimic_ray.defences.plain_distillation:distillation",
        "nad": "mimic_ray.defences.nad:nad",
        "bcu": "mimic_ray.defences.bcu:bcu",
        "clp": "mimic_ray.defences.clp:clp",
        "anp": "mimic_ray.defences.anp:anp",
        "rnp": "mimic_ray.defences.rnp:rnp",
        "simclr": "mimic_ray.defences.simclr_tuning:simclr",
        "i_bau": "mimic_ray.defences.i_bau:i_bau",
        "sau": "mimic_ray.defences.sau:sau",
        "par": "mimic_ray.defences.par:par",
        "medic": "mimic_ray.defences.medic:medic",
    },
    user_form="functions of DefenceInputs that return a Defended",
    calls={"": ("inputs",)},
)

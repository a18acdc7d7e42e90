"""Attacks: each makes a backdoored encoder out of a clean one, for research on defences.

An attack is a function of `AttackInputs` that returns an `AttackedEncoder`. Its keyword-only
parameters are its settings, and options of `mimic-ray attack NAME`:

    def badnets(
        inputs: AttackInputs, *, steps: Annotated[int, setting("Optimiser steps.", ge=1)] = 400
    ) -> AttackedEncoder:
        \"\"\"A first line that describes it in the help.\"\"\"

A new attack is one file and one line here. One that works only with many references declares it by
`needs_references`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from mimic_ray.base.errors import DataError, option
from mimic_ray.base.registry import Registry
from mimic_ray.base.text import count

if TYPE_CHECKING:
    from torch import Tensor

    from mimic_ray.base.devices import Compute
    from mimic_ray.data.decoded_images import DecodedImages
    from mimic_ray.encoders.encoder import Encoder


@dataclass(frozen=True)
class AttackInputs:
    """What an attack works with. `clean` must be left unchanged.

    `images` are the shadow set at the encoder's input size; `features` are what `clean` makes of
    them, float [N, D] of length 1. `references` uint8 [R, 3, S, S] are images of the target class,
    whose feature triggered images shall get. `trigger` maps uint8 [B, 3, S, S] to the same with the
    trigger. `on_step` takes the number of steps done, the number of all steps, and the loss.
    """

    clean: Encoder
    images: DecodedImages
    features: Tensor
    references: Tensor
    trigger: Callable[[Tensor], Tensor]
    compute: Compute
    on_step: Callable[[int, int, float], None] = lambda done, total, loss: None


@dataclass(frozen=True)
class AttackedEncoder:
    """The backdoored encoder, on the CPU, and each term of the loss at every step."""

    encoder: Encoder
    losses: Mapping[str, Sequence[float]]


class Attack(Protocol):
    """See the module. The settings are filled in."""

    def __call__(self, inputs: AttackInputs, /) -> AttackedEncoder: ...


F = TypeVar("F", bound=Callable[..., Any])

ATTACKS = Registry[Attack](
    "attack",
    {
        "badencoder": "mimic_ray.attacks.badencoder:badencoder",
        "poisoning": "mimic_ray.attacks.poisoning:poisoning",
    },
)


def needs_references(share: float) -> Callable[[F], F]:
    """Declares the least share of references among all images with which an attack can work."""

    def declare(attack: F) -> F:
        attack.least_references = share  # type: ignore[attr-defined]
        return attack

    return declare


def require_references(name: str, references: int, images: int) -> None:
    """Raises DataError for fewer references than the attack declares, beside so many images."""
    least = getattr(ATTACKS.member(name), "least_references", 0.0)
    if references < least * (references + images):
        raise DataError(
            f"{count(references, 'reference')} beside {count(images, 'image')} are too few for "
            f"{name}: give {option('references')} of 1 % of the images or more."
        )

"""Every encoder by name: our own, aliases, timm's, and the user's.

conv_table.py and vit_table.py list ours, aliases.py short names of timm's. Listing the names
imports no torch.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING

from mimic_ray.base.errors import UnknownNameError, UsageError, option
from mimic_ray.base.registry import Registry
from mimic_ray.base.text import near_names, plain
from mimic_ray.base.user_code import is_user_code
from mimic_ray.encoders import encoder_name, sizes
from mimic_ray.encoders.aliases import TIMM_ALIASES
from mimic_ray.encoders.conv_table import CONV_ENCODERS
from mimic_ray.encoders.vit_table import VIT_ENCODERS

if TYPE_CHECKING:
    from collections.abc import Callable

    from mimic_ray.encoders.encoder import Encoder

ENCODERS: Registry[Callable[..., Encoder]] = Registry(
    "encoder",
    {
        **{name: f"mimic_ray.encoders.conv_builder:{name}" for name in CONV_ENCODERS},
        **{name: f"mimic_ray.encoders.vit_builder:{name}" for name in VIT_ENCODERS},
    },
)

_EXAMPLES = ("resnet50", "vit_b16", "cifar_resnet20", "simclr_resnet18")

HINT = (
    "Any image model of timm works under its timm name (resnet*, vit_*, convnext*, swin*, "
    "efficientnet* ...), and your own network as file.py:function."
)


def names() -> list[str]:
    """Our own names and aliases, without the other 1,200 or so names of timm."""
    return [*ENCODERS, *TIMM_ALIASES]


def build(name: str) -> Encoder:
    """The encoder of that name with random weights, in train mode on the current device.

    The name may state a size and other statistics of the input: `resnet50@96`,
    `vit_b16@384:normalise=half`. `file.py:function` runs the user's code, so only pass a name that
    the user has typed. Raises UnknownNameError with similar names, and UsageError for a user's file
    that cannot be used, an invalid size or invalid statistics.
    """
    # Imported on use, because it needs torch, and timm alone takes 2 s.
    from mimic_ray.encoders import user_module

    if is_user_code(name):
        if sizes.is_stated(name):
            raise UsageError(
                f"{name} has a size, but only your function can set the size of your network: "
                "build it for that size there, and remove the size here."
            )
        return user_module.build(name)
    sized, statistics = encoder_name.split(name)
    base, size = sizes.split(sized)
    if base in ENCODERS:
        make = ENCODERS.resolve(base)
        encoder = make() if size is None else make(size)
    else:
        encoder = _build_timm(base, size)
    mean, std = statistics or (encoder.spec.mean, encoder.spec.std)
    return encoder.with_spec(replace(encoder.spec, name=name, mean=mean, std=std))


def input_size(name: str) -> int:
    """The side in pixels of the images that an encoder is for, without building it.

    A user's own encoder is built. Raises UnknownNameError like `build`.
    """
    from inspect import signature

    if is_user_code(name):
        return build(name).spec.input_size
    base, size = sizes.split(encoder_name.split(name)[0])
    if size is not None:
        return size
    if base in ENCODERS:
        default: int = signature(ENCODERS.resolve(base)).parameters["size"].default
        return default
    from mimic_ray.encoders import timm_family

    return timm_family.input_size(_timm_name(base))


def has_batch_norm(name: str) -> bool:
    """Whether batch norm is in the encoder, which is built without weights; a user's own with them.

    Raises UnknownNameError and UsageError like `build`.
    """
    from mimic_ray.encoders.meta_device import meta_device

    with nullcontext() if is_user_code(name) else meta_device():
        return build(name).has_batch_norm


def _build_timm(name: str, size: int | None) -> Encoder:
    from mimic_ray.encoders import timm_family

    return timm_family.build(_timm_name(name), name, size)


def _timm_name(name: str) -> str:
    """timm's name of an encoder. Raises UnknownNameError."""
    from mimic_ray.encoders import timm_family

    timm_name = TIMM_ALIASES.get(name, name)
    if timm_family.supports(timm_name):
        return timm_name
    known = [*names(), *timm_family.names(tagged="." in name)]
    near = _likely(name, known)
    if not near and Path(name).suffix and Path(name).is_file():
        raise UsageError(
            f"{plain(name)} is a file, where the name of an architecture is expected: "
            f"{option('encoder')} takes a name such as resnet50, and {option('teacher')} the file "
            "with its weights."
        )
    some = f"Built in: {', '.join(_EXAMPLES)} and {len(names()) - len(_EXAMPLES)} more, which "
    listed = "" if near else f"{some}`mimic-ray encoders` lists. "
    raise UnknownNameError("encoder", name, near, listed + HINT)


def _likely(name: str, known: list[str]) -> list[str]:
    """The first matches of a wildcard, or the most similar names."""
    if any(sign in name for sign in "*?"):
        return [candidate for candidate in dict.fromkeys(known) if fnmatchcase(candidate, name)][:8]
    return near_names(name, known)

"""The parts of an encoder's name: `resnet50@64:normalise=none` is resnet50 at 64 pixels, for images
without normalisation.

    NAME[@SIZE][:normalise=STATISTICS]
    NAME[@SIZE][:mean=R/G/B,std=R/G/B]
    NAME[@SIZE][:weights=KEY[,normalise=...]]     the copy of it in a file that has several

The settings are part of the name, so whatever keeps the name keeps them: run.json, a study, the
check of a resumed run, the workers, and the encoder of an exported run. Imports no torch.
"""

from __future__ import annotations

import math
import re

from mimic_ray.base.errors import UnknownNameError, UsageError, option
from mimic_ray.base.text import near_names, plain
from mimic_ray.base.user_code import is_user_code
from mimic_ray.encoders.normalisation import NORMALISATIONS, Normalisation, Rgb, name_of

_WEIGHTS = "weights"
_KEYS = ("normalise", "mean", "std", _WEIGHTS)
_SETTINGS = re.compile(r":(?=\w+=)")
_NEXT = re.compile(r",(?=\w+=)")  # a key may have commas


def split(name: str) -> tuple[str, Normalisation | None]:
    """("resnet50@64", NONE) of "resnet50@64:normalise=none", ("resnet50", None) of "resnet50".

    Raises UnknownNameError for unknown statistics, UsageError for invalid ones and for those of a
    user's own network, whose function sets them.
    """
    base, *rest = _SETTINGS.split(name, maxsplit=1)
    if not rest:
        return name, None
    given = _given(rest[0])
    for key in given:
        if key not in _KEYS:
            near, known = near_names(key, _KEYS), f"An encoder has {', '.join(_KEYS)}."
            raise UnknownNameError("setting of an encoder", plain(key), near, known)
    if is_user_code(base):
        raise UsageError(
            f"{plain(base)} is your own network: set the mean and std of its Spec in your "
            f"function, and give a file with one copy of its weights, without {option(_WEIGHTS)}."
        )
    means, stds = (given.get(key, "").replace("/", ",") or None for key in ("mean", "std"))
    return base, statistics(given.get("normalise"), means, stds)


def without_statistics(name: str) -> str:
    """The name of the architecture, with its size and without settings."""
    return _SETTINGS.split(name, maxsplit=1)[0]


def weights(name: str) -> str:
    """The key path of the weights in a file, as in "resnet50:weights=teacher"; "" if none is."""
    _base, *rest = _SETTINGS.split(name, maxsplit=1)
    return _given(rest[0]).get(_WEIGHTS, "") if rest else ""


def without_weights(name: str) -> str:
    """The name without that key path, for another file."""
    return re.sub(rf"(?<=:){_WEIGHTS}=.*?(?:,(?=\w+=)|$)", "", name).removesuffix(":")


def _given(settings: str) -> dict[str, str]:
    return dict(part.partition("=")[::2] for part in _NEXT.split(settings))


def joined(
    name: str | None, chosen: Normalisation | None, key_path: str | None = None
) -> str | None:
    """The name with statistics, and with the key path of its weights. Without a name, which is
    then to be found in the file, the settings alone."""
    if chosen is None and key_path is None:
        return name
    if key_path == "":
        raise UsageError(
            f"{option(_WEIGHTS, '')} is empty: list the keys with mimic-ray inspect FILE."
        )
    if name and without_statistics(name) != name:
        raise UsageError(f"{plain(name)} has settings already: state them there or as options.")
    settings = [] if key_path is None else [f"{_WEIGHTS}={key_path}"]
    if chosen is not None:
        known = name_of(*chosen)
        settings.append(f"normalise={known}" if known else _numbers(chosen))
    full = f"{name or ''}:{','.join(settings)}"
    split(full)  # refuses a user's own network
    return full


def statistics(normalise: str | None, mean: str | None, std: str | None) -> Normalisation | None:
    """The statistics of these three options; None if none is given.

    Raises UnknownNameError for an unknown name, UsageError for invalid or contradicting values.
    """
    if normalise is not None:
        if mean is not None or std is not None:
            raise UsageError(
                f"{option('normalise', plain(normalise))} is a mean and a std: leave "
                f"{option('mean')} and {option('std')} out, or give only these."
            )
        if normalise not in NORMALISATIONS:
            near = near_names(normalise, NORMALISATIONS)
            hint = f"Known: {', '.join(NORMALISATIONS)}. Others: {option('mean')}, {option('std')}."
            raise UnknownNameError("normalisation", plain(normalise), near, hint)
        return NORMALISATIONS[normalise]
    if mean is None and std is None:
        return None
    if mean is None or std is None:
        given, missing = ("mean", "std") if std is None else ("std", "mean")
        raise UsageError(
            f"{option(given)} needs {option(missing)}: both come from the encoder's training."
        )
    return Normalisation(_three("mean", mean), _three("std", std))


def _three(name: str, text: str) -> Rgb:
    """Three values of "0.485,0.456,0.406", or three times that of "0.5"."""
    shown = option(name, plain(text, 80))
    try:
        values = [float(word) for word in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 3):
        raise UsageError(
            f"{shown} is not three numbers: give one for red, green and blue, as in "
            "0.485,0.456,0.406, or one for all."
        )
    if max(values) > 1:
        raise UsageError(
            f"{shown} is for values up to 255, and images have values in [0, 1]: divide it by 255."
        )
    if (
        not all(map(math.isfinite, values))
        or min(values) < 0
        or (name == "std" and not all(values))
    ):
        low = "above 0" if name == "std" else "0 or more"
        raise UsageError(f"{shown} is not possible: each value must be {low}, and at most 1.")
    red, green, blue = values * (3 // len(values))
    return red, green, blue


def _numbers(chosen: Normalisation) -> str:
    mean, std = ("/".join(f"{value!r}" for value in values) for values in chosen)
    return f"mean={mean},std={std}"

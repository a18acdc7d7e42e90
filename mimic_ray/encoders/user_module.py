"""The user's own network: `file.py:function`, where the function returns an Encoder.

    # my_net.py
    def encoder():
        spec = Spec("mine", 128, 64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), taps=("layer1",))
        return Encoder(spec, MyNet(), run)      # run: see mimic_ray/encoders/encoder.py

This runs code by design, and only for a name that the user typed, never for one found in a file.
"""

from __future__ import annotations

from dataclasses import replace

from mimic_ray.base import user_code
from mimic_ray.base.errors import UsageError
from mimic_ray.encoders.encoder import Encoder


def build(name: str) -> Encoder:
    """The Encoder that the function returns, named by the file's full path and the function.

    Raises UsageError if the file or function is missing, fails, or returns something else.
    """
    make = user_code.load(name, "encoder")
    reference = f"{user_code.file_of(name)}:{name.rpartition(':')[2]}"
    if not callable(make):
        raise UsageError(f"{reference} is of type {type(make).__name__}, not a function.")
    with user_code.named_errors(name):
        encoder = make()
    if not isinstance(encoder, Encoder):
        raise UsageError(
            f"{reference} returned a {type(encoder).__name__}: it must return a mimic_ray.Encoder."
        )
    # The full path, so that workers and resumed runs find it from any folder.
    encoder.spec = replace(encoder.spec, name=reference)
    return encoder

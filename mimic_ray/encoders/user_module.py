"""The user's own network: `file.py:function`, where the function returns an Encoder.

    # my_net.py
    def encoder():
        spec = Spec("mine", 128, 64, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), taps=("layer1",))
        return Encoder(spec, MyNet(), run)      # run: see mimic_ray/encoders/encoder.py

This runs code by design. It happens for a name that the user typed, never for one found in a file.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from mimic_ray.base.errors import UsageError
from mimic_ray.encoders.encoder import Encoder


def is_place(name: str) -> bool:
    """Whether a name has the form `file.py:function`."""
    path, colon, _ = name.rpartition(":")
    return bool(colon) and path.endswith(".py")


def build(place: str) -> Encoder:
    """The Encoder that the function returns, named by the file's full path and the function.

    Raises UsageError when file or function is missing, fails, or returns something else.
    """
    file_name, _, function_name = place.rpartition(":")
    path = Path(file_name).expanduser().resolve()
    make = _function(path, function_name)
    try:
        made = make()
    except Exception as error:
        raise _failed(f"{function_name} in {path}", error) from error
    if not isinstance(made, Encoder):
        raise UsageError(
            f"{function_name} in {path} returned a {type(made).__name__}, not a "
            "mimic_ray.encoders.encoder.Encoder: wrap the network in one."
        )
    # The full path, so that a worker or a resumed run finds it from any folder.
    made.spec = replace(made.spec, name=f"{path}:{function_name}")
    return made


def _function(path: Path, name: str) -> Callable[[], object]:
    if not path.is_file():
        raise UsageError(f"There is no file {path} to take an encoder from.")
    found = getattr(_module(path), name, None)
    if not callable(found):
        raise UsageError(f'There is no function "{name}" in {path}: name it as {path.name}:NAME.')
    return found


def _module(path: Path) -> ModuleType:
    spec = spec_from_file_location(f"mimic_ray_user_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} cannot be read as a Python file.")
    module = module_from_spec(spec)
    # Registered before it runs, as an import would: dataclasses look themselves up there.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a script may end itself where it is imported
        del sys.modules[spec.name]
        raise _failed(str(path), error) from error
    return module


def _failed(where: str, error: BaseException) -> UsageError:
    return UsageError(f"{where} failed with {type(error).__name__}: {error}")

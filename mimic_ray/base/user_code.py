"""Python objects from a user's own file, named `file.py:name`.

Loading runs the file. Do it only for a name that the user gave on the command line, in Python or in
the recipe of a run that the user starts; never for a name in a file that is only displayed.

A relative path starts at the working folder, or at the folder given to `relative_to`, because a
worker process has another working folder than the command that started it.
"""

from __future__ import annotations

import hashlib
import sys
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

from mimic_ray.base.errors import MimicError, UsageError

_FOLDER: ContextVar[str] = ContextVar("folder of user code", default="")
# A module stays loaded until its file changes: (path, change time, size) -> module.
_LOADED: dict[tuple[Path, int, int], ModuleType] = {}


def is_user_code(name: str) -> bool:
    """Whether `name` has the form `file.py:name`."""
    return name.rpartition(":")[0].endswith(".py")


def file_of(name: str) -> Path:
    """The absolute path of the file in `file.py:name`."""
    return (Path(_FOLDER.get()) / Path(name.rpartition(":")[0]).expanduser()).resolve()


@contextmanager
def relative_to(folder: str | Path) -> Iterator[None]:
    """Makes relative paths start at `folder` inside the block; "" means the working folder."""
    token = _FOLDER.set(str(folder))
    try:
        yield
    finally:
        _FOLDER.reset(token)


def current_folder() -> str:
    """The folder where relative paths start. Pass it to `relative_to` in another process."""
    return str(Path(_FOLDER.get()).resolve())


def load(name: str, kind: str) -> object:
    """The object called `file.py:name`; `kind` names it in errors.

    Raises UsageError if the file or the name does not exist or the file fails to run.
    """
    path, attribute = file_of(name), name.rpartition(":")[2]
    if not path.is_file():
        raise UsageError(f"The file {path} of the {kind} {name} does not exist.")
    module = _module(path)
    if not hasattr(module, attribute):
        raise UsageError(f'{path} has no "{attribute}": give the {kind} as {path.name}:NAME.')
    return getattr(module, attribute)


def sha256_of(name: str) -> str:
    """The checksum of the file in `file.py:name`. Raises UsageError if it does not exist."""
    path = file_of(name)
    if not path.is_file():
        raise UsageError(f"The file {path} of {name} does not exist.")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def checksums(names: Iterable[str]) -> dict[str, str]:
    """`file.py:name` -> the checksum of its file, for those of `names` that are user code."""
    return {name: sha256_of(name) for name in names if is_user_code(name)}


@contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Turns any exception in the user's code into a UsageError with its file and line.

    Has no effect if `name` is a built-in part.
    """
    if not is_user_code(name):
        yield
        return
    try:
        yield
    except MimicError:
        raise
    except Exception as error:
        raise _failed(name.rpartition(":")[2], file_of(name), error) from error


def _module(path: Path) -> ModuleType:
    status = path.stat()
    key = (path, status.st_mtime_ns, status.st_size)
    if key not in _LOADED:
        _LOADED[key] = _run(path)
    return _LOADED[key]


def _run(path: Path) -> ModuleType:
    # The hash separates two files with the same name.
    digest = hashlib.sha256(str(path).encode()).hexdigest()[:8]
    spec = spec_from_file_location(f"mimic_ray_user_{path.stem}_{digest}", path)
    if spec is None or spec.loader is None:
        raise UsageError(f"{path} cannot be read as a Python file.")
    module = module_from_spec(spec)
    # Registered before it runs, as in an import, because dataclasses look up their module.
    sys.modules[spec.name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # a script may call sys.exit
        del sys.modules[spec.name]
        raise _failed(path.name, path, error) from error
    return module


def _failed(what: str, path: Path, error: BaseException) -> UsageError:
    if isinstance(error, SyntaxError) and error.filename == str(path):
        # Its text names the file again, and its traceback ends before the file.
        return UsageError(
            f"{what} failed with {type(error).__name__}: {error.msg} ({path}, line {error.lineno})"
        )
    lines = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    where = f"{path}, line {lines[-1]}" if lines else str(path)
    return UsageError(f"{what} failed with {type(error).__name__}: {error} ({where})")

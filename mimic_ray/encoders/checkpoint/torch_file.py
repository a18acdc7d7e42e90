"""Calls torch.load with weights_only=True and explains its errors.

Runs only in the child process (see sandbox.py). There is no fallback and no switch, because an
attacker chooses which error a file raises. Requires torch >= 2.10 (CVE-2025-32434, CVE-2026-24747).
"""

from __future__ import annotations

import pickle
import pickletools
import re
import warnings
from io import BufferedReader
from typing import Any

import torch

from mimic_ray.base.errors import (
    DamagedCheckpointError,
    MimicError,
    NotACheckpointError,
    UnsafeCheckpointError,
)
from mimic_ray.base.text import plain
from mimic_ray.encoders.checkpoint.archive import check_archive
from mimic_ray.encoders.checkpoint.sniff import TORCH_ZIP

# The five pickles of a legacy file: magic number, protocol, system, content, storage keys.
_LEGACY_PICKLES = 5
_LEGACY_MAGIC = b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"

_RUNS_COMMANDS = re.compile(
    r"(os|posix|nt|subprocess|sys|pty|shutil|socket|runpy|importlib|ctypes|code|commands|webbrowser"
    r"|pickle|_pickle)\."
    r"|(builtins|__builtin__)\.(eval|exec|compile|open|getattr|setattr|__import__|breakpoint|input)"
)


def load_torch(file: BufferedReader, name: str, file_format: str, size: int) -> Any:
    """The object that torch.save wrote, on the CPU. Raises a CheckpointError for any bad bytes."""
    if file_format == TORCH_ZIP:
        check_archive(file, name, size)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(file, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        raise _refusal(file, name, file_format, error) from error
    except MemoryError:
        raise
    except Exception as error:  # untrusted bytes can raise anything
        raise _damage(file, name, file_format, error) from error


def _refusal(file: BufferedReader, name: str, file_format: str, error: Exception) -> MimicError:
    """The error for a pickle that needs more than weights."""
    found = _globals(file, file_format) or re.findall(r"GLOBAL ([\w.]+)", str(error))
    if not found:
        return _damage(file, name, file_format, error)
    listed = ", ".join(plain(one, 80) for one in sorted(found)[:4])
    if len(found) > 4:
        listed += f" and {len(found) - 4} more"
    if any(_RUNS_COMMANDS.match(one) for one in found):
        return UnsafeCheckpointError(
            f"{name} would run {listed} when it is loaded. Nothing in it was run. Do not load it "
            "with other programs."
        )
    if any(one.startswith("torch.nn.modules.") for one in found):
        return UnsafeCheckpointError(
            f"{name} contains a network as Python objects ({listed}), which is code: ask its "
            "author for model.state_dict()."
        )
    return UnsafeCheckpointError(
        f"{name} contains Python objects besides its weights ({listed}), which is code: ask its "
        "author for the weights, or save them again if you trust the file."
    )


def _damage(file: BufferedReader, name: str, file_format: str, error: Exception) -> MimicError:
    # torch's message starts with advice to load the file unsafely; the reason follows.
    reason = str(error).split("WeightsUnpickler error:")[-1].strip().split("\n")[0]
    reason = plain(reason or type(error).__name__)
    if "allocate memory" in str(error):
        raise MemoryError(reason)
    file.seek(0)
    if file_format != TORCH_ZIP and not file.read(32).startswith(_LEGACY_MAGIC):
        return NotACheckpointError(
            f"{name} is a pickle that torch.save did not write: save its weights with torch.save "
            "or safetensors."
        )
    return DamagedCheckpointError(f"{name} is damaged ({reason}): download or copy it again.")


def _globals(file: BufferedReader, file_format: str) -> list[str]:
    """The globals in the pickle that weights-only loading forbids, found without running it."""
    file.seek(0)
    try:
        if file_format == TORCH_ZIP:
            return torch.serialization.get_unsafe_globals_in_checkpoint(file)
        return _globals_of_legacy(file)
    except MemoryError:
        raise
    except Exception:  # torch's own message is used instead
        return []


def _globals_of_legacy(file: BufferedReader) -> list[str]:
    allowed = torch._weights_only_unpickler._get_allowed_globals()
    named: set[str] = set()
    for _ in range(_LEGACY_PICKLES):
        texts: list[str] = []
        try:
            for code, argument, _place in pickletools.genops(file):
                if code.name in ("GLOBAL", "INST"):
                    named.add(str(argument).replace(" ", "."))
                elif code.name == "STACK_GLOBAL":
                    named.add(".".join(texts[-2:]))
                elif isinstance(argument, str):
                    texts.append(argument)
        except ValueError:  # the end of the file or of its last pickle
            break
    return [one for one in named if one not in allowed]

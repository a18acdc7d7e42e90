"""What a pickle would import and call when it is loaded the ordinary way.

Three kinds: commands, which run code or touch files; parts of networks and settings that training
programs save; anything else, which would at least import a module. No list of dangerous names is
complete, so only names on a list of harmless ones are said to be harmless.
"""

from __future__ import annotations

import re
from typing import Any

from mimic_ray.base.text import plain

NAME_LIMIT = 1000
COMMAND, HARMLESS, UNKNOWN = "command", "harmless", "unknown"

_COMMANDS = re.compile(
    r"(os|posix|nt|subprocess|sys|pty|shutil|socket|runpy|importlib|ctypes|code|codeop|commands"
    r"|webbrowser|pickle|_pickle|marshal|io|_io|multiprocessing|asyncio|urllib|http|requests|pip"
    r"|timeit|pdb|bdb|cProfile|profile|doctest|operator|_operator|functools|types|builtins"
    r"|numpy\.testing|torch\.(load|hub|jit|serialization|storage|_inductor)"
    r"|torch\.utils\.cpp_extension|logging\.config|smtplib|ftplib|tempfile|glob|signal|threading"
    r"|site|zipimport|copyreg|idlelib|lib2to3|distutils|setuptools)(\.|$)"
)
_HARMLESS = re.compile(
    r"(TorchScript|argparse\.Namespace|types\.SimpleNamespace|pathlib\.\w*Path|collections\.\w+"
    r"|datetime\.\w+|decimal\.Decimal|fractions\.Fraction|uuid\.UUID|enum\.\w+|typing\.\w+"
    r"|functools\.partial"
    r"|builtins\.(int|float|str|bool|list|dict|tuple|range|slice|long|unicode|bytes)"
    r"|numpy\.(dtype|ndarray|(core|_core)\.multiarray\.(_reconstruct|scalar)|[a-z]+\d+"
    r"|(core|_core)\.numeric\._frombuffer|random\._pickle\.\w+)"
    r"|omegaconf\.[\w.]+|yacs\.config\.CfgNode|easydict\.EasyDict|mmcv\.utils\.config\.\w+"
    r"|mmengine\.config\.config\.\w+|addict\.addict\.Dict|ml_collections\.[\w.]+"
    r"|(pytorch_)?lightning(_fabric)?\.[\w.]+|torch\.(nn\.modules|optim)\.[\w.]+"
    r"|torch\.(memory_format|layout|strided|contiguous_format|channels_last|preserve_format)"
    r"|torchvision\.(models|ops|transforms)\.[\w.]+|timm\.[\w.]+)$"
)
# What may call other things by name, in modules that are harmless otherwise.
_CALLERS = re.compile(r".*(call|exec|eval|import|load|run|system|open)\w*$")


class ForeignNames:
    """Names that stay placeholders, with what they would be called with."""

    def __init__(self) -> None:
        self.calls: dict[str, str] = {}  # name -> the first call as text, "" if it is not called

    def name(self, path: str) -> None:
        if len(self.calls) < NAME_LIMIT:
            self.calls.setdefault(path, "")

    def called(self, path: str, arguments: tuple[Any, ...]) -> None:
        if not self.calls.get(path):
            self.name(path)
            if path in self.calls and kind_of(path) == COMMAND:
                shown = ", ".join(_shown(value) for value in arguments[:3])
                self.calls[path] = plain(f"{path}({shown})", 120)

    def findings(self) -> dict[str, list[str]]:
        """Texts by kind, in the order of the file."""
        found: dict[str, list[str]] = {COMMAND: [], UNKNOWN: [], HARMLESS: []}
        for path, call in self.calls.items():
            found[kind_of(path)].append(call or plain(path, 120))
        return found


def kind_of(path: str) -> str:
    """COMMAND, HARMLESS or UNKNOWN."""
    if _HARMLESS.match(path) and not _CALLERS.match(path):
        return HARMLESS
    return COMMAND if _COMMANDS.match(path) else UNKNOWN


def _shown(value: object) -> str:
    """A plain argument; never the text of a container, which may be endless."""
    if isinstance(value, str | bytes):
        return repr(value[:100])
    return str(value) if isinstance(value, bool | float | None) else type(value).__name__

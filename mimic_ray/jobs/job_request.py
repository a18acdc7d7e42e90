"""A command line as a job: what it is called, which files travel, what its places are there."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mimic_ray.base.errors import UsageError
from mimic_ray.base.resources import Resources
from mimic_ray.base.storage_address import is_remote
from mimic_ray.base.text import plain

# Options whose files are small and belong to the command: they travel with it.
_TRAVELLING = ("--recipe", "--config", "--encoder")
# Options that name what must lie where the cluster finds it.
_PLACES = ("--teacher", "--data", "--out", "--train", "--test", "--untouched", "--trigger")
# Commands with --wait-for-capacity.
_PATIENT = ("purify", "tune")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")


@dataclass(frozen=True)
class Places:
    """Where a command reads and writes: option -> absolute path or address, `out` among them."""

    named: Mapping[str, str]
    out: str

    def local(self) -> dict[str, str]:
        return {option: place for option, place in self.named.items() if not is_remote(place)}

    def remote(self) -> dict[str, str]:
        return {option: place for option, place in self.named.items() if is_remote(place)}


@dataclass(frozen=True)
class Request:
    """A job to be. `files`: name on the cluster -> file here."""

    name: str
    arguments: list[str]
    places: Places
    files: Mapping[str, Path]
    resources: Resources
    on_one_node: bool

    def entrypoint(self, interpreter: str, more: Sequence[str] = ()) -> str:
        return shlex.join([interpreter, "-m", "mimic_ray", *self.arguments, *more])

    def patience(self, seconds: int) -> list[str]:
        """What more to say to a cluster whose nodes are still to come, where a command can wait."""
        option = "--wait-for-capacity"
        said = any(word.partition("=")[0] == option for word in self.arguments)
        waits = self.arguments[0] in _PATIENT and not said
        return [option, str(seconds)] if waits else []

    @property
    def command(self) -> str:
        return shlex.join(["mimic-ray", *self.arguments])


def make_request(
    arguments: Sequence[str], name: str | None, resources: Resources, spreads: bool
) -> Request:
    """The job of a checked command line, such as ["purify", "--encoder", ...].

    `spreads` says whether the command uses a cluster's workers: then it is told to use this one's.
    Raises UsageError for a bad name, a file that is not there, and two files of one name.
    """
    named: dict[str, str] = {}
    files: dict[str, Path] = {}

    def replaced(option: str, value: str) -> str:
        if option in _PLACES:
            place = _absolute(option, value)
            named.setdefault(option, place)
            return place
        if option in _TRAVELLING:
            return _travelling(value, files)
        return value

    given = _rewritten(arguments, replaced)
    if spreads:
        given += ["--address", "auto"]
        own = {word.partition("=")[0] for word in given}
        most, required = resources.workers, resources.required_workers
        if "--workers" not in own and most > 1:
            spread = f"{required}-{most}" if required < most else str(most)
            given += ["--workers", spread]
        if "--gpus-per-worker" not in own and resources.gpus_per_worker:
            given += ["--gpus-per-worker", f"{resources.gpus_per_worker:g}"]
        if "--cpus-per-worker" not in own and resources.cpus_per_worker:
            given += ["--cpus-per-worker", str(resources.cpus_per_worker)]
    places = Places(named, named.get("--out", ""))
    return Request(
        name or _derived_name(given, files), given, places, files, resources, not spreads
    )


def check_name(name: str) -> None:
    """Raises UsageError. Ray itself accepts any name, and some of them haunt its list for ever."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"--name {plain(name, 60)}: a job's name has at most 100 letters, digits, - and _."
        )


def _derived_name(arguments: Sequence[str], files: Mapping[str, Path]) -> str:
    """The same command gives the same name, so that sending it twice does not run it twice.

    A recipe that was edited makes it another command.
    """
    digest = hashlib.sha256("\0".join(arguments).encode())
    for name in sorted(files):
        digest.update(hashlib.sha256(files[name].read_bytes()).digest())
    return f"{arguments[0]}-{digest.hexdigest()[:8]}"


def _rewritten(arguments: Sequence[str], replaced: Callable[[str, str], str]) -> list[str]:
    """`--option VALUE` and `--option=VALUE`, each with its new value."""
    words: list[str] = []
    option = ""
    for word in arguments:
        name, equals, value = word.partition("=")
        if option:
            words.append(replaced(option, word))
            option = ""
        elif word.startswith("--") and equals:
            words.append(f"{name}={replaced(name, value)}")
        else:
            words.append(word)
            option = word if word in (*_PLACES, *_TRAVELLING) else ""
    return words


def _absolute(option: str, value: str) -> str:
    """A job has another working folder. Names of triggers and data sets are no places."""
    if is_remote(value) or value.startswith(("torchvision:", "file:")):
        return value
    if option == "--trigger" and "/" not in value:
        return value
    return str(Path(value).expanduser().absolute())


def _travelling(value: str, files: dict[str, Path]) -> str:
    """What the option says on the cluster: there the files lie in the job's own folder."""
    if is_remote(value):
        return value
    path_text, colon, function = value.partition(":")
    path = Path(path_text).expanduser()
    if path.suffix not in (".toml", ".py"):
        return value  # a name, such as default or vit_b16
    if not path.is_file():
        raise UsageError(f"{plain(path_text)} is no file here, and it would have to travel along.")
    if files.setdefault(path.name, path) != path:
        raise UsageError(f"Two files called {path.name} cannot travel together: rename one.")
    return f"{path.name}{colon}{function}"

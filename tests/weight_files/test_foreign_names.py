"""What a file would call is told apart from what training programs save."""

from __future__ import annotations

import pytest

from mimic_ray.weight_files.foreign_names import (
    COMMAND,
    HARMLESS,
    UNKNOWN,
    ForeignNames,
    kind_of,
)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        *((path, COMMAND) for path in ("os.system", "posix.system", "nt.system", "os")),
        *((path, COMMAND) for path in ("builtins.eval", "builtins.getattr", "builtins.open")),
        *((path, COMMAND) for path in ("subprocess.Popen", "runpy._run_code", "pickle.loads")),
        *((path, COMMAND) for path in ("torch.load", "torch.storage._load_from_bytes")),
        *(
            (path, COMMAND)
            for path in ("operator.methodcaller", "numpy.testing._private.x.runstring")
        ),
        *((path, HARMLESS) for path in ("argparse.Namespace", "pathlib.PosixPath", "numpy.dtype")),
        *((path, HARMLESS) for path in ("numpy.core.multiarray.scalar", "functools.partial")),
        *((path, HARMLESS) for path in ("torch.nn.modules.conv.Conv2d", "collections.defaultdict")),
        *((path, HARMLESS) for path in ("omegaconf.dictconfig.DictConfig", "builtins.slice")),
        *((path, UNKNOWN) for path in ("evil.Thing", "ossystem.x", "models.vit.VisionTransformer")),
        *((path, UNKNOWN) for path in ("torch.nn.modules.x.load_and_run", "timm.hub.exec_file")),
    ],
)
def test_names_are_told_apart(path: str, kind: str) -> None:
    assert kind_of(path) == kind


def test_a_command_is_shown_with_what_it_would_be_called_with() -> None:
    names = ForeignNames()
    names.name("posix.system")
    names.called("posix.system", ("touch \x1b[31m/x", 3, [1]))
    names.called("my.Thing", ("secret",))
    names.name("argparse.Namespace")
    assert names.findings() == {
        COMMAND: ["posix.system('touch \\x1b[31m/x', int, list)"],
        UNKNOWN: ["my.Thing"],
        HARMLESS: ["argparse.Namespace"],
    }


def test_endless_names_are_not_kept() -> None:
    names = ForeignNames()
    for number in range(5000):
        names.name(f"module{number}.x")
    assert len(names.calls) == 1000

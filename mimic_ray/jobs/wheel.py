"""The wheel that travels to a cluster: the package as it is installed here, and nothing else.

Ray keeps an uploaded wheel under its file name and never looks at it again, so the version carries
a hash of the content. The same content gives the same name and the same bytes.
"""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from pathlib import Path

import mimic_ray

_SKIPPED = ("__pycache__", ".mypy_cache")
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first moment that a zip can name


def build_wheel(folder: Path) -> Path:
    """Writes the wheel into `folder`; returns its path. Needs no network and no build tool."""
    contents = package_files()
    digest = hashlib.sha256()
    for name, content in contents.items():
        digest.update(f"{name}\0{len(content)}\0".encode() + content)
    version = f"{mimic_ray.__version__}+g{digest.hexdigest()[:12]}"
    info = f"mimic_ray-{version}.dist-info"
    contents[f"{info}/METADATA"] = (
        f"Metadata-Version: 2.1\nName: mimic-ray\nVersion: {version}\n"
    ).encode()
    contents[f"{info}/WHEEL"] = (
        b"Wheel-Version: 1.0\nGenerator: mimic-ray\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    )
    contents[f"{info}/RECORD"] = _record(contents, f"{info}/RECORD")
    path = folder / f"mimic_ray-{version}-py3-none-any.whl"
    path.write_bytes(_zipped(contents))
    return path


def package_files() -> dict[str, bytes]:
    """Archive name -> content of every file of the installed package, in order of the names.

    A checkout keeps `configs/` beside the package; in a wheel they lie inside.
    """
    package = Path(mimic_ray.__file__).resolve().parent
    found = {
        f"mimic_ray/{path.relative_to(package).as_posix()}": path
        for path in package.rglob("*")
        if path.is_file() and not _skipped(path.relative_to(package))
    }
    if not (package / "configs").is_dir():
        configs = package.parent / "configs"
        found |= {f"mimic_ray/configs/{path.name}": path for path in configs.glob("*.toml")}
    return {name: found[name].read_bytes() for name in sorted(found)}


def _skipped(path: Path) -> bool:
    return any(part in _SKIPPED or part.startswith(".") for part in path.parts) or path.suffix in (
        ".pyc",
        ".pyo",
    )


def _record(contents: dict[str, bytes], own: str) -> bytes:
    def line(name: str, content: bytes) -> str:
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        return f"{name},sha256={digest},{len(content)}"

    lines = [line(name, content) for name, content in contents.items()]
    return ("\n".join([*lines, f"{own},,"]) + "\n").encode()


def _zipped(contents: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, content)
    return buffer.getvalue()

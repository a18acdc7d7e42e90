"""Prints pip constraints that pin each main dependency to the lowest version that we allow.

python tools/lowest_versions.py > lowest.txt
make test CONSTRAINTS=lowest.txt
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(?:\[[\w,-]+\])?>=(?P<lowest>[\w.]+)(?:,\S+)?")


def lowest(dependencies: list[str]) -> list[str]:
    """`["ray[train]>=2.60,<2.62"]` -> `["ray==2.60.*"]`: any patch release of the lowest version.

    Raises ValueError for a requirement without a lower bound.
    """
    pins = []
    for dependency in dependencies:
        found = _REQUIREMENT.fullmatch(dependency.replace(" ", ""))
        if found is None:
            raise ValueError(f'"{dependency}" has no lower bound: write "name>=version"')
        pins.append(f"{found['name']}=={found['lowest']}.*")
    return pins


def main() -> None:
    """Prints the pins of the repository's pyproject.toml."""
    project = Path(__file__).parents[1] / "pyproject.toml"
    for pin in lowest(tomllib.loads(project.read_text())["project"]["dependencies"]):
        print(pin)


if __name__ == "__main__":
    main()

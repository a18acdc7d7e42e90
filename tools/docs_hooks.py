"""MkDocs hooks: pages that are generated from the code when the site is built.

    reference/commands/NAME.md   Typer's help of a command
    reference/recipe.md          its line `<!-- recipe keys -->` becomes the tables of keys
    reference/encoders.md        its line `<!-- encoders -->` becomes their table,
                                 `<!-- key names -->` that of other layouts, and
                                 `<!-- normalisations -->` that of `--normalise`
    reference/defences.md        its line `<!-- defences -->` becomes their table and sections
    reference/images.md          its line `<!-- image kinds -->` becomes the tables of formats
    reference/commands/index.md  its line `<!-- commands -->` becomes the table of commands
    reference/python.md          `<!-- python api -->`: an entry for each public name
    explanation/architecture.md  `<!-- layers -->`: a diagram of the import contract
    explanation/decisions.md     `<!-- decisions -->`: a list of the pages in decisions/
    explanation/measurements.md  `<!-- measurements -->`: a list of the pages in measurements/

Project files that the site shows as well (CONTRIBUTING.md and so on) are copied from the root.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

COMMANDS = "reference/commands"
PROJECT_FILES = {
    "project/changelog.md": "CHANGELOG.md",
    "project/contributing.md": "CONTRIBUTING.md",
    "project/security.md": "SECURITY.md",
}

# The members that the page of the Python API shows, by class; of other classes none.
MEMBERS = {"Encoder": ["forward"], "MimicError": ["message"]}
# What public functions return: module and class.
RESULTS = [
    "workflows.inspect.Inspection",
    "workflows.purify.Purified",
    "evaluation.results.Evaluation",
    "evaluation.results.EvaluationRow",
    "evaluation.results.Proportion",
    "evaluation.comparison_results.Comparison",
    "evaluation.comparison_results.ComparisonRow",
    "scanning.scan_result.ScanResult",
    "scanning.scan_result.OpeningRow",
    "scanning.scan_result.Verdict",
    "method.mi_profile.Profile",
    "method.mi_profile.TapScore",
    "workflows.study_outcome.Tuned",
    "search.trial.Trial",
    "workflows.plan.Plan",
    "workflows.attack.AttackResult",
]
# Methods of a result that the page shows.
RESULT_MEMBERS = ["to_frame"]


def on_config(config: Any) -> Any:
    """Lists in the navigation the pages of commands, decisions and measurements."""
    from mimic_ray.cli.app import COMMANDS as names

    for index, pages in (
        (f"{COMMANDS}/index.md", [f"{COMMANDS}/{name}.md" for name in names]),
        ("explanation/decisions.md", _pages_of("decisions")),
        ("explanation/measurements.md", _pages_of("measurements")),
    ):
        config.nav = _replaced(config.nav, index, [index, *pages])
    return config


def on_files(files: Files, config: Any) -> Files:
    """Adds the generated pages."""
    from tools import command_pages

    for name, text in command_pages.pages():
        files.append(File.generated(config, f"{COMMANDS}/{name}.md", content=text))
    for target, source in PROJECT_FILES.items():
        text = links_from_root((ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, target, content=text))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Fills in the parts that a page leaves to the code."""
    from tools import (
        command_pages,
        defences_page,
        encoders_page,
        images_page,
        layers_diagram,
        recipe_page,
    )

    layers = partial(layers_diagram.diagram, layers_diagram.layers(ROOT / "pyproject.toml"))
    parts: dict[str, dict[str, Callable[[], str]]] = {
        f"{COMMANDS}/index.md": {"commands": command_pages.overview},
        "reference/recipe.md": {"recipe keys": recipe_page.page},
        "reference/encoders.md": {
            "encoders": encoders_page.encoders,
            "normalisations": encoders_page.normalisations,
            "key names": encoders_page.key_names,
        },
        "reference/defences.md": {"defences": defences_page.page},
        "reference/images.md": {"image kinds": images_page.page},
        "reference/python.md": {"python api": python_api},
        "explanation/architecture.md": {"layers": layers},
        "explanation/decisions.md": {"decisions": partial(_list_of, "decisions")},
        "explanation/measurements.md": {"measurements": partial(_list_of, "measurements")},
    }
    uri = page.file.src_uri
    if uri in PROJECT_FILES:
        return markdown
    for name, make in parts.get(uri, {}).items():
        # The rest of the line is for readers of the file itself.
        lines = markdown.split("\n")
        lines = [make() if line.endswith(f"<!-- {name} -->") else line for line in lines]
        markdown = "\n".join(lines)
    return links_to_root(markdown, uri)


def python_api() -> str:
    """A mkdocstrings entry for each public name of the package and each result, functions first."""
    import mimic_ray
    from mimic_ray import parts as own_parts
    from tools import api_fields

    names = [name for name in mimic_ray.__all__ if not name.startswith("__")]
    functions = [name for name in names if name.islower()]
    errors = [name for name in names if name.endswith("Error")]
    classes = [name for name in names if name not in {*functions, *errors}]
    lines = []
    for title, group in (("Functions", functions), ("Classes", classes), ("Errors", errors)):
        lines += [f"## {title}", ""]
        lines += [_entry(f"mimic_ray.{name}", MEMBERS.get(name, [])) for name in group]
    lines += ["## For your own parts", "", "Import these from `mimic_ray.parts`.", ""]
    lines += [_entry(f"mimic_ray.parts.{name}", []) for name in own_parts.__all__]
    lines += ["## Results", "", "Frozen dataclasses that the functions return.", ""]
    for path in RESULTS:
        members = [name for name in RESULT_MEMBERS if api_fields.has_method(path, name)]
        lines += [_entry(f"mimic_ray.{path}", members), api_fields.table(path), ""]
    return "\n".join(lines)


def _entry(path: str, members: list[str]) -> str:
    return f"::: {path}\n    options:\n      members: {json.dumps(members)}\n"


def links_from_root(text: str) -> str:
    """Links of a file in the repository's root, as they are for a page in docs/project/."""
    text = re.sub(r"\]\(docs/", "](../", text)
    names = {source: Path(target).name for target, source in PROJECT_FILES.items()}
    for source, page in names.items():
        text = text.replace(f"]({source})", f"]({page})")
    return text


def links_to_root(text: str, uri: str) -> str:
    """Links of a page of docs/ to project files in the repository's root, as the site has them."""
    up = "../" * uri.count("/")
    for target, source in PROJECT_FILES.items():
        text = re.sub(rf"\]\({up}\.\./{source}(?=[)#])", f"]({up}{target}", text)
    return text


def _pages_of(folder: str) -> list[str]:
    return [f"{folder}/{path.name}" for path in sorted((ROOT / "docs" / folder).glob("*.md"))]


def _list_of(folder: str) -> str:
    """A link to each page of a folder, with its title."""
    lines = []
    for page in _pages_of(folder):
        title = (ROOT / "docs" / page).read_text(encoding="utf-8").partition("\n")[0]
        lines.append(f"- [{title.removeprefix('# ')}](../{page})")
    return "\n".join(lines)


def _replaced(nav: Any, entry: str, entries: list[str]) -> Any:
    if isinstance(nav, list):
        return [_replaced(item, entry, entries) for item in nav]
    if isinstance(nav, dict):
        return {
            title: entries if item == entry else _replaced(item, entry, entries)
            for title, item in nav.items()
        }
    return nav

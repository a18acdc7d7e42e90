"""Code in the pages fits the software: commands, options, Python, TOML, paths and names."""

from __future__ import annotations

import ast
import html
import itertools
import re
import textwrap
import tomllib

import pytest

import mimic_ray
from mimic_ray import parts
from mimic_ray.base import errors
from mimic_ray.cli.app import COMMANDS, LazyGroup
from mimic_ray.method.recipe_keys import is_known_key
from mimic_ray.store.recipe_file import load_recipe
from tests.docs.pages import ROOT, blocks, commands, pages

SHELL = blocks("sh", "bash", "console")
_GLOBAL = {"--version", "--help", "--quiet", "-q", "--debug"}


def options_of(command: object) -> set[str]:
    if hasattr(command, "describe"):  # the settings of an attack
        command.describe()
    return {word for p in command.params for word in [*p.opts, *p.secondary_opts]}  # type: ignore[attr-defined]


def unknown_options(words: list[str]) -> list[str]:
    """The options in a command line that its command does not have."""
    while words and words[0] in _GLOBAL:
        words = words[1:]
    if not words or words[0] == "COMMAND":
        return []
    name = words[0]
    if name not in COMMANDS:
        return [name]
    command = LazyGroup().get_command(None, name)
    rest = words[1:]
    if hasattr(command, "commands"):
        if not rest or rest[0] not in command.commands:
            return [] if not rest or rest[0] in _GLOBAL else [f"{name} {rest[0]}"]
        command, rest = command.commands[rest[0]], rest[1:]
    unknown = []
    if "--" in rest:  # another command follows
        at = rest.index("--")
        rest, inner = rest[:at], rest[at + 1 :]
        unknown += unknown_options(inner)
    given = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
    return unknown + [word for word in given if word not in options_of(command) | _GLOBAL]


def test_an_option_that_does_not_exist_would_be_found():
    assert unknown_options(["purify", "--datta", "x", "--encoder", "y"]) == ["--datta"]
    assert unknown_options(["submit", "--wait", "--", "tune", "--trails", "3"]) == ["--trails"]
    assert unknown_options(["scann"]) == ["scann"]


@pytest.mark.parametrize("page", sorted({block.page for block in SHELL}))
def test_commands_in_a_page_have_only_options_that_exist(page):
    lines = [line for block in SHELL if block.page == page for line in commands(block.text)]
    problems = {" ".join(line): unknown_options(line) for line in lines}
    assert {line: found for line, found in problems.items() if found} == {}


def test_the_pages_hold_many_commands():
    assert sum(len(commands(block.text)) for block in SHELL) > 60


@pytest.mark.parametrize("words", [line for block in SHELL for line in commands(block.text)])
def test_recipe_keys_in_commands_exist(words):
    keys = [after for word, after in itertools.pairwise(words) if word == "--set"]
    for key in (text.partition("=")[0] for text in keys):
        assert is_known_key(key.replace("FAMILY", "patch")) or key.isupper(), key


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.page)
def test_python_in_a_page_parses_and_uses_public_names(block):
    for node in ast.walk(ast.parse(block.text)):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "mimic_ray"
        ):
            assert node.attr in mimic_ray.__all__


def test_python_examples_import_public_names_only():
    """From `mimic_ray` and `mimic_ray.parts`; in the pages, the examples and the registries."""
    texts = [path.read_text() for path in (ROOT / "docs/examples").glob("*.py")]
    texts += [block.text for block in blocks("python")]
    for path in (ROOT / "mimic_ray").rglob("*_registry.py"):
        doc = ast.get_docstring(ast.parse(path.read_text())) or ""
        texts += re.findall(r"^ *from mimic_ray.*", doc, re.MULTILINE)
    found = {
        (node.module, alias.name)
        for text in texts
        for node in ast.walk(ast.parse(textwrap.dedent(text)))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("mimic_ray")
        for alias in node.names
    }
    public = {("mimic_ray", name) for name in mimic_ray.__all__}
    public |= {("mimic_ray.parts", name) for name in parts.__all__}
    assert {("mimic_ray", "Encoder"), ("mimic_ray.parts", "uniform")} <= found
    assert found - public == set()


def test_pages_need_no_syntax_of_the_site():
    """They read well on a forge too, which shows `!!!`, `===`, `:::` and `--8<--` as they are."""
    syntax = re.compile(r"(!!!|\?\?\?\+?|===) \w|::: |.*8<-|.*\{[:.#] ?\w")
    assert syntax.match('!!! note "Title"')
    assert syntax.match('--8<-- "docs/file.py"')
    assert syntax.match("# Title {#anchor}")
    found = [
        f"{page.name}: {line}"
        for page in [*pages(), *(ROOT / "docs/measurements").glob("*.md")]
        for line in page.read_text().splitlines()
        if syntax.match(line)
    ]
    assert found == []


def test_the_shown_encoder_is_the_example_file():
    page, example = ROOT / "docs/how-to/own-encoder.md", "docs/examples/efficientnet_lite0.py"
    [shown] = [block.text for block in blocks("python", page=page)]
    assert shown == (ROOT / example).read_text()
    assert f"[{example}](../examples/efficientnet_lite0.py)" in page.read_text()


@pytest.mark.parametrize("block", blocks("toml"), ids=lambda block: block.page)
def test_recipes_in_a_page_are_valid(block, tmp_path):
    content = tomllib.loads(block.text)
    assert content
    (tmp_path / "recipe.toml").write_text(block.text)
    load_recipe(str(tmp_path / "recipe.toml"))


def test_files_of_the_repository_that_pages_name_exist():
    """`tests/...`, `mimic_ray/...` and module paths such as `store/retry.py`."""
    packages = "|".join(p.name for p in (ROOT / "mimic_ray").iterdir() if p.is_dir())
    named = re.compile(rf"`((?:tests|mimic_ray|benchmarks|tools|cluster|{packages})/[\w./]+\.\w+)`")
    missing = [
        f"{page.name}: {path}"
        for page in pages()
        for path in named.findall(page.read_text())
        if not (ROOT / path).exists() and not (ROOT / "mimic_ray" / path).exists()
    ]
    assert missing == []


def test_links_between_pages_lead_to_files():
    """mkdocs checks the site; this checks README and the other files of the root too."""
    broken = []
    for page in [*pages(), *(ROOT / "docs/measurements").glob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text()):
            if not (page.parent / target).exists():
                broken.append(f"{page.name}: {target}")
    assert broken == []


def test_the_readme_has_at_most_130_lines():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130


def test_every_variable_that_the_package_reads_is_documented():
    page = (ROOT / "docs/reference/environment.md").read_text()
    read = re.compile(
        r"MIMIC_RAY_[A-Z_]+|AWS_[A-Z0-9_]+|RAY_(?:API_SERVER_)?ADDRESS|RAY_AUTH_[A-Z_]+"
    )
    used = {
        name.rstrip("_")
        for path in (ROOT / "mimic_ray").rglob("*.py")
        for name in read.findall(path.read_text())
    }
    assert len(used) > 8
    # AWS_SECRET_KEY is an example of a secret in a message.
    assert {name for name in used if f"`{name}`" not in page} <= {"AWS_SECRET_KEY"}


def test_every_error_class_and_exit_code_is_documented():
    page = (ROOT / "docs/reference/exit-codes.md").read_text()
    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, errors.MimicError)
    ]
    assert len(kinds) > 15
    assert [kind.__name__ for kind in kinds if f"`{kind.__name__}`" not in page] == []
    for code in {*(kind.exit_code for kind in kinds), 130, 143}:
        assert re.search(rf"^\| {code} \|", page, re.MULTILINE), code


def test_decisions_have_a_number_and_a_title():
    found = sorted((ROOT / "docs/decisions").glob("*.md"))
    numbers = [int(path.name[:4]) for path in found]
    assert numbers == [*range(1, len(found) + 1)]
    for number, path in zip(numbers, found, strict=True):
        assert path.read_text().startswith(f"# {number}. "), path.name


def test_every_measurement_says_what_and_where():
    found = sorted((ROOT / "docs/measurements").glob("*.md"))
    assert len(found) > 5
    for path in found:
        text = path.read_text()
        assert "**Where.**" in text, path.name
        assert re.match(r"# .+, \w+ 20\d\d\n", text), path.name


@pytest.mark.parametrize("name", ["default", "imagenet", "layer_norm", "official"])
def test_the_recipes_of_the_package_cite_pages_that_exist(name):
    text = (ROOT / f"mimic_ray/configs/{name}.toml").read_text()
    cited = re.findall(r"docs/[\w./-]*\w|\b[\w-]+_2026-\d\d\.md", text)
    pages = [path if path.startswith("docs/") else f"docs/measurements/{path}" for path in cited]
    assert [page for page in pages if not (ROOT / page).is_file()] == []


def test_the_picture_of_the_demo_has_the_figures_of_the_readme():
    svg = (ROOT / "docs/assets/demo.svg").read_text()
    text = html.unescape(re.sub(r"<[^>]+>", "", svg)).replace("\xa0", " ")
    [before, after] = re.findall(
        r"from ([\d.]+ %) to ([\d.]+ %)", (ROOT / "README.md").read_text()
    )[0]
    for encoder, asr in (("attacked", before), ("purified", after)):
        [row] = re.findall(rf"^ *{encoder} .*%.*", text, re.MULTILINE)
        assert f"   {asr} (" in row
    parts = re.findall(r'"(\d/3  [^"{]+)"', (ROOT / "mimic_ray/workflows/demo.py").read_text())
    assert len(parts) == 3
    assert [part for part in parts if part.strip() not in text] == []


def test_the_picture_of_the_demo_loads_nothing_from_the_network():
    svg = (ROOT / "docs/assets/demo.svg").read_text()
    for known in ("http://www.w3.org", "https://www.textualize.io"):
        svg = svg.replace(known, "")
    assert "http" not in svg


def test_the_architecture_page_has_a_row_for_every_package():
    page = (ROOT / "docs/explanation/architecture.md").read_text()
    rows = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert {*rows} == {path.parent.name for path in (ROOT / "mimic_ray").glob("*/__init__.py")}

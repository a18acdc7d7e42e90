import inspect
import typing
from types import SimpleNamespace

import mimic_ray
import mimic_ray.parts
from mimic_ray.cli.app import COMMANDS
from tools import docs_hooks


def test_the_navigation_lists_every_command_below_the_overview():
    nav = [{"Reference": [{"Commands": "reference/commands/index.md"}, {"Other": "other.md"}]}]
    config = docs_hooks.on_config(SimpleNamespace(nav=nav))
    [commands, other] = config.nav[0]["Reference"]
    assert commands["Commands"][0] == "reference/commands/index.md"
    assert len(commands["Commands"]) == 1 + len(COMMANDS)
    assert other == {"Other": "other.md"}


def test_links_from_the_root_are_relative_to_the_project_pages():
    text = "[a](docs/how-to/aws.md) [b](SECURITY.md) [c](https://example.org)"
    changed = docs_hooks.links_from_root(text)
    assert changed == "[a](../how-to/aws.md) [b](security.md) [c](https://example.org)"


def test_links_to_project_files_lead_to_their_pages_on_the_site():
    text = "[a](../../CONTRIBUTING.md#add-a-member) [b](../SECURITY.md) [c](own-parts.md)"
    assert docs_hooks.links_to_root(text, "how-to/own-parts.md") == (
        "[a](../project/contributing.md#add-a-member) [b](../SECURITY.md) [c](own-parts.md)"
    )
    assert docs_hooks.links_to_root("[b](../SECURITY.md)", "index.md") == "[b](project/security.md)"


def test_every_public_name_has_an_entry():
    text = docs_hooks.python_api()
    for name in mimic_ray.parts.__all__:
        assert f"::: mimic_ray.parts.{name}\n" in text
    for name in mimic_ray.__all__:
        assert name.startswith("__") or f"::: mimic_ray.{name}\n" in text


def test_every_class_that_a_public_function_returns_has_an_entry():
    text = docs_hooks.python_api()
    functions = [getattr(mimic_ray, n) for n in mimic_ray.__all__ if n.islower() and n[0] != "_"]
    returned = [typing.get_type_hints(inspect.unwrap(f))["return"] for f in functions]
    classes = [kind for kind in returned if isinstance(kind, type)]
    assert len(classes) > 7
    for kind in classes:
        paths = [f"{kind.__module__}.{kind.__name__}", f"mimic_ray.{kind.__name__}"]
        assert any(f"::: {path}\n" in text for path in paths), kind


def test_results_that_are_tables_show_how_to_get_a_frame():
    text = docs_hooks.python_api()
    for path in ("evaluation.results.Evaluation", "workflows.study_outcome.Tuned"):
        assert f'::: mimic_ray.{path}\n    options:\n      members: ["to_frame"]\n' in text
    assert "::: mimic_ray.workflows.plan.Plan\n    options:\n      members: []\n" in text


def test_the_line_of_a_marker_is_replaced_with_what_it_says_to_readers_of_the_file():
    page = SimpleNamespace(file=SimpleNamespace(src_uri="explanation/decisions.md"))
    made = docs_hooks.on_page_markdown("before\n*On the site.* <!-- decisions -->\nafter", page)
    assert made.startswith("before\n- [")
    assert made.endswith("\nafter")
    assert "On the site" not in made


def test_a_page_without_a_generated_part_stays_as_it_is():
    page = SimpleNamespace(file=SimpleNamespace(src_uri="tutorial.md"))
    assert docs_hooks.on_page_markdown("<!-- commands -->", page) == "<!-- commands -->"

from mimic_ray.cli.app import COMMANDS
from tests.cli.command_lines import all_commands
from tools import command_pages


def test_every_option_of_every_command_is_in_its_page():
    pages = dict(command_pages.pages())
    assert [*pages] == [*COMMANDS]
    for name, command in all_commands():
        page = pages[name.split()[0]]
        assert f" mimic-ray {name}\n" in page
        options = [p for p in command.params if p.param_type_name == "option" and p.name != "help"]
        for word in [word for option in options for word in option.opts]:
            assert f"`{word}`" in page, f"{name} {word}"


def test_a_row_has_the_default_the_bounds_and_the_variable():
    page = dict(command_pages.pages())["purify"]
    assert "| `--teacher` | text | required |" in page
    assert "| `--threads` | int, at least 0 | `0` |" in page
    assert "Environment variable: `MIMIC_RAY_SHARED`." in dict(command_pages.pages())["submit"]
    assert "| `--resume` |  |  |" in page


def test_a_row_has_the_choices_and_the_default_of_a_switch():
    pages = dict(command_pages.pages())
    assert "| `--schedule` | one_cycle \\| constant | `one_cycle` |" in pages["attack"]
    assert "| `--early-stopping`, `--no-early-stopping` |  | `--early-stopping` |" in pages["tune"]
    assert "| `--trusted` | text |  |" in pages["tune"]
    assert "| `FILES...` | path | required |" in pages["cluster"]


def test_every_option_has_a_meaning():
    rows = [row for _, page in command_pages.pages() for row in page.splitlines()]
    assert [row for row in rows if row.startswith("| `") and row.endswith("|  |")] == []


def test_the_example_stands_in_a_block_of_its_own_on_one_line():
    page = dict(command_pages.pages())["purify"]
    block = page.partition("Example:\n\n```sh\n")[2].partition("\n```")[0]
    assert block.startswith("mimic-ray purify --encoder")
    assert "\n" not in block


def test_the_overview_links_every_command():
    text = command_pages.overview()
    for name, _ in all_commands():
        assert f"[`{name}`](" in text

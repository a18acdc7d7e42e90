"""Text for the terminal: untrusted names, counts, durations."""

from __future__ import annotations

from pathlib import Path

import pytest

from mimic_ray.base.text import amount, command_line, count, duration, plain, seed_range


def test_control_characters_are_escaped_and_long_text_is_cut():
    assert plain("\x1b]0;x\x07\n") == "\\x1b]0;x\\x07\\n"
    assert plain("\u00e9 ok") == "\u00e9 ok"
    assert plain("x" * 300, 10) == "xxxxxxx..."


def test_counts_have_the_right_noun_and_thousands():
    assert count(1, "image") == "1 image"
    assert count(2000, "image") == "2,000 images"
    assert count(2, "class", "classes") == "2 classes"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        *((0, "0 s"), (0.25, "0.25 s"), (89, "89 s"), (90, "1.5 min"), (300, "5 min")),
        *((5400, "1.5 h"), (6120, "1.7 h"), (3 * 86_400, "3 days")),
        (1.3e6 * 86_400, "1,300,000 days"),
    ],
)
def test_durations_have_one_unit_and_two_digits_or_so(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize(
    ("number", "words"),
    [(0, "0"), (0.003127, "0.00313"), (12.34, "12.3"), (99.96, "100"), (142021.5, "142,022")],
)
def test_amounts_have_three_digits_and_thousands(number, words):
    assert amount(number) == words


def test_a_range_of_one_seed_is_that_seed():
    assert [seed_range(1), seed_range(3)] == ["0", "0 to 2"]


def test_a_command_line_is_quoted_for_a_shell():
    assert command_line("scan", data="my images", out=Path("a")) == (
        "mimic-ray scan --data 'my images' --out a"
    )

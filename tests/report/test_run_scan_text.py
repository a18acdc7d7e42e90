"""The scan of a run in words."""

from mimic_ray.report.run_scan_text import scan_around, scan_lines, scan_section
from mimic_ray.scanning.run_scan_meaning import run_scan_meaning

SCAN = {
    "before": {"verdict": "suspect", "reason": "One change gathers.", "score": 0.951},
    "after": {"verdict": "no evidence", "reason": "No change gathers.", "score": 0.1},
    "openings": 5,
    "closed": 4,
    "left": 1,
    "meaning": run_scan_meaning(3),
}


def test_the_terminal_has_both_verdicts_and_what_was_closed():
    assert list(scan_lines(SCAN)) == [
        "before: suspect, score 0.95 of 1; after: no evidence, score 0.10 of 1",
        "4 of 5 openings closed, 1 left",
        run_scan_meaning(3),
    ]


def test_the_demo_has_them_in_the_order_of_the_work():
    assert list(scan_around(SCAN, "300 steps"))[:4] == [
        ("scan before", "suspect, score 0.95 of 1"),
        ("purified", "300 steps"),
        ("scan after", "no evidence, score 0.10 of 1"),
        ("", "4 of 5 openings closed, 1 left"),
    ]
    failed = {"failed": "Each image has a single colour."}
    assert list(scan_around(failed, "300 steps")) == [
        ("purified", "300 steps"),
        ("scan", "not done: Each image has a single colour."),
    ]


def test_a_scan_that_is_off_says_how_to_get_one():
    off = {"off": "a run on a cluster is not scanned."}
    assert list(scan_lines(off)) == ["not done: a run on a cluster is not scanned."]


def test_the_card_says_what_is_left_and_that_this_proves_nothing():
    section = "\n".join(scan_section(SCAN, "scan.png"))
    assert "| suspect, as it came in | suspect, score 0.95 of 1 | One change gathers. |" in section
    assert "| student | no evidence, score 0.10 of 1 | No change gathers. |" in section
    assert "1 is left" in section
    assert "No scan proves" in section
    assert "(scan.png)" in section


def test_without_limits_there_are_a_verdict_and_its_reason_and_no_score():
    after = {"verdict": "cannot tell", "reason": "No limits were set.", "score": None}
    unknown = {**SCAN, "after": after, "openings": 0}
    first, reason, meaning = scan_lines(unknown)
    assert first == "before: suspect, score 0.95 of 1; after: cannot tell"
    assert reason == "No limits were set."
    assert meaning == run_scan_meaning(3)
    assert "gathered the suspect's" not in "\n".join(scan_section(unknown, "scan.png"))


def test_a_scan_that_could_not_be_done_says_why():
    failed = {"failed": "Each image has a single colour."}
    assert list(scan_lines(failed)) == ["not done: Each image has a single colour."]
    assert "Each image has a single colour." in "\n".join(scan_section(failed, "scan.png"))


def test_a_scan_of_a_student_trained_on_openings_is_called_no_independent_evidence():
    words = "not independent evidence"
    assert words in "\n".join(scan_section(SCAN, "scan.png", imitated=3))
    assert words not in "\n".join(scan_section(SCAN, "scan.png"))

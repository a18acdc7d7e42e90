"""The scan of a run in words."""

from mimic_ray.report.run_scan_text import scan_lines, scan_section

SCAN = {
    "before": {"verdict": "suspect", "score": 0.951},
    "after": {"verdict": "no evidence", "score": 0.1},
    "openings": 5,
    "closed": 4,
}


def test_the_terminal_has_both_verdicts_and_what_was_closed():
    assert list(scan_lines(SCAN)) == [
        "before: suspect, score 0.95 of 1; after: no evidence, score 0.10 of 1",
        "4 of 5 openings closed",
    ]


def test_the_card_says_what_is_left_and_that_this_proves_nothing():
    section = "\n".join(scan_section(SCAN, "scan.png"))
    assert "| suspect, as it came in | suspect, score 0.95 of 1 |" in section
    assert "1 is left" in section
    assert "No scan proves" in section
    assert "(scan.png)" in section


def test_without_limits_there_is_a_verdict_and_no_score():
    unknown = {**SCAN, "after": {"verdict": "cannot tell", "score": None}, "openings": 0}
    assert list(scan_lines(unknown)) == ["before: suspect, score 0.95 of 1; after: cannot tell"]
    assert "gathered the suspect's" not in "\n".join(scan_section(unknown, "scan.png"))


def test_a_scan_that_could_not_be_done_says_why():
    failed = {"failed": "Each image has a single colour."}
    assert list(scan_lines(failed)) == ["not done: Each image has a single colour."]
    assert "Each image has a single colour." in "\n".join(scan_section(failed, "scan.png"))


def test_a_scan_of_a_student_trained_on_openings_is_called_no_independent_evidence():
    words = "not independent evidence"
    assert words in "\n".join(scan_section(SCAN, "scan.png", imitated=3))
    assert words not in "\n".join(scan_section(SCAN, "scan.png"))

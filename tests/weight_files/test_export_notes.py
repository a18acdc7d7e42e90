from __future__ import annotations

from mimic_ray.weight_files.contents import Contents
from mimic_ray.weight_files.export_notes import export_notes
from mimic_ray.weight_files.located_weights import KeyMatch


def match(*also_fits: str) -> KeyMatch:
    return KeyMatch(("model",), "module.", {}, "net", [], [*also_fits], [], [], [], [])


def test_a_file_of_weights_alone_has_no_notes() -> None:
    assert export_notes(match(), Contents(harmless=["argparse.Namespace"]), False) == []


def test_what_would_run_and_what_is_lost_is_told() -> None:
    contents = Contents(["posix.system('x')"], changed={"posix.system": 1})
    called, lost = export_notes(match(), contents, False)
    assert called.endswith("would call posix.system('x'). None of it was run.")
    assert "leaves them out: posix.system" in lost


def test_the_copies_are_told_with_the_one_that_is_purified() -> None:
    (left,) = export_notes(match("ema", "target"), Contents(), False)
    assert "The encoder at model, keys module.* was purified." in left
    assert "unchanged" in left
    assert "--all-copies" in left
    assert left.endswith(": ema, target.")
    (written,) = export_notes(match("ema"), Contents(), True)
    assert "have the same weights in the export: ema." in written

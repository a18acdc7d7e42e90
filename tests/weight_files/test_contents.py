from __future__ import annotations

from mimic_ray.weight_files.contents import Contents, listed


def test_commands_come_before_imports_and_objects_are_no_finding() -> None:
    assert Contents(harmless=["argparse.Namespace"]).finding() == ""
    imported = Contents(unknown=["models.Net"]).finding()
    assert imported == "Loading this file the ordinary way would import models.Net."
    called = Contents(["posix.system('x')"], ["models.Net"]).finding()
    assert called == "Loading this file the ordinary way would call posix.system('x')."


def test_what_an_export_lacks_is_said() -> None:
    assert Contents().losses() == []
    objects, tensors = Contents(changed={"my.Thing": 3}, not_dense={"sparse": 2}).losses()
    assert "my.Thing" in objects
    assert "2 sparse" in tensors


def test_long_lists_are_cut() -> None:
    assert listed(["a", "b", "c"], 2) == "a, b and 1 more"

import griffe

from tools.docstring_examples import fenced


def test_an_example_becomes_a_block_of_python():
    docstring = "Adds.\n\nExample:\n    x = a[0](b)\n\n    if x:\n        y()\n\nMore text."
    block = "**Example**\n\n```python\nx = a[0](b)\n\nif x:\n    y()\n```"
    assert fenced(docstring) == f"Adds.\n\n{block}\n\nMore text."


def test_a_docstring_without_an_example_stays_as_it_is():
    docstring = "Adds.\n\nReturns:\n    A number."
    assert fenced(docstring) == docstring


def test_the_extension_changes_docstrings_of_a_loaded_module(tmp_path):
    (tmp_path / "m.py").write_text('def f():\n    """Adds.\n\n    Example:\n        f()\n    """\n')
    extensions = griffe.load_extensions("tools/docstring_examples.py")
    module = griffe.load("m", search_paths=[tmp_path], extensions=extensions)
    assert "```python\nf()\n```" in module["f"].docstring.value

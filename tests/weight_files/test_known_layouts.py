"""The stored keys and shapes equal those of the encoders."""

from __future__ import annotations

from mimic_ray.encoders.encoder_registry import names
from mimic_ray.weight_files import known_layouts as module
from mimic_ray.weight_files.known_layouts import FILE, built_layouts, encode, known_layouts


def test_the_stored_layouts_equal_those_of_the_built_encoders():
    """If this fails after an encoder was added, run python tools/derive_known_layouts.py."""
    built = built_layouts(names())
    assert known_layouts() == built
    assert module.json.loads(module.gzip.decompress(FILE.read_bytes())).keys() == set(names())
    assert module.gzip.decompress(encode(built)) == module.gzip.decompress(FILE.read_bytes())


def test_an_encoder_that_is_not_in_the_file_is_built(monkeypatch):
    whole = known_layouts()
    some = {name: known for name, known in whole.items() if name != "tiny_vit"}
    monkeypatch.setattr(module, "FILE", type("F", (), {"read_bytes": lambda self: encode(some)})())
    assert module.known_layouts.__wrapped__() == whole

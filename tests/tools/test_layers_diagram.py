from pathlib import Path

from tools.layers_diagram import diagram, layers

ROOT = Path(__file__).parents[2]


def test_every_package_is_in_a_layer_of_the_diagram():
    rows = layers(ROOT / "pyproject.toml")
    packages = {path.parent.name for path in (ROOT / "mimic_ray").glob("*/__init__.py")}
    assert {name for row in rows for name in row} == packages
    assert all(f">{name}</text>" in diagram(rows) for name in packages)


def test_arrows_join_neighbouring_layers():
    assert diagram([["cli"], ["data", "encoders"], ["base"]]).count("<path") == 2

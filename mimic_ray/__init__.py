"""mimic-ray: removes backdoors from image encoders (MIMIC, arXiv 2406.03508).

import mimic_ray

result = mimic_ray.purify("resnet50", "suspect.pth", "images/", "purified")
encoder = mimic_ray.load_encoder("purified")
features = encoder(images)  # [B, 3, S, S] in [0, 1] -> [B, D]
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mimic_ray.base.resources import Resources
    from mimic_ray.execution.export import load_encoder
    from mimic_ray.workflows.purify import Purified, purify

__version__ = "0.1.0"
__all__ = ["Purified", "Resources", "__version__", "load_encoder", "purify"]

_PLACES = {
    "load_encoder": "mimic_ray.execution.export",
    "Purified": "mimic_ray.workflows.purify",
    "Resources": "mimic_ray.base.resources",
    "purify": "mimic_ray.workflows.purify",
}


def __getattr__(name: str) -> Any:
    """Public names on first use: `import mimic_ray` alone imports neither torch nor ray."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)

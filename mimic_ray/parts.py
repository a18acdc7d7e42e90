"""What a Python file with your own perturbation, loss term, estimator, trigger or defence imports.

    from mimic_ray.parts import setting, uniform

`uniform`, `between` and `normal` draw random numbers from the keys that a perturbation gets: one
key for each image, the same on any number of workers and in a resumed run. `keys` derives new keys
from them, for a second and independent draw: `keys(given, "angle")`. `setting` adds a description,
a unit and bounds to a parameter that is a setting. A defence takes `DefenceInputs` and returns a
`Defended`; `strengths` declares the setting that makes it stronger.
"""

from mimic_ray.base.member_settings import setting
from mimic_ray.base.seeds import between, keys, normal, uniform
from mimic_ray.defences.defence_registry import DefenceInputs, Defended, strengths

__all__ = [
    "DefenceInputs",
    "Defended",
    "between",
    "keys",
    "normal",
    "setting",
    "strengths",
    "uniform",
]

"""What a Python file with your own perturbation, loss term, estimator or trigger may import.

    from mimic_ray.parts import setting, uniform

`uniform`, `between` and `normal` draw random numbers from the keys that a perturbation gets: one
key for each image, the same on any number of workers and in a resumed run. `keys` derives new keys
from them, for a second and independent draw: `keys(given, "angle")`. `setting` adds a description,
a unit and bounds to a parameter that is a setting.
"""

from mimic_ray.base.member_settings import setting
from mimic_ray.base.seeds import between, keys, normal, uniform

__all__ = ["between", "keys", "normal", "setting", "uniform"]

"""The dotted keys of a recipe."""

try:
    from mimic_ray.method.recipe_keys import known_keys
except ImportError:
    from mimic_ray.method.recipe_keys import known_keys

__all__ = ["known_keys"]

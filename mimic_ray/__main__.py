"""`python -m mimic_ray` is `mimic-ray`."""

from mimic_ray.cli.entry_point import run

run()

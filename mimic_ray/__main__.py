"""`python -m mimic_ray` is `mimic-ray`."""

from mimic_ray.cli.app import main

main()

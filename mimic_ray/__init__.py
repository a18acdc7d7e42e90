"""mimic-ray: removes backdoors from image encoders (MIMIC, arXiv 2406.03508)."""

__version__ = "0.1.0"

"""The versions in cluster files. A test compares them with constraints.txt and the Dockerfile."""

from __future__ import annotations

from mimic_ray.base.package import __version__

RAY = "2.60.0"
PYTHON = "3.11"

# `cluster up` refuses a file that still contains a placeholder.
PLACEHOLDER_IMAGE = f"registry.example.com/mimic-ray:{__version__}-ray{RAY}"
PLACEHOLDERS = ("registry.example.com", "your-project")

"""The versions in cluster files. A test compares them with constraints.txt and the Dockerfile."""

from __future__ import annotations

RAY = "2.60.0"
PYTHON = "3.11"

# `cluster up` refuses a file that still contains a placeholder.
PLACEHOLDER_IMAGE = f"registry.example.com/mimic-ray:0.1.0-ray{RAY}"
PLACEHOLDERS = ("registry.example.com", "your-project")

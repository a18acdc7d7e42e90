"""What the cluster files pin. A test holds these against constraints.txt."""

from __future__ import annotations

RAY = "2.60.0"
PYTHON = "3.11"
KUBERAY = "1.7.0"  # whose schemas lie in schemas/

# The registry is nobody's: `cluster up` refuses files that still name it.
PLACEHOLDER_IMAGE = f"registry.example.com/mimic-ray:0.1.0-ray{RAY}"
PLACEHOLDERS = ("registry.example.com", "your-project")

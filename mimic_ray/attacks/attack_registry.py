"""Attacks by name: each makes a backdoored encoder out of a clean one, for research."""

from __future__ import annotations

from typing import Any

from mimic_ray.base.registry import Registry

ATTACKS = Registry[Any]("attack", {"badencoder": "mimic_ray.attacks.badencoder:badencoder"})

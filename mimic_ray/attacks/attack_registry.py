"""Attacks by name: each makes a backdoored encoder out of a clean one, for research."""

from __future__ import annotations

from mimic_ray.base.registry import Registry

ATTACKS = Registry("attack", {"badencoder": "mimic_ray.attacks.badencoder:badencoder"})

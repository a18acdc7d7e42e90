"""Which settings of a recipe matter, given the others; equal trials have one canonical recipe.

A term of weight 0 is not computed, so what only it reads may take any value: two such recipes are
the same trial, and a search runs it once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mimic_ray.method.recipe import Family, Recipe, parse_recipe
from mimic_ray.search.kept_layers import canonical_threshold

_TERMS = ("clone", "attention", "contrastive")


def is_relevant(key: str, content: Mapping[str, Any]) -> bool:
    """Whether a key has any effect in a recipe given as nested tables."""
    section, _, rest = key.partition(".")
    if section == "mutual_information" or key == "loss.attention_over":
        return bool(content["loss"]["attention"] > 0)
    if key in ("loss.temperature", "views.repeat_statistics"):
        return bool(content["loss"]["contrastive"] > 0)
    if section == "perturbations" and rest.endswith(".strength"):
        return bool(content[section][rest.partition(".")[0]]["probability"] > 0)
    if key == "student.renewed":
        return bool(content["student"]["start"] == "partial")
    if section == "adversary" and rest != "share":
        return bool(content["adversary"]["share"] > 0)
    if key == "training.warmup":
        return bool(content["training"]["schedule"] == "one_cycle")
    return True


def canonical(recipe: Recipe, shares: Sequence[float] | None) -> Recipe:
    """The same trial with every setting that has no effect at its default value.

    `shares` are the profile's: thresholds that keep the same layers are one; None where trials have
    profiles of their own. Adam does not see the
    scale of a loss, so the weight of a single term is 1 where there is no weight decay.
    """
    content, plain = recipe.model_dump(mode="json"), Recipe().model_dump(mode="json")
    loss, information = content["loss"], content["mutual_information"]
    if shares and not any(share >= information["threshold"] for share in shares):
        others = loss["clone"] + loss["contrastive"]
        loss["attention"] = 0.0 if others else loss["attention"]
    present = [term for term in _TERMS if loss[term] > 0]
    if len(present) == 1 and recipe.training.weight_decay == 0:
        loss[present[0]] = 1.0
    for section, table in content.items():
        for name, value in table.items():
            if isinstance(value, dict):  # a perturbation family
                if value["probability"] == 0 or value["strength"] == 0:
                    table[name] = Family().model_dump()
            elif not is_relevant(f"{section}.{name}", content):
                table[name] = plain[section][name]
    if shares and loss["attention"] > 0:
        information["threshold"] = canonical_threshold(shares, information["threshold"])
    return parse_recipe(content, "trial")


def trial_id(recipe: Recipe) -> str:
    """12 hex digits of a canonical recipe: what makes two trials the same."""
    content = json.dumps(recipe.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]

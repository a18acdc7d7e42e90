"""Which settings of a recipe have an effect, given the others; one form for equal trials.

A term of weight 0 is not computed, so the settings that only it reads may have any value: two such
recipes are the same trial, and a search runs it once.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from mimic_ray.base.user_code import is_user_code
from mimic_ray.method.losses.loss_registry import LOSSES
from mimic_ray.method.recipe import Recipe, parse_recipe
from mimic_ray.method.recipe_keys import split_key
from mimic_ray.search.kept_layers import canonical_threshold


def is_relevant(key: str, content: Mapping[str, Any]) -> bool:
    """Whether a key has any effect in a recipe given as nested tables."""
    section, *rest = split_key(key)
    if section == "mutual_information":
        return _uses("uses_taps", content)
    if section == "estimators":
        chosen = content["mutual_information"]["estimator"]
        return rest[0] == chosen and _uses("uses_taps", content)
    if section == "loss" and rest[1] != "weight":
        return bool(content["loss"][rest[0]]["weight"] > 0)
    if section == "perturbations" and rest[1] != "probability":
        return bool(content[section][rest[0]]["probability"] > 0)
    if key == "views.repeat_statistics":
        return _uses("uses_second_view", content)
    if key == "student.renewed":
        return bool(content["student"]["start"] == "partial")
    if section == "adversary" and rest != ["share"]:
        return bool(content["adversary"]["share"] > 0)
    if section == "openings" and rest != ["share"]:
        return bool(content["openings"]["share"] > 0)
    if key == "training.warmup":
        return bool(content["training"]["schedule"] == "one_cycle")
    return True


def canonical(recipe: Recipe, shares: Sequence[float] | None) -> Recipe:
    """The same trial with every setting that has no effect at its default value.

    `shares` are those of the profile: thresholds that keep the same taps are equal. None means that
    each trial has a profile of its own. The weight of a single term is 1 where there is no weight
    decay, since Adam does not depend on the scale of a loss.
    """
    content, plain = recipe.model_dump(mode="json"), Recipe().model_dump(mode="json")
    loss, information = content["loss"], content["mutual_information"]
    if shares and not any(share >= information["threshold"] for share in shares):
        without = [n for n, table in loss.items() if table["weight"] and not _reads_taps(n)]
        for name in loss if without else ():
            if _reads_taps(name):
                loss[name]["weight"] = 0.0
    present = [name for name, table in loss.items() if table["weight"] > 0]
    if len(present) == 1 and recipe.training.weight_decay == 0:
        loss[present[0]]["weight"] = 1.0
    content["perturbations"] = _tables(
        content["perturbations"],
        {name: {"probability": 0.0, "strength": 1.0} for name in plain["perturbations"]},
        [n for n, t in content["perturbations"].items() if t["probability"] and t["strength"]],
    )
    unused = {name: {**table, "weight": 0.0} for name, table in plain["loss"].items()}
    content["loss"] = _tables(loss, unused, present)
    reading = _uses("uses_taps", content)
    estimators, chosen = content["estimators"], [information["estimator"]] if reading else []
    content["estimators"] = _tables(estimators, plain["estimators"], chosen)
    for section in ("student", "views", "adversary", "openings", "mutual_information", "training"):
        for name in content[section]:
            if not is_relevant(f"{section}.{name}", content):
                content[section][name] = plain[section][name]
    if shares and reading:
        information["threshold"] = canonical_threshold(shares, information["threshold"])
    return parse_recipe(content, "trial")


def trial_id(recipe: Recipe) -> str:
    """12 hex digits of a canonical recipe: what makes two trials the same."""
    content = json.dumps(recipe.model_dump(mode="json"), sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]


def _tables(
    tables: Mapping[str, Any], unused: Mapping[str, Any], used: Sequence[str]
) -> dict[str, Any]:
    """The used tables as they are, the others as in `unused`; unused ones of a user's file go."""
    return {
        name: table if name in used else unused[name]
        for name, table in tables.items()
        if name in used or not is_user_code(name)
    }


def _uses(what: str, content: Mapping[str, Any]) -> bool:
    """Whether a term with a weight has the attribute, such as "uses_taps"."""
    return any(
        getattr(LOSSES.member(name), what, False)
        for name, table in content["loss"].items()
        if table["weight"] > 0
    )


def _reads_taps(name: str) -> bool:
    return bool(getattr(LOSSES.member(name), "uses_taps", False))

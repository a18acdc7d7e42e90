"""The tensors of a file under our names, where a publisher's table (publisher_keys.py) has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache

from mimic_ray.weight_files.key_index import KeyView, plain_views
from mimic_ray.weight_files.key_sources import StoredWeight
from mimic_ray.weight_files.layout import Layout
from mimic_ray.weight_files.publisher_keys import (
    PUBLISHERS,
    PublisherKeys,
    Stored,
    heads,
    template,
)

# Our path, the number of the part of it, and the entry of the table.
_Target = tuple[str, int, Stored]


def key_views(layout: Layout) -> list[KeyView]:
    """Every group with its own keys, and under our names for each publisher whose sign it has."""
    return [found for view in plain_views(layout) for found in (view, *_published(view))]


def known_names(layout: Layout) -> list[str]:
    """The publishers whose key names the file has, for an encoder of whatever size."""
    found = (view.publisher.name for view in key_views(layout) if view.publisher)
    return [*dict.fromkeys(found)]


def _published(view: KeyView) -> Iterator[KeyView]:
    prefixes = _prefixes(view)
    for publisher in PUBLISHERS:
        if found := prefixes.get(publisher.sign):
            yield _view(view, publisher, sorted(found, key=len, reverse=True))


def _prefixes(view: KeyView) -> dict[str, set[str]]:
    """What stands in front of each publisher's sign."""
    signs: dict[str, dict[str, int]] = {}  # by their last word, for speed
    for sign in (publisher.sign for publisher in PUBLISHERS):
        signs.setdefault(sign.rpartition(".")[2], {})[sign] = sign.count(".") + 1
    found: dict[str, set[str]] = {}
    for key in view.files:
        for sign, length in signs.get(key.rpartition(".")[2], {}).items():
            words = key.rsplit(".", length)[-length:]
            if ".".join(map(template, words)) == sign:
                found.setdefault(sign, set()).add(key[: len(key) - len(".".join(words))])
    return found


def _view(view: KeyView, publisher: PublisherKeys, prefixes: list[str]) -> KeyView:
    files: dict[str, str] = {}
    parts: dict[str, tuple[Stored, dict[int, str]]] = {}  # our key -> number of the part -> key
    twice: set[str] = set()
    for key, full in view.files.items():
        prefix = next((one for one in prefixes if key.startswith(one)), None)
        rest = key if prefix is None else key[len(prefix) :]
        targets = [] if prefix is None else _targets(rest, publisher)
        for path, number, stored in targets:
            ours = f"{prefix}{path}"
            found = parts.setdefault(ours, (stored, {}))[1]
            if number in found:  # blocks.0.3 and blocks.1.3 cannot both be block 3
                twice.add(ours)
            found[number] = full
        if not targets and (prefix is None or not _is_unused(rest, publisher)):
            files[key] = full
    sources = {
        ours: _source(stored, keys, view)
        for ours, (stored, keys) in parts.items()
        if len(keys) == len(stored.paths) and ours not in twice
    }
    files |= {ours: source.keys[0] for ours, source in sources.items()}
    return KeyView(view.group, view.tensors, files, sources, publisher)


def _source(stored: Stored, keys: Mapping[int, str], view: KeyView) -> StoredWeight:
    ordered = tuple(keys[number] for number in range(len(keys)))
    rows = tuple(next(iter(view.tensors[key].shape), 1) for key in ordered)
    return StoredWeight(ordered, rows, stored.form, stored.thirds)


def _targets(key: str, publisher: PublisherKeys) -> list[_Target]:
    """Our keys that a key of theirs is a part of."""
    table = _by_their_path(publisher)
    for path, rest, number in heads(key):
        if found := table.get(path):
            return [
                (ours.replace("*", number) + rest, part, stored) for ours, part, stored in found
            ]
    return []


def _is_unused(key: str, publisher: PublisherKeys) -> bool:
    return bool(publisher.unused) and any(path in publisher.unused for path, _, _ in heads(key))


@cache
def _by_their_path(publisher: PublisherKeys) -> dict[str, list[_Target]]:
    found: dict[str, list[_Target]] = {}
    for ours, stored in publisher.weights.items():
        for number, path in enumerate(stored.paths):
            found.setdefault(path, []).append((ours, number, stored))
    return found

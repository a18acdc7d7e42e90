"""Reads YAML with the line of every key, for findings.

Only plain YAML is accepted: no tags that create objects, no key twice in a mapping (YAML silently
uses the last one), no aliases that expand without bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mimic_ray.base.errors import UsageError
from mimic_ray.base.text import plain
from mimic_ray.cluster_files.findings import YamlPath

_MAX_BYTES = 512 << 10  # PyYAML reads about 100 kB per second
_MAX_NODES = 100_000
_TEXT_TAGS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")


class YamlSyntaxError(ValueError):
    """A text is not plain YAML. `validate` converts this error to a finding."""

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(f"line {line}: {reason}")
        self.line, self.reason = line, reason


@dataclass
class Document:
    """One YAML document. `lines` is the 1-based line of each key and list item."""

    data: Any
    lines: dict[YamlPath, int] = field(default_factory=dict)
    repeated_keys: list[YamlPath] = field(default_factory=list)
    non_text_keys: list[YamlPath] = field(default_factory=list)  # such as 1 and yes

    def line(self, path: YamlPath) -> int:
        """The line of `path`, or of its nearest parent in the file."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


def read_documents(path: Path) -> list[Document]:
    """All documents of a file that are not empty.

    Raises UsageError for a file that cannot be read, YamlSyntaxError if it is not plain YAML.
    """
    name = plain(path)
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise UsageError(f"{name} is larger than 512 KiB: it is not a cluster file.")
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{name} cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{name} is not a cluster file: it is not UTF-8 text.") from None
    if "#SBATCH" in text:
        raise UsageError(
            f"{name} is a batch script for Slurm: check it with `sbatch --test-only {name}`, and "
            f"start it with `sbatch {name}`."
        )
    documents = parse(text)
    if not documents:
        raise UsageError(f"{name} is empty.")
    return documents


def parse(text: str) -> list[Document]:
    """All documents of a text that are not empty. Raises YamlSyntaxError."""
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        documents = []
        while loader.check_node():
            node = loader.get_node()
            document = Document(None)
            _collect(node, (), document, [0])
            document.data = loader.construct_document(node)
            if document.data is not None:
                documents.append(document)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = f"Not valid YAML: {plain(error.problem)}."
        raise YamlSyntaxError(mark.line + 1 if mark else 1, reason) from None
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise YamlSyntaxError(1, f"Not valid YAML: {plain(error)}.") from None
    return documents


def _collect(node: Any, path: YamlPath, document: Document, nodes: list[int]) -> None:
    """Lines and keys of `node` and below; `nodes` counts them, through aliases too."""
    import yaml

    nodes[0] += 1
    if nodes[0] > _MAX_NODES:
        raise ValueError("its aliases expand without bound")
    document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        keys = set()
        for key, value in node.value:
            name = key.value if isinstance(key, yaml.ScalarNode) else str(key.start_mark.line)
            inner = (*path, name)
            document.lines[inner] = key.start_mark.line + 1
            if key.tag not in _TEXT_TAGS:
                document.non_text_keys.append(inner)
            if name in keys and key.tag != "tag:yaml.org,2002:merge":
                document.repeated_keys.append(inner)
            keys.add(name)
            _collect(value, inner, document, nodes)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _collect(item, (*path, index), document, nodes)

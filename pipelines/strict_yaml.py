"""YAML in which a key that stands twice is an error: PyYAML keeps the last one, and a rule would be gone without a word."""

from __future__ import annotations

from typing import Any

import yaml


class _Loader(yaml.SafeLoader):
    pass


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Any:
    seen: set[tuple[str, str]] = set()
    for key, _ in node.value:  # before `<<` is resolved: a key may well override one that is merged in
        if isinstance(key, yaml.ScalarNode):
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(
                    "in a mapping",
                    node.start_mark,
                    f"the key {key.value!r} stands here a second time",
                    key.start_mark,
                )
            seen.add((key.tag, key.value))
    return (yield from loader.construct_yaml_map(node))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def load_yaml(text: str) -> Any:
    """Plain values of one YAML document.

    Raises:
        yaml.YAMLError: not YAML, a tag that is not plain, or a key twice in one mapping; names line and column.
        RecursionError: nested too deeply.
    """
    return yaml.load(text, _Loader)

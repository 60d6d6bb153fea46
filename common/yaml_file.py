"""Settings in a YAML file: keys and values, or a reason that names the file."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Lines = dict[str, int]
"""At which line a key stands, from 1, by its path such as "a.b" or "a[0].b"."""


class YamlFileError(Exception):
    """The file cannot be used; the message says which and why."""


def read_mapping(path: Path, example: str) -> dict[str, Any]:
    """The keys and values of a YAML file; none when it is empty.

    Args:
        path: the file.
        example: what a line of such a file looks like, for the error.

    Raises:
        YamlFileError: it cannot be read, is not YAML, or holds something else.
    """
    return read_located_mapping(path, example)[0]


def read_located_mapping(path: Path, example: str) -> tuple[dict[str, Any], Lines]:
    """As read_mapping, and where each key stands. What an alias stands for is found where it was written only."""
    try:
        loader = yaml.SafeLoader(path.read_bytes())
        try:
            node = loader.get_single_node()
            content = None if node is None else loader.construct_document(node)
        finally:
            loader.dispose()
    except OSError as error:
        raise YamlFileError(f"{path}: cannot be read: {error.strerror}") from error
    # The last ones come of values that are not what their tag says, such as `!!bool perhaps`.
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:
        raise YamlFileError(f"{path}: is not YAML: {error}") from error
    except RecursionError as error:
        raise YamlFileError(f"{path}: is nested too deeply") from error
    if content is None:
        return {}, {}
    if not isinstance(content, dict):
        raise YamlFileError(f"{path}: must hold keys and values, such as '{example}', not a {type(content).__name__}")
    return content, dict(_locate(node, "", set()))


def _locate(node: yaml.Node | None, path: str, seen: set[int]) -> Iterator[tuple[str, int]]:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            below = f"{path}.{key.value}" if path else str(key.value)
            yield below, key.start_mark.line + 1
            yield from _locate(value, below, seen)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            below = f"{path}[{number}]"
            yield below, value.start_mark.line + 1
            yield from _locate(value, below, seen)

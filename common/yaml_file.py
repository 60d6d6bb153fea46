"""Settings in a YAML file: keys and values, or a reason that names the file."""

from pathlib import Path
from typing import Any

import yaml


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
    try:
        content = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise YamlFileError(f"{path}: cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise YamlFileError(f"{path}: is not YAML: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise YamlFileError(f"{path}: must hold keys and values, such as '{example}', not a {type(content).__name__}")
    return content

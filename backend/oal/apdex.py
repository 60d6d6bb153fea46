"""Within how much time a call to a service satisfies."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

DEFAULT_MILLISECONDS = 500
"""What Apache SkyWalking takes for services that nobody named."""
LARGEST_MILLISECONDS = 86_400_000
_DEFAULT = "default"


class ApdexError(Exception):
    """A file of thresholds that cannot be used; the message says where and what to do."""


@dataclass(frozen=True, slots=True)
class ApdexThresholds:
    """Milliseconds, both for services that are named and for all others."""

    default: int = DEFAULT_MILLISECONDS
    services: Mapping[str, int] = field(default_factory=dict)

    def of(self, service: str) -> int:
        """The threshold of a service, in milliseconds."""
        return self.services.get(service, self.default)


def load_thresholds(path: Path) -> ApdexThresholds:
    """Read thresholds from a file in the shape of upstream's service-apdex-threshold.yml.

    The file is a mapping in YAML: `default: 500`, and names of services, each with whole milliseconds.

    Raises:
        ApdexError: the file cannot be read or is not of this shape. Nothing has changed then.
    """
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        raise ApdexError(f"{path}: the thresholds cannot be read: {error}") from None
    except yaml.YAMLError as error:
        raise ApdexError(f"{path}: this is not YAML: {error}") from None
    if content is None:
        content = {}
    if not isinstance(content, dict):
        raise ApdexError(f"{path}: write one service per line and its milliseconds, such as {_DEFAULT}: 500")
    thresholds: dict[str, int] = {}
    for name, milliseconds in content.items():
        if isinstance(milliseconds, bool) or not isinstance(milliseconds, int):
            raise ApdexError(f"{path}: {name}: {milliseconds!r} is not a whole number of milliseconds")
        if not 0 < milliseconds <= LARGEST_MILLISECONDS:
            raise ApdexError(f"{path}: {name}: {milliseconds} ms is not from 1 to {LARGEST_MILLISECONDS}")
        thresholds[str(name)] = milliseconds
    return ApdexThresholds(thresholds.pop(_DEFAULT, DEFAULT_MILLISECONDS), thresholds)

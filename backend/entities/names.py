"""What names may look like: how long they may be, and where a service's namespace stands in its name.

What is longer is cut, as Apache SkyWalking does. Services of Kubernetes are called `<service>.<namespace>`, with
`<cluster>::` in front where a cluster has a name.
"""

from collections.abc import Mapping
from dataclasses import dataclass

_VARIABLES = {
    "service": "SW_SERVICE_NAME_MAX_LENGTH",
    "instance": "SW_INSTANCE_NAME_MAX_LENGTH",
    "endpoint": "SW_ENDPOINT_NAME_MAX_LENGTH",
}


@dataclass(frozen=True, slots=True)
class NameLimits:
    """Longest names, in characters. Two names that differ only after the limit become one."""

    service: int = 70
    instance: int = 70
    endpoint: int = 150

    def __post_init__(self) -> None:
        for field in _VARIABLES:
            if getattr(self, field) < 1:
                raise ValueError(f"the limit of {field} names is {getattr(self, field)}: it must be at least 1")

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "NameLimits":
        """Limits with what the environment says instead of the defaults.

        Args:
            environment: read for SW_SERVICE_NAME_MAX_LENGTH, SW_INSTANCE_NAME_MAX_LENGTH and
                SW_ENDPOINT_NAME_MAX_LENGTH.

        Raises:
            ValueError: a value is not a whole number of at least 1.
        """
        limits = {}
        for field, variable in _VARIABLES.items():
            if text := environment.get(variable):
                try:
                    limits[field] = int(text)
                except ValueError:
                    raise ValueError(f"{variable}={text!r} is not a whole number") from None
        return cls(**limits)


def namespace_of(service: str) -> str:
    """The namespace in the name of a service of Kubernetes; empty when there is none."""
    name, dot, namespace = service.rpartition("::")[2].rpartition(".")
    return namespace if dot and name else ""

"""What names may look like: how long they may be, and where a service's namespace stands in its name.

What is longer is cut, as Apache SkyWalking does. Services of Kubernetes are called `<service>.<namespace>`, with
`<cluster>::` in front where a cluster has a name.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NameLimits:
    """Longest names, in characters. Two names that differ only after the limit become one."""

    service: int = 70
    instance: int = 70
    endpoint: int = 150

    def __post_init__(self) -> None:
        for field, limit in (("service", self.service), ("instance", self.instance), ("endpoint", self.endpoint)):
            if limit < 1:
                raise ValueError(f"the limit of {field} names is {limit}: it must be at least 1")


def namespace_of(service: str) -> str:
    """The namespace in the name of a service of Kubernetes; empty when there is none."""
    name, dot, namespace = service.rpartition("::")[2].rpartition(".")
    return namespace if dot and name else ""

"""Whether anything is told of a process."""

from dataclasses import dataclass
from enum import Enum, auto

from agent.discovery.kubernetes.analyzers import Entity


class Standing(Enum):
    """What becomes of the logs of a process."""

    TOLD = auto()
    AWAITED = auto()  # they wait: it is in a pod of which the API server has not told yet
    LEFT_OUT = auto()  # nobody wants them
    UNKNOWN = auto()  # they are lost: nothing was told of its pod in time


@dataclass(frozen=True, slots=True)
class Named:
    """What is known of a process in a cluster."""

    standing: Standing
    entities: tuple[Entity, ...] = ()
    """Everything it is called; the first one names its connections."""
    container: str = ""
    """Name of its container in its pod."""
    for_good: bool = False
    """Whether it will be left out for as long as it runs."""
    properties: tuple[tuple[str, str], ...] = ()
    """What else is reported of it."""

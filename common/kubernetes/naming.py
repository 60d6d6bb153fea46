"""What the services of a cluster are called, and which of its services a pod counts for.

The agent names its own processes by these rules and the backend the far ends of their connections, so that both mean
the same service.
"""

from collections.abc import Iterable


def service_name(name: str, namespace: str) -> str:
    """The name by which a service of a cluster is known, as the default template of SkyWalking Rover makes it."""
    return f"{name}.{namespace}"


def with_cluster(cluster: str, name: str) -> str:
    """A service name as seen from a node of a cluster; an empty cluster adds nothing."""
    return f"{cluster}::{name}" if cluster else name


def preferred_service(names: Iterable[str]) -> str | None:
    """Which of the services of one pod, all of its own namespace, the pod counts for; None when there are none.

    The one with the shortest name, and of several of that length the first one in the order of their characters: a
    service beside others, such as "reviews-canary" or "db-headless", as a rule has a longer name than the one that
    people know. SkyWalking Rover decides in this way too. Neither the order in which services were made nor the ports
    count, so that every agent and every backend decides alike at any time.
    """
    return min(names, key=_preference, default=None)


def _preference(name: str) -> tuple[int, str]:
    return len(name), name

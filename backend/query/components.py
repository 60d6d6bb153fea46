"""What a component id of a relation means; ids, names and priorities are those of SkyWalking."""

from collections.abc import Iterable

NAMES = {0: "Unknown", 49: "http", 110: "tcp", 129: "https", 130: "tls", 142: "mtls", 162: "ztunnel"}
PRIORITIES = {0: 0, 49: 45, 110: 10, 129: 46, 130: 11, 142: 12, 162: 10}
DEFAULT_PRIORITY = 50


def protocols(components: Iterable[int]) -> list[str]:
    """Names of components, each once, the most telling first."""
    ordered = sorted(set(components), key=lambda component: (-PRIORITIES.get(component, DEFAULT_PRIORITY), component))
    return [NAMES.get(component, str(component)) for component in ordered]

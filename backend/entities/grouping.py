"""Which names of endpoints are one: rules of users first, then what looks like an identifier."""

from dataclasses import dataclass, field

from backend.entities.grouping_automatic import group_path
from backend.entities.grouping_rules import GroupingRules


@dataclass(frozen=True, slots=True)
class Grouping:
    """Gives names of endpoints the name of their group."""

    rules: GroupingRules = field(default_factory=GroupingRules)

    def group(self, service: str, name: str) -> str:
        """The name of the group of an endpoint; its own where it is in none.

        Args:
            service: Name of the service that it is of.
            name: Such as "GET:/orders/4711", without a query.
        """
        grouped = self.rules.apply(service, name)
        if grouped is None and self.rules.automatic:
            method, colon, path = name.partition(":")
            # What is asked of a proxy by CONNECT is a host with its port, and no path.
            return f"{method}{colon}{group_path(path)}" if path.startswith("/") else name
        return name if grouped is None else grouped

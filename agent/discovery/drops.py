"""What dropped packages are called on the wire."""

from collections.abc import Mapping

from agent.discovery.host import Host


class DropReasons:
    """The kernel's names, asked for when the first package was dropped."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self._names: Mapping[int, str] | None = None

    def name(self, reason: int) -> str:
        """The name of a number of `enum skb_drop_reason`, such as NETFILTER_DROP; REASON_5 where it has none."""
        if self._names is None:
            self._names = self._host.drop_reasons()
        return self._names.get(reason) or f"REASON_{reason}"
